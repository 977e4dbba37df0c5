"""Errata that two repositories hold: both are told, and to tell them again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from pulpit.content.rpm.shared_errata import joined


def _erratum(
    collections: Mapping[str, Sequence[str]],
    *,
    title: str = "t",
    version: str = "1",
    updated: str = "2026-01-01",
) -> str:
    """Return an erratum with packages of these names in collections of these names."""
    listed = "".join(
        f'<collection short="{name}"><name>{name}</name>'
        + "".join(
            f'<package name="{package}" version="1" release="1" epoch="0" arch="noarch">'
            f"<filename>{package}-1-1.noarch.rpm</filename></package>"
            for package in packages
        )
        + "</collection>"
        for name, packages in collections.items()
    )
    return (
        f'<update from="a@b" type="security" version="{version}"><id>E-1</id>'
        f'<title>{title}</title><updated date="{updated}"/>'
        f"<pkglist>{listed}</pkglist></update>\n"
    )


def _told(text: str) -> dict[str, list[str]]:
    """Return collection to names of packages."""
    metadata = joined(text, text).metadata
    return {
        one["name"]: [package["name"] for package in one["packages"]] for one in metadata["pkglist"]
    }


def test_packages_of_both_are_told() -> None:
    """Collections stand beside each other; those of one name become one."""
    zoo = _erratum({"zoo": ["bear", "crow"], "both": ["dove"]})
    ark = _erratum({"ark": ["elk"], "both": ["dove", "fox"]})
    assert _told(joined(zoo, ark).text) == {
        "zoo": ["bear", "crow"],
        "both": ["dove", "fox"],
        "ark": ["elk"],
    }


def test_texts_are_those_of_the_newer_one() -> None:
    """By when it was updated, then by its version; of two alike the one that is there."""
    stored = _erratum({}, title="stored", version="9")
    for title, version, updated, expected in (
        ("newer", "10", "2026-01-01", "newer"),
        ("later", "1", "2026-01-02", "later"),
        ("alike", "9", "2026-01-01", "stored"),
        ("older", "8", "2026-01-01", "stored"),
    ):
        offered = _erratum({}, title=title, version=version, updated=updated)
        assert joined(stored, offered).metadata["title"] == expected


_COLLECTIONS = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.sampled_from("pqrs"), unique=True), max_size=3
)


@given(_COLLECTIONS, _COLLECTIONS)
def test_nothing_is_lost_nor_told_twice(
    first: Mapping[str, Sequence[str]], second: Mapping[str, Sequence[str]]
) -> None:
    """Joining either again changes not a byte: repositories that are synced in turns agree."""
    one, other = _erratum(first), _erratum(second, title="o", version="2")
    text = joined(one, other).text
    told = _told(text)
    assert {name: sorted(packages) for name, packages in told.items()} == {
        name: sorted({*first.get(name, ()), *second.get(name, ())})
        for name in first.keys() | second.keys()
    }
    assert joined(text, one).text == joined(text, other).text == text
