"""Check that the lock file holds what pyproject.toml asks for, and nothing else; no network."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

_ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+?))? \\$")

_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def main() -> int:
    """Print what is wrong with the lock file and return the exit code."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    lines = (_ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    found = list(problems(asked, lines))
    for problem in found:
        print(f"requirements.lock: {problem}", file=sys.stderr)
    if found:
        print("Run make lock, then make setup.", file=sys.stderr)
        return 1
    print("requirements.lock is current")
    return 0


def problems(asked: list[str], lines: list[str]) -> Iterator[str]:
    """Yield what is wrong with the lines of a lock file for the requirements *asked*."""
    yield from _form_problems(lines)
    pins: dict[NormalizedName, str] = {}
    for match in filter(None, map(_PIN.match, lines)):
        if match["marker"] and not Marker(match["marker"]).evaluate():
            continue
        name = canonicalize_name(match["name"])
        if name in pins:
            yield f"{name} is locked twice"
        pins[name] = match["version"]
    yield from _content_problems(asked, pins)


def _form_problems(lines: list[str]) -> Iterator[str]:
    """Yield lines that are neither a pin nor a hash (an index, a URL), and pins without one."""
    for number, line in enumerate(lines, start=1):
        pin = _PIN.match(line)
        if pin and not "".join(lines[number : number + 1]).startswith("    --hash="):
            yield f"{pin['name']} has no hash"
        elif not pin and not _HASH.match(line):
            yield f"line {number} is neither a pin nor a hash: {line!r}"


def _content_problems(asked: list[str], pins: Mapping[NormalizedName, str]) -> Iterator[str]:
    """Yield packages that are asked for and not locked as asked, or locked for nobody."""
    waiting = [requirement for requirement in map(Requirement, asked) if _applies(requirement)]
    seen: set[str] = set()
    needed: set[NormalizedName] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        needed.add(name)
        if name not in pins:
            yield f"{requirement} is not locked"
        elif not requirement.specifier.contains(pins[name], prereleases=True):
            yield f"{name}=={pins[name]} is not {requirement}"
        else:
            waiting.extend(_requirements_of(name, requirement.extras))
    for name in sorted(pins.keys() - needed):
        yield f"{name} is locked and nothing asks for it"


def _requirements_of(name: NormalizedName, extras: AbstractSet[str]) -> Iterator[Requirement]:
    """Yield what the installed release of a package asks for here."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if _applies(requirement, extras):
            requirement.marker = None
            yield requirement


def _applies(requirement: Requirement, extras: AbstractSet[str] = frozenset()) -> bool:
    """Say whether a requirement holds on this machine."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


if __name__ == "__main__":
    sys.exit(main())
