"""What the doctor says of the server's own certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from pulpit import config
from pulpit.app.doctor import Finding, Outcome
from pulpit.app.doctor.findings import examine
from pulpit.app.doctor.server_certificate import OwnCertificate
from pulpit.domain.clock import utc_now
from tests.services.tls import Files, issue


def look(
    files: Files, *, server_name: str = "pulp.example.com", trust: bool = True
) -> dict[str, Finding]:
    """Return what is found of a certificate."""
    settings = config.load(
        environ={
            "PULPIT_SERVER_CERTIFICATE": str(files.certificate),
            "PULPIT_SERVER_PRIVATE_KEY": str(files.key),
            "PULPIT_SERVER_SERVER_NAME": server_name,
        }
    )
    cafile = str(files.authority) if trust else None
    checks = OwnCertificate(settings=settings, cafile=cafile).checks()
    return {finding.check: finding for finding in examine("Certificate", checks)}


def outcomes(found: dict[str, Finding]) -> dict[str, str]:
    """Return in a word what each check came to, but for those that went well."""
    return {
        name: finding.outcome.value
        for name, finding in found.items()
        if finding.outcome is not Outcome.OK
    }


def test_a_good_one(tmp_path: Path) -> None:
    """Files, name, dates and chain are well, also through an authority in between."""
    root = trustme.CA()
    files = issue(tmp_path, "pulp.example.com", authority=root.create_child_ca())
    root.cert_pem.write_to_path(str(files.authority))
    found = look(files)
    assert list(found) == ["own_files", "own_name", "own_expiry", "own_chain"]
    assert outcomes(found) == {}


def test_a_wildcard_is_for_the_name(tmp_path: Path) -> None:
    """Names are compared as clients do it."""
    assert outcomes(look(issue(tmp_path, "*.example.com"))) == {}


def test_without_one_there_is_nothing_to_look_at() -> None:
    """A server without TLS has no group of this name."""
    assert OwnCertificate(settings=config.Settings(), cafile=None).checks() == ()


def test_another_name(tmp_path: Path) -> None:
    """Clients would refuse it."""
    found = look(issue(tmp_path, "other.example.com"))
    assert outcomes(found) == {"own_name": "failed"}
    assert "server_name" in found["own_name"].fix


@pytest.mark.parametrize(("days", "outcome"), [(29, "note"), (31, None)])
def test_it_runs_out_soon(tmp_path: Path, days: int, outcome: str | None) -> None:
    """A month before, it is time to renew it."""
    until = utc_now() + timedelta(days=days, hours=1)
    found = look(issue(tmp_path, "pulp.example.com", until=until))
    assert outcomes(found) == ({"own_expiry": outcome} if outcome else {})
    assert f"({days} days)" in found["own_expiry"].detail


def test_it_has_run_out(tmp_path: Path) -> None:
    """That must be mended; the server can do with it."""
    found = look(issue(tmp_path, "pulp.example.com", until=datetime(2021, 1, 1, tzinfo=UTC)))
    assert "has expired" in found["own_files"].detail
    assert found["own_files"].outcome is Outcome.NOTE
    assert found["own_expiry"].outcome is Outcome.FAILED


def test_an_authority_of_nobody(tmp_path: Path) -> None:
    """Clients need its file, which is no fault."""
    found = look(issue(tmp_path, "pulp.example.com"), trust=False)
    assert outcomes(found) == {"own_chain": "note"}
    assert "--cafile" in found["own_chain"].fix


def test_a_key_that_others_may_read(tmp_path: Path) -> None:
    """It works, and should not be so; for a group that only reads it, it should."""
    files = issue(tmp_path, "pulp.example.com")
    files.key.chmod(0o644)
    assert "chmod 640" in look(files)["own_files"].detail
    files.key.chmod(0o640)
    assert look(files)["own_files"].outcome is Outcome.OK


def test_a_key_with_a_password(tmp_path: Path) -> None:
    """It is told how to write it without one, and nobody is asked at the terminal."""
    files = issue(tmp_path, "pulp.example.com")
    pem = files.key.read_text().splitlines()
    pem[1:1] = [
        "Proc-Type: 4,ENCRYPTED",
        "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF",
        "",
    ]
    files.key.write_text("\n".join(pem) + "\n")
    found = look(files)
    assert "password" in found["own_files"].detail
    assert outcomes(found) == {
        "own_files": "failed",
        "own_name": "skipped",
        "own_expiry": "skipped",
        "own_chain": "skipped",
    }


def test_a_key_of_another(tmp_path: Path) -> None:
    """It is told which file is wrong."""
    files = issue(tmp_path / "one", "pulp.example.com")
    other = issue(tmp_path / "two", "pulp.example.com")
    files.key.write_bytes(other.key.read_bytes())
    assert f"{files.key} is not the key" in look(files)["own_files"].detail
