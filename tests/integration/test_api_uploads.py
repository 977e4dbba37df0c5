"""Uploads over REST: begun, filled in any order, imported, deleted; and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from typing import Any

import httpx
import pytest

from pulpit.api.server import web_application
from pulpit.config.settings import Uploads as UploadSettings
from pulpit.domain.permissions import ALL, Grant
from pulpit.services.uploads import UploadRetention
from tests.api_site import API, AUTH, Site, assert_error, spawned
from tests.feeds import LATER, SAMPLE

_BELL = SAMPLE / "noarch" / "bell-1.0-1.noarch.rpm"
_NOBODY = "00000000-0000-0000-0000-000000000000"


def begin(site: Site) -> str:
    """Begin an upload; return its id."""
    answer = site.ask("POST", "content/uploads/")
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["upload_id"])


def send(site: Site, upload_id: str, offset: object, data: bytes) -> httpx.Response:
    """Send some bytes."""
    return site.ask("PUT", f"content/uploads/{upload_id}/{offset}/", content=data)


def uploaded(site: Site, data: bytes) -> str:
    """Upload some bytes; return the id."""
    upload_id = begin(site)
    answer = send(site, upload_id, 0, data)
    assert (answer.status_code, answer.json()) == (200, None)
    return upload_id


def bring_in(site: Site, upload_id: str, type_id: str, **body: Any) -> dict[str, Any]:
    """Import an upload into the repository chapel; return the task's report."""
    document = {"upload_id": upload_id, "unit_type_id": type_id, "unit_key": {}, **body}
    answer = site.ask("POST", "repositories/chapel/actions/import_upload/", json=document)
    [report] = spawned(site, answer)
    site.work()
    return dict(site.ask("GET", report["_href"]).json())


@pytest.fixture
def chapel(site: Site) -> Site:
    """Return the application with an empty repository."""
    body = {"id": "chapel", "importer_type_id": "yum_importer"}
    assert site.ask("POST", "repositories/", json=body).status_code == 201
    return site


@pytest.fixture
def small(site: Site) -> Site:
    """Return the application with low limits of uploads."""
    limits = UploadSettings(max_size=1000, max_chunk=100, max_open=3)
    site.settings = dataclasses.replace(site.settings, uploads=limits)
    site.serve(web_application(site.routes()))
    return site


def test_an_upload_is_begun_listed_and_deleted(site: Site) -> None:
    """As Pulp 2 answered."""
    answer = site.ask("POST", "content/uploads/")
    body = answer.json()
    assert answer.status_code == 201
    assert body == {
        "_href": f"{API}/content/uploads/{body['upload_id']}/",
        "upload_id": body["upload_id"],
    }
    assert answer.headers["location"] == body["_href"]
    listed = site.ask("GET", "content/uploads/")
    assert listed.json() == {"upload_ids": [body["upload_id"]]}
    gone = site.ask("DELETE", body["_href"])
    assert (gone.status_code, gone.json()) == (200, None)
    assert site.ask("GET", "content/uploads/").json() == {"upload_ids": []}
    assert not site.files.upload(body["upload_id"]).exists()
    error = assert_error(site.ask("DELETE", body["_href"]), 404, "PLP0009")
    assert error["resources"] == {"upload_id": body["upload_id"]}


def test_bytes_come_in_any_order_and_twice(site: Site) -> None:
    """Whoever asks is told which are there, to go on after a stop."""
    data = random.Random(6).randbytes(3_000_000)
    upload_id = begin(site)
    pieces = [(offset, data[offset : offset + 700_000]) for offset in range(0, 3_000_000, 700_000)]
    for offset, piece in [*reversed(pieces[1:]), pieces[2]]:
        assert send(site, upload_id, offset, piece).json() is None
    shown = site.ask("GET", f"content/uploads/{upload_id}/").json()
    assert shown["received"] == [{"start": 700_000, "end": 3_000_000}]
    assert (shown["size"], shown["upload_id"]) == (3_000_000, upload_id)
    assert send(site, upload_id, 0, pieces[0][1]).status_code == 200
    shown = site.ask("GET", f"content/uploads/{upload_id}/").json()
    assert shown["received"] == [{"start": 0, "end": 3_000_000}]
    assert site.files.upload(upload_id).read_bytes() == data


