"""Check that the lock file holds what pyproject.toml asks for, and nothing else; no network."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

_ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+?))? \\$")


def main() -> int:
    """Print what is wrong with the lock file and return the exit code."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    lines = (_ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    problems = [*_form_problems(lines), *_content_problems(asked, lines)]
    for problem in problems:
        print(f"requirements.lock: {problem}", file=sys.stderr)
    if problems:
        print("Run make lock, then make setup.", file=sys.stderr)
        return 1
    print("requirements.lock is current")
    return 0


def _form_problems(lines: list[str]) -> Iterator[str]:
    """Yield lines that are neither a pin nor a hash: an index, a URL, a pin without hashes."""
    for number, line in enumerate(lines, start=1):
        if not _PIN.match(line) and not re.match(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", line):
            yield f"line {number} is neither a pin nor a hash: {line!r}"


def _content_problems(asked: list[str], lines: list[str]) -> Iterator[str]:
    """Yield packages that are asked for and not locked, locked twice, or locked for nobody."""
    pins: dict[NormalizedName, str] = {}
    for match in filter(None, map(_PIN.match, lines)):
        if match["marker"] and not Marker(match["marker"]).evaluate():
            continue
        name = canonicalize_name(match["name"])
        if name in pins:
            yield f"{name} is locked twice"
        pins[name] = match["version"]
    needed: set[NormalizedName] = set()
    waiting = [Requirement(text) for text in asked]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen or not _applies(requirement, frozenset({""})):
            continue
        seen.add(str(requirement))
        needed.add(name)
        if name not in pins:
            yield f"{requirement} is not locked"
        elif not requirement.specifier.contains(pins[name], prereleases=True):
            yield f"{name}=={pins[name]} is not {requirement}"
        else:
            waiting.extend(_requirements_of(name, frozenset(requirement.extras) | {""}))
    for name in sorted(pins.keys() - needed):
        yield f"{name} is locked and nothing asks for it"


def _requirements_of(name: NormalizedName, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what the installed release of a package asks for here."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if _applies(requirement, extras):
            requirement.marker = None
            yield requirement


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Say whether a requirement holds on this machine."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


if __name__ == "__main__":
    sys.exit(main())
