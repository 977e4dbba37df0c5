"""Errata, groups and the like that clients send as JSON, in Pulp 2's fields, as XML elements.

The elements are read again as those of a feed are: so that a unit is the same wherever it came
from, and what no sync would take is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from pulpit.content.rpm.comps import parse_comps
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.errata import parse_updateinfo
from pulpit.errors import InvalidValue, Unparsable

__all__ = ["document_of"]

_URL = "the unit"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
#: What no XML can hold.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SUGGESTIONS = ("reboot_suggested", "relogin_suggested", "restart_suggested")
_ERRATUM_TEXTS = (
    "id",
    "title",
    "release",
    "rights",
    "pushcount",
    "severity",
    "summary",
    "description",
    "solution",
)
_PACKAGE_ATTRIBUTES = ("name", "epoch", "version", "release", "arch", "src")
_MODULE_ATTRIBUTES = ("name", "stream", "version", "context", "arch")
_REFERENCE_ATTRIBUTES = ("href", "id", "title", "type")
#: Kinds of packages of a group, in the order of comps.
_KINDS = ("mandatory", "default", "optional")


def document_of(type_id: str, values: Mapping[str, Any], *, repo_id: str) -> Document:
    """Return what a client has sent as a document of the repository.

    Args:
        type_id: erratum, package_group, package_category, package_environment or package_langpacks.
        values: key and metadata together, in Pulp 2's fields; what is not known is left out.
        repo_id: of the repository.

    Raises:
        InvalidValue: a field has a value that can't be used.
    """
    element = _ELEMENTS[type_id](values)
    text = tostring(element, encoding="utf-8")
    try:
        if type_id == "erratum":
            [document] = parse_updateinfo(iter([b"<updates>", text, b"</updates>"]), url=_URL)
        else:
            pieces = iter([b"<comps>", text, b"</comps>"])
            [document] = parse_comps(pieces, url=_URL, repo_id=repo_id)
    except Unparsable as error:
        raise InvalidValue("unit_metadata", why=str(error.data["reason"])) from error
    return document


def _erratum(values: Mapping[str, Any]) -> Element:
    """Return an element of updateinfo."""
    attributes = {
        # Pulp 2's database kept the first name, its API has the second
        "from": values.get("errata_from") or values.get("from"),
        **{name: values.get(name) for name in ("status", "type", "version")},
    }
    element = _element("update", attributes, "")
    _add_texts(element, values, _ERRATUM_TEXTS)
    for name in ("issued", "updated"):
        if values.get(name):
            _add(element, name, {"date": values[name]}, name)
    _add_suggestions(element, values)
    references = SubElement(element, "references")
    for reference in _objects(values, "references"):
        _add(references, "reference", _chosen(reference, _REFERENCE_ATTRIBUTES), "references")
    pkglist = SubElement(element, "pkglist")
    for collection in _objects(values, "pkglist"):
        _add_collection(pkglist, collection)
    return element


def _add_collection(pkglist: Element, values: Mapping[str, Any]) -> None:
    """Add a collection of packages."""
    collection = _add(pkglist, "collection", {"short": values.get("short")}, "pkglist.short")
    _add_texts(collection, values, ("name",), "pkglist.")
    module = values.get("module")
    if module:
        if not isinstance(module, Mapping):
            raise InvalidValue("pkglist.module", why="must be an object")
        _add(collection, "module", _chosen(module, _MODULE_ATTRIBUTES), "pkglist.module")
    for package in _objects(values, "packages", "pkglist."):
        attributes = _chosen(package, _PACKAGE_ATTRIBUTES)
        child = _add(collection, "package", attributes, "pkglist.packages")
        _add_texts(child, package, ("filename",), "pkglist.packages.")
        _add_sums(child, package.get("sum") or package.get("sums"))
        _add_suggestions(child, package)


def _add_sums(package: Element, sums: Any) -> None:
    """Add the checksums of a package: a list of types and digits in turns."""
    if sums is None:
        return
    if not isinstance(sums, list) or len(sums) % 2:
        raise InvalidValue("pkglist.packages.sum", why="must be a list of types and checksums")
    for kind, digits in zip(sums[::2], sums[1::2], strict=True):
        checksum = _add(package, "sum", {"type": kind}, "pkglist.packages.sum")
        checksum.text = _text(digits, "pkglist.packages.sum")


def _add_suggestions(element: Element, values: Mapping[str, Any]) -> None:
    """Add what is suggested; clients take the mere element for a yes."""
    for name in _SUGGESTIONS:
        if str(values.get(name) or "").lower() in ("true", "1", "yes"):
            SubElement(element, name).text = "True"


def _group(values: Mapping[str, Any]) -> Element:
    """Return a group of comps."""
    element = _named("group", values)
    _add_flag(element, "default", values.get("default"))
    _add_flag(element, "uservisible", values.get("user_visible"))
    _add_texts(element, values, ("langonly",))
    packages = SubElement(element, "packagelist")
    for kind in _KINDS:
        for name in _texts(values, f"{kind}_package_names"):
            SubElement(packages, "packagereq", {"type": kind}).text = name
    for name, requires in _conditions(values.get("conditional_package_names")):
        attributes = {"type": "conditional", "requires": requires}
        package = _add(packages, "packagereq", attributes, "conditional_package_names")
        package.text = _text(name, "conditional_package_names")
    return element


def _conditions(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the packages that are wanted where another one is: pairs, or an object as of old."""
    if isinstance(value, Mapping):
        return value.items()
    pairs = value or []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2  # noqa: PLR2004 - a pair
        for pair in pairs
    ):
        raise InvalidValue("conditional_package_names", why="must be a list of pairs")
    return [(name, requires) for name, requires in pairs]


