"""Large uploads: through a kill of the server, within little memory, and off the disk again."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

from pulpit.client import Backoff, Client, send_file
from pulpit.domain.tasks import TaskState
from tests.acceptance.server import PulpitServer
from tests.services import until

_SIZE = 48 << 20
_PIECE = 6 << 20
#: What a server may take for uploads: less than one of the requests here.
_MEMORY = 24 << 20


def _file(folder: Path) -> tuple[Path, str]:
    """Make a large file; return it with its SHA-256."""
    source = random.Random(6)
    path, digest = folder / "large.iso", hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(_SIZE // _PIECE):
            data = source.randbytes(_PIECE)
            file.write(data)
            digest.update(data)
    return path, digest.hexdigest()


def _forget_peak(pid: int) -> None:
    """Have the most memory of a process counted from now on (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


def _import(client: Client, upload_id: str, digest: str, name: str) -> None:
    """Import an upload into isos; the task compares it with size and SHA-256."""
    key = {"name": name, "checksum": digest, "size": _SIZE}
    document = {"upload_id": upload_id, "unit_type_id": "iso", "unit_key": key}
    [task_id] = client.import_upload("isos", document).spawned
    report = until(lambda: _ended(client, task_id), "the import ends")
    assert report is TaskState.FINISHED, client.task(task_id)


def _ended(client: Client, task_id: str) -> TaskState | None:
    state = client.task(task_id).state
    return state if state.is_complete else None


def test_a_large_file_outlives_the_server(tmp_path: Path) -> None:
    """Killed between and within pieces, it has what it acknowledged; the client sends the rest.

    Memory grows by less than one request, however large uploads are; deleted ones leave nothing.
    """
    path, digest = _file(tmp_path)
    with PulpitServer(tmp_path / "data", door=False) as server, server.client() as client:
        client.create_repository({"id": "isos", "importer_type_id": "iso_importer"})
        upload_id = client.begin_upload()
        told: list[int] = []
        pids = [server.pid]

        def sent(done: int, _size: int) -> None:
            told.append(done)
            if done >= 3 * _PIECE and len(pids) == 1:
                server.kill()
                server.launch()
                pids.append(server.pid)

        lost: list[str] = []
        backoff = Backoff(patience=None, on_retry=lambda retry: lost.append(retry.reason))
        send_file(client, path, upload_id, backoff=backoff, sent=sent, piece=_PIECE)
        assert len(pids) == 2
        assert lost
        # what was acknowledged before is not sent again
        known = next(done for done in told if done >= 3 * _PIECE)
        assert min(told[told.index(known) :]) == known
        [state] = server.rows("SELECT received FROM uploads")
        assert state["received"] == f"[[0,{_SIZE}]]"
        # logins take more than uploads
        _forget_peak(server.pid)
        before = _peak(server.pid)
        whole = client.begin_upload()
        client.send_bytes(whole, 0, path.read_bytes())
        _import(client, whole, digest, "whole.iso")
        grown = _peak(server.pid) - before
        assert grown < _MEMORY, grown
        _import(client, upload_id, digest, "pieces.iso")
        for one in (upload_id, whole):
            client.delete_upload(one)
        assert not list((server.data / "uploads").iterdir())
        [artifact] = server.rows("SELECT digest, size FROM artifacts")
        assert artifact == {"digest": digest, "size": _SIZE}
