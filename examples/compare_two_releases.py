"""Is the new release better? Ask both the same questions and compare the answers in pairs, with an interval.

    export GENWRIGHT_URL=http://127.0.0.1:7600 GENWRIGHT_API_KEY=gw_…
    python examples/compare_two_releases.py app/docs-qa@1 app/docs-qa@2 python-questions

`genwright eval run` and `genwright eval compare` do the same. `genwright releases promote … --run … --baseline …` rests on it.
"""

import sys

from genwright.client import Client

baseline, candidate, dataset = sys.argv[1:4]
METRICS = ["recall", "ndcg", "token_f1", "groundedness"]

with Client() as client:
    runs = []
    for target in (baseline, candidate):
        run = client.evals.start(target=target, dataset=f"dataset:{dataset}", metrics=METRICS)
        while run["state"] in ("queued", "running"):
            run = client.evals.get(run_id=run["id"], wait_s=10)
        print(f"{target}: {run['done']} answers, {run['failed']} failed ({run['state']})")
        runs.append(run["id"])

    for metric in client.evals.compare(a=runs[0], b=runs[1])["metrics"]:
        interval = metric["interval"]
        print(
            f"{metric['name']:12} {metric['mean_a']:.3f} → {metric['mean_b']:.3f}  "
            f"{interval['mean_difference']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]  {metric['verdict']}"
        )
