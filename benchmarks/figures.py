"""What a figure is, which goal it has, and how it is printed and kept. Knows no benchmark."""

import json
import platform
import statistics
import subprocess
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
LOG = HERE / "LOG.md"
SHARED = HERE.parents[1] / "shared" / "data"
"""Real data for workloads; benchmarks that need it say so where it is absent."""


class Figure(NamedTuple):
    """One measured figure. `low` and `high` are the smallest and largest of the runs, `peers` other systems in the same run."""

    name: str
    value: float
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    peers: dict[str, float] | None = None
    note: str = ""


def figure(name: str, values: Sequence[float], unit: str, peers: dict[str, float] | None = None, note: str = "") -> Figure:
    """The median of several runs."""
    return Figure(name, statistics.median(values), unit, len(values), min(values), max(values), peers, note)


def goals() -> dict[str, tuple[str, float]]:
    """name → (`<=` or `>=`, limit), from goals.toml."""
    table = tomllib.loads((HERE / "goals.toml").read_text())
    return {name: (text.split()[0], float(text.split()[1])) for name, text in table.items()}


def holds(found: Figure) -> bool | None:
    """Whether it meets its goal; None where it has none."""
    goal = goals().get(found.name)
    if goal is None:
        return None
    return found.value <= goal[1] if goal[0] == "<=" else found.value >= goal[1]


def line(found: Figure) -> str:
    """`name value unit n=… pass|MISS (goal) [low–high] peers`."""
    verdict, goal = holds(found), goals().get(found.name)
    word = "" if verdict is None else ("pass" if verdict else "MISS")
    parts = [f"{found.name:<38} {found.value:>12.4g} {found.unit:<10} n={found.n:<4} {word:<4}"]
    if goal:
        parts.append(f"(goal {goal[0]} {goal[1]:g})")
    if found.low is not None and found.high is not None and found.low != found.high:
        parts.append(f"[{found.low:.4g}–{found.high:.4g}]")
    if found.peers:
        parts.append("beside: " + ", ".join(f"{name} {value:.4g}" for name, value in found.peers.items()))
    if found.note:
        parts.append(f"— {found.note}")
    return " ".join(parts)


def keep(found: list[Figure]) -> None:
    """Merge into results.json by name, and append to LOG.md."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    ).stdout.strip()
    now = datetime.now(UTC)
    machine = f"{platform.machine()}, Python {platform.python_version()}, {_cpus()} cores"
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for item in found:
        known[item.name] = {
            "value": item.value, "unit": item.unit, "n": item.n, "low": item.low, "high": item.high, "holds": holds(item),
            "peers": item.peers or {}, "note": item.note, "commit": commit, "machine": machine, "date": now.strftime("%Y-%m-%d"),
        }  # fmt: skip
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    with LOG.open("a") as log:
        log.write(f"\n## {now:%Y-%m-%d %H:%M} UTC, commit {commit}, {machine}\n\n```\n")
        log.writelines(line(item).rstrip() + "\n" for item in found)
        log.write("```\n")


def _cpus() -> int:
    import os

    return len(os.sched_getaffinity(0))
