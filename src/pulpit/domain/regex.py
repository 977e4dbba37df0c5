"""Regular expressions from outside, matched in time that grows only with the length of the text.

Python's ``re`` backtracks: a pattern of ten characters can hold the whole server for hours. RE2
does not; what it can't do for that (backreferences, looking around) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import re2

__all__ = ["Pattern", "RegexError"]

#: Bytes that one compiled pattern may take.
_MEMORY = 1 << 20
#: An anchor, and characters that stand for themselves.
_LITERAL = re.compile(r"\^((?:[^\\.^$*+?()\[\]{}|]|\\[^A-Za-z0-9])+)")
_QUANTIFIERS = tuple("*?{+")


class RegexError(ValueError):
    """The regular expression is malformed, too large, or beyond what can be matched quickly."""


@dataclass(frozen=True)
class Pattern:
    """A compiled regular expression.

    Raises:
        RegexError: it can't be compiled.
    """

    source: str
    #: Letters out of ``ims``: ignore case, multiline, dot takes newlines.
    options: str = ""

    def __post_init__(self) -> None:
        """Refuse at once what can't be compiled."""
        if unknown := set(self.options) - set("ims"):
            raise RegexError(f"option {min(unknown)} is not known: use i, m and s")
        _ = self._compiled

    @cached_property
    def _compiled(self) -> Any:
        settings = re2.Options()
        settings.log_errors = False
        settings.max_mem = _MEMORY
        flags = f"(?{self.options})" if self.options else ""
        try:
            return re2.compile(flags + self.source, settings)
        except UnicodeEncodeError:
            raise RegexError("it has characters that are none") from None
        except re2.error as error:
            reason = error.args[0] if error.args else error
            raise RegexError(
                reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            ) from None

    @cached_property
    def _literal(self) -> tuple[str, str]:
        """The text that every match must start with, and what of the pattern comes after it."""
        found = _LITERAL.match(self.source)
        if self.options or "|" in self.source or not found:
            return "", self.source
        text = re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)
        rest = self.source[found.end() :]
        return (text[:-1] if rest.startswith(_QUANTIFIERS) else text), rest

    @property
    def prefix(self) -> str:
        """The literal text that every match must start the subject with; empty for none."""
        return self._literal[0]

    @property
    def is_prefix(self) -> bool:
        """True if starting with the prefix is all that the pattern asks for."""
        prefix, rest = self._literal
        return bool(prefix) and not rest

    def search(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in *text*."""
        # a lone surrogate is no character that a pattern could name
        known = text if text.isascii() else text.encode(errors="replace").decode()
        return self._compiled.search(known) is not None
