"""The configuration of a yum importer."""

from __future__ import annotations

from typing import Any

import pytest

from pulpit.content.importer_config import Policy
from pulpit.content.registry import Registry
from pulpit.content.rpm.importer import YumImporter
from pulpit.content.rpm.plan import normalized, plan_of
from pulpit.content.rpm.retention import Held, nevra_of, retained, without_duplicates
from pulpit.domain.units import UNIT_KEYS, PackageColumns
from pulpit.errors import InvalidValue, NoFeed

_FEED = {"feed": "http://chapel.example/repo"}


def test_credentials_are_taken_apart() -> None:
    """Credentials of the feed's URL get keys of their own; unknown keys stay."""
    kept = normalized({"feed": "http://u%40x:p@h/r", "copy_children": [1], "validate": None})
    assert kept == {
        "feed": "http://h/r",
        "basic_auth_username": "u@x",
        "basic_auth_password": "p",
        "copy_children": [1],
        "validate": None,
    }
    assert normalized({}) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feed", 1),
        ("feed", "ftp://h/r"),
        ("download_policy", "never"),
        ("download_policy", ["immediate"]),
        ("retain_old_count", -1),
        ("retain_old_count", "many"),
        ("retain_old_count", True),
        ("max_speed", 0),
        ("max_speed", "1e9"),
        ("max_speed", float("inf")),
        ("max_downloads", 1.5),
        ("proxy_port", [1]),
        ("proxy_host", "ftp://h"),
        ("proxy_host", "http://user:password@h"),
        ("remove_missing", "perhaps"),
        ("type_skip_list", "rpm"),
        ("type_skip_list", [1]),
        ("ssl_ca_cert", {}),
        ("basic_auth_username", "a:b"),
    ],
)
def test_values_that_cannot_be_used(key: str, value: Any) -> None:
    """A value that can't be used is refused by the name of its key."""
    with pytest.raises(InvalidValue) as caught:
        plan_of(_FEED, {key: value})
    assert key in caught.value.names


def test_defaults() -> None:
    """Without more than a feed all is downloaded, nothing is removed."""
    plan = plan_of(_FEED, {})
    assert plan.immediate
    assert (plan.remove_missing, plan.retain_old_count, plan.skipped) == (False, None, frozenset())
    with pytest.raises(NoFeed):
        plan_of({}, {})


def test_override() -> None:
    """What a sync overrides counts, in every spelling that Pulp 2 took; null takes away."""
    config = {**_FEED, "remove_missing": False, "retain_old_count": 3, "max_speed": 7}
    override = {
        "remove_missing": "True",
        "retain_old_count": "1",
        "download_policy": "background",
        "max_speed": None,
        "proxy_host": "https://proxy.example/",
        "proxy_port": "3128",
    }
    plan = plan_of(config, override)
    assert (plan.remove_missing, plan.retain_old_count) == (True, 1)
    assert plan.policy is Policy.BACKGROUND
    assert not plan.immediate
    assert plan.access.max_speed is None
    assert plan.access.proxy == "https://proxy.example:3128"
    assert plan.digest != plan_of(config, {}).digest


def test_secrets_do_not_show() -> None:
    """No representation shows a secret."""
    secrets = {
        "basic_auth_password": "s3cret",
        "proxy_password": "s3cret",
        "ssl_client_key": "s3cret",
        "query_auth_token": "s3cret",
    }
    assert "s3cret" not in repr(plan_of({**_FEED, **secrets}, {}))


def test_registry() -> None:
    """Types are found by their ids, and every content type is described."""
    importer = YumImporter()
    registry = Registry(importers=[importer], distributors=[])
    assert registry.importers == {"yum_importer": importer}
    assert [kind["id"] for kind in registry.unit_types] == list(UNIT_KEYS)
    assert set(importer.content_types) <= set(UNIT_KEYS)


def held(unit_id: int, version: str, *, name: str = "bell", epoch: str = "0") -> Held:
    """Return a package."""
    return Held(unit_id, "rpm", (name, epoch, version, "1", "noarch"))


def test_retained() -> None:
    """The newest and n older versions stay, by name; modular packages all stay."""
    packages = [held(1, "1.9"), held(2, "1.10"), held(3, "1.2", epoch="1"), held(4, "1~rc1")]
    packages += [held(5, "1", name="choir"), held(6, "2", name="choir")]
    packages.append(held(7, "1.10"))
    everything = {one.unit_id: one for one in packages}
    modular = {"choir-0:1-1.noarch"}
    assert set(retained(everything, old=0, modular=modular)) == {3, 5, 6}
    assert set(retained(everything, old=1, modular=())) == {2, 3, 5, 6, 7}
    assert set(retained(everything, old=9, modular=())) == set(everything)


def test_without_duplicates() -> None:
    """What the feed offers takes the place of the same package with other bytes."""
    kept = without_duplicates([held(1, "1"), held(2, "2")], [held(3, "1"), held(4, "1")])
    assert set(kept) == {2, 4}


def test_nevra() -> None:
    """A package is told from others by five fields."""
    package = PackageColumns(
        name="bell",
        epoch="0",
        version="1",
        release="2",
        arch="noarch",
        filename="bell.rpm",
        size=1,
        checksum_type="sha256",
        checksum="ab",
    )
    assert nevra_of(package) == ("bell", "0", "1", "2", "noarch")
