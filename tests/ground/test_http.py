"""The outgoing client against real servers: what arrives, what is cut, what is refused."""

import asyncio
import contextlib
import datetime
import socket
import ssl

import pytest

from genwright.errors import Forbidden, Invalid, StreamCut, Upstream, UpstreamTimeout
from genwright.http import Http
from genwright.testing.faults import BlackHole, FaultProxy, Reset, Truncate


class Server:
    """A raw TCP server: `answer` gets each request's bytes and a writer; it counts what it saw."""

    def __init__(self, answer, ssl_context=None):
        self.answer, self.ssl = answer, ssl_context
        self.requests, self.connections, self.ended = [], 0, asyncio.Event()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=self.ssl)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self.ssl else ''}://127.0.0.1:{self.port}"
        self.tasks = set()
        return self

    async def __aexit__(self, *error):
        self.server.close()
        for task in self.tasks:
            task.cancel()

    async def accept(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                self.requests.append(head + await reader.readexactly(length))
                result = self.answer(self.requests[-1], writer)
                if asyncio.iscoroutine(result):
                    await result
                await writer.drain()
        self.ended.set()
        writer.close()


def ok(body=b"hello", extra=b""):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), extra, body)


def says(data, close=False):
    def answer(request, writer):
        writer.write(data)
        if close:
            writer.close()

    return answer


@pytest.fixture
async def http():
    client = Http(allow_private=["127.0.0.1"], connect_timeout_s=0.5, first_byte_timeout_s=0.3, read_timeout_s=0.3)
    yield client
    await client.close()


# --- plain calls -------------------------------------------------------------------------------------------------------


async def test_a_request_and_its_answer(http):
    async with Server(says(ok(b"hello", b"X-One: 1\r\nset-cookie: a\r\nset-cookie: b\r\n"))) as server:
        response = await http.request("POST", server.url + "/a/b?c=d#e", {"X-Key": "v"}, b"body")
    assert (response.status, response.body) == (200, b"hello")
    assert response.headers["x-one"] == "1"
    assert response.headers["set-cookie"] == "a, b"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /a/b?c=d HTTP/1.1",
        b"host: 127.0.0.1:%d" % server.port,
        b"x-key: v",
        b"accept-encoding: identity",
        b"content-length: 4",
    ]
    assert body == b"body"


async def test_connections_are_kept_and_shared(http):
    async with Server(says(ok())) as server:
        for _ in range(5):
            await http.request("GET", server.url)
        assert server.connections == 1
        await asyncio.gather(*(http.request("GET", server.url) for _ in range(4)))
        assert server.connections == 4
        assert (http.open_connections, http.active_connections) == (4, 0)


