"""Properties of the configuration's parser that hold for any text."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pulpit import config
from pulpit.errors import ConfigurationError

_ROWS = {(row.section, row.key): row for row in config.all_settings()}
_sections = st.sampled_from(sorted({section for section, _ in _ROWS})) | st.text(max_size=8)
_keys = st.sampled_from(sorted({key for _, key in _ROWS})) | st.text(max_size=8)
_values = st.sampled_from(["true", "5672", "2 GiB", "amqp://a", "", "'x'"]) | st.text(max_size=20)
_lines = st.one_of(
    st.builds("[{}]".format, _sections),
    st.builds("{}{}{}".format, _keys, st.sampled_from([": ", " = ", ""]), _values),
)
_files = st.lists(_lines, max_size=8).map("\n".join) | st.text(max_size=60)


def _load(content: bytes) -> config.Settings:
    """Read a file with that content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.conf"
        path.write_bytes(content)
        return config.load(path, environ={})


@settings(deadline=None, max_examples=200)
@given(_files)
@example("[server\n")
@example("[]\nport: 1")
@example("[server]\n: 1")
@example("[server]\nhost: \x00")
def test_any_file_loads_or_is_refused_in_one_line(text: str) -> None:
    """Whatever stands in the file, it loads or raises a configuration error of one line."""
    try:
        _load(text.encode("utf-8", "surrogatepass"))
    except ConfigurationError as error:
        refusal = error
    else:
        return
    assert refusal.source
    assert "\n" not in refusal.message


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_refused(content: bytes) -> None:
    """Whatever bytes stand in the file, nothing but a configuration error is raised."""
    try:
        _load(content)
    except ConfigurationError as error:
        refusal = error
    else:
        return
    assert refusal.source


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(_ROWS)), _values | st.text(max_size=40))
@example(("messaging", "cacert"), "~nobody-of-that-name")
def test_what_is_read_is_written_so_that_it_reads_the_same(
    place: tuple[str, str], text: str
) -> None:
    """A value that any text gives is written as a text that gives the same value."""
    kind = _ROWS[place].kind
    try:
        value = kind.parse(text)
    except ValueError:
        return
    assert kind.parse(kind.render(value)) == value


@settings(deadline=None, max_examples=100)
@given(
    st.integers(0, 65535),
    st.integers(1, 1024),
    st.booleans(),
    st.floats(0, 1e9, allow_subnormal=False).filter(lambda value: value == 0 or value > 1e-3),
)
def test_values_survive_the_file(port: int, workers: int, enabled: bool, rate: float) -> None:
    """Values written into a file come back as they were."""
    rate_text = f"{rate:.6f}"
    text = (
        f"[server]\nport = {port}\n[tasks]\nworkers: {workers}\n"
        f"[email]\nenabled: {str(enabled).upper()}\n[events]\nprogress_rate: {rate_text}\n"
    )
    loaded = _load(text.encode())
    assert (loaded.server.port, loaded.tasks.workers, loaded.email.enabled) == (
        port,
        workers,
        enabled,
    )
    assert loaded.events.progress_rate == float(rate_text)
