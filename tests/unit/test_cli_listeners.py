"""`pulpit listener` against a scripted server: what is sent, words, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pulpit.cli.exits import ExitCode
from tests.unit.command import Cli, runner
from tests.unit.fake_api import FakeApi, error_body

ID = "65f0c0de4f1d2a0001a2b3c4"
LISTENERS = "/pulpit/v1/listeners/"
ONE = f"{LISTENERS}{ID}/"
DELIVERY = "msg_0b8f5a6e6f0e4d8f9d541f2e3a4b5c6d"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: What could take over a terminal, and what would make two lines of one.
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\nsecond\u2028line"


def listener(**more: Any) -> dict[str, Any]:
    """Return a listener of type http as the server tells it."""
    return {
        "_href": f"/pulp/api/v2/events/{ID}/",
        "_id": {"$oid": ID},
        "_ns": "event_listeners",
        "id": ID,
        "notifier_type_id": "http",
        "notifier_config": {"url": "https://hooks.example/zoo", "password": "*****"},
        "event_types": ["repo.sync.finish"],
        "filters": {"repositories": ["zoo"], "tags": []},
        "enabled": True,
        "disabled": None,
        "health": {
            "failing_since": None,
            "last_delivered": "2024-05-01T11:55:00Z",
            "last_failed": None,
            "last_reason": None,
        },
        "counts": {"pending": 1200, "exhausted": 0},
        "created": "2024-05-01T10:00:00Z",
        "last_updated": "2024-05-01T10:00:00Z",
        "signing": {"secrets": 1, "until": None},
        **more,
    }


def delivery(**more: Any) -> dict[str, Any]:
    """Return a delivery that was given up, as the server tells it."""
    failed = {
        "time": "2024-05-01T11:50:00Z",
        "duration": 0.25,
        "verdict": "failed",
        "status": 503,
        "reason": "503: Service Unavailable",
        "response": "try later",
    }
    return {
        "id": DELIVERY,
        "event_type": "repo.sync.finish",
        "sequence": 7,
        "lane": "repository:zoo",
        "state": "exhausted",
        "attempts": [failed],
        "attempted": 8,
        "created": "2024-05-01T11:00:00Z",
        "due": None,
        "finished": "2024-05-01T11:50:00Z",
        **more,
    }


@pytest.fixture
def api() -> FakeApi:
    """Return a server with one listener."""
    api = FakeApi()
    api.at("GET", LISTENERS, [listener()])
    api.at("GET", ONE, listener())
    return api


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return a function that runs a command in a world of its own."""
    return runner(api, tmp_path)


def test_each_flag_of_http_has_its_place(api: FakeApi, cli: Cli) -> None:
    """Password and secret come by standard input; the new secret is shown, and that it is once."""
    api.at("POST", LISTENERS, listener(secret=SECRET), 201)
    done = cli(
        *("listener", "create", "http", "https://hooks.example/zoo", "--event", "task.*"),
        *("--event", "repo.sync.finish", "--repo", "zoo", "--repo", "farm", "--tag", "t"),
        *("--username", "keeper", "--password-stdin", "--secret-stdin", "--cloudevents"),
        *("--ca-path", "/ca.pem", "--client-cert", "/c.pem", "--client-key", "/k.pem"),
        stdin=f"pass word\n{SECRET}\n",
    )
    assert done.code == 0, done.err
    assert done.out == f"Created listener {ID}.\nSecret: {SECRET}\n"
    assert "not shown again" in done.err
    assert api.bodies("POST", LISTENERS) == [
        {
            "notifier_type_id": "http",
            "notifier_config": {
                "url": "https://hooks.example/zoo",
                "username": "keeper",
                "password": "pass word",
                "secret": SECRET,
                "ca_path": "/ca.pem",
                "client_cert": "/c.pem",
                "client_key": "/k.pem",
                "cloudevents": True,
            },
            "event_types": ["task.*", "repo.sync.finish"],
            "filters": {"repositories": ["zoo", "farm"], "tags": ["t"]},
        }
    ]


