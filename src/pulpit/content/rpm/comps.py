"""comps.xml: groups, categories, environments and language packs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from pulpit.content.rpm.documents import (
    Document,
    children,
    element_text,
    flag,
    numbered,
    text_of,
    translations,
    xml_elements,
)
from pulpit.errors import Unparsable

__all__ = ["COMPS_TYPES", "parse_comps"]

#: Element of comps to content type.
COMPS_TYPES = {
    "group": "package_group",
    "category": "package_category",
    "environment": "package_environment",
    "langpacks": "package_langpacks",
}
_MAX_ID = 255


def parse_comps(pieces: Iterator[bytes], *, url: str, repo_id: str) -> Iterator[Document]:
    """Yield what a comps document holds, as units of the repository; of equal ids the first.

    Raises:
        Unparsable: it is not a comps document, or something in it has no usable id.
    """
    seen: set[tuple[str, str]] = set()
    for element in xml_elements(pieces, url=url, root="comps"):
        type_id = COMPS_TYPES.get(element.tag)
        if type_id is None:
            continue
        key = {"repo_id": repo_id}
        if type_id != "package_langpacks":
            key = {"id": text_of(element, "id") or "", **key}
            if not key["id"].isprintable() or not 0 < len(key["id"]) <= _MAX_ID:
                raise Unparsable(f"{url} has a {element.tag} without a usable id", url=url)
        if (type_id, key.get("id", "")) not in seen:
            seen.add((type_id, key.get("id", "")))
            yield Document(
                type_id=type_id,
                key=key,
                metadata=_METADATA[element.tag](element),
                text=element_text(element),
            )


def _named(element: Element) -> dict[str, Any]:
    """Return what groups, categories and environments have in common."""
    return {
        "id": text_of(element, "id"),
        "name": text_of(element, "name"),
        "description": text_of(element, "description"),
        "translated_name": translations(element, "name"),
        "translated_description": translations(element, "description"),
        "display_order": numbered(text_of(element, "display_order")),
    }


def _group(element: Element) -> dict[str, Any]:
    """Return what clients see of a group, under Pulp 2's names."""
    kinds: dict[str, list[Any]] = {}
    for package in element.iterfind("packagelist/packagereq"):
        kind, name = package.get("type", "mandatory"), (package.text or "").strip()
        entry = [name, package.get("requires")] if kind == "conditional" else name
        kinds.setdefault(kind, []).append(entry)
    return {
        **_named(element),
        "default": flag(text_of(element, "default")),
        "user_visible": flag(text_of(element, "uservisible")),
        "langonly": text_of(element, "langonly"),
        "mandatory_package_names": kinds.get("mandatory", []),
        "default_package_names": kinds.get("default", []),
        "optional_package_names": kinds.get("optional", []),
        "conditional_package_names": kinds.get("conditional", []),
    }


def _category(element: Element) -> dict[str, Any]:
    """Return what clients see of a category."""
    return {**_named(element), "packagegroupids": children(element, "grouplist/groupid")}


def _environment(element: Element) -> dict[str, Any]:
    """Return what clients see of an environment."""
    options = [
        {"group": (option.text or "").strip(), "default": flag(option.get("default"))}
        for option in element.iterfind("optionlist/groupid")
    ]
    return {
        **_named(element),
        "group_ids": children(element, "grouplist/groupid"),
        "options": options,
    }


def _langpacks(element: Element) -> dict[str, Any]:
    """Return what clients see of language packs."""
    return {"matches": [dict(match.attrib) for match in element.iterfind("match")]}


_METADATA = {
    "group": _group,
    "category": _category,
    "environment": _environment,
    "langpacks": _langpacks,
}
