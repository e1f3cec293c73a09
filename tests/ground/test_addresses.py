"""The wall against server-side request forgery, over a corpus of hostile URLs (`ssrf.json`) and name services that lie."""

import asyncio
import ipaddress
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genwright.addresses import AddressGuard, classify, parse_url
from genwright.errors import Forbidden, Invalid
from genwright.http import Http

CORPUS = json.loads(Path(__file__).with_name("ssrf.json").read_text())


def test_the_corpus_is_large_enough():
    assert len({*CORPUS["unreadable"], *CORPUS["refused"]}) >= 120


@pytest.fixture
async def service():
    """A server of our own on 127.0.0.1: (port, heads of the requests that reached it)."""
    heads = []

    async def accept(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heads


@pytest.mark.parametrize("url", CORPUS["unreadable"])
def test_unreadable_urls(url):
    with pytest.raises(Invalid) as caught:
        parse_url(url)
    assert caught.value.code == "invalid_url"


PIECES = [
    "http://",
    "https://",
    "user",
    ":",
    "@",
    "/",
    "\\",
    "?",
    "#",
    "[",
    "]",
    ".",
    "%",
    "::1",
    "127.0.0.1",
    "0x7f",
    "1",
    "a.b",
    "é",
    " ",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_what_is_read_is_read_alike_by_others(parts):
    """A URL that two parsers read differently is how a guard is passed: whatever we accept, the standard library reads alike."""
    url = "http://" + "".join(parts)
    try:
        origin, target = parse_url(url)
    except Invalid:
        return
    other = urlsplit(url)
    assert other.username is None
    host = (other.hostname or "").removesuffix(".")
    assert origin.host == (str(origin.literal) if origin.literal else host)
    assert origin.literal is None or origin.literal == ipaddress.ip_address(host)
    assert target.startswith("/")
    assert not set(target) & set(" \r\n\\#")


@pytest.mark.parametrize("url", CORPUS["refused"])
async def test_refused_addresses(url):
    client = Http()
    with pytest.raises(Forbidden, match="refused to call") as caught:
        await client.request("GET", url)
    assert caught.value.code == "address_refused"
    assert client.open_connections == 0


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::a00:1]/"]
)
async def test_sealed_addresses_stay_sealed_when_all_private_ones_are_allowed(url):
    origin, _ = parse_url(url)
    with pytest.raises(Forbidden):
        await AddressGuard(True).resolve(origin)


@pytest.mark.parametrize("address", CORPUS["public"])
async def test_public_addresses_are_allowed(address):
    origin, _ = parse_url(f"http://[{address}]/" if ":" in address else f"http://{address}/")
    assert [str(a) for a in await AddressGuard(False).resolve(origin)] == [address]
    assert classify(origin.literal) == "public"


@pytest.mark.parametrize(
    ("allow", "url", "allowed"),
    [
        (["10.0.0.0/8"], "http://10.1.2.3/", True),
        (["10.0.0.0/8"], "http://192.168.0.1/", False),
        (["10.0.0.5"], "http://10.0.0.5:1234/", True),
        (["10.0.0.5:80"], "http://10.0.0.5:80/", True),
        (["10.0.0.5:80"], "http://10.0.0.5:22/", False),
        (["[::1]:80"], "http://[::1]/", True),
        (["[::1]:80"], "http://[::1]:81/", False),
        (["fd00::/8"], "http://[fd12::1]/", True),
        (["localhost"], "http://localhost:99/", True),
        (["LocalHost:99"], "http://localhost:99/", True),
        (["localhost:99"], "http://localhost:98/", False),
        (["localhost"], "http://127.0.0.1/", False),
        (["169.254.169.254"], "http://169.254.169.254/", True),
        (["0.0.0.0/0"], "http://169.254.169.254/", True),
        ([], "http://127.0.0.1/", False),
    ],
)
async def test_what_the_operator_allows(allow, url, allowed):
    origin, _ = parse_url(url)
    guard = AddressGuard(allow)
    if allowed:
        assert await guard.resolve(origin)
    else:
        with pytest.raises(Forbidden):
            await guard.resolve(origin)


@pytest.mark.parametrize("entry", ["", "http://x", "10.0.0.0/33", "a b", "127.1", "x/y", "*"])
def test_bad_settings_fail_loudly(entry):
    with pytest.raises(Invalid, match="allowed private addresses"):
        AddressGuard([entry])


def answers(monkeypatch, *rounds):
    """The name service of the running loop gives these addresses, one tuple a look-up; returns the look-ups made."""
    seen, left = [], iter(rounds)

    async def getaddrinfo(host, port, **_):
        seen.append(host)
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, 1, 6, "", (a, port)) for a in next(left)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return seen


@pytest.mark.parametrize(
    "found", [("169.254.169.254",), ("8.8.8.8", "127.0.0.1"), ("8.8.8.8", "::ffff:10.0.0.1"), ("fd00:ec2::254",)]
)
async def test_a_name_that_resolves_to_a_refused_address(monkeypatch, found):
    answers(monkeypatch, found)
    with pytest.raises(Forbidden, match=r"rebind\.example"):
        await Http().request("GET", "http://rebind.example/")


async def test_a_listed_name_does_not_open_the_metadata_service(monkeypatch):
    answers(monkeypatch, ("169.254.169.254",))
    with pytest.raises(Forbidden, match="cloud metadata"):
        await Http(allow_private=["*.example"]).request("GET", "http://rebind.example/")


async def test_a_name_is_looked_up_once_and_pinned(monkeypatch, service):
    """Rebinding: the second answer would be the attacker's; the connection goes where the first answer was judged."""
    port, heads = service
    seen = answers(monkeypatch, ("127.0.0.1",), ("169.254.169.254",))
    client = Http(allow_private=["*.example"])
    response = await client.request("GET", f"http://rebind.example:{port}/")
    assert response.body == b"hello"
    assert b"host: rebind.example:%d" % port in heads[0]
    assert seen == ["rebind.example"]
    await client.close()


async def test_the_next_address_is_tried(monkeypatch, service):
    port, _ = service
    answers(monkeypatch, ("127.0.0.2", "127.0.0.1"))
    client = Http(allow_private=True)
    assert (await client.request("GET", f"http://two.example:{port}/")).status == 200
    await client.close()
