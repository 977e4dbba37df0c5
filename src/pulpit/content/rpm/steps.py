"""The steps of a publish of a yum repository, as Pulp 2 named them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pulpit.content.steps import Steps

__all__ = ["PublishSteps"]

#: Type and description of each step, in order; the listing files come after them.
_STEPS = (
    ("initialize_repo_metadata", "Initializing repo metadata"),
    ("distribution", "Publishing Distribution files"),
    ("rpms", "Publishing RPMs"),
    ("drpms", "Publishing Delta RPMs"),
    ("errata", "Publishing Errata"),
    ("modules", "Publishing Modules"),
    ("comps", "Publishing Comps file"),
    ("metadata", "Publishing Metadata."),
    ("close_repo_metadata", "Closing repo metadata"),
    ("remove_old_repodata", "Removing old repodata"),
    ("generate sqlite", "Generating sqlite files"),
    ("repoview", "Generating HTML files"),
    ("publish_directory", "Publishing files to web"),
)
#: Before all others, where a former publication is taken over in part.
_COPYING = ("copy_directory", "Copying files")
_LISTING = ("initialize_repo_metadata", "Writing Listings File")


class PublishSteps(Steps):
    """All steps of one publish.

    Args:
        distributor_id: the key of the report.
        protocols: how many listing files are written at the end, one for each protocol.
        fast_forward: whether a former publication is taken over in part.
        progress: takes the whole report, and whether it is the first or last of a step.
    """

    def __init__(
        self,
        distributor_id: str,
        *,
        protocols: int,
        fast_forward: bool = False,
        progress: Callable[[Mapping[str, Any], bool], None],
    ) -> None:
        steps = [*([_COPYING] if fast_forward else []), *_STEPS, *[_LISTING] * protocols]
        super().__init__(distributor_id, steps, progress=progress)