@pytest.mark.parametrize(
    "answer",
    [
        ok(extra=b"connection: close\r\n"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        ok() + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",  # an answer nobody asked for must not answer the next call
        ok() + b"\0rubbish",
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(http, answer):
    async with Server(says(answer)) as server:
        assert (await http.request("GET", server.url)).body == b"hello"
        assert (await http.request("GET", server.url)).body == b"hello"
        assert server.connections == 2


async def test_a_stale_connection_is_replaced_before_anything_is_sent(http):
    async with Server(says(ok(), close=True)) as server:
        await http.request("GET", server.url)
        await asyncio.sleep(0.02)  # the close arrives while the connection is idle
        assert http.open_connections == 0
        assert (await http.request("POST", server.url, body=b"x")).status == 200
        assert len(server.requests) == 2


async def test_a_request_is_never_sent_twice(http):
    answers = iter([ok(), b""])

    def answer(request, writer):
        data = next(answers)
        writer.write(data)
        if not data:
            writer.close()

    async with Server(answer) as server:
        await http.request("GET", server.url)
        with pytest.raises(Upstream, match="closed the connection without an answer") as caught:
            await http.request("POST", server.url, body=b"pay")
        assert caught.value.code == "upstream_reset"
        assert caught.value.details["sent"] is True
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: t\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ok(), b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_framings(http, answer, body):
    async with Server(says(answer)) as server:
        response = await http.request("GET", server.url)
        assert response.body == body
        assert "link" not in response.headers


async def test_a_body_that_ends_with_the_connection(http):
    async with Server(says(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as server:
        assert (await http.request("GET", server.url)).body == b"all of it"


async def test_head_has_no_body(http):
    async with Server(says(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")) as server:
        response = await http.request("HEAD", server.url)
        assert (response.body, response.headers["content-length"]) == (b"", "1000")


async def test_any_split_of_the_bytes_gives_the_same_answer(http):
    data = b"HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n4\r\n\xe2\x82\xac!\r\n5\r\nhello\r\n0\r\n\r\n"
    splits = iter(range(1, len(data)))

    async def answer(request, writer):
        at = next(splits)
        writer.write(data[:at])
        await writer.drain()
        await asyncio.sleep(0.001)
        writer.write(data[at:])

    async with Server(answer) as server:
        for _ in range(1, len(data)):
            assert (await http.request("GET", server.url)).body == "€!hello".encode()


# --- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_nobody_listens(http):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Upstream, match="nothing was sent") as caught:
        await http.request("GET", f"http://127.0.0.1:{port}")
    assert caught.value.code == "upstream_unreachable"
    assert caught.value.details["sent"] is False


async def test_an_unknown_host(http):
    with pytest.raises(Upstream, match=r"could not find the host 'nowhere\.invalid'"):
        await http.request("GET", "http://nowhere.invalid/")


async def test_silence_before_the_first_byte(http):
    async with Server(says(b"")) as server, FaultProxy(server.url, BlackHole()) as hole:
        with pytest.raises(UpstreamTimeout, match=r"sent no answer for 0.3 s; the request was sent"):
            await http.request("GET", hole.origin)
    assert http.open_connections == 0


async def test_silence_in_the_body(http):
    async with Server(says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")) as server:
        with pytest.raises(UpstreamTimeout, match=r"went silent for 0.3 s; 3 bytes had come"):
            await http.request("GET", server.url)


async def test_the_whole_call_has_a_deadline(http):
    async def drip(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with Server(drip) as server:
        with pytest.raises(UpstreamTimeout, match=r"not done after 0.2 s"):
            await http.request("GET", server.url, timeout_s=0.2)
        await asyncio.wait_for(server.ended.wait(), 1)


@pytest.mark.parametrize("fault", [Truncate(at_byte=60), Reset(at_byte=60)])
async def test_cut_in_the_body(http, fault):
    async with Server(says(ok(b"x" * 1000))) as server, FaultProxy(server.url, fault) as proxy:
        with pytest.raises(StreamCut, match="broke off in the middle of its answer"):
            await http.request("GET", proxy.origin)


@pytest.mark.parametrize("fault", [Truncate(at_byte=5), Reset(at_byte=5)])
async def test_cut_in_the_head(http, fault):
    async with Server(says(ok())) as server, FaultProxy(server.url, fault) as proxy:
        with pytest.raises(Upstream) as caught:
            await http.request("GET", proxy.origin)
        assert caught.value.code == "upstream_reset"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",  # by announcement
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n" + b"x" * 0xFFFF,  # by what comes
    ],
)
async def test_too_large(http, answer):
    async with Server(says(answer)) as server:
        with pytest.raises(Upstream, match="larger than the limit of 1000 bytes") as caught:
            await http.request("GET", server.url, max_bytes=1000)
        assert (caught.value.code, caught.value.retry) == ("upstream_too_large", "never")
        await asyncio.wait_for(server.ended.wait(), 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http(http, answer):
    async with Server(says(answer)) as server:
        with pytest.raises(Upstream) as caught:
            await http.request("GET", server.url)
        assert caught.value.code == "upstream_malformed"
        assert http.open_connections == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nevil: b"},
        {"x": "a\nevil: b"},
        {"x": "a\rb"},
        {"x": "a\0b"},
        {"x\r\nevil": "b"},
        {"x y": "b"},
        {"": "b"},
        {"x": "€"},
        {"Host": "other"},
        {"Content-Length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"connection": "x"},
    ],
)
async def test_headers_that_could_split_or_smuggle(http, headers):
    with pytest.raises(Invalid):
        await http.request("GET", "http://127.0.0.1:9/", headers)
    with pytest.raises(Invalid):
        await http.request("GET / HTTP/1.1\r\nx: y\r\n\r\nGET", "http://127.0.0.1:9/")


async def test_the_pool_has_a_limit(http):
    gate = asyncio.Event()

    async def wait(request, writer):
        await gate.wait()
        writer.write(ok())

    client = Http(allow_private=True, connect_timeout_s=0.2, max_connections=2)
    async with Server(wait) as server:
        first = [asyncio.create_task(client.request("GET", server.url)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(UpstreamTimeout, match="all 2 connections"):
            await client.request("GET", server.url)
        third = asyncio.create_task(client.request("GET", server.url))
        await asyncio.sleep(0)
        gate.set()
        assert [r.status for r in await asyncio.gather(*first, third)] == [200] * 3
        assert server.connections == 2
    await client.close()
    with pytest.raises(Upstream, match="client is closed"):
        await client.request("GET", "http://127.0.0.1:9/")


async def test_closing_the_client_ends_calls_under_way_and_keeps_nothing():
    client = Http(allow_private=True)
    async with Server(says(b"")) as server:
        task = asyncio.create_task(client.request("POST", server.url))
        while not server.requests:
            await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(Upstream, match="without an answer"):
            await task
        await asyncio.wait_for(server.ended.wait(), 1)


async def test_many_origins_do_not_grow_the_client_for_ever(http):
    async with Server(says(ok())) as server:
        client = Http(allow_private=True)
        for n in range(600):
            with pytest.raises(Upstream):
                await client.request("GET", f"http://127.0.{n // 250 + 1}.{n % 250 + 1}:{server.port}/")
        assert len(client._pools) <= 512
        assert (await client.request("GET", server.url)).status == 200
        await client.close()


# --- streams -----------------------------------------------------------------------------------------------------------


def endless(interval_s=0.0):
    async def answer(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"5\r\nhello\r\n")
            await writer.drain()
            await asyncio.sleep(interval_s)

    return answer


async def test_chunks_come_as_they_arrive(http):
    step = asyncio.Event()

    async def answer(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for word in (b"one", b"two"):
            await step.wait()
            step.clear()
            writer.write(b"3\r\n%b\r\n" % word)
        writer.write(b"0\r\n\r\n")

    async with Server(answer) as server:
        async with http.stream("POST", server.url) as (status, headers, chunks):
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            step.set()
            assert await anext(chunks) == b"one"
            step.set()
            assert b"".join([chunk async for chunk in chunks]) == b"two"
        assert (http.open_connections, http.active_connections) == (1, 0)


@pytest.mark.parametrize("way", ["leave", "raise", "cancel"])
async def test_leaving_early_closes_the_upstream_at_once(http, way):
    async with Server(endless(0.01)) as server:

        async def reader():
            async with http.stream("POST", server.url) as (_, _, chunks):
                async for _chunk in chunks:
                    if way == "leave":
                        break
                    if way == "raise":
                        raise ZeroDivisionError

        task = asyncio.create_task(reader())
        if way == "cancel":
            await asyncio.sleep(0.05)
            task.cancel()
        with contextlib.suppress(ZeroDivisionError, asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.ended.wait(), 1)
        assert http.open_connections == 0


async def test_cancelling_a_call_closes_the_upstream_at_once(http):
    async with Server(says(b"")) as server:
        task = asyncio.create_task(http.request("POST", server.url))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.ended.wait(), 1)
        assert http.open_connections == 0


async def test_a_thousand_aborts_leave_nothing(http):
    async with Server(endless(0.001)) as server:

        async def once():
            async with http.stream("GET", server.url) as (_, _, chunks):
                await anext(chunks)

        for _ in range(20):
            await asyncio.gather(*(once() for _ in range(50)))
        await asyncio.sleep(0.1)
        assert server.connections == 1000
        assert http.open_connections == 0
        assert sum(not task.done() for task in server.tasks) == 0


async def test_a_slow_reader_slows_the_sender(http):
    sent = 0

    async def flood(request, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()
        writer.close()

    async with Server(flood) as server, http.stream("GET", server.url) as (_, _, chunks):
        await anext(chunks)
        await asyncio.sleep(0.5)  # longer than the read timeout: the pause is ours, not the sender's silence
        assert sent < 20_000_000
        total = 65536
        async for chunk in chunks:
            total += len(chunk)
        assert sent == 65_536_000


async def test_what_came_before_a_cut_is_kept(http):
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n"
    async with Server(says(data, close=True)) as server, http.stream("GET", server.url) as (_, _, chunks):
        assert await anext(chunks) == b"onetwo"
        with pytest.raises(StreamCut, match="6 bytes had come"):
            await anext(chunks)


# --- TLS ---------------------------------------------------------------------------------------------------------------


def certificate(folder, address):
    """A self-signed certificate for one address: (server context, path of the certificate)."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, str(path)


async def test_tls_checks_the_certificate(http, tmp_path):
    context, path = certificate(tmp_path, "127.0.0.1")
    async with Server(says(ok()), context) as server:
        with pytest.raises(Upstream, match=r"certificate of https://127.0.0.1:\d+ is not valid \(self-signed"):
            await http.request("GET", server.url)
        trusting = Http(allow_private=True, ca_file=path)
        assert (await trusting.request("GET", server.url)).body == b"hello"
        await trusting.close()
        assert len(server.requests) == 1


async def test_tls_checks_the_name(tmp_path):
    context, path = certificate(tmp_path, "127.0.0.2")
    trusting = Http(allow_private=True, ca_file=path)
    async with Server(says(ok()), context) as server:
        with pytest.raises(Upstream, match="IP address mismatch"):
            await trusting.request("GET", server.url)
        assert not server.requests
    await trusting.close()


# --- redirects ---------------------------------------------------------------------------------------------------------


def redirects(to):
    return says(b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % to.encode())


async def test_redirects_are_not_followed_by_request(http):
    async with Server(redirects("http://169.254.169.254/")) as server:
        assert (await http.request("GET", server.url)).status == 302


async def test_follow_judges_every_hop_and_drops_credentials(http):
    async with Server(says(ok(b"there"))) as far, Server(redirects(far.url + "/x")) as near:
        response = await http.follow(near.url, {"authorization": "secret"})
        assert response.body == b"there"
        assert b"secret" in near.requests[0]
        assert b"secret" not in far.requests[0]
    for target in ("http://169.254.169.254/latest", "http://10.0.0.1/", "file:///etc/passwd", "http://2130706433/"):
        async with Server(redirects(target)) as server:
            with pytest.raises((Forbidden, Invalid)):
                await http.follow(server.url)
    async with Server(redirects("/again")) as server:
        with pytest.raises(Upstream, match="more than 2 times"):
            await http.follow(server.url, max_redirects=2)
        assert len(server.requests) == 3
