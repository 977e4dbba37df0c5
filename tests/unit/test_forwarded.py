"""Who asks through proxies: trusted ones are believed, and nothing that a client made up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from pulpit.api.forwarded import ForwardedHeaders, Network, Origin, is_trusted, origin

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1"))


def told(*headers: tuple[str, str]) -> Origin:
    """Return what the headers of a trusted proxy tell."""
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return origin(lines, trusted=TRUSTED)


def xff(*values: str) -> tuple[str, int] | None:
    """Return the client that lines of X-Forwarded-For tell of."""
    return told(*(("x-forwarded-for", value) for value in values)).client


def forwarded(*values: str) -> Origin:
    """Return what lines of Forwarded tell."""
    return told(*(("forwarded", value) for value in values))


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["192.0.2.1"], ("192.0.2.1", 0)),
        (["192.0.2.1:4711"], ("192.0.2.1", 4711)),
        (["2001:db8::1"], ("2001:db8::1", 0)),
        (["[2001:db8::1]"], ("2001:db8::1", 0)),
        (["[2001:DB8::1]:4711"], ("2001:db8::1", 4711)),
        (["::ffff:192.0.2.1"], ("192.0.2.1", 0)),
        # what stands left of the first untrusted address is the client's own word
        (["127.0.0.1, 198.51.100.9, 192.0.2.1"], ("192.0.2.1", 0)),
        # proxies in a row
        (["192.0.2.1, 10.1.2.3, fd00::7"], ("192.0.2.1", 0)),
        (["192.0.2.1", "10.1.2.3"], ("192.0.2.1", 0)),
        (["198.51.100.9, 192.0.2.1, 10.1.2.3"], ("192.0.2.1", 0)),
        # nobody but proxies: the farthest asks for itself
        (["10.9.9.9, 10.1.2.3"], ("10.9.9.9", 0)),
        # behind what can't be read is nothing
        (["192.0.2.1, unknown, 10.1.2.3"], ("10.1.2.3", 0)),
        (["192.0.2.1, unknown"], None),
        (["192.0.2.1, "], None),
        (["192.0.2.1:99999"], None),
        (["192.0.2.01"], None),
        (["[192.0.2.1"], None),
        (["fe80::1%eth0"], None),
        (["192.0.2.1\t, \t10.1.2.3 "], ("192.0.2.1", 0)),
        (['"192.0.2.9, 192.0.2.1'], ("192.0.2.1", 0)),
        (["\xff"], None),
        ([""], None),
        (["x" * 70_000 + ", 192.0.2.1"], ("192.0.2.1", 0)),
        # no further than any chain is long
        (["192.0.2.1" + ", 10.1.2.3" * 100], ("10.1.2.3", 0)),
    ],
)
def test_x_forwarded_for(values: list[str], client: tuple[str, int] | None) -> None:
    """The first address from the right that is no trusted proxy's is the client's."""
    assert xff(*values) == client


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            ['for="[2001:db8::1]:4711";proto=https;host="pulp.example.com:8443"'],
            Origin(client=("2001:db8::1", 4711), scheme="https", host="pulp.example.com:8443"),
        ),
        (["For=192.0.2.1; Proto=HTTPS"], Origin(client=("192.0.2.1", 0), scheme="https")),
        # each element is what one proxy tells: that of the client's counts
        (
            ["for=9.9.9.9;proto=http;host=evil, for=192.0.2.1;proto=https, for=10.1.2.3"],
            Origin(client=("192.0.2.1", 0), scheme="https"),
        ),
        (
            ["for=192.0.2.1;proto=https", "for=10.1.2.3"],
            Origin(client=("192.0.2.1", 0), scheme="https"),
        ),
        (["for=192.0.2.1, for=_hidden;proto=https"], Origin(scheme="https")),
        (["for=192.0.2.1, for=unknown, for=10.1.2.3"], Origin(client=("10.1.2.3", 0))),
        (["by=10.0.0.1;host=pulp.example.com"], Origin(host="pulp.example.com")),
        # a client's open quotation mark swallows no element of the proxy
        (['for=9.9.9.9;x=", for=192.0.2.1;host=""'], Origin()),
        (['for=9.9.9.9, x="y", for=192.0.2.1'], Origin(client=("192.0.2.1", 0))),
        (["for=192.0.2.1;for=9.9.9.9"], Origin()),
        (["for"], Origin()),
        (["for=192.0.2.1;"], Origin()),
        (['for=192.0.2.1;proto=gopher;host="a/b"'], Origin(client=("192.0.2.1", 0))),
        (['for="192.0.2.1\\""'], Origin()),
        (["for=9.9.9.9" + ";x=y" * 9_000 + ",for=192.0.2.1"], Origin()),
    ],
)
def test_forwarded(values: list[str], expected: Origin) -> None:
    """The element of the last trusted proxy in the row counts, read as RFC 7239 has it."""
    assert forwarded(*values) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("x-forwarded-proto", "https", Origin(scheme="https")),
        ("x-forwarded-proto", "http, https", Origin(scheme="https")),
        ("x-forwarded-proto", "javascript", Origin()),
        ("x-forwarded-host", "evil.example, pulp.example.com", Origin(host="pulp.example.com")),
        ("x-forwarded-host", "[2001:db8::1]:443", Origin(host="[2001:db8::1]:443")),
        ("x-forwarded-host", "a b", Origin()),
        ("x-forwarded-host", "a\r\nb: c", Origin()),
        ("x-forwarded-host", "user@pulp.example.com", Origin()),
    ],
)
def test_scheme_and_host(name: str, value: str, expected: Origin) -> None:
    """The last proxy's word counts; what can't be one is none."""
    assert told((name, value)) == expected


def test_two_kinds_that_disagree_are_not_believed() -> None:
    """One may be the client's, which the proxy has passed on unseen."""
    assert told(("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=9.9.9.9")) == Origin()
    agreed = told(("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"))
    assert agreed.client == ("192.0.2.1", 0)


