"""The fault harness: everything is killed, cut, frozen and blocked while tasks run, then judged.

``make faults`` runs it; the how-to on work on Pulpit tells what its counters mean.
"""
