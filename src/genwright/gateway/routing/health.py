"""How each provider's model does: in flight, latency, errors, its breaker and its retry budget. In memory, per process.

The flow tells of every attempt: `beat = health.begin(scope, provider, model)`, then `health.end(beat, outcome)`. Routes ask
`ready`, `may_retry`, `may_hedge` before they name a candidate. Knows no route and sends nothing.

Sources: Envoy's outlier detection (consecutive failures, error share, ejection that grows), gRPC A6 and Google's SRE book
(retry budget as a token bucket), "The Tail at Scale" (hedging after the p95, 2 % of calls).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from genwright import clock
from genwright.errors import Error, Unavailable, Upstream, UpstreamAuth, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from genwright.gateway.routing.types import Candidate, Outcome, TargetHealth
from genwright.vocab import Scope

Key = tuple[str, str, str, str]
"""Workspace, project, provider, model."""
MAX_TARGETS = 10_000


class Rules(msgspec.Struct, frozen=True):
    """When a target is left alone, and for how long (seconds)."""

    failures: int = 5
    """In a row, until it opens; a timeout counts double, for it costs most."""
    share: float = 0.5
    """Of failed attempts in the window, from `least` attempts on."""
    least: int = 20
    window_s: float = 30.0
    cooldown_s: float = 5.0
    """After a failure or timeout; doubled each time the probe fails, up to `longest_s`."""
    auth_s: float = 120.0
    """After refused credentials: only a person mends that."""
    limited_s: float = 2.0
    """After a rate limit that names no time."""
    longest_s: float = 300.0
    slow_s: float = 10.0
    """Without an answer until the caller gave up: from here on it counts where nothing is known of the model's usual time."""
    retry_share: float = 0.1
    """Failed repetitions allowed per call in the long run."""
    retry_reserve: float = 10.0
    """Failed repetitions allowed at once."""
    hedge_share: float = 0.02
    hedge_reserve: float = 5.0


class Beat(msgspec.Struct):
    """One attempt under way."""

    target: Target
    began_s: float
    probe: bool = False
    ended: bool = False


class Target:
    """One provider's model in one project."""

    __slots__ = (
        "breaker", "cooldown_s", "failing", "first", "in_flight", "key", "open_until", "probing", "reason", "recent", "retries",
        "times", "used_s",
    )  # fmt: skip

    def __init__(self, key: Key, reserve: float):
        self.key = key
        self.in_flight = 0
        self.failing = 0
        """Weight of failures since the last success."""
        self.breaker = "closed"
        self.reason = ""
        self.open_until = 0.0
        self.cooldown_s = 0.0
        self.probing = False
        self.retries = reserve
        self.times: deque[float] = deque(maxlen=200)
        self.first: deque[float] = deque(maxlen=200)
        self.recent: deque[tuple[float, bool]] = deque(maxlen=2000)
        """(end, failed) of the window's attempts."""
        self.used_s = 0.0


