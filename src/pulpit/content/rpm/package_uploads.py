"""Packages that clients upload: read from their files into the same units as a sync makes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import createrepo_c
import zstandard

from pulpit.content.checksums import canonical_type
from pulpit.content.rpm.delta_uploads import is_bare_delta, read_delta
from pulpit.content.rpm.packages import FeedPackage, feed_package, package_unit, parse_package
from pulpit.content.rpm.retention import nevra_of
from pulpit.content.rpm.signature_policy import SignaturePolicy
from pulpit.content.rpm.signatures import check_whole, read_headers
from pulpit.content.stored_files import name_files
from pulpit.domain.repositories import Repository
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.domain.uploads import Uploaded, UploadedFile
from pulpit.errors import ChecksumMismatch, ContentError, InvalidValue, NotAnRpm, Unparsable
from pulpit.ports import ContentStore, TaskContext

__all__ = ["import_package"]

_LEVEL = 3
_CHANGELOGS = 10
#: What XML can't hold and headers may: control characters.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
#: What Pulp 2 kept of each package that it had the file of.
_CHECKSUMS = ("md5", "sha1", "sha256")
_PIECE = 1 << 20


def import_package(
    context: TaskContext,
    *,
    repository: Repository,
    uploaded: Uploaded,
    file: UploadedFile,
    policy: SignaturePolicy,
) -> Mapping[str, Any]:
    """Bring an uploaded package into the repository; return ``{"type_id", "unit_key"}``.

    A source package is one of type srpm, whatever the client took it for.

    Raises:
        NotAnRpm: it is no package, or not a whole one.
        ChecksumMismatch: it is another file than the client told.
        UnsignedPackage, ForeignSignature: it is not signed as it must be.
    """
    unit = _read(uploaded, file)
    policy.check(unit.package.filename if unit.package else "", unit.metadata["signing_key"])
    _check_sums(uploaded, unit.metadata["checksums"])
    context.files.keep(file.path, file.digest)
    _store(context, repository.id, unit, file)
    return {"type_id": unit.type_id, "unit_key": dict(unit.key)}


def _read(uploaded: Uploaded, file: UploadedFile) -> Unit:
    """Return the package or delta in a file as a unit."""
    is_delta = uploaded.type_id == "drpm"
    if is_delta and is_bare_delta(file):
        why = "it has no headers of its own (makedeltarpm -r): make it without -r"
        raise NotAnRpm(f"The delta can't be used: {why}")
    headers = read_headers(file.path)
    # the digest of a delta's payload is that of the package which it makes
    check_whole(file.path, replace(headers, payload_digest=None) if is_delta else headers)
    package = _package(file.path)
    if is_delta:
        unit = read_delta(uploaded, file, headers, package).unit(artifact=file.digest)
    else:
        compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        unit = package_unit(package, compress, artifact=file.digest)
    sums = {**_sums(file.path), "sha256": file.digest}
    told = {"checksums": sums, "signing_key": headers.signing_key}
    return replace(unit, metadata={**unit.metadata, **told}, user_metadata=uploaded.user_metadata)


def _package(path: Path) -> FeedPackage:
    """Return the package in a file, as one that a feed of it alone would offer."""
    try:
        parsed = createrepo_c.package_from_rpm(
            str(path), createrepo_c.SHA256, changelog_limit=_CHANGELOGS
        )
        filename = f"{parsed.name}-{parsed.version}-{parsed.release}.{parsed.arch}.rpm"
        parsed.location_href = filename
        # when the upload was written is nothing that a package should tell
        parsed.time_file = parsed.time_build
        elements = [
            _CONTROL.sub(b"", dump(parsed).encode())
            for dump in (
                createrepo_c.xml_dump_primary,
                createrepo_c.xml_dump_filelists,
                createrepo_c.xml_dump_other,
            )
        ]
        # read again, so that a package that no sync would take is refused here
        return feed_package(parse_package(elements, url=filename), [*elements])
    except (createrepo_c.CreaterepoCError, OSError, UnicodeError) as error:
        raise NotAnRpm(f"The file is not a valid RPM package: {_reason(error, path)}") from error
    except (Unparsable, ValueError) as error:
        raise NotAnRpm(f"The RPM package can't be used: {error}") from error


def _reason(error: Exception, path: Path) -> str:
    """Return what the library says, without the place of the file on this machine."""
    return str(error).replace(str(path), "the file")[:300]


def _sums(path: Path) -> dict[str, str]:
    """Return the checksums of a file, by type; its SHA-256 is known already."""
    digests = {
        kind: hashlib.new(kind, usedforsecurity=False) for kind in _CHECKSUMS if kind != "sha256"
    }
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            for digest in digests.values():
                digest.update(piece)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}


def _check_sums(uploaded: Uploaded, sums: Mapping[str, str]) -> None:
    """Compare the file with the checksum that the client sent, if it did."""
    told = {**uploaded.metadata, **uploaded.key}
    expected = told.get("checksum")
    if not expected:
        return
    kind = canonical_type(str(told.get("checksum_type") or told.get("checksumtype") or "sha256"))
    if kind not in sums:
        raise InvalidValue("checksum_type", why=f"use one of {', '.join(_CHECKSUMS)}")
    if str(expected).lower() != sums[kind]:
        raise ChecksumMismatch(
            f"The file has the {kind} {sums[kind]}, not {str(expected)[:128]}: send it again"
        )


def _store(context: TaskContext, repo_id: str, unit: Unit, file: UploadedFile) -> None:
    """Keep the package, and have it in the repository in the place of others of its NEVRA."""
    now, digest = context.clock(), unit_key_digest(unit.type_id, unit.key)
    with context.write() as transaction:
        content = transaction.content
        if not name_files(transaction, context.files, {file.digest: file.size}):
            raise ContentError("The package was removed as soon as it was kept: import it again")
        is_known = digest in content.known(unit.type_id, [digest])
        unit_id = content.add([unit])[digest]
        if is_known:
            content.set_signing_keys({unit_id: unit.metadata["signing_key"]})
            if unit.user_metadata:
                content.set_user_metadata(unit_id, unit.user_metadata)
        if content.associate(repo_id, [unit_id], now=now):
            content.unassociate(repo_id, _others(content, repo_id, unit, unit_id), now=now)


def _others(content: ContentStore, repo_id: str, unit: Unit, unit_id: int) -> list[int]:
    """Return the packages of the repository that are the same version of the same package.

    Of deltas, which make it of several older ones, those that lie in the same place.
    """
    package = unit.package
    if package is None:
        return []
    return [
        other.id
        for other in content.packages(repo_id, name=package.name)
        if other.type_id == unit.type_id
        and other.id != unit_id
        and other.package
        and nevra_of(other.package) == nevra_of(package)
        and (unit.type_id != "drpm" or other.package.filename == package.filename)
    ]
