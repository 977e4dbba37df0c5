"""The real server behind a proxy that ends TLS: the log tells of the client, and of nobody else."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import create, sync
from tests.services import PATIENCE, until
from tests.services.tls import Files, HttpProxy, issue

#: Whom the proxy of these tests says that it was asked by.
CLIENT = "192.0.2.7"
CONFIG = (
    "access_log: yes\nlog_type: json\ntrusted_proxies: {trusted}\n"
    "[security]\nclient_certificate_header: Client-Cert\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield a server that believes a proxy on this machine."""
    data = tmp_path_factory.mktemp("proxied") / "data"
    with PulpitServer(data, CONFIG.format(trusted="127.0.0.1"), door=False) as server:
        create(server)
        yield server


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return the proxy's certificate."""
    return issue(tmp_path_factory.mktemp("pki"), "127.0.0.1")


def proxy(server: PulpitServer, files: Files, **added: str) -> HttpProxy:
    """Return a proxy that adds headers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    headers = {name.replace("_", "-"): value for name, value in added.items()}
    return HttpProxy(context, server.port, headers)


def logged(server: PulpitServer, path: str) -> dict[str, Any]:
    """Return the line of the log that tells of the request of a path, once it is there."""

    def look() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in server.log().splitlines()]
        return next((line for line in lines if line.get("path") == path), None)

    return until(look, f"the request of {path} is logged")


def ask(url: str, files: Files, path: str, **headers: str) -> httpx.Response:
    """Ask through a proxy."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    context = ssl.create_default_context(cafile=files.authority)
    return httpx.get(url + path, headers=told, verify=context, timeout=PATIENCE)


def test_the_client_is_told_of(server: PulpitServer, files: Files) -> None:
    """The log has its address, and not the one that it has made up."""
    with proxy(server, files, X_Forwarded_For=CLIENT, X_Forwarded_Proto="https") as front:
        url = f"https://127.0.0.1:{front.port}"
        ask(url, files, "/one", X_Forwarded_For="9.9.9.9")
        ask(url, files, "/two", Forwarded="for=9.9.9.9")
        ask(url, files, "/three", X_Forwarded_For='"; ,,', X_Forwarded_Proto="gopher")
    assert logged(server, "/one")["peer"] == CLIENT
    # nobody knows who wrote the other kind of header, so neither is believed
    assert logged(server, "/two")["peer"] == "127.0.0.1"
    assert logged(server, "/three")["peer"] == CLIENT


def test_forwarded_of_rfc_7239(server: PulpitServer, files: Files) -> None:
    """The newer header is read as well."""
    told = f'for="{CLIENT}:4711";proto=https;host=pulp.example.com'
    with proxy(server, files, Forwarded=told) as front:
        ask(f"https://127.0.0.1:{front.port}", files, "/rfc", Forwarded="for=9.9.9.9")
    assert logged(server, "/rfc")["peer"] == CLIENT


def test_a_client_certificate_that_the_proxy_passes_on(server: PulpitServer, files: Files) -> None:
    """It lets its user in, as one line of whatever form; the client's own line does not."""
    path = "/pulp/api/v2/users/admin/"
    auth = (server.user, server.password)
    login = f"{server.url}/pulp/api/v2/actions/login/"
    certificate = quote(httpx.post(login, auth=auth).json()["certificate"])
    with proxy(server, files, Client_Cert=certificate) as front:
        url = f"https://127.0.0.1:{front.port}"
        assert ask(url, files, path).json()["login"] == "admin"
        # this proxy continues what the client sends, which none should
        assert ask(url, files, path, Client_Cert=certificate).status_code == 401
    with proxy(server, files, Client_Cert="") as front:
        assert ask(f"https://127.0.0.1:{front.port}", files, path).status_code == 401


def test_who_is_no_proxy_is_not_believed(tmp_path: Path) -> None:
    """Neither with another proxy set nor with none, though it is on this machine."""
    for number, trusted in enumerate(("192.0.2.1", "")):
        config = CONFIG.format(trusted=trusted)
        with PulpitServer(tmp_path / str(number), config, door=False) as server:
            httpx.get(f"{server.url}/direct", headers={"X-Forwarded-For": "9.9.9.9"})
            assert logged(server, "/direct")["peer"] == "127.0.0.1"


def test_events_come_through(server: PulpitServer, files: Files) -> None:
    """A stream behind the proxy goes on from Last-Event-ID."""
    with (
        server.client() as client,
        proxy(server, files, X_Forwarded_For=CLIENT) as front,
    ):
        task = sync(client)
        with httpx.stream(
            "GET",
            f"https://127.0.0.1:{front.port}/pulpit/v1/events/",
            headers={"Accept": "text/event-stream", "Last-Event-ID": "1"},
            auth=(server.user, server.password),
            verify=ssl.create_default_context(cafile=files.authority),
            timeout=PATIENCE,
        ) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("id:")) == "id: 2"
            assert any(task in line for line in lines)


def test_a_unix_socket(tmp_path: Path, files: Files) -> None:
    """Who comes by it needs no TLS, is believed, and finds it again after a kill."""
    path = tmp_path / "pulpit.sock"
    config = f"access_log: yes\nlog_type: json\nsocket: {path}\n{files.settings}"
    server = PulpitServer(tmp_path / "data", config, door=False, cafile=files.authority)
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://pulpit") as client:
        with server:
            assert path.stat().st_mode & 0o777 == 0o660
            client.get("/one", headers={"X-Forwarded-For": CLIENT})
            assert logged(server, "/one")["peer"] == CLIENT
            client.get("/two")
            assert logged(server, "/two")["peer"] == ""
            with server.client() as secure:
                assert secure.status()
            with pytest.raises(RuntimeError, match="Another process listens"):
                PulpitServer(tmp_path / "other", f"socket: {path}\n", door=False).start()
            server.kill()
            assert path.exists()
            server.start()
            assert client.get("/pulp/api/v2/status/").json()["database_connection"]["connected"]
        assert not path.exists()
