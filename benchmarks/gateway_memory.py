"""What the gateway keeps in memory: with 1,000 streams open, and after very many calls of every kind."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

from benchmarks import load

STREAMS = 1_000
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
)


def rss_mb(pids: list[int]) -> float:
    """Resident memory of processes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * 4096 / 1e6


async def dripping(port: int) -> asyncio.Server:
    """An upstream whose streams say a word a second and do not end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
                await writer.drain()
                await asyncio.sleep(1)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port, backlog=2048)


async def open_streams(upstream: int, port: int, make: Callable[[str], bytes], pids: list[int]) -> float:
    """Megabytes above idle while STREAMS streams are open and talking."""
    server = await dripping(upstream)
    loop = asyncio.get_running_loop()
    idle = rss_mb(pids)
    clients = []
    for number in range(STREAMS):
        _, client = await loop.create_connection(load.Client, "127.0.0.1", port)
        client.call(make(f"tell me something long, number {number}"))
        clients.append(client)
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    await asyncio.sleep(4)
    talking = sum(bool(client.first_s) for client in clients)
    grown = rss_mb(pids) - idle
    for client in clients:
        client.leave()
    server.close()
    await asyncio.sleep(1)
    if talking < STREAMS:
        raise RuntimeError(f"only {talking} of {STREAMS} streams spoke")
    return grown


async def mixed(port: int, texts: list[str], count: int, make: Callable[[str, bool, str], bytes], known: str) -> None:
    """Plain, streamed, refused and left calls, 64 at once."""
    chance = random.Random(7)
    loop = asyncio.get_running_loop()
    left = iter(range(count))

    async def work() -> None:
        client = None
        for number in left:
            if client is None:
                _, client = await loop.create_connection(load.Client, "127.0.0.1", port)
            kind = chance.random()
            text = texts[number % len(texts)]
            if kind < 0.02:
                task = client.call(make(text, True, known))
                await asyncio.sleep(0)
                client.leave()
                client = None
                task.cancel()
            else:
                await client.call(make(text, kind < 0.3, known if kind < 0.95 else "nobody/none"))
        if client is not None:
            client.transport.close()

    await asyncio.gather(*(work() for _ in range(64)))


def slope(points: list[tuple[int, float]]) -> float:
    """Least-squares megabytes per million calls."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    return 1e6 * sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def body(model: str, text: str, stream: bool) -> bytes:
    chat: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if stream:
        chat["stream"] = True
    return json.dumps(chat, separators=(",", ":")).encode()
