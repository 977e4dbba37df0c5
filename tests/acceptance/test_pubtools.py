"""``pubtools-pulplib``, a client that is still released for Pulp 2, drives the server unchanged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attr
import pytest
from pubtools.pulplib import (
    Client,
    Criteria,
    Distributor,
    ErratumUnit,
    FileImporter,
    FileRepository,
    MaintenanceReport,
    Matcher,
    ModulemdUnit,
    PublishOptions,
    PulpException,
    RpmUnit,
    TaskFailedException,
    YumImporter,
    YumRepository,
    YumSyncOptions,
)
from pubtools.pulplib._impl.client.poller import TaskPoller
from pubtools.pulplib._impl.client.retry import PulpRetryPolicy
from pubtools.pulplib._impl.model.repository import repo_lock

from tests.acceptance.server import PulpitServer
from tests.feeds import SAMPLE
from tests.services import PATIENCE

_METADATA = Path(__file__).resolve().parents[2] / "examples" / "feed" / "metadata"
_FEED = f"{SAMPLE.as_uri()}/"
#: More than one chunk of the client's, which are of 1 MiB each.
_LARGE = 3 * (1 << 20) + 17


class _Hasty(Client):  # type: ignore[misc]
    """The client with small pages, which asks twice at the most."""

    _PAGE_SIZE = 7
    _RETRY_POLICY = PulpRetryPolicy(max_attempts=2, sleep=0.05)
    _CHUNK_SIZE = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield one server for all tests of this module."""
    with PulpitServer(tmp_path_factory.mktemp("pubtools") / "data", door=False) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: PulpitServer) -> Iterator[Client]:
    """Yield the client, which waits for less long than it would: for tasks, and for its locks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskPoller, "DELAY", 0.05)
        patch.setattr(repo_lock, "LOCK_VALID_FROM_OFFSET", 0)
        with _Hasty(server.url, auth=(server.user, server.password)) as client:
            yield client


def _yum(repo_id: str, **more: Any) -> YumRepository:
    """Return a yum repository as the client describes it."""
    return YumRepository(
        id=repo_id,
        relative_url=repo_id,
        distributors=[
            Distributor(
                id="yum_distributor",
                type_id="yum_distributor",
                repo_id=repo_id,
                relative_url=repo_id,
            )
        ],
        importer=YumImporter(type_id="yum_importer", config={}),
        **more,
    )


def _result(future: Any) -> Any:
    """Return what comes of a call."""
    return future.result(timeout=PATIENCE)


def _files(repo_id: str) -> FileRepository:
    """Return a repository of files as the client describes it."""
    return FileRepository(
        id=repo_id,
        relative_url=repo_id,
        distributors=[
            Distributor(
                id="iso_distributor",
                type_id="iso_distributor",
                repo_id=repo_id,
                relative_url=repo_id,
            )
        ],
        importer=FileImporter(type_id="iso_importer", config={}),
    )


@pytest.fixture(scope="module")
def zoo(client: Client) -> YumRepository:
    """Return a repository that the client has created and synced."""
    created = _result(client.create_repository(_yum("zoo", arch="x86_64", content_set="zoo-rpms")))
    (task,) = _result(created.sync(YumSyncOptions(feed=_FEED, retain_old_count=100)))
    assert task.succeeded
    assert task.repo_id == "zoo"
    return created


def _names(page: Any) -> list[str]:
    """Return the names of all units, page after page."""
    return sorted(unit.name for unit in page)


def test_a_repository_is_as_the_client_described_it(client: Client, zoo: YumRepository) -> None:
    """What was created is found again with its notes, distributors and importer."""
    found = _result(client.get_repository("zoo"))
    assert isinstance(found, YumRepository)
    assert (found.arch, found.content_set, found.relative_url) == ("x86_64", "zoo-rpms", "zoo")
    assert [one.id for one in found.distributors] == ["yum_distributor"]
    # one that is there already is compared with, and found equal
    assert _result(client.create_repository(_yum("zoo", arch="x86_64", content_set="zoo-rpms")))


def test_repositories_are_found_by_pattern_and_note(client: Client, zoo: YumRepository) -> None:
    """Regular expressions, notes, and-or and existence select repositories."""
    for criteria, expected in (
        (Criteria.with_field("id", Matcher.regex("^zo+$")), ["zoo"]),
        (Criteria.with_field("notes.arch", "x86_64"), ["zoo"]),
        (Criteria.with_field("notes.arch", Matcher.exists()), ["zoo"]),
        (Criteria.with_field("content_set", Matcher.in_(["zoo-rpms", "b"])), ["zoo"]),
        (Criteria.with_field("notes.arch", "s390x"), []),
        (
            Criteria.and_(
                Criteria.with_id(["zoo", "nowhere"]),
                Criteria.or_(
                    Criteria.with_field("arch", "x86_64"), Criteria.with_field("arch", "ia64")
                ),
            ),
            ["zoo"],
        ),
    ):
        assert [one.id for one in _result(client.search_repository(criteria))] == expected


def test_units_are_found_page_after_page(client: Client, zoo: YumRepository) -> None:
    """Pages of seven bring all packages of a repository, each once."""
    criteria = Criteria.with_unit_type(RpmUnit)
    units = list(_result(zoo.search_content(criteria)))
    assert len(units) > 3 * _Hasty._PAGE_SIZE
    assert len({(unit.name, unit.version, unit.release, unit.arch) for unit in units}) == len(units)
    assert {unit.content_type_id for unit in units} == {"rpm"}
    everywhere = list(_result(client.search_content(criteria)))
    assert {unit.unit_id for unit in everywhere} >= {unit.unit_id for unit in units}
    assert all("zoo" in unit.repository_memberships for unit in everywhere if unit in units)


def test_packages_have_the_fields_that_the_client_reads(zoo: YumRepository) -> None:
    """Checksums, file name, source and dependencies are where the client looks for them."""
    criteria = Criteria.and_(
        Criteria.with_unit_type(RpmUnit), Criteria.with_field("name", Matcher.regex("^bell$"))
    )
    found = list(_result(zoo.search_content(criteria)))
    assert found
    for unit in found:
        assert unit.filename == f"{unit.name}-{unit.version}-{unit.release}.{unit.arch}.rpm"
        assert len(unit.sha256sum) == 64
        assert unit.sourcerpm
        assert unit.name in {one.name for one in unit.provides}
        assert all(one.name for one in unit.requires)


def test_few_fields_are_enough(zoo: YumRepository) -> None:
    """A search for some fields brings these."""
    criteria = Criteria.with_unit_type(RpmUnit, unit_fields=("name", "filename"))
    found = list(_result(zoo.search_content(criteria)))
    assert all(unit.name and unit.filename for unit in found)
    assert not any(unit.requires for unit in found)


def test_modules_and_advisories_are_found(client: Client, zoo: YumRepository) -> None:
    """Streams and advisories come as the client's own units."""
    modules = list(_result(zoo.search_content(Criteria.with_unit_type(ModulemdUnit))))
    assert modules
    assert all(unit.nsvca and unit.artifacts is not None for unit in modules)
    errata = list(_result(zoo.search_content(Criteria.with_unit_type(ErratumUnit))))
    assert errata
    wanted = errata[0]
    (again,) = _result(
        client.search_content(
            Criteria.and_(
                Criteria.with_unit_type(ErratumUnit), Criteria.with_field("id", wanted.id)
            )
        )
    )
    assert again.id == wanted.id
    assert again.pkglist == wanted.pkglist
    assert again.repository_memberships == ["zoo"]


