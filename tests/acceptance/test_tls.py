"""The real server speaks TLS itself: API, stream and door, with clients as users have them."""

from __future__ import annotations

import importlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pika
import pytest
import trustme

from pulpit.client import Untrusted
from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import ON, create, sync
from tests.services import PATIENCE, missing, until
from tests.services import dnf as dnf_service
from tests.services.dnf import Dnf
from tests.services.tls import Files, issue

# kombu says that it is typed, and is not
kombu: Any = importlib.import_module("kombu")

AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return a certificate for 127.0.0.1."""
    return issue(tmp_path_factory.mktemp("pki"), "127.0.0.1", "localhost", authority=AUTHORITY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[PulpitServer]:
    """Yield a server with TLS at the API and the door, with repository zoo."""
    data = tmp_path_factory.mktemp("tls") / "data"
    with PulpitServer(data, configured(files), cafile=files.authority) as server:
        create(server)
        yield server


def configured(files: Files) -> str:
    """Return the configuration with TLS at both ports."""
    return f"{files.settings}{ON}[door]\ntls: on\n"


def pulpit(
    server: PulpitServer, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of `pulpit`."""
    command = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
    return subprocess.run(
        [*command, *arguments],
        env={**server.environ(), **environ},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def shown_at(port: int) -> bytes:
    """Return the certificate that is shown at a port."""
    context = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plug,
        context.wrap_socket(plug, server_hostname="127.0.0.1") as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
        assert shown
        return shown


def test_the_server_says_so(server: PulpitServer) -> None:
    """Its first words, its events and its AsyncAPI document say https and amqps."""
    assert f"Pulpit is ready at https://127.0.0.1:{server.port}/\n" in server.output
    assert f"AMQP door: amqps://127.0.0.1:{server.door_port}\n" in server.output
    told = curl(server, "/pulpit/v1/asyncapi.json")
    assert json.loads(told)["servers"]["http"]["protocol"] == "https"
    assert json.loads(told)["servers"]["door"]["protocol"] == "amqps"


def curl(server: PulpitServer, path: str, *arguments: str) -> str:
    """Return what curl gets."""
    if shutil.which("curl") is None:
        missing("curl")
    cafile = server.environ()["PULPIT_CAFILE"]
    user = f"{server.user}:{server.password}"
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--cacert", cafile, "-u", user, *arguments, server.url + path],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_and_its_events(server: PulpitServer) -> None:
    """The stream comes through TLS, resumed from a number."""
    with server.client() as client:
        sync(client)
    header = "Accept: text/event-stream"
    path = "/pulpit/v1/events/?since=0"
    # it is cut off in the middle of an endless stream
    first = subprocess.run(
        ["curl", "-sS", "-N", "--max-time", "2", "--cacert", server.environ()["PULPIT_CAFILE"],
         "-u", f"{server.user}:{server.password}", "-H", header, server.url + path],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "\nid: 1\n" in f"\n{first.stdout}"


@pytest.mark.parametrize("version", ["--tlsv1.2", "--tlsv1.3"])
def test_versions_of_tls(server: PulpitServer, version: str) -> None:
    """1.2 and 1.3 are spoken, and both kinds of headers are as they should be."""
    limit = ("--tls-max", "1.2") if version == "--tlsv1.2" else ()
    answer = curl(server, "/pulp/api/v2/status/", version, *limit, "-D", "-")
    assert answer.startswith("HTTP/1.1 200 ")
    assert "x-content-type-options: nosniff" in answer.lower()
    assert "strict-transport-security" not in answer.lower()


def test_a_client_certificate_stands_for_the_password(server: PulpitServer, tmp_path: Path) -> None:
    """That of `actions/login/` lets in; one of another authority breaks off the handshake."""
    cafile = server.environ()["PULPIT_CAFILE"]
    pem, foreign = tmp_path / "ours.pem", tmp_path / "foreign.pem"
    trustme.CA().issue_cert("admin").private_key_and_cert_chain_pem.write_to_path(str(foreign))
    auth = (server.user, server.password)

    def asking(shown: Path | None) -> httpx.Client:
        context = ssl.create_default_context(cafile=cafile)
        if shown:
            context.load_cert_chain(shown)
        return httpx.Client(base_url=f"{server.url}/pulp/api/v2/", verify=context, timeout=PATIENCE)

    with asking(None) as client:
        issued = client.post("actions/login/", auth=auth).json()
        assert client.get("users/admin/").status_code == 401
    pem.write_text(issued["key"] + issued["certificate"])
    with asking(pem) as client:
        assert client.get("users/admin/").json()["login"] == "admin"
        assert client.post("actions/login/").status_code == 403
    with asking(foreign) as client, pytest.raises(httpx.TransportError):
        client.get("status/")
    context = ssl.create_default_context(cafile=cafile)
    context.load_cert_chain(foreign)
    # the door asks for none, so this one offends nobody
    with (
        socket.create_connection(("127.0.0.1", server.door_port), timeout=PATIENCE) as plug,
        context.wrap_socket(plug, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"AMQP\x00\x00\x09\x01")
        assert secure.recv(1) == b"\x01"


def test_old_versions_are_refused(server: PulpitServer) -> None:
    """1.1 is not spoken."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 "):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    for port in (server.port, server.door_port):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plug,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(plug)


def test_commands(server: PulpitServer, tmp_path: Path) -> None:
    """They find the server by PULPIT_CAFILE or --cafile, log in, and follow a task to its end."""
    cafile = server.environ()["PULPIT_CAFILE"]
    home = {"XDG_CONFIG_HOME": str(tmp_path), "PULPIT_CAFILE": ""}
    done = pulpit(server, "--cafile", cafile, "login", server.user, **home)
    assert done.returncode == 0, done.stderr
    followed = pulpit(server, "repo", "sync", "zoo", "--json")
    assert followed.returncode == 0, followed.stderr
    kept = {**home, "PULPIT_URL": "", "PULPIT_USER": "", "PULPIT_PASSWORD": ""}
    listed = pulpit(server, "--cafile", cafile, "repo", "list", **kept)
    assert "zoo" in listed.stdout, listed.stderr


def test_what_is_not_trusted_is_told(server: PulpitServer) -> None:
    """Without the authority, the command says what to do, and how it ended."""
    done = pulpit(server, "repo", "list", PULPIT_CAFILE="")
    assert done.returncode == 5
    assert "--cafile" in done.stderr
    done = pulpit(server, "repo", "list", PULPIT_CAFILE="/nowhere.pem")
    assert done.returncode == 2
    assert "/nowhere.pem can't be read" in done.stderr
    done = pulpit(server, "repo", "list", PULPIT_URL=server.url.replace("127.0.0.1", "127.0.0.2"))
    assert done.returncode == 5


def test_doctor(server: PulpitServer, files: Files) -> None:
    """It looks at certificate, API and door by TLS, and finds all well."""
    config = server.data.with_name(f"{server.data.name}.conf")
    arguments = ["--config", str(config), "--data", str(server.data), "--port", str(server.port)]
    door = ["--door", f"127.0.0.1:{server.door_port}"]
    done = pulpit(
        server,
        "doctor",
        "--json",
        *arguments,
        *door,
        PULPIT_URL="",
        PULPIT_SERVER_SERVER_NAME="localhost",
    )
    found = {each["check"]: each["outcome"] for each in json.loads(done.stdout)["findings"]}
    expected = ["own_files", "own_name", "own_expiry", "own_chain", "api", "ready", "login", "door"]
    assert {name: found[name] for name in expected} == dict.fromkeys(expected, "ok"), done.stdout


def test_kombu_at_the_door(server: PulpitServer) -> None:
    """A consumer of kombu hears of a task by amqps."""
    url = server.door_url.replace("amqp://", "amqps://")
    secure = {"ca_certs": server.environ()["PULPIT_CAFILE"], "cert_reqs": ssl.CERT_REQUIRED}
    heard: list[str] = []
    with kombu.Connection(url, ssl={**secure, "server_hostname": "127.0.0.1"}) as connection:
        exchange = kombu.Exchange("pulp.api.v2", "topic", passive=True)
        queue = kombu.Queue("", exchange, "tasks.#", exclusive=True)

        def hear(_body: object, message: Any) -> None:
            heard.append(message.delivery_info["routing_key"])
            message.ack()

        with connection.Consumer([queue], callbacks=[hear]), server.client() as client:
            task = sync(client)
            while f"tasks.{task}" not in heard:
                connection.drain_events(timeout=PATIENCE)


def pika_at(
    server: PulpitServer, *, login: str | None = None, password: str | None = None
) -> pika.BlockingConnection:
    """Return a connection of pika to the door by amqps, of the first user unless one is named."""
    context = ssl.create_default_context(cafile=server.environ()["PULPIT_CAFILE"])
    credentials = pika.PlainCredentials(login or server.user, password or server.password)
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            "127.0.0.1",
            server.door_port,
            "/",
            credentials,
            ssl_options=pika.SSLOptions(context, "127.0.0.1"),
        )
    )


def test_pika_at_the_door(server: PulpitServer) -> None:
    """A consumer of pika hears of a task by amqps."""
    with closing(pika_at(server)) as connection, server.client() as client:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "pulp.api.v2", "tasks.#")
        task = sync(client)
        method, _, _ = next(channel.consume(queue, auto_ack=True, inactivity_timeout=PATIENCE))
        assert method is not None
        assert method.routing_key == f"tasks.{task}"


def test_the_door_is_for_those_who_may_read_events(server: PulpitServer) -> None:
    """A user without that right is refused there as by HTTP, until it is granted."""
    ann = {"login": "ann", "password": "ann's"}
    with server.client() as client:
        client.create_user(ann)
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika_at(server, **ann)
        client.grant_to_user("ann", "/pulpit/v1/events/", ["READ"])
        with closing(pika_at(server, **ann)) as connection:
            assert connection.channel().is_open
        client.delete_user("ann")


def test_dnf(server: PulpitServer, tmp_path: Path) -> None:
    """The tool dnf reads what is published with sslcacert, and not without."""
    if not dnf_service.installed():
        missing("dnf (as root)")
    with server.client() as client:
        sync(client)
        (task,) = client.publish("zoo", "web").spawned
        until(lambda: client.task(task).state.is_complete, "the publish ends")
    url = f"{server.url}/pulp/repos/zoo/"
    cafile = server.environ()["PULPIT_CAFILE"]
    # in this order: dnf keeps what it has read of a URL once
    with pytest.raises(dnf_service.DnfError, match="Cannot download"):
        Dnf(tmp_path / "one", url).repoquery()
    machine = Dnf(tmp_path / "two", url, options=(f"x.sslcacert={cafile}",))
    assert machine.repoquery()


def test_a_new_certificate_without_dropping_a_connection(
    server: PulpitServer, files: Files
) -> None:
    """After SIGHUP both ports show it, while a stream and a consumer go on."""
    before = shown_at(server.port)
    assert shown_at(server.door_port) == before
    context = ssl.create_default_context(cafile=files.authority)
    with (
        server.client() as client,
        closing(pika_at(server)) as door,
        httpx.stream(
            "GET",
            f"{server.url}/pulpit/v1/events/?since={client.head()}",
            headers={"Accept": "text/event-stream"},
            auth=(server.user, server.password),
            verify=context,
            timeout=PATIENCE,
        ) as stream,
    ):
        lines = stream.iter_lines()
        first = sync(client)
        assert any(first in line for line in lines)
        issue(files.certificate.parent, "127.0.0.1", "localhost", authority=AUTHORITY)
        server.reload(configured(files))
        until(lambda: shown_at(server.port) != before, "the API shows the new one")
        assert shown_at(server.door_port) == shown_at(server.port)
        task = sync(client)
        assert any(task in line for line in lines)
        # the server is asked, and answers on the connection of before
        assert door.channel().is_open


def test_a_certificate_that_can_not_be_used_changes_nothing(
    server: PulpitServer, files: Files
) -> None:
    """The old one goes on, and the log says what is wrong; one that has expired is only told."""
    shown = shown_at(server.port)
    seen = len(server.log())
    good = files.certificate.read_bytes()
    files.certificate.write_bytes(AUTHORITY.issue_cert("127.0.0.1").cert_chain_pems[0].bytes())
    server.reload(configured(files))
    until(lambda: "refused" in server.log()[seen:], "the refusal is told")
    assert f"{files.key} is not the key" in server.log()[seen:]
    assert shown_at(server.port) == shown
    files.certificate.write_bytes(good)
    issue(
        files.certificate.parent,
        "127.0.0.1",
        authority=AUTHORITY,
        until=datetime(2021, 1, 1, tzinfo=UTC),
    )
    server.reload(configured(files))
    until(lambda: "has expired" in server.log()[seen:], "the warning is told")

    def expired() -> bool:
        try:
            with server.client() as client:
                client.status()
        except Untrusted as error:
            return "has expired" in error.message
        return False

    until(expired, "clients refuse it and say why")
    issue(files.certificate.parent, "127.0.0.1", "localhost", authority=AUTHORITY)
    server.reload(configured(files))
    until(lambda: not expired(), "a new one is trusted again")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("certificate: {certificate}\n", "private_key"),
        ("private_key: {key}\n", "certificate"),
        ("certificate: /nowhere.pem\nprivate_key: {key}\n", "/nowhere.pem can't be read"),
        ("certificate: {key}\nprivate_key: {key}\n", "holds none as PEM"),
        ("certificate: {authority}\nprivate_key: {key}\n", "is not the key"),
        ("[door]\ntls: on\n", "certificate and private_key"),
    ],
)
def test_a_start_that_can_not_be(tmp_path: Path, files: Files, config: str, words: str) -> None:
    """The server says what is wrong with its certificate and key, and ends."""
    text = config.format(certificate=files.certificate, key=files.key, authority=files.authority)
    server = PulpitServer(tmp_path / "data", text, door=False)
    with pytest.raises(RuntimeError, match=words.replace(".", r"\.")):
        server.start()