@pytest.mark.parametrize(
    "offset", ["-1", "x", "1e3", "0x10", "%D9%A3", "1" * 5000, "9" * 18, "1001", "%00", "1.5"]
)
def test_a_bad_offset_is_refused(small: Site, offset: str) -> None:
    """It is a number, and not behind the end of the largest upload."""
    upload_id = begin(small)
    error = assert_error(send(small, upload_id, offset, b"x"), 400, "PLP0015")
    assert error["property_names"] == ["offset"]


@pytest.mark.parametrize("upload_id", [_NOBODY, "x", "..%2F..%2Fpulpit.db", "%00", "é" * 300])
def test_an_unknown_upload_is_missing(site: Site, upload_id: str) -> None:
    """Whatever it is called, and whatever is asked of it."""
    for answer in (
        send(site, upload_id, 0, b"x"),
        site.ask("GET", f"content/uploads/{upload_id}/"),
        site.ask("DELETE", f"content/uploads/{upload_id}/"),
    ):
        if "%2F" not in upload_id:
            assert_error(answer, 404, "PLP0009")
        assert answer.status_code == 404


def test_uploads_are_bounded(small: Site) -> None:
    """In the bytes of a request, in all bytes, and in number."""
    upload_id = begin(small)
    assert_error(send(small, upload_id, 0, b"x" * 101), 413, "PLPIT12")
    assert_error(send(small, upload_id, 950, b"x" * 51), 413, "PLPIT12")

    async def unannounced() -> Any:
        for _ in range(3):
            yield b"x" * 50

    answer = small.ask("PUT", f"content/uploads/{upload_id}/0/", content=unannounced())
    assert_error(answer, 413, "PLPIT12")
    assert small.ask("GET", f"content/uploads/{upload_id}/").json()["received"] == []
    assert send(small, upload_id, 950, b"x" * 50).status_code == 200
    begin(small)
    begin(small)
    error = assert_error(small.ask("POST", "content/uploads/"), 409, "PLPIT15")
    assert "3 uploads" in str(error["error_message"])
    assert len([*small.files.upload(upload_id).parent.iterdir()]) == 3


def test_strangers_upload_nothing(site: Site) -> None:
    """Not a byte of theirs is read."""
    upload_id = begin(site)
    path = f"content/uploads/{upload_id}/0/"
    assert_error(site.ask("PUT", path, content=b"x", auth=None), 401, "PLP0025")
    assert site.files.upload(upload_id).read_bytes() == b""


def test_what_a_full_disk_does_not_take_is_told(site: Site) -> None:
    """The floor of the disk is kept for the database."""
    floor = dataclasses.replace(site.settings.storage, disk_floor=1 << 60)
    site.settings = dataclasses.replace(site.settings, storage=floor)
    site.serve(web_application(site.routes()))
    error = assert_error(send(site, begin(site), 0, b"x"), 507, "PLPIT16")
    assert "disk" in str(error["error_message"])


def test_idle_uploads_go(site: Site) -> None:
    """And files that no upload names, but none that may be about to be named."""
    idle, used = begin(site), begin(site)
    with site.storage.write() as transaction:
        for upload_id in (idle, used):
            resource = f"/v2/content/uploads/{upload_id}/"
            grant = Grant(resource=resource, login=AUTH[0], operations=ALL)
            transaction.permissions.set(grant)
    site.files.begin_upload(_NOBODY)
    site.clock.advance(hours=71)
    send(site, used, 0, b"x")
    site.clock.advance(hours=2)
    retention = UploadRetention(site.storage, site.files, clock=site.clock, idle_hours=72)
    assert retention.remove_idle() == 1
    assert site.files.upload(_NOBODY).exists()
    os.utime(site.files.upload(_NOBODY), times=(0, 0))
    assert retention.remove_idle() == 1
    assert not site.files.upload(_NOBODY).exists()
    assert site.ask("GET", "content/uploads/").json() == {"upload_ids": [used]}
    assert not site.files.upload(idle).exists()
    assert site.files.upload(used).read_bytes() == b"x"
    with site.storage.read() as transaction:
        granted = [grant.resource for grant in transaction.permissions.list()]
    assert granted == [f"/v2/content/uploads/{used}/"]


