"""Uploads are kept with what has come of them, whatever comes at the same time."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from pulpit.domain.uploads import Upload
from pulpit.errors import MissingResource
from tests.contract.databases import NOW, Database

_ID, _OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
_LATER = NOW + timedelta(hours=1)


def _upload(upload_id: str = _ID, **changes: object) -> Upload:
    return Upload(**{"id": upload_id, "created": NOW, "touched": NOW, **changes})  # type: ignore[arg-type]


def _add(database: Database, *uploads: Upload) -> None:
    with database.write() as transaction:
        for upload in uploads:
            transaction.uploads.add(upload)


def test_upload_is_kept_as_it_is(database: Database) -> None:
    """With bytes beyond what 32 bits can count."""
    upload = _upload(received=((0, 5), (2**40, 2**41)), touched=_LATER)
    _add(database, upload)
    with database.read() as transaction:
        assert transaction.uploads.get(_ID) == upload
        assert transaction.uploads.count() == 1


def test_uploads_are_listed_by_age(database: Database) -> None:
    """Those of one moment by id."""
    _add(database, _upload(created=_LATER), _upload(_OTHER, created=NOW))
    with database.read() as transaction:
        assert [upload.id for upload in transaction.uploads.list()] == [_OTHER, _ID]


def test_what_comes_is_put_together(database: Database) -> None:
    """In any order, and twice; whoever asks sees what came."""
    _add(database, _upload())
    for start, end in ((20, 30), (0, 10), (0, 10), (5, 15)):
        with database.write() as transaction:
            transaction.uploads.receive(_ID, start, end, now=_LATER)
    with database.read() as transaction:
        upload = transaction.uploads.get(_ID)
    assert upload.received == ((0, 15), (20, 30))
    assert upload.touched == _LATER
    assert (upload.size, upload.gap) == (30, (15, 20))


def test_nothing_that_comes_at_once_is_lost(database: Database) -> None:
    """Requests of one upload are served by many threads, and servers."""
    _add(database, _upload())
    errors: list[Exception] = []

    def receive(number: int) -> None:
        try:
            with database.write_beside() as transaction:
                transaction.uploads.receive(_ID, 10 * number, 10 * number + 10, now=NOW)
        except Exception as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=receive, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.read() as transaction:
        assert transaction.uploads.get(_ID).received == ((0, 80),)


def test_idle_uploads_are_found(database: Database) -> None:
    """By when something came last."""
    _add(database, _upload(), _upload(_OTHER, touched=_LATER))
    with database.read() as transaction:
        assert transaction.uploads.idle(before=_LATER) == [_ID]


def test_what_is_not_there_is_missing(database: Database) -> None:
    """To be read, filled or removed; and once it is removed."""
    _add(database, _upload())
    with database.write() as transaction:
        transaction.uploads.remove(_ID)
    with database.write() as transaction:
        for act in (
            lambda: transaction.uploads.get(_ID),
            lambda: transaction.uploads.remove(_ID),
            lambda: transaction.uploads.receive(_ID, 0, 1, now=NOW),
        ):
            with pytest.raises(MissingResource) as caught:
                act()
            assert caught.value.resources == {"upload_id": _ID}