class Health:
    """All targets of a server process."""

    def __init__(self, rules: Rules | None = None, now: Callable[[], float] = clock.monotonic):
        self.rules = rules or Rules()
        self._now = now
        self._targets: dict[Key, Target] = {}
        self._hedges: dict[Scope, float] = {}

    # -- told by the flow

    def begin(self, scope: Scope, provider: str, model: str) -> Beat:
        """An attempt starts. In a half-open breaker it is the probe."""
        target, now = self._target(scope, provider, model), self._now()
        target.in_flight += 1
        target.used_s = now
        self._hedges[scope] = min(
            self._hedges.get(scope, self.rules.hedge_reserve / 2) + self.rules.hedge_share, self.rules.hedge_reserve
        )
        beat = Beat(target, now)
        if target.breaker != "closed" and now >= target.open_until and not target.probing:
            target.breaker, target.probing, beat.probe = "half_open", True, True
        return beat

    def end(self, beat: Beat, outcome: Outcome) -> None:
        """It ended. Only what says something about the provider counts: not a cancel, a guard, a budget or a bad request."""
        if beat.ended:
            return
        beat.ended = True
        target, now = beat.target, self._now()
        target.in_flight -= 1
        target.used_s = now
        if beat.probe:
            target.probing = False
        if outcome.cached:
            return
        if outcome.answer is not None and outcome.error is None:
            self._succeeded(target, outcome, now)
        elif (weight := fault(outcome.error) or self._too_long(target, outcome)) > 0:
            self._failed(target, outcome.error, weight, now)

    def _too_long(self, target: Target, outcome: Outcome) -> int:
        """1 where the caller's time was up, but after far longer than this model usually takes."""
        if getattr(outcome.error, "code", "") != "deadline_exceeded":
            return 0
        usual = _quantile(target.times, 0.95) if len(target.times) >= 5 else self.rules.slow_s / 3
        return int(outcome.duration_s >= max(3 * usual, self.rules.slow_s / 5))

    def _succeeded(self, target: Target, outcome: Outcome, now: float) -> None:
        target.recent.append((now, False))
        target.times.append(outcome.duration_s)
        if outcome.first_chunk_s:
            target.first.append(outcome.first_chunk_s)
        if target.breaker != "open":  # a straggler from before it opened proves nothing
            if target.breaker == "half_open":
                target.recent.clear()
            target.breaker, target.failing, target.cooldown_s, target.reason = "closed", 0, 0.0, ""

    def _failed(self, target: Target, error: Any, weight: int, now: float) -> None:
        target.recent.append((now, True))
        target.failing += weight
        target.reason = f"{error.code}: {error.message[:300]}"
        if target.breaker == "open":
            return
        probed = target.breaker == "half_open"
        at_once = isinstance(error, UpstreamAuth) or (isinstance(error, UpstreamLimited) and _named(error) > 0)
        if probed or at_once or target.failing >= self.rules.failures or self._bad(target, now):
            self._open(target, error, now)

    def _bad(self, target: Target, now: float) -> bool:
        """Whether too large a share of the window failed."""
        calls, failed = self._window(target, now)
        return calls >= self.rules.least and failed >= self.rules.share * calls

    def _open(self, target: Target, error: Any, now: float) -> None:
        rules = self.rules
        if isinstance(error, UpstreamLimited):
            cooldown = _named(error) or rules.limited_s
        elif isinstance(error, UpstreamAuth):
            cooldown = rules.auth_s
        else:
            target.cooldown_s = cooldown = min(max(target.cooldown_s * 2, rules.cooldown_s), rules.longest_s)
        target.breaker, target.open_until = "open", now + min(cooldown, rules.longest_s)

    # -- asked by routes

    def ready(self, scope: Scope, provider: str, model: str) -> bool:
        """Whether it may be asked: closed, or half open with no probe under way."""
        target = self._targets.get((*_place(scope), provider, model))
        if target is None or target.breaker == "closed":
            return True
        return not target.probing and self._now() >= target.open_until

    def refusal(self, scope: Scope, provider: str, model: str) -> Unavailable:
        """Why it is not asked at present."""
        target = self._target(scope, provider, model)
        left = max(target.open_until - self._now(), 0.1)
        return Unavailable(
            f"{provider}/{model} is not asked at present: {target.reason or 'it is being tried'}. Nothing was sent. "
            f"Next try in {left:.1f} s.",
            code="breaker_open",
            retry=left,
            provider=provider,
            model=model,
        )

    def called(self, scope: Scope, provider: str, model: str) -> None:
        """A call's first attempt goes here: that earns a part of a repetition."""
        target = self._target(scope, provider, model)
        target.retries = min(target.retries + self.rules.retry_share, self.rules.retry_reserve)

    def may_retry(self, scope: Scope, provider: str, model: str) -> bool:
        """Whether a further attempt of a call may go here. Only failed ones cost (`retried`): a healthy target is never short."""
        return self._target(scope, provider, model).retries >= 1.0

    def retried(self, scope: Scope, provider: str, model: str) -> None:
        """A further attempt went here and failed. The bucket may go into debt by what was under way at once."""
        self._target(scope, provider, model).retries -= 1.0

    def may_hedge(self, scope: Scope, candidate: Candidate) -> bool:
        """Take one hedge from the budget, unless a breaker of the project is not closed: an outage is no time for extra calls."""
        if self._hedges.get(scope, 0.0) < 1.0 or self._trouble(scope):
            return False
        self._hedges[scope] -= 1.0
        return True

    def _trouble(self, scope: Scope) -> bool:
        """Whether a breaker is not closed; one that nobody has asked to close for a window after its cooldown is forgotten."""
        place, since = _place(scope), self._now() - self.rules.window_s
        here = (target for key, target in self._targets.items() if key[:2] == place)
        return any(target.breaker != "closed" and target.open_until > since for target in here)

    def latency_s(self, scope: Scope, provider: str, model: str, quantile: float, least: int = 5) -> float | None:
        """Of late answers; None with fewer than `least`."""
        target = self._targets.get((*_place(scope), provider, model))
        return _quantile(target.times, quantile) if target is not None and len(target.times) >= least else None

    def in_flight(self, scope: Scope, provider: str, model: str) -> int:
        target = self._targets.get((*_place(scope), provider, model))
        return 0 if target is None else target.in_flight

    # -- shown

    def show(self, scope: Scope, provider: str = "", model: str = "") -> list[TargetHealth]:
        """Every target of the project (or the named one), by name."""
        place, now = _place(scope), self._now()
        mine = [target for key, target in self._targets.items() if key[:2] == place]
        windows = {target.key: self._window(target, now) for target in mine}
        total = sum(calls for calls, _ in windows.values()) or 1
        return [
            self._shown(target, *windows[target.key], total, now)
            for target in sorted(mine, key=lambda one: one.key)
            if (not provider or target.key[2] == provider) and (not model or target.key[3] == model)
        ]

    def _shown(self, target: Target, calls: int, failed: int, total: int, now: float) -> TargetHealth:
        breaker = "half_open" if target.breaker == "open" and now >= target.open_until else target.breaker
        if breaker != "closed":
            state = "open" if breaker == "open" else "probing"
        elif not calls and not target.in_flight:
            state = "idle"
        elif target.failing:
            state = "failing"
        else:
            state = "ok"
        return TargetHealth(
            provider=target.key[2],
            model=target.key[3],
            state=state,
            breaker=breaker,
            reason=target.reason,
            retry_in_s=round(max(target.open_until - now, 0.0), 3) if breaker == "open" else 0.0,
            in_flight=target.in_flight,
            calls=calls,
            failed=failed,
            share=round(calls / total, 4),
            p50_s=_quantile(target.times, 0.5),
            p95_s=_quantile(target.times, 0.95),
            first_chunk_p50_s=_quantile(target.first, 0.5),
            first_chunk_p95_s=_quantile(target.first, 0.95),
            retries_left=round(target.retries, 2),
        )

    def reset(self, scope: Scope, provider: str) -> None:
        """Forget a provider's troubles: it was changed."""
        for key in [key for key in self._targets if key[:3] == (*_place(scope), provider)]:
            target = self._targets[key]
            target.breaker, target.failing, target.reason, target.cooldown_s, target.open_until = "closed", 0, "", 0.0, 0.0
            target.recent.clear()

    # -- inside

    def _target(self, scope: Scope, provider: str, model: str) -> Target:
        key = (*_place(scope), provider, model)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MAX_TARGETS:
                self._forget()
            target = self._targets[key] = Target(key, self.rules.retry_reserve)
        return target

    def _forget(self) -> None:
        """Names are the callers': the half used longest ago goes."""
        idle = sorted((target for target in self._targets.values() if not target.in_flight), key=lambda one: one.used_s)
        for target in idle[: MAX_TARGETS // 2]:
            del self._targets[target.key]

    def _window(self, target: Target, now: float) -> tuple[int, int]:
        recent = target.recent
        while recent and recent[0][0] < now - self.rules.window_s:
            recent.popleft()
        return len(recent), sum(failed for _, failed in recent)


def fault(error: BaseException | None) -> int:
    """How heavily an error weighs against the provider; 0: it says nothing about it."""
    if not isinstance(error, Upstream) or isinstance(error, UpstreamRefused) or error.code == "deadline_exceeded":
        return 0
    return 2 if isinstance(error, UpstreamTimeout) else 1


def _named(error: Error) -> float:
    """Seconds a rate limit asked us to wait; 0 where it named none, which then counts like any failure."""
    return float(error.retry) if isinstance(error.retry, (int, float)) and error.retry != error.default_retry else 0.0


def _place(scope: Scope) -> tuple[str, str]:
    return scope.workspace, scope.project


def _quantile(times: deque[float], quantile: float) -> float:
    if not times:
        return 0.0
    ordered = sorted(times)
    return round(ordered[min(int(quantile * len(ordered)), len(ordered) - 1)], 6)
