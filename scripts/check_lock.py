"""Check that the lock files hold what pyproject.toml asks for, and nothing else; no network."""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
    """Print what is wrong with the lock files and return the exit code."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    found = [
        *_told("requirements.lock", problems, project["project"]["dependencies"] + groups["dev"]),
        *_told("requirements-bench.lock", direct_problems, groups["bench"]),
    ]
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print("Run make lock, then make setup.", file=sys.stderr)
        return 1
    print("The lock files are current")
    return 0


def _told(
    name: str, judge: Callable[[list[str], list[str]], Iterator[str]], asked: list[str]
) -> Iterator[str]:
    """Yield what *judge* finds wrong with the lock file of that name."""
    lines = (_ROOT / name).read_text(encoding="utf-8").splitlines()
    return (f"{name}: {problem}" for problem in judge(asked, lines))


def problems(asked: list[str], lines: list[str]) -> Iterator[str]:
    """Yield what is wrong with the lines of a lock file for the requirements *asked*.

    What is locked must be installed here: it says itself what else it asks for.
    """
    yield from _form_problems(lines)
    yield from _content_problems(asked, _pins(lines))


def direct_problems(asked: list[str], lines: list[str]) -> Iterator[str]:
    """Yield what is wrong with a lock file as far as can be seen without installing it."""
    yield from _form_problems(lines)
    pins = _pins(lines)
    for requirement in filter(_applies, map(Requirement, asked)):
        yield from _pin_problems(requirement, pins)


def _pins(lines: list[str]) -> dict[NormalizedName, str]:
    """Return the version of each package on this machine."""
    return {canonicalize_name(match["name"]): match["version"] for match in _pin_lines(lines)}


def _pin_lines(lines: list[str]) -> Iterator[re.Match[str]]:
    """Yield the pins that hold on this machine."""
    for match in filter(None, map(_PIN.match, lines)):
        if not match["marker"] or Marker(match["marker"]).evaluate():
            yield match


def _pin_problems(requirement: Requirement, pins: Mapping[NormalizedName, str]) -> Iterator[str]:
    """Yield what is wrong with the pin of one requirement."""
    name = canonicalize_name(requirement.name)
    if name not in pins:
        yield f"{requirement} is not locked"
    elif not requirement.specifier.contains(pins[name], prereleases=True):
        yield f"{name}=={pins[name]} is not {requirement}"


def _form_problems(lines: list[str]) -> Iterator[str]:
    """Yield lines that are neither a pin nor a hash, pins without a hash, and second pins."""
    for number, line in enumerate(lines, start=1):
        pin = _PIN.match(line)
        if pin and not "".join(lines[number : number + 1]).startswith("    --hash="):
            yield f"{pin['name']} has no hash"
        elif not pin and not _HASH.match(line):
            yield f"line {number} is neither a pin nor a hash: {line!r}"
    counted = Counter(canonicalize_name(match["name"]) for match in _pin_lines(lines))
    yield from (f"{name} is locked twice" for name, count in counted.items() if count > 1)


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
        wrong = list(_pin_problems(requirement, pins))
        yield from wrong
        if not wrong:
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
