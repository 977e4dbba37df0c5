"""Yum repositories for tests, made from the sample feed: good, broken and hostile ones.

``BAD`` lists every feed that a sync must refuse, with the error codes that it may answer with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.feeds import broken, hostile, variants
from tests.feeds.draft import LATER, SAMPLE, Draft

__all__ = ["BAD", "LATER", "SAMPLE", "Bad", "Draft", "broken", "hostile", "variants"]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A feed that must be refused."""

    #: Makes the repository in a new folder and returns it.
    build: Callable[[Path], Path]
    #: The codes that the task's error may have.
    codes: frozenset[str]
    #: What the error's description or error_details must have in them, in any case.
    says: str = ""
    #: Whether the damage is in a package, and so is found only where packages are downloaded.
    package: bool = False

    @property
    def name(self) -> str:
        """Return the builder's name, for the test's id."""
        return self.build.__name__


def _bad(build: Callable[[Path], Path], *codes: str, says: str = "", package: bool = False) -> Bad:
    """Return the feed with its codes."""
    return Bad(build=build, codes=frozenset(codes), says=says, package=package)


_ANY = ("RPM1004", "RPM1006", "RPM1015")

#: Every feed that must be refused.
BAD = (
    _bad(broken.absent, "RPM1004", says="not found"),
    _bad(broken.empty_repomd, "RPM1006", "RPM1015", says="repomd.xml"),
    _bad(broken.cut_repomd, "RPM1006", says="repomd.xml"),
    _bad(broken.html_repomd, "RPM1006", "RPM1015", says="repomd.xml"),
    _bad(broken.other_metadata_in_repomd, "RPM1006", "RPM1015", says="repomd"),
    _bad(broken.absent_primary, "RPM1004", says="not found"),
    _bad(broken.cut_primary, *_ANY, says="primary"),
    _bad(broken.primary_too_long, *_ANY, says="primary"),
    _bad(broken.primary_differs, *_ANY, says="primary"),
    _bad(broken.cut_gzip, *_ANY, says="primary"),
    _bad(broken.cut_xz, *_ANY, says="filelists"),
    _bad(broken.cut_xml, *_ANY, says="primary"),
    _bad(broken.primary_not_listed, "RPM1015", says='"primary" metadata is not found'),
    _bad(broken.filelists_not_listed, "RPM1015", says='"filelists" metadata is not found'),
    _bad(broken.filelists_too_many, "RPM1006", "RPM1015", says="filelists"),
    _bad(broken.other_too_many, "RPM1006", "RPM1015", says="other"),
    _bad(broken.filelists_too_few, "RPM1006", "RPM1015", says="filelists"),
    _bad(broken.miscounted, "RPM1006", "RPM1015"),
    _bad(broken.unknown_checksum_of_metadata, *_ANY, says="crc7"),
    _bad(broken.unknown_checksum_of_packages, *_ANY),
    _bad(broken.absent_package, "RPM1004", says="not found", package=True),
    _bad(broken.packages_differ, "RPM1004", says="checksum", package=True),
    _bad(broken.packages_too_long, "RPM1004", says="size", package=True),
    _bad(broken.mislabelled_package, "RPM1004", package=True),
    _bad(hostile.climbing_href, *_ANY),
    _bad(hostile.absolute_href, *_ANY),
    _bad(hostile.foreign_href, *_ANY),
    _bad(hostile.file_href, *_ANY),
    _bad(hostile.climbing_location, *_ANY),
    _bad(hostile.encoded_location, *_ANY),
    _bad(hostile.absolute_location, *_ANY),
    _bad(hostile.foreign_location, *_ANY),
    _bad(hostile.control_in_location, *_ANY),
    _bad(hostile.climbing_pkgid, *_ANY),
    _bad(hostile.climbing_delta, "RPM1006", says="prestodelta"),
    _bad(hostile.climbing_tree, "RPM1006", says="treeinfo"),
    _bad(hostile.expanding_deltas, "RPM1006", says="prestodelta"),
    _bad(hostile.doubled_location, *_ANY, package=True),
    _bad(hostile.expanding_repomd, *_ANY, says="repomd"),
    _bad(hostile.expanding_primary, *_ANY, says="primary"),
    _bad(hostile.expanding_comps, *_ANY),
    _bad(hostile.expanding_updateinfo, *_ANY),
    _bad(hostile.external_entity, *_ANY),
    _bad(hostile.pickled_yaml, *_ANY),
    _bad(hostile.bomb_gzip, *_ANY, says="primary"),
    _bad(hostile.bomb_zstd, *_ANY, says="primary"),
    _bad(hostile.bomb_zstd_undeclared, *_ANY, says="primary"),
    _bad(hostile.long_repomd, *_ANY, says="repomd.xml"),
)
