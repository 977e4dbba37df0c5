"""The commands. Their words go to people; their exit codes and ``--json`` to programs."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run the command that this process was started for, and return its exit code."""
    # here, since each task's process imports the script that started the server, which is this
    from pulpit.cli import program  # noqa: PLC0415

    return program.main()
