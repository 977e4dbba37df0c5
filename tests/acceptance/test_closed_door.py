"""A closed door: no channel tells anything to strangers, and no secret stands in what it tells."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pamqp import commands

from pulpit.client import Client, Event
from pulpit.domain.tasks import TaskState
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.acceptance.setups import Kind, Setup
from tests.door_wire import PROTOCOL_HEADER, Wire
from tests.services.consumer import Consumer
from tests.services.http import Answer, FeedServer
from tests.services.rabbitmq import RabbitMQ

_FEED = Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo"
_EVENTS = "/pulpit/v1/events/?since=0&limit=1000"
_STREAM = {"Accept": "text/event-stream"}
#: Path and headers of each way to read events, or what is made of them, over HTTP.
_CHANNELS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "stream": (_EVENTS, _STREAM),
    "resumed stream": ("/pulpit/v1/events/", {**_STREAM, "Last-Event-ID": "0"}),
    "stream of CloudEvents": (f"{_EVENTS}&format=cloudevents", _STREAM),
    "pages": (_EVENTS, {}),
    "pages of CloudEvents": (_EVENTS, {"Accept": "application/cloudevents-batch+json"}),
    "snapshot": ("/pulpit/v1/snapshot/", {}),
    "metrics": ("/metrics", {}),
    "tasks": ("/pulp/api/v2/tasks/", {}),
}


@dataclass(frozen=True, kw_only=True)
class _Secret:
    """Something that nobody may read, and where it is used."""

    where: str
    text: str

    def forms(self) -> list[bytes]:
        """Return how it may stand anywhere, plain or thinly veiled."""
        quoted = quote(self.text, safe="")
        forms = {self.text, quoted, quoted.lower(), json.dumps(self.text)[1:-1]}
        # with any login before it, Base64 falls into one of three steps
        for lead in (b"", b"x", b"xx"):
            veiled = base64.b64encode(lead + self.text.encode()).decode()
            forms.add(veiled[4:-4])
        return [form.encode() for form in forms]


_DEFAULT = _Secret(where="default_password", text="default-Tr0ub4dor&3-of-admin")
_BROKER = _Secret(where="event_notification_url", text="broker/pass:word@horse-battery")
_FEED_URL = _Secret(where="feed", text="feed/pass:word@correct-staple")
_BASIC = _Secret(where="basic_auth_password", text="basic-auth-0pen-sesame")
_PROXY = _Secret(where="proxy_password", text="proxy-pass-abracadabra")
_KEY = _Secret(where="ssl_client_key", text="MIIEvQIBADANBgkqhkiG9w0BAQEFAASC-private")
_TOKEN = _Secret(where="query_auth_token", text="query-token-d34db33f-cafe")
_DATABASE = _Secret(where="[database] url", text="data/base:pass@word-of-rows")
_SECRETS = (_DEFAULT, _DATABASE, _BROKER, _FEED_URL, _BASIC, _PROXY, _KEY, _TOKEN)


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    """Yield a feed that lets in who has its password, and fails at other paths."""
    with FeedServer(_FEED) as running:
        running.answer("/*", Answer(credentials=("reader", _FEED_URL.text)))
        running.answer("/gone/*", Answer(status=404))
        running.answer("/away/*", Answer(status=302, headers={"Location": "/gone/elsewhere"}))
        yield running


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Iterator[RabbitMQ]:
    """Yield a broker with a user of its own for the server."""
    rabbitmq.ctl("add_user", "pulpit", _BROKER.text)
    rabbitmq.ctl("set_permissions", "pulpit", ".*", ".*", ".*")
    try:
        yield rabbitmq
    finally:
        rabbitmq.ctl("delete_user", "pulpit")


def _read(http: httpx.Client, channel: str, **credentials: Any) -> tuple[int, bytes]:
    """Return the status of an answer and how it begins; a stream is read up to its first event."""
    path, headers = _CHANNELS[channel]
    headers = {**headers, **credentials.pop("headers", {})}
    with http.stream("GET", path, headers=headers, **credentials) as answer:
        data = b""
        for piece in answer.iter_bytes():
            data += piece
            if b"\nid: " in data or b"\nevent: " in data:
                break
        return answer.status_code, data


_STRANGERS: Mapping[str, Mapping[str, Any]] = {
    "nobody": {},
    "wrong password": {"auth": ("admin", "admin")},
    "unknown user": {"auth": ("root", _DEFAULT.text)},
    "guest": {"auth": ("guest", "guest")},
    "bearer": {"headers": {"Authorization": f"Bearer {_DEFAULT.text}"}},
}


def test_no_channel_tells_strangers_anything(tmp_path: Path, feed: FeedServer) -> None:
    """Each way to read events answers users, and 401 or a closed connection to everybody else."""
    with (
        PulpitServer(tmp_path / "data", password=_DEFAULT.text) as server,
        server.client() as client,
        httpx.Client(base_url=server.url, trust_env=False) as http,
    ):
        House(server=server, client=client, feed=feed).create("zoo")
        client.sync("zoo")
        task = next(iter(client.tasks())).task_id.encode()
        for channel in _CHANNELS:
            status, data = _read(http, channel, auth=(server.user, server.password))
            assert status == 200, channel
            assert task in data or channel in {"snapshot", "metrics"}, channel
            for name, credentials in _STRANGERS.items():
                status, data = _read(http, channel, **credentials)
                assert status == 401, (channel, name)
                assert task not in data
        _judge_door(server)


def _judge_door(server: PulpitServer) -> None:
    """Check that the door lets in its users and nobody else."""
    where = ("127.0.0.1", server.door_port)
    with Wire(*where) as wire:
        wire.log_in(server.user, server.password)
    for login, password in [("guest", "guest"), ("", ""), ("admin", "admin"), ("admin", "")]:
        with Wire(*where) as wire:
            wire.start(login, password)
            _assert_refused(wire)
    # who skips the credentials
    with Wire(*where) as wire:
        wire.send(PROTOCOL_HEADER)
        wire.expect(commands.Connection.Start)
        wire.send_method(commands.Connection.TuneOk(), 0)
        wire.send_method(commands.Connection.Open("/"), 0)
        wire.send_method(commands.Channel.Open())
        _assert_refused(wire)


def _assert_refused(wire: Wire) -> None:
    """Check that the connection is closed, with or without a word."""
    while (received := wire.receive()) is not None:
        assert isinstance(received[1], commands.Connection.Close)
        break


def _work(house: House) -> None:
    """Let tasks that know secrets end well and badly."""
    client, port = house.client, house.feed.port
    credentials = f"reader:{quote(_FEED_URL.text, safe='')}"
    url = f"http://{credentials}@127.0.0.1:{port}"
    house.create("good", feed=f"{url}/")
    house.renew("good")
    keys = {secret.where: secret.text for secret in (_BASIC, _KEY, _TOKEN)}
    failing: dict[str, dict[str, Any]] = {
        "refused": {"basic_auth_username": "reader", **keys},
        "gone": {"feed": f"{url}/gone/"},
        "away": {"feed": f"{url}/away/"},
        "proxied": {
            "feed": f"{url}/",
            "proxy_host": "http://127.0.0.1",
            "proxy_port": 9,
            "proxy_username": "me",
            "proxy_password": _PROXY.text,
        },
    }
    for repo_id, importer_config in failing.items():
        house.create(repo_id, **importer_config)
        assert house.sync(repo_id).state is TaskState.ERROR, repo_id
    override = {"feed": f"{url}/gone/", "proxy_password": _PROXY.text, **keys}
    assert house.over(client.sync("good", override=override)).state is TaskState.ERROR


def _update(http: httpx.Client) -> None:
    """Change configurations by tasks, and ask for what is refused."""
    secrets = {secret.where: secret.text for secret in (_BASIC, _PROXY, _KEY, _TOKEN)}
    importer = "/pulp/api/v2/repositories/good/importers/yum_importer/"
    answer = http.put(importer, json={"importer_config": secrets})
    assert answer.status_code == 202
    bad = {"feed": f"gopher://reader:{quote(_FEED_URL.text, safe='')}@127.0.0.1/", **secrets}
    assert http.put(importer, json={"importer_config": bad}).status_code == 400
    assert http.get(importer).status_code == 200


def _told(http: httpx.Client) -> dict[str, bytes]:
    """Return what every channel over HTTP has to say."""
    pages = ("pages", "pages of CloudEvents", "snapshot", "metrics", "tasks")
    told = {}
    for channel in pages:
        path, headers = _CHANNELS[channel]
        answer = http.get(path, headers=headers)
        assert answer.status_code == 200
        told[channel] = answer.content + repr(answer.headers.raw).encode()
    told["status"] = http.get("/pulp/api/v2/status/").content
    told["AsyncAPI"] = http.get("/pulpit/v1/asyncapi.json").content
    return told


def _streamed(client: Client, last: str) -> bytes:
    """Return all events up to the one of that id, as the stream tells them."""
    told = []
    for event in client.events(since=0):
        told.append(repr(event))
        if isinstance(event, Event) and event.id == last:
            break
    return "\n".join(told).encode()


@pytest.mark.parametrize("own_setup", [Kind.SQLITE, Kind.DISTRIBUTED], indirect=True)
def test_no_secret_stands_anywhere(
    own_setup: Setup, tmp_path: Path, feed: FeedServer, broker: RabbitMQ
) -> None:
    """No password, whomever it is for, is in any event, header, log or answer."""
    password = quote(_BROKER.text, safe="")
    urls = f"amqp://pulpit:wrong{password}@127.0.0.1:9;amqp://pulpit:{password}@{broker.host}"
    config = (
        "[messaging]\nevent_notifications_enabled: true\n"
        f"event_notification_url: {urls}:{broker.port}\n"
    )
    with (
        Consumer(broker.host, broker.port) as consumer,
        own_setup.server(
            tmp_path / "data",
            config,
            url=own_setup.with_password(_DATABASE.text),
            password=_DEFAULT.text,
        ) as server,
        server.client() as client,
        httpx.Client(
            base_url=server.url, auth=(server.user, server.password), trust_env=False
        ) as http,
    ):
        _work(House(server=server, client=client, feed=feed))
        _update(http)
        last = _last_event(http)
        told = {**_told(http), "stream": _streamed(client, last)}
        messages = consumer.collect(lambda got: any(m.message_id == last for m in got))
        told["RabbitMQ"] = repr([(m.body, m.properties) for m in messages]).encode()
        told["journal"] = repr(server.rows("SELECT * FROM journal")).encode()
        server.stop()
        told["log"] = server.log().encode() + "".join(server.output).encode()
    for channel, text in told.items():
        assert len(text) > 100, channel
        for secret in _SECRETS:
            for form in secret.forms():
                assert form not in text, (channel, secret.where, form)


def _last_event(http: httpx.Client) -> str:
    """Return the id of the newest event once the last task is over."""
    while True:
        tasks = http.get("/pulp/api/v2/tasks/").json()
        if all(TaskState(task["state"]).is_complete for task in tasks):
            break
    events = http.get(_EVENTS).json()["events"]
    assert len(events) < 1_000
    return str(events[-1]["id"])
