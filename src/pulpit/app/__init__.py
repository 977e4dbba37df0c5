"""The composition root: builds the parts, wires them, starts and stops them in order.

``server`` is for the server's process, ``child`` for that of a task, which need not load the rest.
"""

from __future__ import annotations

__all__ = ["CHILD"]

#: What the process of a task imports.
CHILD = "pulpit.app.child"
