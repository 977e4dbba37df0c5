"""Publishing with what the former publication has, which must look as if all were written anew."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import createrepo_c
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.published import Shelf, document, package, shelf
from tests.task_context import START

_NAMES = ("bell", "organ", "harp")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Yield a store for repositories of any name."""
    with shelf(tmp_path_factory.mktemp("forward") / "data") as opened:
        yield opened


def publish(store: Shelf, repo_id: str, **config: Any) -> tuple[list[dict[str, Any]], Path | None]:
    """Publish and take over what can be; return the steps, and the folder."""
    result, folder = store.publish(repo_id, **{"use_fast_forward": True, **config})
    return result["details"], folder


def steps_of(details: list[dict[str, Any]]) -> tuple[bool, int]:
    """Return whether something was taken over, and how many packages were written."""
    [rpms] = [step for step in details if step["step_type"] == "rpms"]
    return details[0]["step_type"] == "copy_directory", rpms["num_processed"]


def contents(folder: Path) -> dict[str, bytes]:
    """Return type to content of all published metadata."""
    repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
    found = {}
    for record in repomd.records:
        data = (folder / record.location_href).read_bytes()
        found[record.type] = gzip.decompress(data) if record.checksum_open else data
    return found


def paths(store: Shelf, repo_id: str, distributor_id: str) -> dict[str, int]:
    """Return the paths of packages of the live publication."""
    with store.storage.read() as transaction:
        live = transaction.publications.live(repo_id, distributor_id)
        assert live is not None
        return dict(transaction.publications.unit_paths(live.id))


def change(store: Shelf, repo_id: str, act: Callable[[Any, Any], None]) -> None:
    """Change content within a transaction; the act gets the content store and the repository."""
    with store.storage.write() as transaction:
        act(transaction.content, repo_id)


def test_what_is_told(store: Shelf) -> None:
    """Without a change of packages none is written, and one step says that files were copied."""
    store.repository("told", [package("bell")])
    assert steps_of(publish(store, "told")[0]) == (False, 1)
    store.add("told", [document("erratum", {"id": "told"}, "<update><id>told</id></update>")])
    details, folder = publish(store, "told")
    assert steps_of(details) == (True, 0)
    assert [step["step_type"] for step in details].count("rpms") == 1
    assert folder is not None
    assert b"<id>told</id>" in contents(folder)["updateinfo"]
    store.add("told", [package("organ")])
    assert steps_of(publish(store, "told")[0]) == (False, 2)


def test_asked_for_by_an_override(store: Shelf) -> None:
    """An override counts as a change, so that one who asks for it gets a fast-forward publish."""
    store.repository("asked", [package("bell")])
    store.publish("asked")
    assert steps_of(publish(store, "asked")[0]) == (True, 0)
    assert publish(store, "asked")[1] is None
    assert steps_of(publish(store, "asked", override={"force_full": True})[0]) == (False, 1)


@pytest.mark.parametrize(
    "config", [{"checksum_type": "sha512"}, {"packages_directory": "p"}, {"compress_type": "zstd"}]
)
def test_other_files_are_written_anew(store: Shelf, config: dict[str, Any]) -> None:
    """What would make the lists of packages look otherwise is not taken over."""
    repo_id = "-".join(["anew", *config])
    store.repository(repo_id, [package("bell")])
    publish(store, repo_id)
    assert steps_of(publish(store, repo_id, **config)[0]) == (False, 1)


@pytest.mark.parametrize("damage", ["gone", "changed", "unknown"])
def test_damaged_files_are_written_anew(store: Shelf, damage: str) -> None:
    """A file that is not as it was written is never published again."""
    store.repository(damage, [package("bell")])
    _, folder = publish(store, damage)
    assert folder is not None
    [primary] = folder.glob("repodata/*primary*")
    if damage == "gone":
        primary.unlink()
    elif damage == "changed":
        primary.write_bytes(b"rotten")
    else:
        with store.storage.write() as transaction:
            live = transaction.publications.live(damage, "yum")
            assert live is not None
            assert live.reusable is not None
            transaction.publications.set_reusable(live.id, {**live.reusable, "files": [{}]})
    store.add(damage, [document("erratum", {"id": damage}, "<update><id>E</id></update>")])
    details, folder = publish(store, damage)
    assert steps_of(details) == (False, 1)
    assert folder is not None
    assert b"bell" in contents(folder)["primary"]