def test_a_package_is_imported(chapel: Site) -> None:
    """The result names it; the upload stays until it is deleted; again adds nothing."""
    upload_id = uploaded(chapel, _BELL.read_bytes())
    first = bring_in(chapel, upload_id, "rpm")
    assert first["state"] == "finished", first
    assert first["task_type"] == "pulp.server.managers.content.upload.import_uploaded_unit"
    assert first["tags"] == ["pulp:repository:chapel", "pulp:action:import_upload"]
    unit = first["result"]["details"]["unit"]
    assert first["result"] == {"success_flag": True, "summary": "", "details": {"unit": unit}}
    assert unit["type_id"] == "rpm"
    assert unit["unit_key"]["name"] == "bell"
    assert unit["unit_key"]["checksumtype"] == "sha256"
    shown = chapel.ask("GET", "repositories/chapel/").json()
    assert shown["content_unit_counts"] == {"rpm": 1}
    again = bring_in(chapel, upload_id, "rpm")
    assert again["result"] == first["result"]
    assert chapel.ask("GET", "repositories/chapel/").json() == shown
    assert chapel.ask("GET", "content/uploads/").json() == {"upload_ids": [upload_id]}
    assert not list(chapel.files.temporary().parent.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: b"", "upload_id"),
        (lambda data: b"x" * 5000, "not an RPM"),
        (lambda data: data[:60], "not an RPM"),
        (lambda data: data[:300], "ends within a header"),
        (lambda data: data[:1500], "ends within a header"),
        (lambda data: data[:-1], "of 2"),
        (lambda data: data + b"x", "of 2"),
        (lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "payload"),
        (lambda data: data[:900] + bytes([data[900] ^ 1]) + data[901:], "headers"),
    ],
)
def test_a_broken_package_is_refused(chapel: Site, change: Any, says: str) -> None:
    """It is no package, or not a whole one, and says so; nothing is left of it."""
    report = bring_in(chapel, uploaded(chapel, change(_BELL.read_bytes())), "rpm")
    assert report["state"] == "error"
    assert report["error"]["code"] == ("PLP0015" if says == "upload_id" else "RPM1016")
    assert says in report["error"]["description"]
    assert "/" not in report["error"]["description"]
    assert chapel.ask("GET", "repositories/chapel/").json()["content_unit_counts"] == {}
    assert not list(chapel.files.temporary().parent.iterdir())


def test_an_import_is_checked_before_its_task(chapel: Site) -> None:
    """Repository, importer, type, upload, its bytes and the configuration."""
    path = "repositories/chapel/actions/import_upload/"
    upload_id = begin(chapel)
    send(chapel, upload_id, 10, b"later")
    good = {"upload_id": upload_id, "unit_type_id": "rpm", "unit_key": {}}
    error = assert_error(chapel.ask("POST", path, json=good), 400, "PLP0015")
    assert "from 0 to 9" in str(error["error_message"])
    send(chapel, upload_id, 0, b"0123456789")
    for change, status, code in (
        ({"upload_id": _NOBODY}, 404, "PLP0009"),
        ({"upload_id": None}, 400, "PLP0016"),
        ({"unit_type_id": None}, 400, "PLP0016"),
        ({"unit_type_id": "docker_image"}, 400, "PLP0015"),
        ({"unit_key": []}, 400, "PLP0015"),
        ({"unit_metadata": "x"}, 400, "PLP0015"),
        ({"override_config": {"allowed_keys": ["nonsense"]}}, 400, "PLP0015"),
        ({"nonsense": 1}, 400, "PLP0017"),
    ):
        assert_error(chapel.ask("POST", path, json=good | change), status, code)
    assert_error(
        chapel.ask("POST", "repositories/x/actions/import_upload/", json=good), 404, "PLP0009"
    )
    chapel.ask("POST", "repositories/", json={"id": "bare"})
    assert_error(
        chapel.ask("POST", "repositories/bare/actions/import_upload/", json=good), 404, "PLP0009"
    )
    assert_error(chapel.ask("POST", path, content=json.dumps([])), 400, "PLP1015")


def test_a_wrong_checksum_is_told(chapel: Site) -> None:
    """Of a kind that is known; the right one is taken."""
    upload_id = uploaded(chapel, (LATER / "noarch" / "bell-2.1-1.noarch.rpm").read_bytes())
    bad = {"checksum": "0" * 64}
    assert bring_in(chapel, upload_id, "rpm", unit_metadata=bad)["error"]["code"] == "PLP1013"
    odd = {"checksum": "0" * 64, "checksum_type": "crc32"}
    assert bring_in(chapel, upload_id, "rpm", unit_metadata=odd)["error"]["code"] == "PLP0015"
    unsigned = {"require_signature": True}
    report = bring_in(chapel, upload_id, "rpm", override_config=unsigned)
    assert report["error"]["code"] == "RPM1013"
    assert "bell-2.1-1.noarch.rpm" in report["error"]["description"]
