"""Tell which changes of the event contract would break consumers, and keep what was promised.

``python -m scripts.schema_changes`` writes the contract as it is now to the place where the tests
look for the last one that was released; it refuses a contract that breaks the last one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pulpit.events.schemas import SCHEMAS
from scripts.event_reference import asyncapi_document, schema_document

__all__ = ["RELEASED", "breaking", "current", "problems", "released"]

#: The last released contract: ``asyncapi.json``, and a file for each schema.
RELEASED = Path(__file__).resolve().parent.parent / "tests" / "data" / "event_contract"

_ASYNCAPI = "asyncapi"
#: Keys that tell and do not bind.
_WORDS = {"$id", "$schema", "$defs", "title", "description", "examples"}
_NESTED = {"items", "additionalProperties", "if", "then"}
_Contract = Mapping[str, Mapping[str, Any]]


def current() -> dict[str, Any]:
    """Return the contract as the code has it: every schema, and the AsyncAPI document."""
    return {_ASYNCAPI: asyncapi_document(), **{name: schema_document(name) for name in SCHEMAS}}


def released() -> dict[str, Any]:
    """Return the last contract that was released."""
    return {
        path.name.removesuffix(".json"): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RELEASED.glob("*.json"))
    }


def problems(old: _Contract, new: _Contract) -> list[str]:
    """Return what must not be done to a released contract in the way it was done.

    A schema whose version grew takes the place of the older one; then the first number of the
    contract's version grows. Any other change but of words needs the second to grow.
    """
    found: list[str] = []
    before, now = _version(old), _version(new)
    for name in sorted(old.keys() - {_ASYNCAPI}):
        if name in new:
            found += [f"{name}: {change}" for change in breaking(old[name], new[name])]
        elif not _successors(name, new):
            found.append(f"{name}: is gone, and no newer version of it is there")
        elif now[0] <= before[0]:
            found.append(f"{name}: has a newer version; so must the contract, in its first number")
    if now[:2] <= before[:2] and _bare(old) != _bare(new):
        found.append("the contract changed: the second number of CONTRACT_VERSION must grow")
    return found


def breaking(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the changes of a schema that break consumers, or events that are in journals yet.

    Only properties that need not be there may be added: what was valid stays so, and what is valid
    now is what consumers were promised.
    """
    return list(_Comparison(old, new).run())


class _Comparison:
    """Walks through two schemas side by side."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str]] = set()

    def run(self) -> Iterator[str]:
        return self._compare(self._old, self._new, "$")

    def _compare(self, old: Any, new: Any, path: str) -> Iterator[str]:
        pair = (str(old.get("$ref", "")), str(new.get("$ref", "")))
        if any(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
            old, new = _resolved(self._old, old), _resolved(self._new, new)
        yield from self._properties(old, new, path)
        for key in sorted((old.keys() | new.keys()) - _WORDS - {"properties", "required"}):
            yield from self._key(key, old.get(key), new.get(key), f"{path}.{key}")

    def _properties(self, old: Any, new: Any, path: str) -> Iterator[str]:
        before, now = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in now:
                yield f"{path}.{name} is gone"
            else:
                yield from self._compare(before[name], now[name], f"{path}.{name}")
        was, is_now = set(old.get("required", ())), set(new.get("required", ()))
        yield from (f"{path}.{name} is required now" for name in sorted(is_now - was))
        yield from (f"{path}.{name} may be missing now" for name in sorted(was - is_now))

    def _key(self, key: str, old: Any, new: Any, path: str) -> Iterator[str]:
        if key in _NESTED and isinstance(old, dict) and isinstance(new, dict):
            yield from self._compare(old, new, path)
        elif key in {"anyOf", "allOf"} and old and new and len(old) <= len(new):
            if key == "anyOf" and len(old) < len(new):
                yield f"{path} has more choices"
            for place, (one, other) in enumerate(zip(old, new, strict=False)):
                yield from self._compare(one, other, f"{path}[{place}]")
        elif old != new:
            yield f"{path} was {json.dumps(old)} and is {json.dumps(new)}"


def _resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema with what its reference stands for in place of it."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].removeprefix("#/$defs/")
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    return {**root["$defs"][name], **rest}


def _version(contract: _Contract) -> tuple[int, ...]:
    return tuple(int(part) for part in contract[_ASYNCAPI]["info"]["version"].split("."))


def _successors(name: str, contract: _Contract) -> list[str]:
    """Return the newer versions of a schema that are there."""
    stem, _, version = name.rpartition(".v")
    found = (re.fullmatch(rf"{re.escape(stem)}\.v(\d+)", other) for other in contract)
    return [match[0] for match in found if match and int(match[1]) > int(version)]


def _bare(part: Any) -> Any:
    """Return what binds: no words, no version."""
    if isinstance(part, Mapping):
        # under "properties" such a key is a name
        return {
            key: {name: _bare(one) for name, one in value.items()}
            if key == "properties"
            else _bare(value)
            for key, value in part.items()
            if key not in _WORDS | {"info"} or key == "$defs"
        }
    return [_bare(item) for item in part] if isinstance(part, list) else part


def main() -> int:
    """Keep the contract as the released one, unless it breaks the last; return the exit code."""
    contract = current()
    if found := problems(released() or contract, contract):
        print("\n".join(found), file=sys.stderr)
        return 1
    RELEASED.mkdir(parents=True, exist_ok=True)
    for path in RELEASED.glob("*.json"):
        path.unlink()
    for name, document in contract.items():
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (RELEASED / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