def test_publishes_are_found_by_date(client: Client, zoo: YumRepository) -> None:
    """A publish finishes, and its distributor is found by when it was published."""
    (task,) = _result(zoo.publish(PublishOptions(force=True)))
    assert task.succeeded
    before = Criteria.with_field(
        "last_publish",
        Matcher.less_than(datetime.now() + timedelta(days=2)),  # noqa: DTZ005 - as its users write it
    )
    assert "zoo" in {one.repo_id for one in _result(client.search_distributor(before))}
    long_ago = Criteria.with_field(
        "last_publish",
        Matcher.less_than(datetime(2001, 1, 1)),  # noqa: DTZ001 - the same
    )
    assert list(_result(client.search_distributor(long_ago))) == []
    url = Criteria.with_field("relative_url", "zoo")
    assert [one.id for one in _result(client.search_distributor(url))] == ["yum_distributor"]


def test_content_is_copied_and_removed(client: Client, zoo: YumRepository) -> None:
    """A copy brings what the criteria select, and tells it; so does a removal."""
    target = _result(client.create_repository(_yum("copies")))
    criteria = Criteria.and_(
        Criteria.with_unit_type(RpmUnit), Criteria.with_field("name", Matcher.in_(["bell"]))
    )
    (task,) = _result(client.copy_content(zoo, target, criteria))
    copied = {unit.name for unit in task.units}
    assert copied == {"bell"}
    assert set(_names(_result(target.search_content()))) == copied
    (task,) = _result(target.remove_content(criteria))
    assert {unit.name for unit in task.units} == copied
    assert list(_result(target.search_content())) == []


