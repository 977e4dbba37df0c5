"""A yum repository that is being changed: every lie in it is told on purpose."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import createrepo_c
import zstandard

__all__ = ["EXPANDERS", "LATER", "PACKERS", "SAMPLE", "Draft", "Record", "digest"]

_FEED = Path(__file__).parents[2] / "examples" / "feed"

#: The sample repository of the tree.
SAMPLE = _FEED / "repo"
#: Loose packages that are not in it.
LATER = _FEED / "later"

#: How bytes are packed, by the suffix of the file's name.
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
#: How they are unpacked.
EXPANDERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<repomd xmlns="http://linux.duke.edu/metadata/repo" '
    'xmlns:rpm="http://linux.duke.edu/metadata/rpm">\n'
)
#: A second after the sample: what was changed is another repository.
_REVISION = 1740916801
_NAMES = "http://linux.duke.edu/metadata"
_LISTS = {
    "primary": (
        "metadata",
        f'xmlns="{_NAMES}/common" xmlns:rpm="{_NAMES}/rpm"',
    ),
    "filelists": ("filelists", 'xmlns="http://linux.duke.edu/metadata/filelists"'),
    "other": ("otherdata", 'xmlns="http://linux.duke.edu/metadata/other"'),
}


def digest(algorithm: str, data: bytes) -> str:
    """Return the hexadecimal digest of *data*; ``sha`` is the old name of sha1."""
    return hashlib.new({"sha": "sha1"}.get(algorithm, algorithm), data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Record:
    """What repomd.xml says about one file of metadata."""

    kind: str
    href: str
    checksum_type: str
    checksum: str
    size: int | None
    open_checksum: str | None = None
    open_size: int | None = None

    def xml(self) -> str:
        """Return the ``data`` element."""
        algorithm = quoteattr(self.checksum_type)
        lines = [f"<checksum type={algorithm}>{self.checksum}</checksum>"]
        if self.open_checksum is not None:
            lines.append(f"<open-checksum type={algorithm}>{self.open_checksum}</open-checksum>")
        lines.append(f"<location href={quoteattr(self.href)}/>")
        lines.append("<timestamp>1740916800</timestamp>")
        if self.size is not None:
            lines.append(f"<size>{self.size}</size>")
        if self.open_size is not None:
            lines.append(f"<open-size>{self.open_size}</open-size>")
        return (
            f"  <data type={quoteattr(self.kind)}>\n    " + "\n    ".join(lines) + "\n  </data>\n"
        )


class Draft:
    """A copy of the sample repository in *dest*, or what is there, open to changes.

    Each change leaves the repository whole and its repomd.xml right about it, unless the change
    is the lie itself.
    """

    def __init__(self, dest: Path, *, is_there: bool = False) -> None:
        if not is_there:
            shutil.copytree(SAMPLE, dest)
        self.dest = dest
        self.repomd = dest / "repodata" / "repomd.xml"
        found = createrepo_c.Repomd(str(self.repomd))
        self.records = {
            record.type: Record(
                kind=record.type,
                href=record.location_href,
                checksum_type=record.checksum_type,
                checksum=record.checksum,
                size=record.size,
                open_checksum=record.checksum_open,
                open_size=record.size_open if record.checksum_open else None,
            )
            for record in found.records
        }

    def file(self, kind: str) -> Path:
        """Return the file of metadata of that *kind*."""
        return self.dest / self.records[kind].href

    def content(self, kind: str) -> bytes:
        """Return the metadata of that *kind*, unpacked."""
        path = self.file(kind)
        return EXPANDERS[path.suffix if path.suffix in EXPANDERS else ""](path.read_bytes())

    def text(self, kind: str) -> str:
        """Return the metadata of that *kind* as text."""
        return self.content(kind).decode()

    def put(
        self,
        kind: str,
        data: bytes | str,
        *,
        suffix: str = ".gz",
        algorithm: str = "sha256",
        name: str | None = None,
    ) -> None:
        """Replace the metadata of that *kind*, packed by *suffix*; repomd.xml tells the truth."""
        raw = data.encode() if isinstance(data, str) else data
        self.put_packed(
            kind,
            PACKERS[suffix](raw),
            name=(name or self._name(kind)) + suffix,
            algorithm=algorithm,
            open_checksum=digest(algorithm, raw) if suffix else None,
            open_size=len(raw) if suffix else None,
        )

    def put_packed(
        self,
        kind: str,
        packed: bytes,
        *,
        name: str,
        algorithm: str = "sha256",
        open_checksum: str | None = None,
        open_size: int | None = None,
    ) -> None:
        """Replace the file of that *kind* with bytes that are packed already."""
        if kind in self.records:
            self.file(kind).unlink(missing_ok=True)
        checksum = digest(algorithm, packed)
        record = Record(
            kind=kind,
            href=f"repodata/{checksum}-{name}",
            checksum_type=algorithm,
            checksum=checksum,
            size=len(packed),
            open_checksum=open_checksum,
            open_size=open_size,
        )
        self.dest.joinpath(record.href).write_bytes(packed)
        self.records[kind] = record
        self.save()

    def _name(self, kind: str) -> str:
        """Return the file's usual name, without digest and suffix of packing."""
        if kind not in self.records:
            return f"{kind}.xml"
        name = Path(self.records[kind].href).name.partition("-")[2]
        return re.sub(r"\.(gz|bz2|xz|zst)$", "", name)

    def edit(self, kind: str, pattern: str, by: str, *, count: int = 1) -> None:
        """Replace what matches *pattern* in the metadata of that *kind*; it must be there."""
        text, done = re.subn(pattern, lambda found: found.expand(by), self.text(kind), count=count)
        if not done:
            raise ValueError(f"nothing in {kind} is like {pattern}")
        self.put(kind, text)

    def say(self, kind: str, **lies: str | int | None) -> None:
        """Make repomd.xml say something else about that *kind*."""
        self.records[kind] = replace(self.records[kind], **lies)  # type: ignore[arg-type]
        self.save()

    def drop(self, *kinds: str) -> None:
        """Take metadata out, the file and what repomd.xml says of it."""
        for kind in kinds:
            self.file(kind).unlink()
            del self.records[kind]
        self.save()

    def save(self) -> None:
        """Write repomd.xml."""
        body = "".join(record.xml() for record in self.records.values())
        self.repomd.write_text(f"{_HEAD}  <revision>{_REVISION}</revision>\n{body}</repomd>\n")

    def list_packages(self, algorithm: str = "sha256") -> None:
        """Write primary, filelists and other again for the packages that lie in the folder."""
        paths = sorted(self.dest.glob("*/*.rpm"))
        packages = [
            createrepo_c.package_from_rpm(str(path), location_href=str(path.relative_to(self.dest)))
            for path in paths
        ]
        # createrepo_c no longer knows the old algorithms
        renamed = {
            package.pkgId: digest(algorithm, path.read_bytes())
            for package, path in zip(packages, paths, strict=True)
        }
        for kind, text in _listings(packages).items():
            said = text.replace('<checksum type="sha256"', f'<checksum type="{algorithm}"')
            said = re.sub(r"\b[0-9a-f]{64}\b", lambda found: renamed[found[0]], said)
            self.put(kind, said, algorithm=algorithm)


def _listings(packages: Iterable[createrepo_c.Package]) -> dict[str, str]:
    """Return the text of primary, filelists and other over *packages*."""
    dumps = [createrepo_c.xml_dump(package) for package in packages]
    return {
        kind: (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {names} packages="{len(dumps)}">\n'
            + "".join(dump[position] for dump in dumps)
            + f"</{root}>\n"
        )
        for position, (kind, (root, names)) in enumerate(_LISTS.items())
    }
