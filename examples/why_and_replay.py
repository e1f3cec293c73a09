"""Why did it answer that, and would it again? Everything behind an answer, its exact bytes, and what one change does.

export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
python examples/why_and_replay.py [TRACE]
"""

import sys

from genwright.client import Client

with Client() as client:
    trace = sys.argv[1] if len(sys.argv) > 1 else ""
    if not trace:
        first, *_ = client.ask("What does the nonlocal statement do?", app="docs-qa")
        trace = first["genwright"]["trace"]

    why = client.tracing.why(trace_id=trace)
    print("release   ", why["release"]["ref"])
    for prompt in why["prompts"]:
        print("prompt    ", prompt["ref"])
    for index in why["indexes"]:
        print("index     ", index["ref"])
    for passage in why["passages"]:
        print("passage   ", f"[{passage['n']}] {passage['name']} {passage['start']}–{passage['end']}")

    recorded = client.agents.replay(trace_id=trace)  # every step is fed what was recorded: nothing is called
    print("recorded  ", "byte for byte the same" if recorded["runs"][0]["equal"] else "NOT the same")

    live = client.agents.replay(trace_id=trace, mode="live", n=3)  # everything runs again, with the versions of that day
    spread = live["spread"]["similarity"]
    print("live      ", f"{live['distinct']} different answers, {spread['mean']:.2f} alike on average")

    changed = client.agents.replay(trace_id=trace, set={"k": "1"})  # one passage instead of five; what comes before is fed
    print("with k=1  ", changed["runs"][0]["text"][:100])
