"""Other publishers, each a program of its own; ``bench/_peers.py`` runs them.

They share no code with the server, and those in Python run in an environment of their own. Each
prints the monotonic seconds at which it began to publish and at which it had ended, as JSON.
"""
