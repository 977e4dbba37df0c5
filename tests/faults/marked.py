"""``python -m tests.faults.marked``: ``pulpit`` whose tasks leave marks of when they ran.

The marks go to the file that PULPIT_FAULTS_MARKS names. What a task's process writes to PostgreSQL
it writes under the name of its attempt.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulpit.config import Settings
    from pulpit.domain.tasks import Task
    from pulpit.engine.child import Reporter

__all__ = ["MARKS"]

#: Variable of the environment that names the file of marks.
MARKS = "PULPIT_FAULTS_MARKS"


def _mark_bodies() -> None:
    """Have the bodies that this process runs write marks."""
    import pulpit.app.child  # noqa: PLC0415 - as in pulpit itself, the server does not need it
    from tests.faults.bodies import marking  # noqa: PLC0415
    from tests.faults.writes import with_name_of  # noqa: PLC0415

    run = pulpit.app.child.run

    def marked(task: Task, reporter: Reporter, settings: Settings) -> tuple[Any, Mapping[str, Any]]:
        """Run the body of a task between its marks."""
        if url := settings.database.url:
            database = dataclasses.replace(settings.database, url=with_name_of(task, url))
            settings = dataclasses.replace(settings, database=database)
        with marking(Path(os.environ[MARKS]), task):
            return run(task, reporter, settings)

    pulpit.app.child.run = marked


if __name__ == "__main__":
    from pulpit.cli import main

    sys.exit(main())
elif __name__ == "__mp_main__":
    # the process of a task: it has the server's main module under this name
    _mark_bodies()
