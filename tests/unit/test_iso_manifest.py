"""PULP_MANIFEST: what is read from it, what is refused, what is written."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.content.iso.manifest import Entry, checked_name, read_manifest, rendered, unit_of
from pulpit.content.iso.publish_config import IsoPublishConfig
from pulpit.errors import InvalidValue, Unparsable

_SHA = "0aB" * 21 + "c"


def _read(text: str) -> list[Entry]:
    return [*read_manifest(io.StringIO(text, newline=""), url="http://h/PULP_MANIFEST")]


def test_lines_are_read() -> None:
    """Names may have folders, commas and odd characters in them; lines may end either way."""
    text = f'a.iso,{_SHA},5\r\n\r\n"x/b, c%20.iso",{_SHA}, 0\nü,{_SHA},7'
    sha = _SHA.lower()
    assert _read(text) == [
        Entry("a.iso", sha, 5),
        Entry("x/b, c%20.iso", sha, 0),
        Entry("ü", sha, 7),
    ]
    assert _read("") == []
    assert _read(f"a,{_SHA},1\na,{_SHA.upper()},1\n") == [Entry("a", sha, 1)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html>hello</html>\n", "a name, a SHA-256 and a size"),
        (f"a,{_SHA}\n", "a name, a SHA-256 and a size"),
        (f"a,{_SHA},1,2\n", "a name, a SHA-256 and a size"),
        (f"a,{_SHA[1:]},1\n", "not a SHA-256"),
        (f"a,{_SHA},-1\n", "not a size"),
        (f"a,{_SHA},1e3\n", "not a size"),
        (f"a,{_SHA},{'9' * 16}\n", "not a size"),
        (f"../a,{_SHA},1\n", "below the repository"),
        (f"a/../../b,{_SHA},1\n", "below the repository"),
        (f"/etc/passwd,{_SHA},1\n", "below the repository"),
        (f"a//b,{_SHA},1\n", "below the repository"),
        (f"./a,{_SHA},1\n", "below the repository"),
        (f",{_SHA},1\n", "below the repository"),
        (f"a/,{_SHA},1\n", "below the repository"),
        (f"a\\b,{_SHA},1\n", "backslashes"),
        (f"a\x00b,{_SHA},1\n", "line 1"),
        (f'"a\nb",{_SHA},1\n', "control characters"),
        (f"{'x' * 256},{_SHA},1\n", "more than 255 bytes"),
        (f"{'x/' * 600}a,{_SHA},1\n", "more than 1024 bytes"),
        (f"PULP_MANIFEST,{_SHA},1\n", "list of all files"),
        (f"a,{_SHA},1\na,{_SHA},2\n", "line 2: a is listed twice"),
        (f'"a,{_SHA},1\n', "line 1"),
        ("x" * 200_000, "line"),
    ],
)
def test_lines_that_cannot_be_used(text: str, reason: str) -> None:
    """A line that is not what it should be is refused with its number and a reason."""
    with pytest.raises(
        Unparsable, match=r"^Could not parse the metadata: http://h/PULP_MANIFEST"
    ) as caught:
        _read(text)
    assert reason in str(caught.value)


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a feed sends, there is no other error, and every name can be published."""
    try:
        entries = _read(text)
    except Unparsable:
        return
    assert all(checked_name(entry.name) == entry.name for entry in entries)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(
            st.characters(exclude_characters="/\\", exclude_categories=["Cc", "Cs"]), min_size=1
        )
        .map(lambda name: name[:60])
        .filter(lambda name: name not in (".", "..", "PULP_MANIFEST")),
        st.integers(0, 10**15 - 1),
        max_size=5,
    )
)
def test_what_is_written_is_read(files: dict[str, int]) -> None:
    """A manifest comes back as it was written, whatever the names."""
    entries = [Entry(name, "ab" * 32, size) for name, size in files.items()]
    assert _read(rendered(entries).decode()) == entries


def test_a_unit_has_its_columns() -> None:
    """Searches and readers find size, checksum and name where those of packages are."""
    unit = unit_of(Entry("x/a", "ab" * 32, 5), artifact="ab" * 32)
    assert unit.key == {"name": "x/a", "checksum": "ab" * 32, "size": 5}
    assert unit.package is not None
    assert (unit.package.name, unit.package.filename, unit.package.size) == ("x/a", "x/a", 5)


def test_publish_configuration() -> None:
    """The URL is the repository's id unless one is given; slashes at its ends are of no matter."""
    assert IsoPublishConfig.read({}).relative_url is None
    assert IsoPublishConfig.read({"relative_url": "/"}).relative_url is None
    config = IsoPublishConfig.read({"relative_url": "/a/b/", "serve_http": "False", "x": [1]})
    assert config.relative_url == "a/b"
    other = IsoPublishConfig.read({"relative_url": "a/b", "force_full": True})
    assert other.force_full
    assert config.fingerprint(1) != other.fingerprint(1)
    assert other.fingerprint(1) != other.fingerprint(2)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"relative_url": 5}, "relative_url"),
        ({"relative_url": "a/../b"}, "relative_url"),
        ({"serve_http": "perhaps"}, "serve_http"),
        ({"serve_http": False, "serve_https": False}, "serve_https"),
        ({"ssl_auth_ca_cert": "PEM"}, "ssl_auth_ca_cert"),
        ({"force_full": 1}, "force_full"),
    ],
)
def test_publish_configurations_that_cannot_be_used(config: dict[str, object], name: str) -> None:
    """What can't be done, or would open what was to be closed, is refused by name."""
    with pytest.raises(InvalidValue) as caught:
        IsoPublishConfig.read(config)
    assert name in caught.value.names
