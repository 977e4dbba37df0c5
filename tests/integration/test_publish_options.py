"""What a yum distributor's options change of a publication."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import createrepo_c
import pytest

from pulpit.domain.units import Unit
from pulpit.errors import InvalidValue, NoSuchChecksum
from pulpit.services.content import Content, Listing, Stored
from tests.published import Shelf, document, package, shelf


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Yield a store for repositories of any name."""
    with shelf(tmp_path_factory.mktemp("options") / "data") as opened:
        yield opened


def publish(store: Shelf, repo_id: str, **config: Any) -> tuple[dict[str, str], Path]:
    """Publish; return the summary of the steps, and the folder."""
    result, folder = store.publish(repo_id, **config)
    assert folder is not None
    return result["summary"], folder


def read(folder: Path, kind: str) -> str:
    """Return the content of a published metadata file."""
    repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
    [record] = [record for record in repomd.records if record.type == kind]
    data = (folder / record.location_href).read_bytes()
    return (gzip.decompress(data) if record.location_href.endswith(".gz") else data).decode()


def served(store: Shelf, path: str) -> Any:
    """Return what is served at a path."""
    return Content(store.storage, store.files, clock=store.clock, grace_hours=1).find(path)


def erratum(*packages: str, sums: str = "") -> Unit:
    """Return an erratum about packages of version 1.0, each in a collection of its own."""
    collections = "".join(
        f'<collection short="{name}"><name>c</name><package name="{name}" version="1.0" '
        f'release="1" epoch="0" arch="noarch"><filename>{name}.rpm</filename>{sums}</package>'
        "</collection>"
        for name in packages
    )
    listed = [
        {
            "packages": [
                {"name": name, "version": "1.0", "release": "1", "epoch": None, "arch": "noarch"}
            ]
        }
        for name in packages
    ]
    text = f"<update><id>E</id><pkglist>{collections}</pkglist></update>\n"
    return dataclasses.replace(
        document("erratum", {"id": f"E-{packages}-{sums}"}, text), metadata={"pkglist": listed}
    )


def test_key_is_published(store: Shelf) -> None:
    """The key that packages are signed with lies at the top, and only as long as it is set."""
    store.repository("keyed")
    publish(store, "keyed", gpgkey="-----BEGIN PGP PUBLIC KEY BLOCK-----")
    found = served(store, "keyed/pulp.key")
    assert isinstance(found, Stored)
    assert found.path.read_text().startswith("-----BEGIN PGP")
    assert store.publish("keyed")[1] is not None
    store.later(hours=2)
    Content(store.storage, store.files, clock=store.clock, grace_hours=1).clean_up()
    assert served(store, "keyed/pulp.key") is None


def test_types_are_left_out(store: Shelf) -> None:
    """What is skipped is not published, its steps say so, and the usual files are still there."""
    units = [package("bell"), document("package_group", {"id": "g"}, "<group><id>g</id></group>")]
    store.repository("skipping", [*units, erratum("bell")])
    summary, folder = publish(
        store, "skipping", skip=["rpm", "srpm", "erratum", "drpm", "distribution"]
    )
    skipped = {"rpms", "errata", "drpms", "distribution"}
    assert {step for step, state in summary.items() if state == "SKIPPED"} - {
        "remove_old_repodata",
        "generate sqlite",
        "repoview",
    } == skipped
    assert 'packages="0"' in read(folder, "primary")
    assert "<id>" not in read(folder, "updateinfo")
    assert "<id>g</id>" in read(folder, "group")
    assert served(store, "skipping/Packages/b/bell-1.0-1.noarch.rpm") is None


def test_packages_directory(store: Shelf) -> None:
    """Packages lie in the folder that is asked for, for one publish too."""
    store.repository("moved", [package("bell")])
    publish(store, "moved", override={"packages_directory": "os/pool"})
    with store.storage.read() as transaction:
        assert transaction.publications.listing("moved/os/pool") == ["b/"]
    _, folder = publish(store, "moved")
    assert '<location href="Packages/b/bell-1.0-1.noarch.rpm"/>' in read(folder, "primary")


def test_checksum_type_of_the_repository(store: Shelf) -> None:
    """Without a word of the distributor the repository's own checksum type is taken."""
    store.repository("old")
    with store.storage.write() as transaction:
        kept = transaction.repositories.get("old")
        changed = dataclasses.replace(kept, scratchpad={"checksum_type": "sha1"})
        transaction.repositories.update(changed)
    _, folder = publish(store, "old")
    repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
    assert {record.checksum_type for record in repomd.records} == {"sha1"}


def test_errata_tell_of_packages_that_are_there(store: Shelf) -> None:
    """Packages that the repository lacks, and collections of nothing else, are left out."""
    units = [erratum("bell", "organ"), erratum("bell"), erratum("harp")]
    store.repository("partly", [package("bell"), *units])
    _, folder = publish(store, "partly")
    root = ET.fromstring(read(folder, "updateinfo"))
    found = [[one.get("name") for one in update.iter("package")] for update in root]
    assert sorted(found) == [[], ["bell"], ["bell"]]
    assert len(list(root.iter("collection"))) == 2


def test_checksums_of_errata(store: Shelf) -> None:
    """Errata say one checksum of the type that is asked for, the package's own if they lack it."""
    both = '<sum type="md5">aa</sum><sum type="sha256">bb</sum>'
    store.repository("summed", [package("bell"), erratum("bell", sums=both), erratum("bell")])
    _, folder = publish(store, "summed", updateinfo_checksum_type="sha256")
    sums = [*ET.fromstring(read(folder, "updateinfo")).iter("sum")]
    bell = package("bell").package
    assert bell is not None
    assert {(one.get("type"), one.text) for one in sums} == {
        ("sha256", "bb"),
        ("sha256", bell.checksum),
    }
    with pytest.raises(NoSuchChecksum, match=r"bell\.rpm"):
        store.publish("summed", updateinfo_checksum_type="sha512")


def test_refused_for_one_publish(store: Shelf) -> None:
    """An override is checked as the configuration is."""
    store.repository("closed")
    with pytest.raises(InvalidValue, match="proxy"):
        store.publish("closed", override={"protected": True})


def test_listing_files(store: Shelf) -> None:
    """Every folder above a publication has its list of names, no folder in one has."""
    for repo_id, url in (("l1", "deep/x/os"), ("l2", "deep/y"), ("l3", "deep/z")):
        store.repository(repo_id)
        publish(store, repo_id, relative_url=url)
    found = served(store, "deep/listing")
    assert isinstance(found, Listing)
    assert found.text == "x\ny\nz"
    assert "deep" in served(store, "listing").text.split("\n")
    for path in ("deep/y/listing", "deep/y/repodata/listing", "nowhere/listing", "deep/listing/x"):
        assert served(store, path) is None