def test_survives_the_former_publication(store: Shelf) -> None:
    """What was taken over stays when the publication that had it first is removed."""
    store.repository("stays", [package("bell")])
    _, first = publish(store, "stays")
    store.add("stays", [document("erratum", {"id": "stays"}, "<update><id>E</id></update>")])
    details, second = publish(store, "stays")
    assert steps_of(details) == (True, 0)
    assert first is not None
    assert second is not None
    store.files.remove_publication(first.name)
    assert b"bell" in contents(second)["primary"]


def _add(name: str) -> Callable[[Any, Any], None]:
    """Return the act that adds a package (two of them share their file's name)."""

    def act(content: Any, repo_id: str) -> None:
        version = name.partition("-")[2] or "1.0"
        unit = package(
            name.partition("-")[0], version, content=name.encode(), filename=f"{name[:4]}.rpm"
        )
        content.associate(repo_id, [*content.add([unit]).values()], now=START)

    return act


def _remove(index: int) -> Callable[[Any, Any], None]:
    """Return the act that removes a unit, and, if nothing has it, forgets it."""

    def act(content: Any, repo_id: str) -> None:
        members = sorted(content.members(repo_id))
        if members:
            gone = members[index % len(members)]
            content.unassociate(repo_id, [gone], now=START)
            content.remove_orphans([gone])

    return act


def _revise(index: int) -> Callable[[Any, Any], None]:
    """Return the act that gives a package other metadata under the same key."""

    def act(content: Any, repo_id: str) -> None:
        units = [*content.units(repo_id, ["rpm"])]
        if units:
            unit = units[index % len(units)]
            primary, *rest = unit.chunks
            told = package("x", summary=f"revision {index}").chunks[0]
            content.replace([dataclasses.replace(unit, chunks=(told if index else primary, *rest))])

    return act


def _advise(title: str) -> Callable[[Any, Any], None]:
    """Return the act that adds or changes an erratum."""

    def act(content: Any, repo_id: str) -> None:
        text = f"<update><id>E</id><title>{title}</title></update>"
        unit = document("erratum", {"id": f"E-{repo_id}"}, text)
        content.associate(repo_id, [*content.replace([unit]).values()], now=START)

    return act


_ACTS = st.one_of(
    st.sampled_from([*_NAMES, "bell-2.0", "bell-3.0"]).map(_add),
    st.integers(0, 5).map(_remove),
    st.integers(0, 3).map(_revise),
    st.sampled_from("ab").map(_advise),
)


def test_equal_to_a_full_publish(store: Shelf) -> None:
    """After any changes both ways publish the same bytes at the same paths."""
    numbers = itertools.count()

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.lists(_ACTS, max_size=3), min_size=1, max_size=5))
    @example([[_add("bell"), _add("organ")], [_revise(1)], [_revise(2)]])
    @example([[_add("bell"), _add("bell-2.0")], [_remove(0)], [_add("bell")], [_advise("a")]])
    @example([[_add("bell")], [_remove(0), _add("organ")], [_advise("a")], [_advise("b")]])
    def check(rounds: list[list[Callable[[Any, Any], None]]]) -> None:
        repo_id = f"any{next(numbers)}"
        store.repository(repo_id)
        fast: Path | None = None
        for acts in rounds:
            for act in acts:
                change(store, repo_id, act)
            options = {"relative_url": f"fast/{repo_id}", "distributor_id": "fast"}
            fast = publish(store, repo_id, **options)[1] or fast
            _, full = store.publish(repo_id, force_full=True)
            assert fast is not None
            assert full is not None
            assert contents(fast) == contents(full)
            assert paths(store, repo_id, "fast") == paths(store, repo_id, "yum")

    check()