def test_mail_and_amqp_tell_of_repositories_without_event(api: FakeApi, cli: Cli) -> None:
    """What is not said is left to the server; no secret means no word of one."""
    api.at("POST", LISTENERS, listener(), 201)
    cli("listener", "create", "email", "a@example.com", "b@example.com", "--subject", "Zoo")
    done = cli("listener", "create", "amqp", "--exchange", "zoo")
    assert "Secret" not in done.out
    cli("listener", "create", "amqp")
    everything = {"event_types": ["*"]}
    assert api.bodies("POST", LISTENERS) == [
        {
            "notifier_type_id": "email",
            "notifier_config": {"subject": "Zoo", "addresses": ["a@example.com", "b@example.com"]},
            **everything,
        },
        {"notifier_type_id": "amqp", "notifier_config": {"exchange": "zoo"}, **everything},
        {"notifier_type_id": "amqp", "notifier_config": {}, **everything},
    ]


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("create", "http", "u", "--username", "keeper"), "", "--password-stdin"),
        (("create", "http", "u", "--username", "keeper", "--password-stdin"), "", "no password"),
        (("create", "http", "u", "--password-stdin"), "x\n", "--username"),
        (("create", "http", "u", "--secret-stdin"), "", "no secret"),
        (("update", ID), "", "name what is to be changed"),
        (("delete", ID), "", "--yes"),
        (("resend", ID), "", "--failed"),
        (("resend", ID, DELIVERY, "--failed"), "", "--failed"),
        (("resend", ID, DELIVERY, "--since", "2h"), "", "--failed"),
        (("deliveries", ID, "--since", "yesterday"), "", "30m, 2h, 7d"),
        (("rotate-secret", ID, "--overlap", "169"), "", "168"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_sent(
    api: FakeApi,
    cli: Cli,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: tuple[str, ...],
    stdin: str,
    words: str,
) -> None:
    """The exit code tells wrong usage, and the words tell what to say."""
    assert cli("listener", *arguments, stdin=stdin).code == ExitCode.USAGE
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert api.requests == []


def test_list_and_show(cli: Cli) -> None:
    """What a person reads has the figures; what a program reads is the server's document."""
    assert cli("listener", "list").out.split("\n")[1].split()[:4] == [
        ID,
        "http",
        "enabled",
        "1,200",
    ]
    shown = cli("listener", "show", ID).out
    for words in ("https://hooks.example/zoo", "repo.sync.finish", "1,200 deliveries", "5 min ago"):
        assert words in shown
    assert "*****" not in shown
    assert json.loads(cli("listener", "list", "--json").out) == [listener()]
    assert json.loads(cli("listener", "show", ID, "--json").out) == listener()


def test_no_listeners(api: FakeApi, cli: Cli) -> None:
    """How to make one is said where it does not disturb a program."""
    api.at("GET", LISTENERS, [])
    done = cli("listener", "list")
    assert (done.code, done.out) == (0, "")
    assert "listener create http URL" in done.err


def test_a_listener_that_is_unwell(api: FakeApi, cli: Cli) -> None:
    """Failing and disabled are told apart, with since when and why."""
    failing = {"failing_since": "2024-05-01T11:00:00Z", "last_reason": "connection refused"}
    api.at("GET", ONE, listener(health=failing))
    assert "failing, since 2024-05-01T11:00:00Z (1 h ago)" in cli("listener", "show", ID).out
    disabled = {"reason": "410: Gone", "time": "2024-05-01T11:30:00Z"}
    api.at("GET", ONE, listener(health=failing, enabled=False, disabled=disabled))
    assert "disabled 30 min ago: 410: Gone" in cli("listener", "show", ID).out


def test_secrets_that_can_not_be_read_are_told(api: FakeApi, cli: Cli) -> None:
    """Nothing is signed then, nor sent."""
    api.at("GET", ONE, listener(signing=None))
    assert "secrets can't be read" in cli("listener", "show", ID).out


def test_update_sends_what_was_named_alone(api: FakeApi, cli: Cli) -> None:
    """A key is removed by null; one filter keeps the other, which the server replaces with it."""
    api.at("PUT", ONE, listener())
    cli("listener", "update", ID, "--url", "https://new.example/", "--unset", "ca_path")
    cli("listener", "update", ID, "--no-cloudevents", "--event", "*", "--password-stdin", stdin="p")
    cli("listener", "update", ID, "--tag", "t", "--unset", "repo")
    cli("listener", "update", ID, "--tag", "t")
    assert api.bodies("PUT", ONE) == [
        {"notifier_config": {"url": "https://new.example/", "ca_path": None}},
        {"notifier_config": {"cloudevents": False, "password": "p"}, "event_types": ["*"]},
        {"filters": {"repositories": [], "tags": ["t"]}},
        {"filters": {"repositories": ["zoo"], "tags": ["t"]}},
    ]


def test_delete_enable_and_disable(api: FakeApi, cli: Cli) -> None:
    """Each says how things are then."""
    api.at("DELETE", ONE, None)
    assert cli("listener", "delete", ID, "--yes").out == f"Deleted listener {ID}.\n"
    api.at("POST", f"{ONE}enable/", listener())
    assert "enabled" in cli("listener", "enable", ID).out
    disabled = {"reason": "moves", "time": "2024-05-01T11:59:59Z"}
    api.at("POST", f"{ONE}disable/", listener(enabled=False, disabled=disabled))
    assert "disabled just now: moves" in cli("listener", "disable", ID, "--reason", "moves").out
    assert api.bodies("POST", f"{ONE}disable/") == [{"reason": "moves"}]


@pytest.mark.parametrize("command", ["show", "test", "doctor", "enable", "deliveries"])
def test_a_listener_that_is_not_there(api: FakeApi, cli: Cli, command: str) -> None:
    """It is called by its name, with the exit code for that."""
    gone = error_body(404, "PLP0009", "Missing", resources={"event_listener_id": "x"})
    for method, path in (
        ("GET", ""),
        ("POST", "test/"),
        ("POST", "doctor/"),
        ("POST", "enable/"),
        ("GET", "deliveries/"),
    ):
        api.at(method, f"{LISTENERS}x/{path}", gone, 404)
    done = cli("listener", command, "x")
    assert (done.code, done.out) == (ExitCode.NOT_FOUND, "")
    assert done.err == "Error: there is no listener x.\n"


def test_deliveries_are_asked_for_by_state_and_time(api: FakeApi, cli: Cli) -> None:
    """A span is reckoned from now; further pages are read while there are some."""
    listed = [delivery(id=f"{DELIVERY[:-1]}{number}") for number in range(2)]
    for row in listed:
        (row["last_attempt"],) = row.pop("attempts")
    first = {"deliveries": listed}
    api.at("GET", f"{ONE}deliveries/", {**first, "next": None})
    done = cli("listener", "deliveries", ID, "--state", "exhausted", "--since", "2h")
    params = dict(api.requests[-1].url.params.multi_items())
    assert params["state"] == "exhausted"
    assert params["since"].startswith("2024-05-01T10:00:00")
    assert len(done.out.splitlines()) == 3
    assert all(word in done.out for word in ("zoo", "exhausted", "8", "503: Service Unavailable"))
    told = json.loads(cli("listener", "deliveries", ID, "--json").out)
    assert told == first["deliveries"]


def test_a_delivery_with_each_attempt(api: FakeApi, cli: Cli) -> None:
    """Those that nobody knows any more are counted; what was answered stands below."""
    api.at("GET", f"{ONE}deliveries/{DELIVERY}/", delivery())
    shown = cli("listener", "delivery", ID, DELIVERY).out
    assert "7 older attempts" in shown
    assert "✗ 2024-05-01T11:50:00Z in 0.25 s: 503: Service Unavailable" in shown
    assert "try later" in shown
    waiting = delivery(state="pending", due="2024-05-01T12:05:00Z", finished=None)
    api.at("GET", f"{ONE}deliveries/{DELIVERY}/", waiting)
    assert "Next attempt  2024-05-01T12:05:00Z" in cli("listener", "delivery", ID, DELIVERY).out
    api.at("GET", f"{ONE}deliveries/{DELIVERY}/", waiting | {"due": "2024-05-01T11:00:00Z"})
    assert "Next attempt  it waits for" in cli("listener", "delivery", ID, DELIVERY).out


@pytest.mark.parametrize("command", [("show", ID), ("delivery", ID, DELIVERY)])
def test_nothing_is_filled_up_with_blanks(api: FakeApi, cli: Cli, command: tuple[str, ...]) -> None:
    """Written to a file, a line ends with its last word."""
    health = {"last_failed": "2024-05-01T11:00:00Z", "last_reason": "no answer"}
    api.at("GET", ONE, listener(health=health))
    api.at("GET", f"{ONE}deliveries/{DELIVERY}/", delivery())
    lines = cli("listener", *command, COLUMNS="200").out.splitlines()
    assert lines
    assert max(map(len, lines)) < 100


def test_resend(api: FakeApi, cli: Cli) -> None:
    """One, all that were given up, and those since a time."""
    api.at("POST", f"{ONE}resend/", {"resent": 3})
    assert cli("listener", "resend", ID, "--failed").out == "3 deliveries are sent again.\n"
    cli("listener", "resend", ID, DELIVERY)
    cli("listener", "resend", ID, "--failed", "--since", "30m")
    everything, one, since = api.bodies("POST", f"{ONE}resend/")
    assert (everything, one) == ({"all": True}, {"delivery": DELIVERY})
    assert since["since"].startswith("2024-05-01T11:30:00")
    api.at("POST", f"{ONE}resend/", {"resent": 0})
    assert "nothing" in cli("listener", "resend", ID, "--failed").out


def pinged(**more: Any) -> dict[str, Any]:
    """Return what came of a ping, as the server tells it."""
    taken = {
        "verdict": "delivered",
        "status": 204,
        "reason": "",
        "response": "",
        "retry_after": None,
    }
    return {
        "disabled": False,
        "receipt": taken,
        "exchange": {
            "peer": "192.0.2.7:443",
            "sent": ["POST /zoo HTTP/1.1", "webhook-id: msg_1", "", '{"event_type":"ping"}'],
            "received": ["HTTP/1.1 204 No Content"],
        },
        **more,
    }


def test_a_ping_shows_the_whole_exchange(api: FakeApi, cli: Cli) -> None:
    """One that is not taken has an exit code of its own."""
    api.at("POST", f"{ONE}test/", pinged())
    done = cli("listener", "test", ID)
    assert done.code == 0
    assert done.out.splitlines() == [
        "* connected to 192.0.2.7:443",
        "> POST /zoo HTTP/1.1",
        "> webhook-id: msg_1",
        "> ",
        '> {"event_type":"ping"}',
        "< HTTP/1.1 204 No Content",
        "✓ ping to https://hooks.example/zoo delivered: 204",
    ]
    receipt = {"verdict": "failed", "status": None, "reason": "connection refused"}
    nothing = {"peer": "192.0.2.7:443", "sent": [], "received": []}
    refused = pinged(receipt=receipt, exchange=nothing, disabled=True)
    api.at("POST", f"{ONE}test/", refused)
    done = cli("listener", "test", ID)
    assert done.code == ExitCode.UNSOUND
    assert done.out.startswith("* no connection to 192.0.2.7:443\n")
    assert "failed: connection refused" in done.out
    assert "It is disabled" in done.err
    assert json.loads(cli("listener", "test", ID, "--json").out) == refused


def test_the_doctor_at_the_server(api: FakeApi, cli: Cli) -> None:
    """Findings are shown as those of `pulpit doctor`, with its exit code."""
    finding = {
        "group": "Receiver",
        "check": "tcp",
        "title": "TCP",
        "outcome": "failed",
        "detail": "connection refused",
        "fix": "start the receiver",
    }
    api.at("POST", f"{ONE}doctor/", {"outcome": "failed", "findings": [finding]})
    done = cli("listener", "doctor", ID)
    assert done.code == ExitCode.UNSOUND
    for words in ("Receiver", "✗ TCP", "→ start the receiver", "1 thing to mend."):
        assert words in done.out
    told = json.loads(cli("listener", "doctor", ID, "--json").out)
    assert told["outcome"] == "failed"
    assert told["findings"][0]["check"] == "tcp"
    api.at("POST", f"{ONE}doctor/", {"outcome": "ok", "findings": [{**finding, "outcome": "ok"}]})
    assert cli("listener", "doctor", ID).code == 0


def test_a_secret_is_rotated_and_shown_once(api: FakeApi, cli: Cli) -> None:
    """The new one, and until when the old one signs beside it."""
    api.at("POST", f"{ONE}rotate-secret/", {"secret": SECRET, "until": "2024-05-03T12:00:00Z"})
    done = cli("listener", "rotate-secret", ID, "--overlap", "48")
    assert api.bodies("POST", f"{ONE}rotate-secret/") == [{"overlap": 48}]
    assert done.out.splitlines() == [
        f"Secret: {SECRET}",
        "The old secret signs beside it until 2024-05-03T12:00:00Z.",
    ]


@pytest.mark.parametrize("width", ["80", "160"])
def test_hostile_texts_stay_in_their_place(api: FakeApi, cli: Cli, width: str) -> None:
    """No control character reaches the terminal, no line is too long, and ids stay whole."""
    evil = listener(
        notifier_config={"url": "https://hooks.example/" + "x" * 300, HOSTILE: HOSTILE},
        event_types=[HOSTILE],
        filters={"repositories": [HOSTILE], "tags": [HOSTILE]},
        health={"failing_since": HOSTILE, "last_reason": HOSTILE, "last_failed": HOSTILE},
        disabled={"reason": HOSTILE, "time": HOSTILE},
    )
    answered = {"peer": HOSTILE, "sent": [HOSTILE, 7], "received": [HOSTILE]}
    attempt = dict.fromkeys(("time", "verdict", "reason", "response"), HOSTILE)
    late = delivery(lane=f"repository:{HOSTILE}", event_type=HOSTILE, attempts=[attempt])
    api.at("GET", LISTENERS, [evil])
    api.at("GET", ONE, evil)
    api.at("GET", f"{ONE}deliveries/", {"deliveries": [late], "next": None})
    api.at("GET", f"{ONE}deliveries/{DELIVERY}/", late)
    receipt = {"verdict": HOSTILE, "reason": HOSTILE, "status": HOSTILE}
    api.at("POST", f"{ONE}test/", pinged(receipt=receipt, exchange=answered))
    for command in (
        ("list",),
        ("show", ID),
        ("deliveries", ID),
        ("delivery", ID, DELIVERY),
        ("test", ID),
    ):
        done = cli("listener", *command, COLUMNS=width)
        assert not set(done.out) & set("\x1b\x07\u202e\u2028"), command
        if command[0] != "test":
            assert max(len(line) for line in done.out.splitlines()) <= int(width), command
    assert ID in cli("listener", "list", COLUMNS=width).out
    assert DELIVERY in cli("listener", "deliveries", ID, COLUMNS=width).out
