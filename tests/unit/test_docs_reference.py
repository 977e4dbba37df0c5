"""The reference tells every setting and error that there is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from pulpit import errors
from pulpit.config import all_settings
from scripts.write_reference import PAGES

_DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_pages_are_current(path: Path) -> None:
    """A page that the code has outgrown is written anew by make docs."""
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run make docs"


def test_every_setting_is_documented() -> None:
    """Each setting has a row under its section."""
    sections = (_DOCS / "reference" / "settings.md").read_text(encoding="utf-8").split("\n## ")
    tables = {part.partition("\n")[0]: part for part in sections}
    for row in all_settings():
        assert f"\n| `{row.key}` |" in tables[f"`[{row.section}]`"]
        assert row.meaning in tables[f"`[{row.section}]`"]


def test_every_error_is_exported_and_documented() -> None:
    """Each error of the tree is exported, stands in the tree's drawing and has a row."""
    page = (_DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    drawing = (errors.__doc__ or "").split()
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.PulpitError) and not name.startswith("_"):
            assert name in errors.__all__
            assert name in drawing
            assert page.count(f"| {name} |") == 1
