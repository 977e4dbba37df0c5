"""Files that the doctor reads for listeners, whose owners may name any."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pulpit.app.doctor.certificates import (
    OwnCertificate,
    check_authorities,
    check_client_certificate,
)
from pulpit.app.doctor.findings import Check, examine
from pulpit.domain.findings import Finding, Outcome

_BYTES = 17 << 20


def _authorities(path: Path) -> str:
    return check_authorities(path, setting="ca_path", whom="the receiver")


def _certificate(path: Path) -> str:
    return check_client_certificate(OwnCertificate(certificate=path, setting="client_cert"))


@pytest.fixture(params=[_authorities, _certificate])
def look(request: pytest.FixtureRequest) -> Callable[[Path], Finding]:
    """Return what looks at a file."""
    answer: Callable[[Path], str] = request.param

    def run(path: Path) -> Finding:
        check = Check(name="file", title="File", answer=lambda: answer(path))
        (finding,) = examine("Files", [check], seconds=5.0)
        return finding

    return run


def test_what_may_never_end_is_not_read(look: Callable[[Path], Finding], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        finding = look(path)
        assert finding.outcome is Outcome.FAILED
        assert finding.detail == f"{path} is not a file"
        assert finding.fix.startswith("correct c")


def test_what_is_too_large_is_not_read(look: Callable[[Path], Finding], tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as opened:
        opened.truncate(_BYTES)
    finding = look(large)
    assert finding.outcome is Outcome.FAILED
    assert "too large" in finding.detail