def test_packages_are_uploaded(client: Client, zoo: YumRepository) -> None:
    """An uploaded package joins a repository, and has what the client tells of it."""
    target = _result(client.create_repository(_yum("uploads")))
    package = min(SAMPLE.rglob("bell-1.0-1*.rpm"))
    (task,) = _result(target.upload_rpm(str(package), cdn_path="/content/zoo/w.rpm"))
    assert task.succeeded
    (unit,) = _result(target.search_content(Criteria.with_unit_type(RpmUnit)))
    assert unit.filename == package.name
    assert unit.cdn_path == "/content/zoo/w.rpm"
    assert set(unit.repository_memberships or ()) <= {"zoo", "uploads"}
    with pytest.raises(TaskFailedException) as caught:
        _result(target.upload_rpm(io.BytesIO(b"this is no package")))
    assert "RPM1016" in caught.value.task.error_summary


def test_metadata_of_all_kinds_are_uploaded(client: Client) -> None:
    """Groups, modules, advisories and other metadata join a repository."""
    target = _result(client.create_repository(_yum("described")))
    assert _result(target.upload_comps_xml(str(_METADATA / "comps.xml")))
    assert _result(target.upload_modules(str(_METADATA / "modules.yaml")))
    assert _result(target.upload_metadata(io.BytesIO(b"certificate"), "productid"))
    erratum = ErratumUnit(
        id="ZOO-2026:1",
        version="1",
        title="A bell",
        summary="s",
        description="d",
        solution="",
        severity="low",
        type="bugfix",
        status="final",
        release="1",
        issued="2026-01-01 00:00:00 UTC",
        updated="2026-01-02 00:00:00 UTC",
        from_="zoo@example.com",
        rights="",
        pushcount="1",
        reboot_suggested=False,
        references=[],
        pkglist=[],
    )
    assert _result(target.upload_erratum(erratum))
    kinds = {unit.content_type_id for unit in _result(target.search_content())}
    assert kinds >= {"package_group", "modulemd", "erratum", "yum_repo_metadata_file"}
    (found,) = _result(target.search_content(Criteria.with_unit_type(ErratumUnit)))
    assert (found.title, found.from_, found.issued) == (
        erratum.title,
        erratum.from_,
        erratum.issued,
    )
    assert _result(target.publish())


