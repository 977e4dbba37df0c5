"""Writing one publication: the metadata into its folder, the paths into the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import zstandard

from pulpit.content.rpm.layout import PackagePaths
from pulpit.content.rpm.package_files import write_packages
from pulpit.content.rpm.publish_config import PublishConfig
from pulpit.content.rpm.repodata import Repodata
from pulpit.content.rpm.steps import PublishSteps, Step
from pulpit.domain.repositories import Publication, Repository
from pulpit.domain.units import Unit
from pulpit.errors import PulpitError
from pulpit.ports import ContentStore, FileStore, TaskContext

__all__ = ["Publishing"]

#: Types whose packages primary lists.
_LISTED = ("rpm", "srpm")
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
_ORDER = ("primary", "filelists", "other", "updateinfo", "group", "modules")
_COMPS_HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">\n'
    b"<comps>\n"
)
_UPDATES_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n'


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

    def write(self) -> None:
        """Write it all; raises what a step raises, after the report says so."""
        steps = self.steps
        folder = self._files.publication_folder(self.publication.folder) / "repodata"
        with steps.step("initialize_repo_metadata") as step:
            repodata = Repodata(
                folder,
                checksum_type=self.config.checksum_type,
                compression=self.config.compression,
            )
            step.advance()
        with steps.step("distribution", 0):
            pass
        self._packages(repodata)
        with steps.step("drpms", 0):
            pass
        self._errata(repodata)
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

    def _packages(self, repodata: Repodata) -> None:
        """Write primary, filelists and other, and the paths of the packages."""
        count = self._count(_LISTED)
        paths = PackagePaths()
        units = self.content.package_chunks(self.repository.id, _LISTED)
        placed = ((unit, paths.take(unit)) for unit in units)
        waiting: dict[str, int] = {}
        with self.steps.step("rpms", count) as step:

            def written(batch: Sequence[tuple[Unit, str]]) -> None:
                waiting.update((path, unit.id) for unit, path in batch)
                if len(waiting) >= _PATHS:
                    self._add_paths(waiting)
                for _ in batch:
                    step.advance()

            write_packages(repodata, placed, count=count, written=written)
            self._add_paths(waiting)

    def _add_paths(self, paths: dict[str, int]) -> None:
        """Keep paths of packages, and empty the mapping."""
        with self.context.write() as transaction:
            transaction.publications.add_files(self.publication.id, paths, ())
        paths.clear()

    def _errata(self, repodata: Repodata) -> None:
        """Write updateinfo."""
        with (
            self.steps.step("errata", self._count(["erratum"])) as step,
            repodata.document("updateinfo", "updateinfo.xml") as file,
        ):
            elements = (_line(text) for _, text in self._units(["erratum"], step))
            file.write_all(chain([_UPDATES_HEAD], elements, [b"</updates>\n"]))

    def _modules(self, repodata: Repodata) -> None:
        """Write modules, if there are any: clients take an empty file for a broken one."""
        count = self._count(_MODULES)
        with self.steps.step("modules", count) as step:
            if count:
                with repodata.document("modules", "modules.yaml") as file:
                    file.write_all(_yaml(text) for _, text in self._units(_MODULES, step))

    def _comps(self, repodata: Repodata) -> None:
        """Write comps, plain as Pulp 2 did: not every client decompresses it."""
        with (
            self.steps.step("comps", self._count(_COMPS)) as step,
            repodata.document("group", "comps.xml", compressed=False) as file,
        ):
            elements = (_line(text) for kind in _COMPS for _, text in self._units([kind], step))
            file.write_all(chain([_COMPS_HEAD], elements, [b"</comps>\n"]))

    def _metadata_files(self, repodata: Repodata) -> None:
        """Add what other metadata the feed had, as it was."""
        with self.steps.step("metadata", self._count([_OTHER])) as step:
            for unit in self.content.units(self.repository.id, [_OTHER]):
                if unit.artifact is None:
                    raise PulpitError(f"The metadata file {unit.key['data_type']} is not here.")
                same_type = unit.metadata.get("open_checksum_type") == self.config.checksum_type
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
        names = [*repodata.names, "repomd.xml"]
        with self.context.write() as transaction:
            files = [f"repodata/{name}" for name in names]
            transaction.publications.add_files(self.publication.id, {}, files)


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
