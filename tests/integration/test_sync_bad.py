"""Feeds that a sync must refuse: the error says where and why, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulpit.errors import ContentError
from tests.feeds import BAD, Bad, variants
from tests.services.http import FeedServer
from tests.synced import Site, site

#: Small enough that a bomb is noticed at once.
_LIMIT = 32 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Site]:
    """Yield an empty store."""
    with site(tmp_path / "data") as opened:
        opened.limits(max_metadata=_LIMIT, read_timeout=5.0)
        yield opened


def _says(store: Site, error: ContentError) -> str:
    """Return all that a user is told."""
    details = store.reports[-1][0]["content"]["error_details"] if store.reports else []
    return f"{error.message} {details}".lower()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_refused_and_nothing_left(bad: Bad, tmp_path: Path, store: Site) -> None:
    """A bad feed ends in one of its errors; store and repository are as they were."""
    good, feed = variants.sample(tmp_path / "good"), bad.build(tmp_path / "bad")
    store.repository("zoo", good.as_uri())
    # without the files, or good ones would stand in for bad ones
    store.sync("zoo", type_skip_list=["erratum"], download_policy="on_demand")
    files, rows, counts = store.stored(), store.rows(), store.unit_counts("zoo")
    with FeedServer(feed) as server:
        store.repository("bad", server.url)
        with pytest.raises(ContentError) as caught:
            store.sync("bad")
        with pytest.raises(ContentError):
            store.sync("zoo", feed=server.url)
        assert server.url.partition("//")[2].rstrip("/") in _says(store, caught.value)
    assert caught.value.code in bad.codes
    assert bad.says in _says(store, caught.value)
    assert (store.stored(), store.rows()) == (files, rows)
    assert store.unit_counts("zoo") == counts
    assert not store.unit_counts("bad")


@pytest.mark.parametrize("bad", [bad for bad in BAD if not bad.package], ids=lambda bad: bad.name)
def test_metadata_fail_before_content(bad: Bad, tmp_path: Path, store: Site) -> None:
    """Bad metadata fail their stage while the content stage has not begun."""
    feed = bad.build(tmp_path / "bad")
    store.repository("bad", feed.as_uri(), download_policy="on_demand")
    with pytest.raises(ContentError) as caught:
        store.sync("bad")
    report, boundary = store.reports[-1]
    assert boundary
    assert report["metadata"]["state"] == "FAILED"
    assert report["metadata"]["error"] == caught.value.message
    assert report["content"]["state"] == "NOT_STARTED"
    assert not any(store.rows().values())
    assert not store.stored()
