"""modules.yaml: module streams and their defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.yaml_documents import parse_document, split_documents
from pulpit.errors import Unparsable

__all__ = ["parse_modules"]

_MAX_NAME = 255
_MAX_DIGITS = 18


def parse_modules(document: bytes, *, url: str, repo_id: str) -> Iterator[Document]:
    """Yield the streams and defaults of a document; other kinds of documents are left out.

    Raises:
        Unparsable: it is not YAML of modules, or a document in it can't be used.
    """
    try:
        text = document.decode()
    except UnicodeDecodeError as error:
        raise Unparsable(f"{url} is not UTF-8 at byte {error.start}", url=url) from error
    try:
        for part in split_documents(text):
            yield from _documents(part, repo_id)
    except ValueError as error:
        raise Unparsable(f"{url}: a document of it {error}", url=url) from error


def _documents(text: str, repo_id: str) -> Iterator[Document]:
    """Yield the one document that is known here, or none."""
    content = parse_document(text)
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        raise ValueError("is not about modules")  # noqa: TRY004 - what is wrong is the feed
    kind = content.get("document")
    whole = f"---{text.rstrip()}\n...\n" if text[:1] in "\r\n" else f"---\n{text.rstrip()}\n...\n"
    if kind == "modulemd":
        key, metadata = _stream(data)
        yield Document(type_id="modulemd", key=key, metadata=metadata, text=whole)
    elif kind == "modulemd-defaults":
        name = _word(data, "module")
        yield Document(
            type_id="modulemd_defaults",
            key={"name": name, "repo_id": repo_id},
            metadata={
                "name": name,
                "stream": data.get("stream"),
                "profiles": _mapping(data, "profiles"),
            },
            text=whole,
        )


def _stream(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return key and metadata of a module stream."""
    version = _word(data, "version")
    if not (version.isascii() and version.isdigit() and len(version) <= _MAX_DIGITS):
        raise ValueError(f"has the version {version!r}, which is not a number")
    key: dict[str, Any] = {
        "name": _word(data, "name"),
        "stream": _word(data, "stream"),
        "version": int(version),
        "context": _word(data, "context"),
        "arch": _word(data, "arch"),
    }
    artifacts = _mapping(data, "artifacts").get("rpms")
    profiles = {
        name: _strings(profile.get("rpms"))
        for name, profile in _mapping(data, "profiles").items()
        if isinstance(profile, dict)
    }
    metadata = {
        **key,
        "summary": data.get("summary"),
        "description": data.get("description"),
        "profiles": profiles,
        "artifacts": _strings(artifacts),
        "dependencies": data.get("dependencies"),
    }
    return key, metadata


def _word(data: Mapping[str, Any], name: str) -> str:
    """Return a value that names something."""
    value = data.get(name)
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _MAX_NAME:
        raise ValueError(f"has no usable {name}")
    return value


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a value that is a mapping; an empty one where there is none."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    """Return the strings of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
