"""The documentation holds together: its links lead somewhere and every page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_DOCS = _ROOT / "docs"
_PAGES = sorted([*_DOCS.rglob("*.md"), _ROOT / "README.md", _ROOT / "CHANGELOG.md"])
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_INTO_PAGE = re.compile(r"\]\((?!https?:)([^)\s#]*)#([^)\s]*)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _links(page: Path) -> list[Path]:
    """Return the files that a page links to."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [(page.parent / match[1]).resolve() for match in _LINK.finditer(text)]


def _anchors(page: Path) -> set[str]:
    """Return the names under which the headings of a page can be linked to."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_links_lead_to_files_of_the_project(page: Path) -> None:
    """Every relative link names a file that is there."""
    for target in _links(page):
        assert target.exists(), f"{page.relative_to(_ROOT)} links to {target}"
        assert target.is_relative_to(_ROOT)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    """Every part of a page that a link names is a heading there."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for name, anchor in _INTO_PAGE.findall(text):
        target = (page.parent / name).resolve() if name else page
        assert anchor in _anchors(target), f"{page.relative_to(_ROOT)}: {name}#{anchor}"


def test_every_page_is_reached_from_the_index() -> None:
    """A reader who begins at the index finds every page by links."""
    reached: set[Path] = set()
    waiting = [_DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        waiting += [link for link in _links(page) if link.suffix == ".md" and link.exists()]
    assert [page for page in _DOCS.rglob("*.md") if page not in reached] == []


def test_decisions_are_numbered_short_and_listed() -> None:
    """Records of decisions count up without a gap, fit a screen and name their state."""
    records = sorted((_DOCS / "adr").glob("[0-9]*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert numbers == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40, record.name
        for heading in ("Status: ", "## Context", "## Decision", "## Consequences"):
            assert heading in text, f"{record.name} lacks {heading}"
