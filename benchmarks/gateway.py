"""The gateway on its hot path: CPU per call and calls per second of the whole server process (key, limits, a hard budget's
reservation and settlement, policy, price, durable span), beside nginx's proxy_pass and a proxy that only copies bytes, in the
same interleaved run; then the delay it adds, and its memory.

Workload: chats of about 1 kB of real text to an instant scripted upstream in a process of its own; 64 connections.
"""

import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import gateway_memory, load
from benchmarks.figures import Figure, figure
from benchmarks.tracing import real_texts

KEY = "gw_benchmark_administrator_key_0001"
MODEL = "openai/gpt-4o-mini"
CONNECTIONS = 64
CALLS = 4_000
STREAMS = 400
RUNS = 3
PACE = 1_000
PACED = 5_000
MIXED = 10_000
STEPS = 8
PEER_CALLS = 200
PEER_CONNECTIONS = 16
HERE = Path(__file__).parent


def figures() -> Iterator[Figure]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = free_port()
        stack.enter_context(
            process(
                [sys.executable, "-m", "genwright.testing.provider", "--fast", "--port", str(upstream), "--answer-bytes", "270"],
                upstream,
            )
        )
        servers = {"genwright": stack.enter_context(genwright(folder, upstream))}
        servers["raw"] = stack.enter_context(raw(upstream))
        if shutil.which("nginx"):
            servers["nginx"] = stack.enter_context(nginx(folder, upstream))
        texts = real_texts()
        set_limits(servers["genwright"][0])
        for port, _ in servers.values():
            asyncio.run(load.run(port, bodies(port, texts, 300, False), 8))  # warm
            asyncio.run(load.run(port, bodies(port, texts, 50, True), 8))
        plain = [{name: measure(server, texts, CALLS, False) for name, server in servers.items()} for _ in range(RUNS)]
        streams = [{name: measure(server, texts, STREAMS, True) for name, server in servers.items()} for _ in range(RUNS)]
        first = [first_chunks(servers["genwright"][0], upstream, texts) for _ in range(RUNS)]
        added = [added_p99(servers["genwright"][0], upstream, texts) for _ in range(RUNS)]
        beside_us = list(peers_cpu(folder, upstream, servers["genwright"], texts)) if os.environ.get("PEERS") else []
        grown, slow = memory(servers["genwright"], texts)
    yield from beside_us
    peers = [name for name in servers if name != "genwright"]
    cpu = {name: [run[name][1] for run in plain] for name in servers}
    rate = {name: [run[name][0] for run in plain] for name in servers}
    note = f"{CALLS} chats of 1 kB a run, {CONNECTIONS} connections"
    yield figure("gateway.cpu_ms_per_call", cpu["genwright"], "ms", {p: statistics.median(cpu[p]) for p in peers}, note)
    yield figure("gateway.calls_per_s", rate["genwright"], "1/s", {p: statistics.median(rate[p]) for p in peers}, note)
    if "nginx" in servers:
        ratios = [ours / theirs for ours, theirs in zip(cpu["genwright"], cpu["nginx"], strict=True)]
        yield figure("gateway.nginx_cpu_ratio", ratios, "×", note="our CPU a call over nginx proxy_pass")
    chunks = [run["genwright"][0] * 50 for run in streams]
    beside = {p: statistics.median(run[p][0] * 50 for run in streams) for p in peers}
    yield figure(
        "gateway.chunks_per_s", chunks, "1/s", beside, f"{STREAMS} streams of 50 chunks a run, {CONNECTIONS} connections"
    )
    yield figure("gateway.cpu_ms_per_stream", [run["genwright"][1] for run in streams], "ms", note="50 chunks")
    yield figure("gateway.first_chunk_added_ms", first, "ms", note="median of 200 streams one after the other, against direct")
    yield figure("gateway.added_p99_ms", added, "ms", note=f"{PACED} chats at {PACE}/s, each p99 against direct; one machine")
    yield figure("gateway.rss_mb_1000_streams", [slow], "MB", note="above idle, all open and talking")
    note = f"slope over {MIXED * STEPS:,} mixed calls (plain, streams, refused, left) after as many warm ones"
    yield figure("gateway.rss_growth_mb_per_million", [grown], "MB", note=note)


