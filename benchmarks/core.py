"""Import, start, idle memory and CPU of the server process; times of the demo."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, figure

ROOT = Path(__file__).parents[1]
IDLE_S = 60
TICK = os.sysconf("SC_CLK_TCK")


def figures() -> Iterator[Figure]:
    yield import_time()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        begin = time.perf_counter()
        demo(home)
        yield Figure("demo.again_s", time.perf_counter() - begin, "s", 1, note="an empty home folder, everything installed")
        yield figure("core.start_s", [start(home) for _ in range(3)], "s", note="existing folder, until the first app answer")
        yield from idle(home)


def import_time(runs: int = 5) -> Figure:
    values = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import genwright"], check=True)
        values.append(time.perf_counter() - begin)
    return figure("core.import_s", values, "s", note="whole process")


def demo(home: Path) -> None:
    command = [sys.executable, "-m", "genwright.cli", "--home", str(home), "demo", "--exit", "--port", "0"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)


def launch(home: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "genwright.cli", "--home", str(home), "up", "--port", "0"], stdout=subprocess.PIPE, text=True
    )


def wait_for_address(process: subprocess.Popen, home: Path) -> dict:
    for text in process.stdout:
        if text.startswith("Data in"):
            return json.loads((home / "lock").read_text())
    raise RuntimeError("the server did not start")


def start(home: Path) -> float:
    """Seconds from the command until the first answer of the app."""
    begin = time.perf_counter()
    process = launch(home)
    try:
        lock = wait_for_address(process, home)
        body = json.dumps({"model": "app/docs-qa", "messages": [{"role": "user", "content": "What does nonlocal do?"}]}).encode()
        request = urllib.request.Request(
            lock["address"] + "/v1/chat/completions", body, {"authorization": f"Bearer {lock['key']}"}
        )
        assert json.load(urllib.request.urlopen(request))["choices"]
        return time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait(30)


def idle(home: Path) -> Iterator[Figure]:
    process = launch(home)
    try:
        wait_for_address(process, home)
        time.sleep(2)
        before = cpu_s(process.pid)
        time.sleep(IDLE_S)
        share = (cpu_s(process.pid) - before) / IDLE_S * 100
        yield Figure("core.idle_rss_mb", rss_mb(process.pid), "MB", 1)
        yield Figure("core.idle_cpu_pct", share, "%", 1, note=f"of one core over {IDLE_S} s")
    finally:
        process.terminate()
        process.wait(30)


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
