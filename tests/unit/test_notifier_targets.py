"""Where deliveries by HTTP may go, and above all where not."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pulpit.errors import InvalidValue, MissingValue, RequestError
from pulpit.events.notifiers.attempts import Attempted
from pulpit.events.notifiers.configuration import check_config
from pulpit.events.notifiers.connecting import Guard, Resolver
from pulpit.events.notifiers.networks import Networks
from pulpit.events.notifiers.targets import parse_target

NOWHERE = Networks()

#: Addresses that no listener may be told at, each by what it is told to be.
FORBIDDEN = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "shared",
    "100.127.255.255": "shared",
    "100.100.100.200": "metadata",
    "127.0.0.1": "loopback",
    "127.1.2.3": "loopback",
    "127.255.255.255": "loopback",
    "168.63.129.16": "metadata",
    "169.254.0.1": "link-local",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "reserved",
    "192.0.0.192": "metadata",
    "192.0.2.1": "documentation",
    "192.88.99.1": "reserved",
    "192.168.0.1": "private",
    "192.168.255.255": "private",
    "198.18.0.1": "benchmarks",
    "198.19.255.255": "benchmarks",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.254": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::2": "written as one of IPv6",
    "::127.0.0.1": "written as one of IPv6",
    "::8.8.8.8": "written as one of IPv6",
    "::169.254.169.254": "metadata",
    "::ffff:127.0.0.1": "written as one of IPv6",
    "::ffff:10.0.0.1": "written as one of IPv6",
    "::ffff:8.8.8.8": "written as one of IPv6",
    "::ffff:7f00:1": "written as one of IPv6",
    "::ffff:169.254.169.254": "metadata",
    "::ffff:0:127.0.0.1": "reserved",
    "64:ff9b::127.0.0.1": "leads to 127.0.0.1, a loopback",
    "64:ff9b::10.0.0.1": "leads to 10.0.0.1, a private",
    "64:ff9b::169.254.169.254": "metadata",
    "64:ff9b:1::1": "reserved",
    "100::1": "reserved",
    "2001::7f00:1": "leads to 0.0.0.0",
    "2001:0:808:808::80ff:fffe": "leads to 127.0.0.1, a loopback",
    "2001:0:7f00:1::f7f7:f7f7": "leads to 127.0.0.1, a loopback",
    "2001:2::1": "benchmarks",
    "2001:10::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "leads to 127.0.0.1, a loopback",
    "2002:a00:1::1": "leads to 10.0.0.1, a private",
    "2002:c0a8:101::1": "leads to 192.168.1.1, a private",
    "2002:a9fe:a9fe::": "metadata",
    "2606:4700::5efe:127.0.0.1": "leads to 127.0.0.1, a loopback",
    "2606:4700::200:5efe:10.0.0.1": "leads to 10.0.0.1, a private",
    "3fff::1": "documentation",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fc00::1": "private",
    "fd12:3456:789a::1": "private",
    "fd00:ec2::254": "metadata",
    "fd20:ce::254": "metadata",
    "fe80::1": "link-local",
    "fe80::a9fe:a9fe": "metadata",
    "fe80::1%eth0": "one network interface",
    "febf::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
}
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "2002:808:808::1",
    "64:ff9b::8.8.8.8",
)
#: URLs that say something else than they seem to, each by what is wrong with it.
ODD = {
    "http://2130706433/": "four decimal numbers",
    "http://017700000001/": "four decimal numbers",
    "http://0x7f000001/": "four decimal numbers",
    "http://0x7f.0.0.1/": "four decimal numbers",
    "http://0x7f.0x0.0x0.0x1/": "four decimal numbers",
    "http://0177.0.0.1/": "four decimal numbers",
    "http://127.0.0.01/": "four decimal numbers",
    "http://127.1/": "four decimal numbers",
    "http://127.0.1/": "four decimal numbers",
    "http://0/": "four decimal numbers",
    "http://8.8.8.8.8/": "four decimal numbers",
    "http://256.8.8.8/": "four decimal numbers",
    "http://zoo.0x/": "four decimal numbers",
    "http://127.0.0.1./": "full stop",
    "http://localhost./": "full stop",
    "http://zoo.example./": "full stop",
    "http://127.0.0.%31/": "letters, digits",
    "http://%6cocalhost/": "letters, digits",
    "http://zoo%2eexample/": "letters, digits",
    "http://zoo.example%00.other/": "letters, digits",
    "http://１２７.0.0.1/": "four decimal numbers",  # noqa: RUF001
    "http://127.0.0.１/": "ASCII",  # noqa: RUF001
    "http://①27.0.0.1x/": "ASCII",
    "http://ⓛocalhost/": "ASCII",
    "http://127。0。0。1/": "ASCII",
    "http://zoo.exam­ple/": "control characters",
    "http://straße.example/": "ASCII",
    "http://[::1%25lo]/": "zone",
    "http://[fe80::1%eth0]/": "zone",
    "http://[127.0.0.1]/": "brackets",
    "http://[::1/": "brackets",
    "http://::1/": "letters, digits",
    "http://[::1]x/": "brackets",
    "http://[v1.x]/": "brackets",
    "http://zoo.example@127.0.0.1/": "credentials",
    "http://user:secret@zoo.example/": "credentials",
    "http://@zoo.example/": "credentials",
    "http://zoo.example\\@127.0.0.1/": "credentials",
    "http://zoo.example\\.other/": "letters, digits",
    "http://zoo.example#@127.0.0.1/": "fragment",
    "http://zoo.example/#part": "fragment",
    "http://zoo.example /": "spaces",
    " http://zoo.example/": "spaces",
    "http://zoo.example/\r\nHost: other": "spaces",
    "http://zoo.example/\tx": "control characters",
    "http://zoo.example:0/": "from 1 to 65535",
    "http://zoo.example:65536/": "from 1 to 65535",
    "http://zoo.example:99999999999/": "from 1 to 65535",
    "http://zoo.example:-1/": "from 1 to 65535",
    "http://zoo.example:/": "from 1 to 65535",
    "http://zoo.example:８０/": "from 1 to 65535",  # noqa: RUF001
    "http://zoo.example:80:90/": "letters, digits",
    "http://-zoo.example/": "letters, digits",
    "http://zoo..example/": "letters, digits",
    "http://.zoo/": "letters, digits",
    "http://" + "a" * 64 + ".example/": "letters, digits",
    "http://" + "a.b" * 100 + "/": "letters, digits",
    "http:///path": "names no host",
    "http://:80/": "names no host",
    "http:zoo.example/": "must begin with",
    "//zoo.example/": "must begin with",
    "zoo.example": "must begin with",
    "ftp://zoo.example/": "must begin with",
    "file:///etc/passwd": "must begin with",
    "gopher://127.0.0.1:25/": "must begin with",
    "unix:///run/docker.sock": "must begin with",
    "http+unix://zoo/": "must begin with",
    "http://zoo.example/" + "x" * 2048: "2048 characters",
}


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_delivery_goes_to_what_is_not_public(address: str) -> None:
    refusal = NOWHERE.refusal(address)
    assert refusal is not None
    assert FORBIDDEN[address] in refusal


@pytest.mark.parametrize("address", PUBLIC)
def test_deliveries_go_to_public_addresses(address: str) -> None:
    assert NOWHERE.refusal(address) is None


@pytest.mark.parametrize("address", [one for one in FORBIDDEN if "%" not in one])
def test_a_forbidden_address_is_refused_in_a_url_too(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidValue, match="allow_networks"):
        parse_target(f"http://{host}/", NOWHERE)


@given(st.ip_addresses(v=6))
def test_whatever_the_library_knows_to_be_local_is_refused(address: ipaddress.IPv6Address) -> None:
    local = address.is_private or address.is_multicast or address.is_reserved
    if local or address.is_link_local or address.is_loopback:
        public_inside = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2001::/32")
        if not any(address in network for network in public_inside):
            assert NOWHERE.refusal(address) is not None


@given(st.ip_addresses(v=4))
def test_the_same_of_the_older_protocol(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert NOWHERE.refusal(address) is not None


def networks(*allowed: str) -> Networks:
    """Return the judgement that allows networks."""
    return Networks(map(ipaddress.ip_network, allowed))


def test_what_the_operator_allows_is_told() -> None:
    allowed = networks("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")
    for address in ("10.1.2.3", "127.0.0.1", "fd00::7", "64:ff9b::10.1.2.3", "2002:a01:203::"):
        assert allowed.refusal(address) is None
    for address in ("127.0.0.2", "192.168.0.1", "fe80::1", "::ffff:10.1.2.3"):
        assert allowed.refusal(address) is not None


@pytest.mark.parametrize("address", [one for one, what in FORBIDDEN.items() if what == "metadata"])
def test_a_wide_network_never_allows_a_metadata_service(address: str) -> None:
    assert networks("0.0.0.0/0", "::/0").refusal(address) == "the address of a metadata service"


def test_a_metadata_service_is_told_if_its_very_address_is_allowed() -> None:
    allowed = networks("169.254.169.254/32", "fd00:ec2::254/128")
    assert allowed.refusal("169.254.169.254") is None
    assert allowed.refusal("fd00:ec2::254") is None
    assert allowed.refusal("169.254.170.2") is not None


@pytest.mark.parametrize("url", ODD)
def test_a_url_that_two_readers_could_read_as_two_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match=ODD[url]):
        parse_target(url, networks("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    ("url", "told"),
    {
        "HTTP://Zoo.Example": "http://zoo.example/",
        "https://zoo.example:443/a?b=c": "https://zoo.example/a?b=c",
        "https://zoo.example:8443?b=?": "https://zoo.example:8443/?b=?",
        "http://zoo_1:65535/x": "http://zoo_1:65535/x",
        "http://8.8.8.8:80/": "http://8.8.8.8/",
        "http://[2606:4700:0:0::1111]:81/": "http://[2606:4700::1111]:81/",
        "http://xn--strae-oqa.example/": "http://xn--strae-oqa.example/",
        "http://zoo.example/ä/%2f/|?q=ö&t=%": "http://zoo.example/%C3%A4/%2f/%7C?q=%C3%B6&t=%",
    }.items(),
)
def test_a_url_is_told_in_one_spelling(url: str, told: str) -> None:
    target = parse_target(url, NOWHERE)
    assert target.url == told
    # nothing changes when it is read again
    assert parse_target(target.url, NOWHERE) == target


@pytest.mark.parametrize("url", [None, ""])
def test_a_url_must_be_there(url: str | None) -> None:
    with pytest.raises(MissingValue):
        parse_target(url, NOWHERE)


_PIECES = st.sampled_from(
    [
        *("http://", "https://", "/", "?", "#", "@", ":", "[", "]", "%", ".", "\\", "0x", "::1"),
        *("127", "0", "zoo", "example", "80", "%31", "。", "１", "\n", "\x00", "xn--", "ß"),  # noqa: RUF001
    ]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map(lambda parts: "http://" + "".join(parts))))
@example("http://[")
def test_no_text_does_more_harm_than_being_refused(text: str) -> None:
    try:
        target = parse_target(text, NOWHERE)
    except RequestError:
        return
    assert target.url.isascii()
    assert target.url.isprintable()
    assert 1 <= target.port <= 65_535
    if target.address is None:
        with pytest.raises(OSError, match=r"not known|not supported"):
            # what is taken for a name is no spelling of an address
            socket.getaddrinfo(target.host, None, flags=socket.AI_NUMERICHOST)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
_KEYS = st.sampled_from(["url", "username", "ca_path", "client_cert", "client_key", "cloudevents"])


@given(st.dictionaries(_KEYS | st.text(max_size=5), _JSON))
def test_no_configuration_does_more_harm_than_being_refused(config: dict[str, Any]) -> None:
    for url in ({}, {"url": "https://zoo.example/"}):
        try:
            check_config({**config, **url}, NOWHERE)
        except RequestError:
            continue


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"usernme": "a"}, "usernme"),
        ({"ssl_verify": False}, "ssl_verify"),
        ({"username": "a:b"}, "username"),
        ({"username": "a\nb"}, "username"),
        ({"username": ""}, "username"),
        ({"username": 7}, "username"),
        ({"ca_path": "ca.pem"}, "ca_path"),
        ({"ca_path": "/ca\0.pem"}, "ca_path"),
        ({"ca_path": "/" + "x" * 5000}, "ca_path"),
        ({"client_key": "/key.pem"}, "client_cert"),
        ({"cloudevents": "yes"}, "cloudevents"),
        ({"cloudevents": None}, "cloudevents"),
    ],
)
def test_a_configuration_names_what_is_wrong(config: Mapping[str, Any], wrong: str) -> None:
    with pytest.raises(RequestError) as error:
        check_config({"url": "https://zoo.example/", **config}, NOWHERE)
    assert error.value.names == (wrong,)  # type: ignore[attr-defined]


def test_a_configuration_with_everything_can_be_used() -> None:
    check_config(
        {
            "url": "https://zoo.example/",
            "username": "keeper",
            "ca_path": "/ca.pem",
            "client_cert": "/cert.pem",
            "client_key": "/key.pem",
            "cloudevents": True,
        },
        NOWHERE,
    )


def resolved(*answers: Sequence[str], name: str = "zoo.example") -> list[str | None]:
    """Return what became of looking up a name again and again: an address, or None if refused."""
    waiting = list(answers)

    async def lookup(asked: str) -> Sequence[str]:
        assert asked == name
        return waiting.pop(0)

    async def run() -> list[str | None]:
        resolver, found = Resolver(NOWHERE, lookup), list[str | None]()
        for _ in answers:
            attempt = Attempted()
            try:
                found.append((await resolver.resolve(name, 80, attempt))[0][-1][0])
            except OSError:
                assert attempt.refused is not None
                found.append(None)
        await resolver.close()
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("address", [one for one in FORBIDDEN if "%" not in one])
def test_a_name_that_stands_for_a_forbidden_address_is_refused(address: str) -> None:
    assert resolved([address]) == [None]
    # one public address does not help the others
    assert resolved(["8.8.8.8", address], [address, "8.8.8.8"]) == [None, None]


def test_a_name_is_judged_anew_for_each_connection() -> None:
    assert resolved(["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8"]) == ["8.8.8.8", None, "8.8.8.8"]


def test_all_addresses_are_judged_although_few_are_tried() -> None:
    many = [f"8.8.8.{number}" for number in range(100)]
    assert resolved(many, [*many, "10.0.0.1"]) == ["8.8.8.0", None]


def test_those_who_want_the_same_name_ask_once() -> None:
    asked: list[str] = []

    async def run() -> None:
        gate = asyncio.Event()

        async def lookup(name: str) -> Sequence[str]:
            asked.append(name)
            await gate.wait()
            return ["8.8.8.8"]

        resolver = Resolver(NOWHERE, lookup)

        async def resolve() -> None:
            await resolver.resolve("zoo.example", 80, Attempted())

        first, second, third = (asyncio.create_task(resolve()) for _ in range(3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # who gives up does not take the answer from the others
        first.cancel()
        gate.set()
        await asyncio.gather(second, third)
        await resolver.close()

    asyncio.run(run())
    assert asked == ["zoo.example"]


@pytest.mark.parametrize("address", [one for one in FORBIDDEN if "%" not in one])
def test_no_socket_is_made_for_a_forbidden_address(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    attempt = Attempted()
    with pytest.raises(OSError, match="allow_networks"):
        Guard(NOWHERE)((family, socket.SOCK_STREAM, 0, "", (address, 80)), attempt)
    assert attempt.refused is not None
