"""Where settings come from: the file, then the environment, then the command line."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pulpit.config.fields import Setting
from pulpit.config.pulp2 import IGNORED
from pulpit.config.settings import SECTIONS, EngineKind, Settings, all_settings
from pulpit.errors import ConfigurationError

__all__ = ["DEFAULT_FILE", "load"]

#: Read when it is there and no other file is named.
DEFAULT_FILE = Path("/etc/pulp/server.conf")

# As in Pulp 2, a semicolon after white space begins a comment; one before a URL separates.
_COMMENT = re.compile(r"\s;(?!\s*[a-z]+://).*")
_PULP2_SCHEME = re.compile(r"(?:^|;)\s*((?:qpid|tcp|ssl)://)")

_Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A value as one source gives it; an empty key stands for a section without any."""

    section: str
    key: str
    text: str
    source: str

    def error(self, reason: str) -> ConfigurationError:
        """Return the error that names this place."""
        return ConfigurationError(
            reason, source=self.source, section=self.section, key=self.key or None
        )


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[_Place, object] | None = None,
) -> Settings:
    """Return the settings that hold: later sources win, and an empty value is none.

    Args:
        path: the file, which must be there; without it, DEFAULT_FILE if that is there.
        environ: variables ``PULPIT_<SECTION>_<KEY>``; without it, those of the process.
        overrides: (section, key) to value, from the command line; a value of None is none.

    Raises:
        ConfigurationError: for a file that can't be read, an unknown key, a bad value, or values
            that do not go together.
    """
    environ = os.environ if environ is None else environ
    rows = {(row.section, row.key): row for row in all_settings()}
    chosen: dict[_Place, _Given] = {}
    ignored: dict[str, None] = {}
    for given in _everything_given(path, environ, overrides or {}, rows):
        place = given.section, given.key
        if given.key in IGNORED.get(given.section, ()):
            ignored[f"[{given.section}] {given.key}"] = None
        elif place not in rows:
            raise given.error(_unknown(place, rows))
        elif given.text:
            chosen[place] = given
    values = {
        place: _parsed(row, chosen[place]) if place in chosen else row.default_value(environ)
        for place, row in rows.items()
    }
    settings = Settings(
        **_sections(rows, values),
        ignored=tuple(ignored),
        notes=tuple(_notes(chosen)),
        origins=MappingProxyType({place: given.source for place, given in chosen.items()}),
    )
    _refuse_what_disagrees(settings, chosen)
    return settings


def _refuse_what_disagrees(settings: Settings, chosen: Mapping[_Place, _Given]) -> None:
    """Raise ConfigurationError for values that do not go together."""
    server = settings.server
    if settings.tasks.engine is EngineKind.DISTRIBUTED and settings.database.url is None:
        raise chosen["tasks", "engine"].error(
            "the distributed engine needs a PostgreSQL database: set [database] url"
        )
    if server.certificate and not server.private_key:
        raise chosen["server", "certificate"].error(
            "a certificate is of no use without its key: set private_key in [server], too"
        )
    if server.private_key and not server.certificate:
        raise chosen["server", "private_key"].error(
            "a key is of no use without its certificate: set certificate in [server], too"
        )
    if bool(settings.security.cacert) != bool(settings.security.cakey):
        key, other = ("cacert", "cakey") if settings.security.cacert else ("cakey", "cacert")
        raise chosen["security", key].error(f"set {other} in [security], too")
    if settings.door.tls and not server.certificate:
        raise chosen["door", "tls"].error(
            "TLS at the door needs certificate and private_key in [server]"
        )


def _everything_given(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[_Place, object],
    rows: Mapping[_Place, Setting],
) -> Iterator[_Given]:
    """Yield what all sources give, the strongest last."""
    yield from _from_file(path)
    yield from _from_environment(environ, rows)
    for (section, key), value in overrides.items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value).strip()
            yield _Given(section=section, key=key, text=text, source="command line")


