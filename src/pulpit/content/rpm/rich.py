"""Rich dependencies of packages, such as ``(tiger if zoo >= 2)``, taken apart.

Their grammar is that of rpm's manual page on boolean dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Clause", "clauses"]

_WORDS = frozenset({"and", "or", "if", "else", "with", "without", "unless"})
_COMPARISONS = frozenset({"<", "<=", "=", ">=", ">"})
_MAX_CLAUSES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One plain dependency within a rich one."""

    name: str
    #: One of ``< <= = >= >``, or empty.
    comparison: str = ""
    #: ``epoch:version-release``; empty without a comparison.
    evr: str = ""


def clauses(text: str) -> list[Clause]:
    """Return the plain dependencies that a rich one holds; of very many the first ones.

    Nothing is raised: of what is malformed, whatever looks like a dependency is returned.
    """
    found: list[Clause] = []
    tokens = [*_tokens(text)]
    place = 0
    while place < len(tokens) and len(found) < _MAX_CLAUSES:
        name = tokens[place]
        following = tokens[place + 1 : place + 3]
        if name in _WORDS or name in _COMPARISONS:
            place += 1
        elif len(following) == 2 and following[0] in _COMPARISONS:  # noqa: PLR2004 - what follows
            found.append(Clause(name=name, comparison=following[0], evr=following[1]))
            place += 3
        else:
            found.append(Clause(name=name))
            place += 1
    return found


def _tokens(text: str) -> Iterator[str]:
    """Yield the words, without the parentheses that hold clauses together.

    Those within a name, as in ``perl(Carp)``, belong to it.
    """
    for word in text.replace("\t", " ").split(" "):
        bare = word.lstrip("(")
        while bare.endswith(")") and bare.count(")") > bare.count("("):
            bare = bare[:-1]
        if bare:
            yield bare
