"""How the rules do: what they hold, served and saved, and how many of the hits judged were wrong."""

from __future__ import annotations

from genwright import clock
from genwright.db import Database
from genwright.gateway.cache import store
from genwright.gateway.cache.rules import OWN_LABELS, InForce
from genwright.gateway.cache.types import Quality, Rule
from genwright.vocab import Scope


async def measured(database: Database, known: InForce, scope: Scope, since_ns: int) -> list[Quality]:
    """One line a rule. Sums are since then; false hits are those under the rule's present version."""
    sizes = await database.read(store.sizes, scope, clock.now_ns())
    sums = await database.read(store.sums, scope, since_ns)
    found = []
    for rule in known.rules:
        verdicts = await database.read(store.verdicts, scope, rule.name, counted(rule))
        fitted_on = "by hand" if rule.threshold else "own labels" if known.own_labels >= OWN_LABELS else "shipped pairs"
        size, sum_ = sizes.get(rule.name, (0, 0)), sums.get(rule.name, (0, 0, 0, 0))
        threshold = known.thresholds.get(rule.name, 1.0)
        found.append(Quality(rule, threshold, fitted_on, *size, *sum_, *verdicts, *rate(*verdicts)))
    return found


def rate(judged: int, wrong: int) -> tuple[float | None, float | None, float | None]:
    """(share of wrong ones, 95 % interval), or three times None where none was judged."""
    from genwright.stats import proportion_interval

    return (wrong / judged, *proportion_interval(wrong, judged)) if judged else (None, None, None)


def counted(rule: Rule) -> int:
    """The version whose hits count: of a rule that switched itself off, the one before."""
    return rule.number - 1 if not rule.enabled and rule.created_by == "system" else rule.number
