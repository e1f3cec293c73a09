"""Trains the cache's pair verifier on the training half of QQP's development set and writes `data/cache_verifier.json`.

The data are in ../shared/data beside the repository. Which pair is in which half, and the measurement on the other half and on
GPTCache's 999 pairs, are benchmarks/cache.py's: nothing of those is looked at here. Takes about five minutes on two cores.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.cache import features_of, qqp

from genwright.gateway.cache.fit import fit
from genwright.gateway.cache.verify import FILE

CARD = {
    "what": "probability that two questions to a language model may share one answer",
    "trained_on": "QQP development set, half of it by hash of the first question; no pair shares a question with the other half",
    "source": "github.com/zilliztech/GPTCache at c59fb3a, similiar_qqp_full (30 %), given under MIT; the questions are Quora's",
    "about": "docs/cache-verifier.md",
}


def main() -> None:
    train, _ = qqp()
    forth, back = features_of([(a, b) for a, b, _ in train])
    labels = np.array([same for *_, same in train])
    verifier = fit(forth, back, labels, {**CARD, "pairs": len(train), "of_them_alike": int(labels.sum())})
    FILE.write_bytes(msgspec.json.encode(verifier.weights) + b"\n")
    print(f"{FILE.name}: {FILE.stat().st_size} bytes, {len(train)} pairs, balanced threshold {verifier.weights.balanced}")
    for target in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        print(f"  target {target}: threshold {verifier.threshold(target)}")


if __name__ == "__main__":
    main()
