"""The server may have as many connections as the system lets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from pulpit.app.files import raise_file_limit
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(64, 512), (512, 512)])
def test_the_limit_is_raised_to_what_is_allowed(soft: int, hard: int) -> None:
    """From whatever it is; the system's own bound stays."""
    script = _SCRIPT.format(soft=soft, hard=hard)
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == [str(hard), str(hard)]
