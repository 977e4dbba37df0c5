"""Where packages lie in a published repository, and what their metadata say of it."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from pulpit.domain.units import Unit
from pulpit.errors import MalformedRepository

__all__ = ["LISTED", "PACKAGES", "PackagePaths", "delta_path", "package_path", "relocated"]

#: Types whose packages primary lists.
LISTED = ("rpm", "srpm")
#: Where packages lie unless somebody asks for another folder.
PACKAGES = "Packages"

_BAD = re.compile(r"[\x00-\x1f\x7f/\\]")
_LOCATION = re.compile(rb"<location\b[^>]*>")
_QUOTES = {'"': "&quot;"}


def package_path(filename: str, folder: str = PACKAGES) -> str:
    """Return the path of a package of that name, such as ``Packages/b/bell-1.0-1.noarch.rpm``.

    Raises:
        MalformedRepository: no file may have that name.
    """
    if not filename or _BAD.search(filename):
        raise MalformedRepository(f"no file may be named {filename!r}")
    first = filename[0].lower()
    return f"{folder}/{first if first.isalnum() else '_'}/{filename}"


def delta_path(location: str) -> str:
    """Return the path of a delta of that location, such as ``drpms/bell-1.0-1_1.1-1.drpm``.

    Raises:
        MalformedRepository: no file may have that name.
    """
    name = location.rpartition("/")[2]
    if not name or _BAD.search(name):
        raise MalformedRepository(f"no file may be named {name!r}")
    return f"drpms/{name}"


class PackagePaths:
    """Gives each package of one publication a path of its own.

    Packages whose files have the same name, in the order in which they come: the first one has
    the usual path, the others lie in folders named by their checksums.
    """

    def __init__(self, folder: str = PACKAGES) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def take(self, unit: Unit) -> str:
        """Return the path of the package."""
        if unit.package is None:
            raise ValueError(f"unit {unit.id} is no package")
        if unit.type_id == "drpm":
            path = delta_path(unit.package.filename)
        else:
            path = package_path(unit.package.filename, self._folder)
        if path in self._taken:
            folder, _, name = path.rpartition("/")
            path = f"{folder}/{unit.package.checksum}/{name}"
        self._taken.add(path)
        return path


def relocated(primary: bytes, path: str) -> bytes:
    """Return a package's element of primary with *path* as its location.

    Raises:
        MalformedRepository: it has no location.
    """
    location = b'<location href="%s"/>' % escape(path, _QUOTES).encode()
    if location in primary:
        return primary
    changed, count = _LOCATION.subn(lambda _: location, primary, count=1)
    if not count:
        raise MalformedRepository(f"the metadata of {path} name no location")
    return changed
