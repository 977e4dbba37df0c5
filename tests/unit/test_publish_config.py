"""What a yum distributor may be told."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.distributor import YumDistributor
from pulpit.content.rpm.publish_config import PublishConfig
from pulpit.domain.published import MAX_PARTS, checked_relative_url, leading_paths
from pulpit.errors import InvalidValue, MissingValue

_BAD_URLS = [
    "",
    "/",
    "/a",
    "a//b",
    "a//",
    "a/../b",
    "..",
    "a/.",
    "a\nb",
    "a\\b",
    "\ud800",
    "x" * 1001,
    "a/" * (MAX_PARTS + 1),
    5,
    ["a"],
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_KEYS = st.sampled_from(
    [
        "relative_url",
        "http",
        "https",
        "checksum_type",
        "compress_type",
        "force_full",
        "gpgkey",
        "skip",
        "packages_directory",
        "updateinfo_checksum_type",
        "protected",
    ]
)


def test_defaults() -> None:
    """A relative URL is all that must be told."""
    config = PublishConfig.read({"relative_url": "a/b/"})
    assert config.relative_url == "a/b"
    assert (config.checksum_type, config.compression) == (None, "gz")
    assert config.checksum_type_for({}) == "sha256"
    assert config.protocols == ("http", "https")
    assert not config.force_full


@pytest.mark.parametrize("url", _BAD_URLS, ids=ascii)
def test_bad_relative_url(url: Any) -> None:
    """A relative URL that could lead elsewhere is refused."""
    with pytest.raises(InvalidValue) as caught:
        YumDistributor().validate({"relative_url": url})
    assert caught.value.names == ("relative_url",)


@pytest.mark.parametrize("config", [{}, {"relative_url": None}])
def test_missing_relative_url(config: dict[str, Any]) -> None:
    """Without a relative URL there is nowhere to publish."""
    with pytest.raises(MissingValue, match="relative_url"):
        YumDistributor().validate(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("checksum_type", "md5"),
        ("checksum_type", []),
        ("compress_type", "rar"),
        ("compress_type", "none"),
        ("http", "maybe"),
        ("https", 1),
        ("force_full", []),
        ("use_fast_forward", "soon"),
        ("updateinfo_checksum_type", "crc7"),
        ("updateinfo_checksum_type", True),
        ("gpgkey", 5),
        ("gpgkey", "x" * ((1 << 20) + 1)),
        ("skip", "rpm"),
        ("skip", [1]),
        ("packages_directory", "../out"),
        ("packages_directory", ""),
        ("packages_directory", "repodata/x"),
        ("packages_directory", "drpms"),
        ("generate_sqlite", True),
        ("repoview", "true"),
        ("gpg_sign_metadata", True),
        ("protected", True),
        ("auth_cert", "PEM"),
        ("auth_ca", "PEM"),
    ],
)
def test_bad_value(key: str, value: Any) -> None:
    """A value that can't be used is refused by its name."""
    with pytest.raises(InvalidValue) as caught:
        YumDistributor().validate({"relative_url": "a", key: value})
    assert caught.value.names == (key,)


@pytest.mark.parametrize(
    ("sent", "protocols"), [("False", ("https",)), (False, ("https",)), ("true", ("http", "https"))]
)
def test_words_for_booleans(sent: Any, protocols: tuple[str, ...]) -> None:
    """Old clients send booleans as words."""
    config = PublishConfig.read({"relative_url": "a", "http": sent, "https": True})
    assert config.protocols == protocols


def test_neither_protocol() -> None:
    """A publication that nobody may reach is none, as in Pulp 2."""
    with pytest.raises(InvalidValue) as caught:
        YumDistributor().validate({"relative_url": "a", "http": False, "https": "false"})
    assert caught.value.names == ("http", "https")


def test_what_is_turned_off() -> None:
    """Clients may say that they do not want what is not made here."""
    names = ("generate_sqlite", "repoview", "gpg_sign_metadata", "protected")
    config = dict.fromkeys(names, False) | {"auth_cert": None, "auth_ca": "", "gpgkey": ""}
    assert PublishConfig.read({"relative_url": "a", **config}).gpgkey is None


@pytest.mark.parametrize(
    ("skip", "skipped"),
    [(["rpm", "drpm"], {"rpm", "drpm"}), ({"rpm": True, "erratum": False}, {"rpm"}), ([], set())],
)
def test_types_that_are_left_out(skip: Any, skipped: set[str]) -> None:
    """Types to leave out come as a list, or as the object that Pulp 2 took too."""
    assert PublishConfig.read({"relative_url": "a", "skip": skip}).skipped == skipped


@pytest.mark.parametrize(
    ("config", "scratchpad", "kind"),
    [
        ({}, {"checksum_type": "sha512"}, "sha512"),
        ({}, {"checksum_type": "sha"}, "sha1"),
        ({}, {"checksum_type": "md5"}, "sha256"),
        ({}, {"checksum_type": 7}, "sha256"),
        ({"checksum_type": "sha"}, {"checksum_type": "sha512"}, "sha1"),
        ({"checksum_type": ""}, {"checksum_type": "sha512"}, "sha512"),
    ],
)
def test_checksum_type(config: dict[str, Any], scratchpad: dict[str, Any], kind: str) -> None:
    """The distributor's word counts, else the repository's, unless nobody would trust that."""
    read = PublishConfig.read({"relative_url": "a", **config})
    assert read.checksum_type_for(scratchpad) == kind
    assert read.fingerprint(1, "sha1") != read.fingerprint(1, "sha512")


def test_fingerprint() -> None:
    """What may change the outcome changes the fingerprint; the order of keys and force do not."""
    base: dict[str, Any] = {"relative_url": "a", "gpgkey": "k"}
    same: list[dict[str, Any]] = [
        base,
        {**base, "force_full": True},
        dict(reversed(base.items())),
        {**base, "x": None},
    ]
    assert len({PublishConfig.read(config).fingerprint(1, "sha256") for config in same}) == 1
    other = [base, {**base, "relative_url": "b"}, {**base, "checksum_type": "sha1"}]
    prints = {PublishConfig.read(config).fingerprint(1, "sha256") for config in other}
    assert len({*prints, PublishConfig.read(base).fingerprint(2, "sha256")}) == 4


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_KEYS, _JSON, max_size=4))
def test_any_json(config: dict[str, Any]) -> None:
    """Whatever JSON a configuration is, it is accepted or refused, and nothing else happens."""
    with suppress(InvalidValue, MissingValue):
        assert PublishConfig.read({"relative_url": "a", **config}).fingerprint(0, "sha256")


@given(st.text())
def test_accepted_urls_stay_below(text: str) -> None:
    """An accepted URL is a plain path, and is among the places where it is looked for."""
    try:
        path = checked_relative_url(text)
    except ValueError:
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert leading_paths(f"{path}/repodata/repomd.xml")[len(parts) - 1] == path