def test_hostile_quotation_marks_take_no_time() -> None:
    """A line of them is read once, not once for each."""
    for text in ('"' * 8_191, '"' + '\\"' * 4_095, "a=" + '"\\' * 4_000, "," * 8_192):
        began = time.process_time()
        forwarded(*[text] * 8)
        assert time.process_time() - began < 5


# what a client may send in front of what its proxy adds
_HOSTILE = st.one_of(
    st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n"), max_size=60),
    st.lists(
        st.sampled_from(
            ["for=9.9.9.9", "9.9.9.9", "10.0.0.1", "proto=http", '"', "\\", ";", ",", "=", " "]
        ),
        max_size=12,
    ).map("".join),
)
_ADDRESSES = st.ip_addresses().filter(lambda address: not is_trusted(str(address), TRUSTED))


def appended(value: str, added: str, *, same_line: bool) -> list[str]:
    """Return the lines of a header to which a proxy has added its value."""
    return [f"{value}, {added}"] if same_line else [value, added]


def plain(address: str) -> tuple[str, int]:
    """Return an address as it is told."""
    found = ip_address(address)
    return str(getattr(found, "ipv4_mapped", None) or found), 0


@given(
    _HOSTILE,
    _ADDRESSES,
    st.lists(st.sampled_from(["10.0.0.7", "fd00::7"]), max_size=4),
    st.booleans(),
)
def test_no_client_can_make_up_x_forwarded_for(
    sent: str, address: object, chain: list[str], same_line: bool
) -> None:
    """Whatever it has sent, it is the one whom the first trusted proxy saw."""
    added = ", ".join([str(address), *chain])
    assert xff(*appended(sent, added, same_line=same_line)) == plain(str(address))


@given(
    _HOSTILE,
    _ADDRESSES,
    st.sampled_from(["", ';host=""', ';host="a:1";proto=https']),
    st.booleans(),
)
def test_no_client_can_make_up_forwarded(
    sent: str, address: object, more: str, same_line: bool
) -> None:
    """It is the one whom the proxy saw, or nobody is known; never another."""
    added = f'for="[{address}]"{more}' if ":" in str(address) else f"for={address}{more}"
    found = forwarded(*appended(sent, added, same_line=same_line))
    assert found.client in {plain(str(address)), None}
    assert found.scheme in {None, "https"}
    if not same_line:
        assert found.client == plain(str(address))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
            ),
            _HOSTILE,
        ),
        max_size=6,
    )
)
def test_anything_is_read(headers: list[tuple[str, str]]) -> None:
    """Garbage raises nothing, and what comes out is well-formed."""
    found = told(*headers)
    if found.client:
        assert str(ip_address(found.client[0])) == found.client[0]
        assert 0 <= found.client[1] <= 65535
    assert found.scheme in {None, "http", "https"}
    assert found.host is None or found.host.isascii()


def scope_seen(
    client: tuple[str, int] | None,
    *headers: tuple[bytes, bytes],
    trusted: Sequence[Network] = TRUSTED,
    server: tuple[str, int | None] | None = ("10.0.0.1", 8080),
) -> Scope:
    """Return the scope that the application gets."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def receive() -> dict[str, str]:
        raise NotImplementedError

    async def send(_message: object) -> None:
        raise NotImplementedError

    scope = {
        "type": "http",
        "client": client,
        "server": server,
        "scheme": "http",
        "headers": list(headers),
    }
    asyncio.run(ForwardedHeaders(app, trusted=trusted)(scope, receive, send))
    return seen[0]


HEADERS = (
    (b"host", b"backend:8080"),
    (b"x-forwarded-for", b"192.0.2.1"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"pulp.example.com"),
)


@pytest.mark.parametrize("proxy", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "127.0.0.1"])
def test_a_trusted_proxy_is_believed(proxy: str) -> None:
    """Client, scheme and host are those that it tells."""
    scope = scope_seen((proxy, 1), *HEADERS)
    assert scope["client"] == ("192.0.2.1", 0)
    assert scope["scheme"] == "https"
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"pulp.example.com"]


@pytest.mark.parametrize("peer", [("192.0.2.7", 1), ("::1", 1), ("garbage", 1), None])
def test_nobody_else_is_believed(peer: tuple[str, int] | None) -> None:
    """A client that sends the headers itself changes nothing."""
    scope = scope_seen(peer, *HEADERS)
    assert (scope["client"], scope["scheme"]) == (peer, "http")
    assert scope["headers"] == list(HEADERS)


def test_without_trusted_proxies_nobody_is_believed() -> None:
    """Not even who is on this machine."""
    assert scope_seen(("127.0.0.1", 1), *HEADERS, trusted=())["scheme"] == "http"


def test_a_socket_of_this_machine_is_believed() -> None:
    """Its permissions say who may come by it."""
    scope = scope_seen(None, *HEADERS, trusted=(), server=("/run/pulpit.sock", None))
    assert scope["client"] == ("192.0.2.1", 0)
    for server in (("pulpit.example.com", None), ("127.0.0.1", 80), None):
        assert scope_seen(None, *HEADERS, trusted=(), server=server)["client"] is None
