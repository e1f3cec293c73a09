"""The floor for anything in Python that stands between a client and a provider: a proxy that copies bytes and reads none."""

import asyncio
import sys


class Pipe(asyncio.Protocol):
    def __init__(self, other: "Pipe | None" = None, target: int = 0) -> None:
        self.other, self.target = other, target
        self.early: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if self.other is None:
            self.connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, self.other = await loop.create_connection(lambda: Pipe(self), "127.0.0.1", self.target)
        for data in self.early:
            self.data_to(data)

    def data_to(self, data: bytes) -> None:
        assert self.other is not None
        assert self.other.transport is not None
        self.other.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.data_to(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def main(port: int, target: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Pipe(target=target), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
