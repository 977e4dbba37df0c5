"""The composition root: builds the parts, wires them, starts and stops them in order.

``server`` is for the server's process, ``child`` for that of a task, which need not load the rest.
"""
