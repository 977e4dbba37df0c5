"""The log: lines that stay lines, fields that programs can read, and no secrets."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pulpit import config
from pulpit.app.log_texts import clean, cleaned
from pulpit.app.logs import configure_logs

_ANYTHING = st.text(st.characters(exclude_categories=()), max_size=60)
#: Texts that hold the word keeper where a secret may stand.
SECRETS = [
    "amqp://zoo:keeper@broker/",
    "amqps://zoo:keeper@broker:5671/vhost;amqp://zoo:keeper@other",
    "can't reach http://user:keeper@feed.example/repo/ (refused)",
    "https://user:kee%40per-keeper@feed/",
    "https://user:p@keeper@feed/path",
    "https://user:'keeper'@feed/",
    "postgresql+psycopg://pulpit:keeper@db/pulpit",
    "https://feed/repo?token=keeper&x=1",
    "https://feed/?X-Amz-Signature=keeper",
    "PULPIT_SERVER_DEFAULT_PASSWORD=keeper",
    "Authorization: Basic a2VlcGVyCg==keeper",
    "authorization: Bearer keeper.keeper.keeper",
]

Read = Callable[[], str]


@pytest.fixture
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("alembic", "uvicorn", "amqp")}
    # configuring closes those it finds, and pytest's own are still wanted
    root.handlers.clear()
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    threading.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def _configured(log_type: str) -> tuple[Any, Read]:
    """Return the server's logger, and what reads the lines that came of it."""
    stream = io.StringIO()
    settings = config.load(None, environ={"PULPIT_SERVER_LOG_TYPE": log_type})
    return configure_logs(settings, stream=stream), stream.getvalue


@pytest.fixture(params=["console", "json"])
def log(request: pytest.FixtureRequest, _restored: None) -> tuple[Any, Read]:
    """Return the server's logger, in each form, and what reads the lines that came of it."""
    return _configured(request.param)


@pytest.fixture
def json_log(_restored: None) -> tuple[Any, Callable[[], list[dict[str, Any]]]]:
    """Return the server's logger and what reads its documents; a line that is none fails."""
    made, told = _configured("json")

    def read() -> list[dict[str, Any]]:
        def refuse(constant: str) -> None:
            raise ValueError(constant)

        return [json.loads(line, parse_constant=refuse) for line in told().splitlines()]

    return made, read


def fail(logger: Any, words: str, event: str) -> None:
    """Log an event with an error of these words."""
    try:
        raise ValueError(words)  # noqa: TRY301 - it is all there is to do
    except ValueError:
        logger.exception(event)


def test_json_lines_have_the_fields_that_are_documented(json_log: Any) -> None:
    """Time, level and event stand on each line, beside what the event tells."""
    logger, read = json_log
    logger.warning("disk full", free=12, path="/x", ratio=0.5, done=None, names=("a", "b"))
    (line,) = read()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "disk full",
        "free": 12,
        "path": "/x",
        "ratio": 0.5,
        "done": None,
        "names": ["a", "b"],
    }


def test_lines_of_libraries_are_alike_and_say_whose_they_are(json_log: Any) -> None:
    """Records, warnings and threads that fail end in the same log."""
    _, read = json_log
    logging.getLogger("uvicorn.error").error("bad %s", "thing\n")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0, name="engine")
    thread.start()
    thread.join()
    library, warning, failed = read()
    assert (library["logger"], library["event"]) == ("uvicorn.error", "bad thing\\n")
    assert warning["logger"] == "py.warnings"
    assert (failed["event"], failed["thread"]) == ("a thread failed", "engine")
    assert failed["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_traceback_is_a_field(json_log: Any) -> None:
    """It keeps its lines, within the one line of the document."""
    logger, read = json_log
    fail(logger, "no\x1b[31m", "request failed")
    (line,) = read()
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: no\\x1b[31m")


def test_tracebacks_of_libraries_show_no_variables(log: tuple[Any, Read]) -> None:
    """They may hold passwords."""
    _, read = log
    password = "keeper" + "-of-the-zoo"
    logger = logging.getLogger("asyncio")
    fail(logger, password[:3], "Task exception was never retrieved")
    told = read()
    assert "ValueError" in told
    assert "keeper-of-the-zoo" not in told


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_masked_wherever_they_stand(log: tuple[Any, Read], text: str) -> None:
    """In the event, in a field, in a list, and in the message of an error."""
    logger, read = log
    logger.info(text, url=text, urls=[text], deep={"a": {"b": text}})
    fail(logger, text, "failed")
    told = read()
    assert "failed" in told
    assert "keeper" not in told


def test_fields_that_are_secrets_by_name_are_masked(log: tuple[Any, Read]) -> None:
    """Whatever they hold; one that is not set is not."""
    logger, read = log
    logger.info("x", password="keeper", feed_password="keeper", config={"api_key": "keeper"})
    logger.info("y", password=None)
    told = read()
    assert "keeper" not in told
    assert told.count("***") == 3


def test_the_settings_themselves_can_be_logged(log: tuple[Any, Read]) -> None:
    """What they show of themselves has no secrets."""
    logger, read = log
    environ = {
        "PULPIT_SERVER_DEFAULT_PASSWORD": "keeper",
        "PULPIT_MESSAGING_EVENT_NOTIFICATION_URL": "amqp://zoo:keeper@broker/",
    }
    settings = config.load(None, environ=environ)
    logger.info("settings", settings=settings, shown=config.describe(settings))
    assert "keeper" not in read()


def test_hostile_texts_stay_on_their_line(log: tuple[Any, Read]) -> None:
    """A client can neither forge a line nor speak to the terminal."""
    logger, read = log
    hostile = "/x\n2024-05-01 [info] forged\r\n\x1b]0;title\x07\x1b[2J\u2028\u202e\x85end"
    logger.warning("request failed", path=hostile, **{"na\nme": 1})
    logger.warning(hostile)
    fail(logger, hostile, "failed")
    told = read()
    for char in "\x1b\x07\r\u2028\u202e\x85":
        assert char not in told
    assert not [line for line in told.split("\n") if line.startswith("2024-05-01 [info] forged")]


def test_long_texts_are_cut(json_log: Any) -> None:
    """A line has an end, however much a client sends."""
    logger, read = json_log
    logger.info("x" * 100_000, path="y" * 100_000, items=list(range(100_000)))
    (line,) = read()
    assert len(line["event"]) == len(line["path"]) == 2_000
    assert len(line["items"]) == 100


@given(name=_ANYTHING, text=_ANYTHING, number=st.floats())
def test_whatever_is_logged_is_one_line_of_json(name: str, text: str, number: float) -> None:
    """Any text and any number can be told; what is told holds no control characters."""
    event = clean(None, "info", {"event": text, f"x{name}": [text, number, {text: object()}]})
    line = json.dumps(event, allow_nan=False)
    assert json.loads(line) == event
    assert line.isprintable()
    assert "\n" not in cleaned(text)
