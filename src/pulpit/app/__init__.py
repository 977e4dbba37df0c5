"""The composition root: builds the parts, wires them, starts and stops them in order."""

from __future__ import annotations

from pulpit.app.server import Ready, serve

__all__ = ["Ready", "serve"]
