"""A load generator of little weight: keep-alive connections over bare sockets, one request after the other on each."""

import asyncio
import time
from collections.abc import Sequence

END = b"0\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection. `call` sends a request and ends with the whole answer; `first_s` is when its first content came."""

    def __init__(self) -> None:
        self._done: asyncio.Future[bytes] | None = None
        self._data = b""
        self.first_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def call(self, request: bytes) -> asyncio.Future[bytes]:
        self._done = asyncio.get_running_loop().create_future()
        self._data, self.first_s = b"", 0.0
        self.transport.write(request)
        return self._done

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self._done is None or self._done.done():
            return
        if not self.first_s and body:
            self.first_s = time.perf_counter()
        lower = head.lower()
        at = lower.find(b"content-length: ")
        if at >= 0:
            complete = len(body) >= int(lower[at + 16 :].partition(b"\r")[0])
        else:
            complete = body.endswith(END)
        if complete:
            self._done.set_result(self._data)

    def leave(self) -> None:
        """Hang up in the middle."""
        if self._done is not None and not self._done.done():
            self._done.cancel()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("closed in the middle"))


def request(port: int, body: bytes, key: str, headers: str = "") -> bytes:
    """A chat request as bytes. `headers`: further ones, each ended by CRLF."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


async def run(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, list[float]]:
    """Send all requests; (seconds in all, seconds to the first content of each). Raises where an answer is not 200."""
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(connections)]
    waiting, firsts = iter(requests), []

    async def work(client: Client) -> None:
        for item in waiting:
            sent = time.perf_counter()
            answer = await client.call(item)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:500].decode(errors="replace"))
            firsts.append(client.first_s - sent)

    start = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    seconds = time.perf_counter() - start
    for client in clients:
        client.transport.close()
    return seconds, firsts


async def paced(port: int, requests: Sequence[bytes], per_s: float, connections: int) -> list[float]:
    """Requests at fixed times, answered or not: the seconds each took from its time on, waiting included."""
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[Client] = asyncio.Queue()
    clients = [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(connections)]
    for client in clients:
        free.put_nowait(client)
    took: list[float] = []

    async def one(item: bytes, due: float) -> None:
        client = await free.get()
        answer = await client.call(item)
        took.append(loop.time() - due)
        free.put_nowait(client)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:500].decode(errors="replace"))

    begin = loop.time() + 0.05
    tasks = []
    for number, item in enumerate(requests):
        due = begin + number / per_s
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(item, due)))
    await asyncio.gather(*tasks)
    for client in clients:
        client.transport.close()
    return took
