"""What is copied with units of yum repositories: modules, groups, errata, and what these need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pulpit.domain.units import PackageColumns, Unit
from tests.api_site import Site, copy_of
from tests.copied import Zoo, document, module, names_in, package
from tests.primaries import Sketch


@pytest.fixture(scope="module")
def zoo(new_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """Yield a site without repositories; each test makes its own."""
    folder = tmp_path_factory.mktemp("copy")
    with Site(copy_of(new_database, folder), folder / "data") as site:
        yield Zoo(site)
        assert site.log.told == []


def _p(name: str, *requires: str, **more: Any) -> Unit:
    """Return a package."""
    return package(Sketch(name=name, requires=requires, **more))


def _file(name: str) -> PackageColumns:
    """Return the columns of an iso."""
    nothing = dict.fromkeys(("epoch", "version", "release", "arch"), "")
    return PackageColumns(
        name=name, filename=name, size=1, checksum_type="sha256", checksum="0" * 64, **nothing
    )


def _copied(zoo: Zoo, source: str, type_id: str, **override: Any) -> set[str]:
    """Copy all units of a type into an empty repository; return what that has then."""
    destination = f"{source}-{type_id}-{len(override)}"
    zoo.make(destination)
    criteria = {"type_ids": [type_id]}
    report = zoo.copy(source, destination, criteria=criteria, override_config=override)
    assert report["state"] == "finished", report["error"]
    copied = names_in(report["result"]["units_successful"])
    assert copied == zoo.names(destination)
    return copied


def test_modules_take_their_packages(zoo: Zoo) -> None:
    """A module is copied with its packages, and recursively with all that these and it need."""
    zoo.make(
        "modules",
        [
            module("duck", "1", ["duck-1-1.x86_64", "duck-1-1.src", "gone-1-1.x86_64"]),
            _p("duck", "water"),
            _p("duck", arch="src"),
            _p("duck", version="2"),
            _p("water"),
            document("modulemd_defaults", {"name": "duck", "repo_id": "modules"}, stream="1"),
        ],
    )
    own = {"module duck:1:1", "duck-1.x86_64", "duck-1.src"}
    assert _copied(zoo, "modules", "modulemd") == own
    all_of_it = own | {"water-1.x86_64", "modulemd_defaults duck"}
    assert _copied(zoo, "modules", "modulemd", recursive=True) == all_of_it


def test_modules_need_modules(zoo: Zoo) -> None:
    """A required module comes along in a stream that fits, the default one if it does."""
    zoo.make(
        "streams",
        [
            module("app", "1", requires={"perl": ["5", "6"], "lib": [], "odd": ["-1"]}),
            *(module("perl", stream, [f"perl-{stream}-1.x86_64"]) for stream in "567"),
            module("lib", "a", version=1),
            module("lib", "a", version=2),
            module("odd", "1"),
            module("odd", "2"),
            *(_p("perl", version=version) for version in "567"),
            document("modulemd_defaults", {"name": "perl", "repo_id": "streams"}, stream="5"),
        ],
    )
    zoo.make("apps")
    criteria = {"type_ids": ["modulemd"], "filters": {"unit": {"name": "app"}}}
    zoo.copy("streams", "apps", criteria=criteria, override_config={"recursive": True})
    assert zoo.names("apps") == {
        "module app:1:1",
        "module perl:5:1",
        "perl-5.x86_64",
        "modulemd_defaults perl",
        "module lib:a:2",
        "module odd:2:1",
    }


def _shadowed() -> Sequence[Unit]:
    """Return packages some of which only modules have."""
    return [
        _p("app", "lib"),
        _p("lib", version="1"),
        _p("lib", version="9"),
        module("lib", "new", ["lib-9-1.x86_64"]),
        _p("tool", "usual"),
        _p("usual"),
        _p("other"),
        module("usual", "1", ["usual-1-1.x86_64", "other-1-1.x86_64"]),
        _p("hopeless", "hidden"),
        _p("hidden"),
        module("hidden", "1", ["hidden-1-1.x86_64"]),
    ]


def test_modular_packages_keep_back(zoo: Zoo) -> None:
    """A package of a module that is not copied meets no need, unless its stream is a default."""
    default = document("modulemd_defaults", {"name": "usual", "repo_id": "shadow"}, stream="1")
    zoo.make("shadow", [*_shadowed(), default])
    zoo.make("sun")
    recursive = {"recursive": True}
    assert zoo.copied("shadow", "sun", "app", **recursive) == {"app-1.x86_64", "lib-1.x86_64"}
    assert zoo.copied("shadow", "sun", "hopeless", **recursive) == {"hopeless-1.x86_64"}
    assert zoo.copied("shadow", "sun", "tool", **recursive) == {
        *("tool-1.x86_64", "usual-1.x86_64", "other-1.x86_64"),
        *("module usual:1:1", "modulemd_defaults usual"),
    }


def test_modular_package_brings_its_module(zoo: Zoo) -> None:
    """A package of a module that is asked for itself brings its module, if recursive."""
    zoo.make("shadow-2", _shadowed())
    zoo.make("sun-2")
    assert zoo.copied("shadow-2", "sun-2", "hidden") == {"hidden-1.x86_64"}
    both = {"hidden-1.x86_64", "module hidden:1:1"}
    assert zoo.copied("shadow-2", "sun-2", "hidden", recursive=True) == both


def test_modules_of_the_destination_will_do(zoo: Zoo) -> None:
    """Conservatively, a stream that the destination has is enough; its packages all come still."""
    zoo.make(
        "feathers",
        [
            module("bird", "1", ["bird-1-1.x86_64"], requires={"nest": ["1"]}),
            module("nest", "1", ["twig-2-1.x86_64"], version=2),
            _p("bird", "twig"),
            _p("twig", version="2"),
        ],
    )
    old = [module("nest", "1", ["twig-1-1.x86_64"]), _p("twig")]
    criteria = {"type_ids": ["modulemd"], "filters": {"unit": {"name": "bird"}}}
    for name, override in (("kept", "recursive_conservative"), ("fresh", "recursive")):
        zoo.make(name, old)
        zoo.copy("feathers", name, criteria=criteria, override_config={override: True})
    before = {"module nest:1:1", "twig-1.x86_64"}
    assert zoo.names("kept") == before | {"module bird:1:1", "bird-1.x86_64"}
    newest = {"module nest:1:2", "twig-2.x86_64"}
    assert zoo.names("fresh") == zoo.names("kept") | newest


def _comps(repo_id: str) -> Sequence[Unit]:
    """Return groups, of each kind one."""
    return [
        document(
            "package_group",
            {"id": "birds", "repo_id": repo_id},
            mandatory_package_names=["duck"],
            conditional_package_names=[["egg", "duck"]],
        ),
        document(
            "package_group",
            {"id": "fish", "repo_id": repo_id},
            optional_package_names=["cod"],
        ),
        document(
            "package_category", {"id": "animals", "repo_id": repo_id}, packagegroupids=["birds"]
        ),
        document(
            "package_environment",
            {"id": "world", "repo_id": repo_id},
            group_ids=["birds"],
            options=[{"group": "fish", "default": False}],
        ),
        document("package_langpacks", {"repo_id": repo_id}, matches=[]),
        _p("duck", "water"),
        _p("duck", version="2"),
        _p("egg"),
        _p("cod"),
        _p("water"),
    ]


def test_groups_take_along(zoo: Zoo) -> None:
    """Recursively, environments and categories take groups along, groups their packages."""
    zoo.make("comps", _comps("comps"))
    birds = {"package_group birds", "duck-2.x86_64", "egg-1.x86_64"}
    fish = {"package_group fish", "cod-1.x86_64"}
    assert _copied(zoo, "comps", "package_category") == {"package_category animals"}
    assert _copied(zoo, "comps", "package_category", recursive=True) == {
        "package_category animals",
        *birds,
    }
    assert _copied(zoo, "comps", "package_environment", recursive=True) == {
        "package_environment world",
        *birds,
        *fish,
    }
    zoo.make("ducks", [_p("duck")])
    criteria = {"type_ids": ["package_group"]}
    zoo.copy("comps", "ducks", criteria=criteria, override_config={"recursive": True})
    # as in Pulp 2, what the destination has in some version is not updated by a group
    assert zoo.names("ducks") == birds - {"duck-2.x86_64"} | fish | {"duck-1.x86_64"}


def test_units_become_those_of_the_destination(zoo: Zoo) -> None:
    """A copy of what belongs to one repository is a unit of its own, and replaces an older one."""
    zoo.make("owner", _comps("owner"))
    old = document("package_group", {"id": "birds", "repo_id": "heir"}, text="<old/>")
    zoo.make("heir", [old])
    types = ["package_group", "package_langpacks", "package_category"]
    before = zoo.site.ask("GET", "repositories/heir/").json()
    result = zoo.copy("owner", "heir", criteria={"type_ids": types})["result"]
    keys = [each["unit_key"] for each in result["units_successful"]]
    assert {key["repo_id"] for key in keys} == {"heir"}
    assert len(keys) == 4
    with zoo.site.storage.read() as transaction:
        ours = {unit.uid: unit for unit in transaction.content.units("heir", types)}
        theirs = {unit.uid: unit for unit in transaction.content.units("owner", types)}
        heir = transaction.repositories.get("heir")
    assert old.uid in ours
    assert not ours.keys() & theirs.keys()
    assert {unit.chunks for unit in ours.values()} == {unit.chunks for unit in theirs.values()}
    assert heir.content_unit_counts == {
        "package_group": 2,
        "package_langpacks": 1,
        "package_category": 1,
    }
    assert heir.content_revision > 1
    assert before["last_unit_added"] is not None


def test_metadata_files_are_copied(zoo: Zoo) -> None:
    """A metadata file that is kept as it is comes with its file, the newer one in place of it."""
    digests = ["ab" * 32, "cd" * 32]
    files = [
        document(
            "yum_repo_metadata_file",
            {"data_type": "productid", "repo_id": repo_id},
            size=3,
        )
        for repo_id in ("with-file", "takes-file")
    ]
    for repo_id, unit, digest in zip(("with-file", "takes-file"), files, digests, strict=True):
        zoo.make(repo_id, [unit])
        with zoo.site.storage.write() as transaction:
            [unit_id] = transaction.content.members(repo_id)
            transaction.content.set_artifact(unit_id, digest, 3)
            revision = transaction.repositories.get(repo_id).content_revision
    zoo.copy("with-file", "takes-file")
    with zoo.site.storage.read() as transaction:
        [unit] = transaction.content.units("takes-file", ["yum_repo_metadata_file"])
        assert unit.artifact == digests[0]
        assert transaction.repositories.get("takes-file").content_revision > revision
    report = zoo.copy("takes-file", "takes-file")
    assert report["state"] == "finished"


def test_errata_take_along(zoo: Zoo) -> None:
    """Recursively, an erratum brings the packages and the module that it is about."""
    listed = {"name": "cod", "epoch": None, "version": "1", "release": "1", "arch": "x86_64"}
    erratum = document(
        "erratum",
        {"id": "E1"},
        pkglist=[
            {
                "module": None,
                "packages": [listed, {**listed, "version": "7"}, {**listed, "epoch": "5"}],
            },
            {
                "module": {
                    "name": "fish",
                    "stream": "1",
                    "version": "1",
                    "context": "c",
                    "arch": "x86_64",
                },
                "packages": [],
            },
        ],
    )
    zoo.make(
        "errata",
        [
            erratum,
            _p("cod", "sea"),
            _p("cod", version="2"),
            _p("sea"),
            module("fish", "1", ["eel-1-1.x86_64"]),
            module("fish", "2"),
            _p("eel"),
        ],
    )
    assert _copied(zoo, "errata", "erratum") == {"erratum E1"}
    assert _copied(zoo, "errata", "erratum", recursive=True) == {
        *("erratum E1", "cod-1.x86_64", "sea-1.x86_64"),
        *("module fish:1:1", "eel-1.x86_64"),
    }


def test_files_that_only_filelists_have(zoo: Zoo) -> None:
    """A required file that primary does not list is found in filelists."""
    owner = package(Sketch(name="owner"), files=["/opt/tool"])
    zoo.make("files", [_p("user", "/opt/tool"), owner, _p("x")])
    zoo.make("files-too")
    copied = zoo.copied("files", "files-too", "user", recursive=True)
    assert copied == {"user-1.x86_64", "owner-1.x86_64"}


def test_unusable_metadata(zoo: Zoo) -> None:
    """A package whose metadata can't be used fails a recursive copy, which then changes nothing."""
    broken = document("rpm", _p("broken").key, text="nonsense")
    zoo.make("broken", [_p("fine"), broken])
    zoo.make("whole")
    report = zoo.copy("broken", "whole", override_config={"recursive": True})
    assert report["error"]["code"] == "RPM1006"
    assert zoo.names("whole") == set()


def test_isos_are_copied_as_they_are(zoo: Zoo) -> None:
    """Of iso repositories what is selected is copied, and units of other types are refused."""
    keys: list[dict[str, Any]] = [
        {"name": name, "checksum": "0" * 64, "size": 1} for name in ("a.iso", "b/c.iso")
    ]
    discs = [replace(document("iso", key), package=_file(key["name"])) for key in keys]
    zoo.make("discs", discs, importer="iso_importer")
    zoo.make("shelf", importer="iso_importer")
    criteria = {"filters": {"unit": {"name": "a.iso"}}}
    copied = [{"type_id": "iso", "unit_key": keys[0]}]
    assert zoo.copy("discs", "shelf", criteria=criteria)["result"] == {"units_successful": copied}
    assert len(zoo.names("shelf")) == 1
    zoo.make("packages", [_p("duck")])
    assert zoo.copy("packages", "shelf")["error"]["code"] == "PLP0044"
    removed = zoo.done(zoo.ask("shelf", "unassociate"))["result"]
    assert removed == {"units_successful": copied}