def _from_file(path: Path | None) -> Iterator[_Given]:
    """Yield what the file gives."""
    file = path or DEFAULT_FILE
    parser = configparser.RawConfigParser(
        delimiters=("=", ":"),
        comment_prefixes=("#", ";", "rem ", "REM "),
        strict=False,
        empty_lines_in_values=False,
        # No section gives defaults to the others: a value stands where it holds.
        default_section="",
    )
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig"), str(file))
    except FileNotFoundError:
        if path is None:
            return
        raise ConfigurationError("there is no such file", source=str(file)) from None
    except OSError as error:
        reason = f"can't be read: {error.strerror}"
        raise ConfigurationError(reason, source=str(file)) from None
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text: byte {error.start} can't be decoded"
        raise ConfigurationError(reason, source=str(file)) from None
    except configparser.Error as error:
        raise ConfigurationError(_syntax(error), source=str(file)) from None
    for section in parser.sections():
        items = parser.items(section)
        if not items and section not in SECTIONS and section not in IGNORED:
            yield _Given(section=section, key="", text="", source=str(file))
        for key, value in items:
            yield _Given(section=section, key=key, text=_clean(value), source=str(file))


def _from_environment(
    environ: Mapping[str, str], rows: Mapping[_Place, Setting]
) -> Iterator[_Given]:
    """Yield what the environment gives; variables of no section of ours are other programs'."""
    places = {row.variable: place for place, row in rows.items()}
    for name, value in sorted(environ.items()):
        section = next(
            (known for known in SECTIONS if name.startswith(f"PULPIT_{known.upper()}_")), None
        )
        if section:
            key = name.removeprefix(f"PULPIT_{section.upper()}_").lower()
            section, key = places.get(name, (section, key))
            yield _Given(section=section, key=key, text=value.strip(), source=f"variable {name}")


def _clean(value: str) -> str:
    """Return the value without comments and without the quotes of an empty one."""
    text = "\n".join(_COMMENT.sub("", f" {line}").strip() for line in value.splitlines())
    return "" if text == '""' else text.strip()


def _syntax(error: configparser.Error) -> str:
    """Say which line isn't one of an INI file, without showing it: it may be a secret."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} stands before the first [section]"
    if isinstance(error, configparser.ParsingError):
        lines = ", ".join(str(line) for line, _text in error.errors)
        return f"line {lines} is neither [section] nor key: value"
    return "is not an INI file"


def _unknown(place: _Place, rows: Mapping[_Place, Setting]) -> str:
    """Say that there is no such key, and which one is nearest."""
    section, key = place

    def likeness(other: _Place) -> float:
        same_key = SequenceMatcher(a=key, b=other[1]).ratio()
        return 2 * same_key + SequenceMatcher(a=section, b=other[0]).ratio()

    near = max(rows, key=likeness)
    what = "key" if section in SECTIONS or section in IGNORED else "section"
    return f"unknown {what}; the nearest known key is [{near[0]}] {near[1]}"


def _parsed(row: Setting, given: _Given) -> Any:
    """Return the value, or raise the error that names its place."""
    try:
        return row.kind.parse(given.text)
    except ValueError as error:
        # What a parser says of a secret might show it.
        reason = f"is not {row.kind.name}" if row.secret else str(error)
        raise given.error(reason) from None


def _sections(rows: Mapping[_Place, Setting], values: Mapping[_Place, object]) -> dict[str, Any]:
    """Return the sections' objects by name."""
    return {
        name: section(
            **{row.attribute: values[place] for place, row in rows.items() if row.section == name}
        )
        for name, section in SECTIONS.items()
    }


def _notes(chosen: Mapping[_Place, _Given]) -> Iterator[str]:
    """Yield what the log should say about values that were read in another sense."""
    url = chosen.get(("messaging", "event_notification_url"))
    for scheme in dict.fromkeys(_PULP2_SCHEME.findall(url.text)) if url else ():
        read_as = "amqps" if scheme == "ssl://" else "amqp"
        yield f"[messaging] event_notification_url: {scheme} is read as {read_as}://"