def _category(values: Mapping[str, Any]) -> Element:
    """Return a category of comps."""
    element = _named("category", values)
    groups = SubElement(element, "grouplist")
    for group in _texts(values, "packagegroupids"):
        SubElement(groups, "groupid").text = group
    return element


def _environment(values: Mapping[str, Any]) -> Element:
    """Return an environment of comps."""
    element = _named("environment", values)
    groups = SubElement(element, "grouplist")
    for group in _texts(values, "group_ids"):
        SubElement(groups, "groupid").text = group
    options = SubElement(element, "optionlist")
    for option in _objects(values, "options"):
        default = {"default": "true"} if option.get("default") is True else {}
        child = SubElement(options, "groupid", default)
        child.text = _text(option.get("group"), "options.group")
    return element


def _langpacks(values: Mapping[str, Any]) -> Element:
    """Return the language packs of comps."""
    element = Element("langpacks")
    for match in _objects(values, "matches"):
        _add(element, "match", _chosen(match, ("install", "name")), "matches")
    return element


_ELEMENTS: Mapping[str, Callable[[Mapping[str, Any]], Element]] = {
    "erratum": _erratum,
    "package_group": _group,
    "package_category": _category,
    "package_environment": _environment,
    "package_langpacks": _langpacks,
}


def _named(tag: str, values: Mapping[str, Any]) -> Element:
    """Return what groups, categories and environments have in common."""
    element = Element(tag)
    _add_texts(element, values, ("id",))
    for name in ("name", "description"):
        _add_texts(element, values, (name,))
        translated = values.get(f"translated_{name}") or {}
        if not isinstance(translated, Mapping):
            raise InvalidValue(f"translated_{name}", why="must be an object of languages")
        for language, text in translated.items():
            child = _add(element, name, {_LANGUAGE: language}, f"translated_{name}")
            child.text = _text(text, f"translated_{name}")
    _add_texts(element, values, ("display_order",))
    return element


def _add_flag(element: Element, tag: str, value: Any) -> None:
    """Add what is true or false."""
    if value is not None:
        SubElement(element, tag).text = "true" if value is True else "false"


def _add_texts(
    element: Element, values: Mapping[str, Any], names: Iterable[str], prefix: str = ""
) -> None:
    """Add children with the texts that there are."""
    for name in names:
        text = _text(values.get(name), prefix + name)
        if text is not None:
            SubElement(element, name).text = text


def _add(parent: Element, tag: str, attributes: Mapping[str, Any], name: str) -> Element:
    """Add a child with those of the attributes that are not None."""
    child = _element(tag, attributes, name)
    parent.append(child)
    return child


def _element(tag: str, attributes: Mapping[str, Any], name: str) -> Element:
    texts = {key: _text(value, name or key) for key, value in attributes.items()}
    return Element(tag, {key: text for key, text in texts.items() if text is not None})


def _chosen(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the values of these names."""
    return {name: values.get(name) for name in names}


def _text(value: Any, name: str) -> str | None:
    """Return a value as it stands in XML; None for None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValue(name, why="must be a string")
    text = str(value)
    if _UNFIT.search(text):
        raise InvalidValue(name, why="holds a character that XML can't")
    return text


def _texts(values: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of strings; an empty one where there is none."""
    found = values.get(name) or []
    if not isinstance(found, list):
        raise InvalidValue(name, why="must be a list of strings")
    return [text for text in (_text(item, name) for item in found) if text]


def _objects(values: Mapping[str, Any], name: str, prefix: str = "") -> list[Mapping[str, Any]]:
    """Return a list of objects; an empty one where there is none."""
    found = values.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise InvalidValue(prefix + name, why="must be a list of objects")
    return found