def test_units_carry_what_users_say_of_them(client: Client, zoo: YumRepository) -> None:
    """Fields of the users' own are changed, and found again."""
    criteria = Criteria.and_(Criteria.with_unit_type(RpmUnit), Criteria.with_field("name", "bell"))
    unit = min(_result(zoo.search_content(criteria)), key=lambda one: str(one.version))
    assert _result(client.update_content(_with(unit, cdn_path="/some/where"))) is None
    changed = [one for one in _result(zoo.search_content(criteria)) if one.cdn_path]
    assert ("/some/where", unit.unit_id) in {(one.cdn_path, one.unit_id) for one in changed}


def _with(thing: Any, **changes: Any) -> Any:
    """Return the client's value with other fields."""
    return attr.evolve(thing, **changes)


def test_notes_are_changed(client: Client, zoo: YumRepository) -> None:
    """Notes merge."""
    assert _result(client.update_repository(_with(zoo, product_versions=["1.0", "2.0"]))) is None
    found = _result(client.get_repository("zoo"))
    assert list(found.product_versions) == ["1.0", "2.0"]
    assert found.arch == "x86_64"


def test_tasks_are_found(client: Client, zoo: YumRepository) -> None:
    """Tasks are searched by tag and state."""
    criteria = Criteria.and_(
        Criteria.with_field("tags", "pulp:action:sync"),
        Criteria.with_field("tags", "pulp:repository:zoo"),
    )
    found = list(_result(client.search_task(criteria)))
    assert found
    assert all(task.completed and task.succeeded for task in found)


def test_large_files_are_uploaded_and_published(client: Client, tmp_path: Path) -> None:
    """A file of many chunks joins a repository of files."""
    repository = _result(client.create_repository(_files("isos")))
    large = tmp_path / "large.img"
    large.write_bytes(bytes(range(256)) * (_LARGE // 256) + b"end")
    assert _result(repository.upload_file(str(large), "images/", description="large"))
    (unit,) = repository.file_content
    assert (unit.path, unit.size, unit.description) == (
        "images/large.img",
        large.stat().st_size,
        "large",
    )
    assert _result(repository.publish())


def test_maintenance_is_reported(client: Client) -> None:
    """The report of repositories in maintenance is a file that is published, and read again."""
    assert _result(client.get_maintenance_report()) == MaintenanceReport()
    _result(client.create_repository(_files("redhat-maintenance")))
    report = MaintenanceReport().add(["zoo"], owner="keeper", message="feeding time")
    assert _result(client.set_maintenance(report))
    (entry,) = _result(client.get_maintenance_report()).entries
    assert (entry.repo_id, entry.owner, entry.message) == ("zoo", "keeper", "feeding time")


def test_locks_are_notes(server: PulpitServer, zoo: YumRepository) -> None:
    """The client's advisory lock lives in the notes of a repository, and goes again."""

    def locks() -> list[str]:
        with server.client() as own:
            notes = own.repository("zoo")["notes"]
        return [key for key in notes if repo_lock.LOCK_CLAIM_STR in key]

    with zoo.lock("feeding", duration=60):
        assert len(locks()) == 1
    assert locks() == []


def test_errors_are_told(client: Client) -> None:
    """A repository that is not there, and a sync that fails, end as the client's exceptions."""
    with pytest.raises(PulpException):
        _result(client.get_repository("nowhere"))
    broken = _result(client.create_repository(_yum("broken")))
    with pytest.raises(TaskFailedException) as caught:
        _result(broken.sync(YumSyncOptions(feed="file:///nowhere/at/all/")))
    assert "RPM1004" in caught.value.task.error_summary


def test_repositories_are_deleted(client: Client) -> None:
    """A repository is deleted, and deleting it again is fine."""
    doomed = _result(client.create_repository(_yum("doomed")))
    again = _result(client.get_repository("doomed"))
    assert _result(doomed.delete())
    assert list(_result(client.search_repository(Criteria.with_id("doomed")))) == []
    # the 404 to a DELETE counts as success for this client
    assert _result(again.delete()) == []