def set_limits(port: int) -> None:
    """A hard budget on the project and limits on its requests: so wide that nothing is refused, so real that all is counted."""
    for metric, window, amount in (("usd", "month", 10**15), ("requests", "minute", 10**9), ("tokens", "minute", 10**12)):
        limit = {"node": "project:default", "metric": metric, "window": window, "amount": amount, "hard": True}
        call = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/gateway/limits", json.dumps(limit).encode(),
            {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(call, timeout=30).read()


def added_p99(port: int, upstream: int, texts: list[str]) -> float:
    """Milliseconds between the slowest hundredth through the gateway and direct, at PACE calls a second."""
    direct = asyncio.run(load.paced(upstream, bodies(upstream, texts, PACED, False), PACE, CONNECTIONS))
    through = asyncio.run(load.paced(port, bodies(port, texts, PACED, False), PACE, CONNECTIONS))
    return (p99(through) - p99(direct)) * 1000


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def memory(server: tuple[int, list[int]], texts: list[str]) -> tuple[float, float]:
    """(megabytes per million mixed calls, megabytes of 1,000 open streams)."""
    port, pids = server

    def make(text: str, stream: bool, model: str) -> bytes:
        return load.request(port, gateway_memory.body(model, text, stream), KEY)

    points = []
    for step in range(2 * STEPS):
        asyncio.run(gateway_memory.mixed(port, texts, MIXED, make, MODEL))
        if step >= STEPS:
            points.append((step * MIXED, gateway_memory.rss_mb(pids)))
    time.sleep(1)
    drip = free_port()
    add_provider(port, "drip", f"http://127.0.0.1:{drip}/v1")
    slow = asyncio.run(gateway_memory.open_streams(drip, port, lambda text: make(text, True, "drip/m"), pids))
    return gateway_memory.slope(points), slow


def add_provider(port: int, name: str, url: str) -> None:
    provider = {"name": name, "kind": "openai-compatible", "base_url": url, "api_key": "none"}
    call = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/gateway/providers", json.dumps(provider).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )  # fmt: skip
    urllib.request.urlopen(call, timeout=30).read()


def peers_cpu(work: Path, upstream: int, ours: tuple[int, list[int]], texts: list[str]) -> Iterator[Figure]:
    """PEERS=1: their CPU a call over ours, in one interleaved run; few calls, for some take tens of milliseconds each."""
    from benchmarks import gateway_peers

    with gateway_peers.running(work, upstream, process, free_port) as found:
        ratios: dict[str, list[float]] = {name: [] for name in found}
        spent: dict[str, list[float]] = {name: [] for name in found}
        for run in range(RUNS + 1):  # the first warms
            own = measure(ours, texts, CALLS // 4, False)[1]
            for name, (port, pids, key, headers) in found.items():
                chats = [plain_chat(texts[number % len(texts)]) for number in range(PEER_CALLS)]
                before = cpu_s(pids)
                asyncio.run(load.run(port, gateway_peers.requests(port, chats, key, headers), PEER_CONNECTIONS))
                time.sleep(0.3)
                if run:
                    spent[name].append((cpu_s(pids) - before) / PEER_CALLS * 1000)
                    ratios[name].append(spent[name][-1] / own)
        for name, values in ratios.items():
            note = f"{statistics.median(spent[name]):.3g} ms a call, {PEER_CALLS} calls a run, one worker, no database"
            yield figure(f"gateway.{name}_cpu_ratio", values, "×", note=note)


def plain_chat(text: str) -> bytes:
    chat = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return json.dumps(chat, separators=(",", ":")).encode()


def bodies(port: int, texts: list[str], count: int, stream: bool) -> list[bytes]:
    """Requests, each with another text."""
    made = []
    for number in range(count):
        chat = {"model": MODEL, "messages": [{"role": "user", "content": texts[number % len(texts)]}]}
        if stream:
            chat["stream"] = True
        made.append(load.request(port, json.dumps(chat, separators=(",", ":")).encode(), KEY))
    return made


def measure(server: tuple[int, list[int]], texts: list[str], count: int, stream: bool) -> tuple[float, float]:
    """(calls per second, CPU milliseconds of the server's processes per call)."""
    port, pids = server
    requests = bodies(port, texts, count, stream)
    before = cpu_s(pids)
    seconds, _ = asyncio.run(load.run(port, requests, CONNECTIONS))
    time.sleep(0.3)  # what is written behind the answers counts too
    return count / seconds, (cpu_s(pids) - before) / count * 1000


def first_chunks(port: int, upstream: int, texts: list[str]) -> float:
    """Milliseconds that the gateway adds to the first chunk: median of pairs."""
    added = []
    for _ in range(4):
        direct = asyncio.run(load.run(upstream, bodies(upstream, texts, 50, True), 1))[1]
        through = asyncio.run(load.run(port, bodies(port, texts, 50, True), 1))[1]
        added.append(statistics.median(through) - statistics.median(direct))
    return statistics.median(added) * 1000


def cpu_s(pids: list[int]) -> float:
    """Time on a CPU of all threads of processes, to the nanosecond."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def process(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[int]:
    """A process that listens on `port` before this goes on; ended afterwards. Yields its id."""
    started = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, cwd=HERE.parent)
    try:
        end = time.monotonic() + 90
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end or started.poll() is not None:
                    raise RuntimeError(f"{command} does not listen") from None
                time.sleep(0.05)
        yield started.pid
    finally:
        started.terminate()
        started.wait(20)


@contextmanager
def genwright(folder: Path, upstream: int) -> Iterator[tuple[int, list[int]]]:
    port = free_port()
    environment = {
        "GENWRIGHT_HOME": str(folder / "home"), "GENWRIGHT_ADMIN_KEY": KEY, "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1", "GENWRIGHT_MAX_CONCURRENT": "3000",
        "GENWRIGHT_PRIVATE_HOSTS": "127.0.0.1",
    }  # fmt: skip
    with process([sys.executable, "-m", "genwright.cli", "up", "--port", str(port)], port, environment) as pid:
        yield port, [pid]


@contextmanager
def raw(upstream: int) -> Iterator[tuple[int, list[int]]]:
    port = free_port()
    with process([sys.executable, str(HERE / "raw_proxy.py"), str(port), str(upstream)], port) as pid:
        yield port, [pid]


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[tuple[int, list[int]]]:
    """One worker, connections kept alive to the upstream, no logs."""
    port = free_port()
    file = folder / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    file.write_text(
        f"daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {temporary} keepalive_requests 1000000;"
        f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000; }}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_buffering off; } } }'
    )
    with process(["nginx", "-c", str(file), "-p", str(folder)], port) as pid:
        yield port, [pid]
