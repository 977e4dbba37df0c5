"""Writing one publication: the metadata into its folder, the paths into the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import zstandard

from pulpit.content.rpm.deltas import relocated_delta
from pulpit.content.rpm.fast_forward import Former, reusable_of
from pulpit.content.rpm.layout import LISTED, PackagePaths
from pulpit.content.rpm.package_files import write_packages
from pulpit.content.rpm.publish_config import PublishConfig
from pulpit.content.rpm.repodata import Repodata
from pulpit.content.rpm.steps import PublishSteps
from pulpit.content.rpm.trees import treeinfo_of
from pulpit.content.rpm.updateinfo import PackagesOfErrata
from pulpit.content.steps import Step
from pulpit.domain.repositories import Publication, Repository
from pulpit.domain.units import Unit
from pulpit.errors import MalformedRepository, PulpitError
from pulpit.ports import ContentStore, FileStore, TaskContext

__all__ = ["Publishing"]

_COMPS = ("package_group", "package_category", "package_environment", "package_langpacks")
_MODULES = ("modulemd", "modulemd_defaults")
_OTHER = "yum_repo_metadata_file"
#: What stands before the name of a metadata file in a feed, and will again.
_CHECKSUM = re.compile(r"^([0-9a-f]{32,128}-)+")
#: Names that are kept; with a checksum before it, a longer one is none any longer.
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,100}")
#: Packages whose paths are written in one transaction.
_PATHS = 2000
#: How repomd.xml is sorted; what is not named comes last.
_ORDER = ("primary", "filelists", "other", "updateinfo", "group", "modules", "prestodelta")
_COMPS_HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">\n'
    b"<comps>\n"
)
_UPDATES_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n'
_DELTAS_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<prestodelta>\n'
#: The key that packages are signed with, as Pulp 2 named it on the machines that trust it.
_KEY_FILE = "pulp.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """Everything that one publication is made with."""

    context: TaskContext
    #: As it is in the transaction that the content is read in.
    repository: Repository
    #: Kept already, not live.
    publication: Publication
    #: That transaction's.
    content: ContentStore
    steps: PublishSteps
    config: PublishConfig
    #: Of the metadata files.
    checksum_type: str
    #: The trees of the repository, with chunks; one can be published.
    trees: Sequence[Unit]
    #: Of the packages that are listed.
    packages_digest: str
    #: Of which the files that list packages are taken over; None: they are written anew.
    former: Former | None = None
    #: Generated files beside the metadata: their paths.
    generated: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write it all; raises what a step raises, after the report says so."""
        steps = self.steps
        folder = self._files.publication_folder(self.publication.folder) / "repodata"
        repodata = Repodata(
            folder, checksum_type=self.checksum_type, compression=self.config.compression
        )
        if former := self.former:
            steps.act("copy_directory", lambda: self._take_over(former, repodata))
        steps.act("initialize_repo_metadata", self._write_key)
        self._tree()
        known = PackagesOfErrata(self.config.updateinfo_checksum_type)
        self._packages(repodata, known)
        self._deltas(repodata)
        self._errata(repodata, known)
        self._modules(repodata)
        self._comps(repodata)
        self._metadata_files(repodata)
        steps.act("close_repo_metadata", lambda: self._close(repodata))
        # earlier publications are removed once nobody reads them, not here
        steps.skip("remove_old_repodata", "generate sqlite", "repoview")
        steps.act("publish_directory", lambda: self._keep(repodata))
        for _ in self.config.protocols:
            # the listings themselves are made when somebody asks for one
            steps.act("initialize_repo_metadata", lambda: None)

    @property
    def _files(self) -> FileStore:
        """The file store."""
        return self.context.files

    def _shown(self, type_ids: Iterable[str]) -> list[str]:
        """Return those of the types that are not left out."""
        return [type_id for type_id in type_ids if type_id not in self.config.skipped]

    def _count(self, type_ids: Iterable[str]) -> int:
        """Return how many units of these types the repository has."""
        counts = self.repository.content_unit_counts
        return sum(counts.get(type_id, 0) for type_id in type_ids)

    def _units(self, type_ids: Sequence[str], step: Step) -> Iterator[tuple[Unit, bytes]]:
        """Yield each unit of these types with its document, and count it when it is used."""
        decompress = zstandard.ZstdDecompressor().decompress
        for unit in self.content.units(self.repository.id, type_ids):
            yield unit, decompress(unit.chunks[0])
            step.advance()

    def _write_key(self) -> None:
        """Publish the key that packages are signed with, if there is one."""
        if self.config.gpgkey is not None:
            self._write_file(_KEY_FILE, self.config.gpgkey.encode())

    def _write_file(self, name: str, data: bytes) -> None:
        """Write a file that stands at the top of the publication."""
        folder = self._files.publication_folder(self.publication.folder)
        folder.joinpath(name).write_bytes(data)
        self.generated.append(name)

    def _take_over(self, former: Former, repodata: Repodata) -> None:
        """Have the files that list packages, and the packages' paths, of the publication before."""
        for record in former.records:
            repodata.link(record, former.folder / record.name)
        with self.context.write() as transaction:
            transaction.publications.copy_units(
                former.publication_id, self.publication.id, self._shown(LISTED)
            )

    def _tree(self) -> None:
        """Publish the tree that machines are installed from."""
        skipped = not self._shown(["distribution"])
        files = [self.content.unit_files(unit.id) for unit in self.trees]
        total = sum(map(len, files)) + len(files)
        with self.steps.step("distribution", total, skipped=skipped) as step:
            if len(self.trees) > 1:
                ids = ", ".join(str(unit.key["distribution_id"]) for unit in self.trees)
                reason = f"it has several distributions, and one can be published: {ids}"
                raise MalformedRepository(reason)
            for unit in self.trees:
                self._write_file(*treeinfo_of(unit))
            for _ in range(total):
                step.advance()

    def _packages(self, repodata: Repodata, known: PackagesOfErrata) -> None:
        """Write primary, filelists and other, and the paths of the packages, which become known."""
        listed = self._shown(LISTED)
        if self.former:
            with self.steps.step("rpms", 0, skipped=not listed):
                return
        count = self._count(listed)
        paths, extra = PackagePaths(self.config.packages_directory), self._extra_folder()
        units = self.content.package_chunks(self.repository.id, listed)
        placed = ((unit, paths.take(unit)) for unit in units)
        waiting: dict[str, int] = {}
        has_errata = self._count(self._shown(["erratum"])) > 0
        with self.steps.step("rpms", count, skipped=not listed) as step:

            def written(batch: Sequence[tuple[Unit, str]]) -> None:
                waiting.update((path, unit.id) for unit, path in batch)
                if has_errata:
                    known.add(unit for unit, _ in batch)
                if extra:
                    names = ((path.rpartition("/")[2], unit.id) for unit, path in batch)
                    waiting.update((f"{extra}/{name}", unit_id) for name, unit_id in names)
                if len(waiting) >= _PATHS:
                    self._add_paths(waiting)
                for _ in batch:
                    step.advance()

            write_packages(repodata, placed, count=count, written=written)
            self._add_paths(waiting)

    def _extra_folder(self) -> str | None:
        """Return the folder in which an old tree wants the packages, too."""
        folder = self.trees[0].metadata.get("packagedir") if self.trees else None
        return None if folder == self.config.packages_directory else folder

    def _add_paths(self, paths: dict[str, int]) -> None:
        """Keep paths of packages, and empty the mapping."""
        with self.context.write() as transaction:
            transaction.publications.add_files(self.publication.id, paths, ())
        paths.clear()

    def _deltas(self, repodata: Repodata) -> None:
        """Write prestodelta, if there are any deltas, and their paths."""
        shown = self._shown(["drpm"])
        count = self._count(shown)
        with self.steps.step("drpms", count, skipped=not shown) as step:
            if not count:
                return
            paths, placed = PackagePaths(), dict[str, int]()
            with repodata.document("prestodelta", "prestodelta.xml") as file:
                file.write(_DELTAS_HEAD)
                for unit, text in self._units(shown, step):
                    path = paths.take(unit)
                    placed[path] = unit.id
                    file.write(_line(relocated_delta(text, path)))
                file.write(b"</prestodelta>\n")
            self._add_paths(placed)

    def _errata(self, repodata: Repodata, known: PackagesOfErrata) -> None:
        """Write updateinfo."""
        shown = self._shown(["erratum"])
        count = self._count(shown)
        with (
            self.steps.step("errata", count, skipped=not shown) as step,
            repodata.document("updateinfo", "updateinfo.xml") as file,
        ):
            if count and (self.former or not {*LISTED}.isdisjoint(self.config.skipped)):
                # not all of them have been read
                known.add(self.content.packages(self.repository.id))
            elements = (
                _line(known.restricted(unit, text)) for unit, text in self._units(shown, step)
            )
            file.write_all(chain([_UPDATES_HEAD], elements, [b"</updates>\n"]))

    def _modules(self, repodata: Repodata) -> None:
        """Write modules, if there are any: clients take an empty file for a broken one."""
        shown = self._shown(_MODULES)
        count = self._count(shown)
        with self.steps.step("modules", count, skipped=not shown) as step:
            if count:
                with repodata.document("modules", "modules.yaml") as file:
                    file.write_all(_yaml(text) for _, text in self._units(shown, step))

    def _comps(self, repodata: Repodata) -> None:
        """Write comps, plain as Pulp 2 did: not every client decompresses it."""
        shown = self._shown(_COMPS)
        with (
            self.steps.step("comps", self._count(shown), skipped=not shown) as step,
            repodata.document("group", "comps.xml", compressed=False) as file,
        ):
            elements = (_line(text) for kind in shown for _, text in self._units([kind], step))
            file.write_all(chain([_COMPS_HEAD], elements, [b"</comps>\n"]))

    def _metadata_files(self, repodata: Repodata) -> None:
        """Add what other metadata the feed had, as it was."""
        shown = self._shown([_OTHER])
        with self.steps.step("metadata", self._count(shown), skipped=not shown) as step:
            for unit in self.content.units(self.repository.id, shown):
                if unit.artifact is None:
                    raise PulpitError(f"The metadata file {unit.key['data_type']} is not here.")
                same_type = unit.metadata.get("open_checksum_type") == self.checksum_type
                repodata.copy(
                    str(unit.key["data_type"]),
                    _plain_name(str(unit.metadata["filename"]), str(unit.key["data_type"])),
                    self._files.path(unit.artifact),
                    open_checksum=unit.metadata.get("open_checksum") if same_type else None,
                )
                step.advance()

    def _close(self, repodata: Repodata) -> None:
        """Write repomd.xml, the last file."""
        timestamp = int(self.publication.created.timestamp())
        repodata.finish(timestamp=timestamp, order=_ORDER)

    def _keep(self, repodata: Repodata) -> None:
        """Make the files durable, and then known."""
        self._files.keep_publication(self.publication.folder)
        names = [*(record.name for record in repodata.records), "repomd.xml"]
        files = [*self.generated, *(f"repodata/{name}" for name in names)]
        with self.context.write() as transaction:
            publications = transaction.publications
            publications.add_files(self.publication.id, {}, files)
            # last: no file of a tree takes the path of something else
            for unit in self.trees:
                paths = {file.path: unit.id for file in self.content.unit_files(unit.id)}
                publications.add_files(self.publication.id, paths, ())
            reusable = reusable_of(self.packages_digest, repodata.records)
            publications.set_reusable(self.publication.id, reusable)


def _plain_name(filename: str, kind: str) -> str:
    """Return the name of a feed's metadata file without the checksum before it."""
    name = _CHECKSUM.sub("", filename)
    return name if _SAFE_NAME.fullmatch(name) else kind


def _line(text: bytes) -> bytes:
    """Return an element on lines of its own."""
    return text.strip() + b"\n"


def _yaml(text: bytes) -> bytes:
    """Return a YAML document with its marks at both ends."""
    body = text.strip()
    head = b"" if body.startswith(b"---") else b"---\n"
    tail = b"" if body.endswith(b"\n...") else b"\n..."
    return head + body + tail + b"\n"
