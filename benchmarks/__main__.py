"""`make bench` runs all rooms' benchmarks, `make bench ONLY=core` one: prints each figure, pass or MISS, and keeps it."""

import importlib
import sys

from benchmarks.figures import keep, line

ROOMS = ["core", "gateway", "tracing", "retrieval", "guardrails", "evals", "cache", "router"]


def main() -> None:
    for room in sys.argv[1:] or ROOMS:
        if room not in ROOMS:
            sys.exit(f"There is no benchmark '{room}'. There are: {', '.join(ROOMS)}.")
        print(f"== {room}", flush=True)
        found = []
        for item in importlib.import_module(f"benchmarks.{room}").figures():
            print(line(item), flush=True)
            found.append(item)
        keep(found)


if __name__ == "__main__":
    main()
