"""Breakers, retry budgets, hedge budgets: what is known of a provider's model, on a clock that the test sets."""

from __future__ import annotations

import asyncio
import random

import pytest

from genwright.errors import (
    Blocked,
    RateLimited,
    StreamCut,
    Upstream,
    UpstreamAuth,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from genwright.gateway.routing.health import MAX_TARGETS, Health, Rules
from genwright.gateway.routing.types import Candidate, Outcome
from genwright.gateway.types import Answer
from genwright.messages import assistant
from genwright.vocab import Scope

HERE = Scope()
OK = Answer(assistant("fine"))


class Clocked(Health):
    """With a clock of its own and one target, a/m."""

    def __init__(self, **rules):
        self.time = 1000.0
        super().__init__(Rules(**rules), now=lambda: self.time)

    def tell(self, error=None, seconds=0.1, model="m"):
        beat = self.begin(HERE, "a", model)
        self.time += seconds
        self.end(beat, Outcome(Candidate("a", model), answer=None if error else OK, error=error, duration_s=seconds))

    @property
    def open(self):
        return not self.ready(HERE, "a", "m")

    def shown(self, model="m"):
        return self.show(HERE, "a", model)[0]


def test_five_failures_in_a_row_open_the_breaker_and_four_do_not():
    health = Clocked()
    for _ in range(4):
        health.tell(Upstream("x"))
    assert not health.open
    health.tell()
    for _ in range(4):
        health.tell(Upstream("x"))
    assert not health.open
    health.tell(StreamCut("cut"))
    assert health.open
    assert "stream_cut: cut" in health.shown().reason
    assert health.shown().state == "open"


def test_timeouts_weigh_double_for_they_cost_most():
    health = Clocked()
    for _ in range(3):
        health.tell(UpstreamTimeout("x"))
    assert health.open


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRefused("400"), Blocked("guard"), RateLimited("budget"), asyncio.CancelledError(), ValueError("ours"),
        UpstreamTimeout("caller's", code="deadline_exceeded"),
    ],
)  # fmt: skip
def test_what_says_nothing_about_the_provider_does_not_count(error):
    health = Clocked()
    for _ in range(50):
        health.tell(error)
    assert not health.open
    assert health.shown().in_flight == 0


def test_an_impatient_caller_opens_nothing_and_a_model_that_never_answers_opens_all_the_same():
    gave_up = UpstreamTimeout("caller's", code="deadline_exceeded")
    health = Clocked()
    for _ in range(50):
        health.tell(gave_up, seconds=0.05)
    assert not health.open
    for _ in range(5):
        health.tell(gave_up, seconds=10.5)
    assert health.open
    usual = Clocked()
    for _ in range(10):
        usual.tell(seconds=1.0)
    for _ in range(5):
        usual.tell(gave_up, seconds=2.5)
    assert not usual.open
    for _ in range(5):
        usual.tell(gave_up, seconds=3.5)
    assert usual.open


def test_five_percent_of_errors_do_not_open_it_but_half_do():
    health, draw = Clocked(), random.Random(7)
    for _ in range(5000):
        health.tell(Upstream("x") if draw.random() < 0.05 else None)
        assert not health.open
    half = Clocked()
    for number in range(40):
        half.tell(Upstream("x") if number % 2 else None)
    assert half.open


def test_after_the_cooldown_one_probe_goes_and_its_success_closes():
    health = Clocked(cooldown_s=5)
    for _ in range(5):
        health.tell(Upstream("x"))
    health.time += 4
    assert health.open
    health.time += 1.1
    assert not health.open
    probe = health.begin(HERE, "a", "m")
    assert health.open  # nobody beside the probe
    assert health.shown().breaker == "half_open"
    health.end(probe, Outcome(Candidate("a", "m"), answer=OK))
    assert not health.open
    assert health.shown().breaker == "closed"


def test_a_failed_probe_doubles_the_cooldown_and_a_cancelled_one_lets_another_try():
    health = Clocked(cooldown_s=5, longest_s=15)
    for _ in range(5):
        health.tell(Upstream("x"))
    for cooldown in (10, 15, 15):
        health.time = health._target(HERE, "a", "m").open_until
        health.tell(Upstream("x"), seconds=0)
        assert health.shown().retry_in_s == pytest.approx(cooldown)
    health.time += 16
    health.tell(asyncio.CancelledError())
    assert not health.open


def test_the_cooldown_goes_by_the_kind_of_failure():
    unnamed = Clocked()
    unnamed.tell(UpstreamLimited("x"))
    assert not unnamed.open
    limited = Clocked()
    limited.tell(UpstreamLimited("x", retry=37.0))
    assert limited.open
    assert limited.shown().retry_in_s == pytest.approx(37)
    refused = Clocked()
    refused.tell(UpstreamAuth("x"))
    assert refused.shown().retry_in_s == pytest.approx(120)
    slow = Clocked()
    for _ in range(3):
        slow.tell(UpstreamTimeout("x"))
    assert slow.shown().retry_in_s == pytest.approx(5)
    slow.reset(HERE, "a")
    assert not slow.open


def test_stragglers_from_before_it_opened_change_nothing():
    health = Clocked()
    late = [health.begin(HERE, "a", "m") for _ in range(3)]
    for _ in range(5):
        health.tell(Upstream("x"))
    until = health.shown().retry_in_s
    health.end(late[0], Outcome(Candidate("a", "m"), answer=OK))
    health.end(late[1], Outcome(Candidate("a", "m"), error=Upstream("x")))
    health.end(late[1], Outcome(Candidate("a", "m"), error=Upstream("x")))  # twice is once
    assert health.open
    assert health.shown().retry_in_s == pytest.approx(until)
    assert health.shown().in_flight == 1


def test_the_retry_budget_bounds_failed_repetitions_to_a_tenth_in_the_long_run():
    health, calls, repetitions = Clocked(), 3000, 0
    for _ in range(calls):
        health.called(HERE, "a", "m")
        while health.may_retry(HERE, "a", "m"):
            repetitions += 1
            health.retried(HERE, "a", "m")
    assert repetitions <= 0.1 * calls + health.rules.retry_reserve
    assert health.shown().retries_left < 1


def test_hedges_are_two_percent_of_calls_and_none_while_a_breaker_is_open():
    health, given = Clocked(), 0
    for _ in range(5000):
        health.tell()
        given += health.may_hedge(HERE, Candidate("a", "m"))
    assert given <= 0.02 * 5000 + health.rules.hedge_reserve
    assert given >= 95
    for _ in range(1000):
        health.tell()
    for _ in range(5):
        health.tell(Upstream("x"), model="other")
    assert not health.may_hedge(HERE, Candidate("a", "m"))


def test_what_is_shown_adds_up_and_projects_do_not_see_each_other():
    health = Clocked()
    for number in range(20):
        health.tell(seconds=number / 10)
    health.tell(model="other")
    shown = health.shown()
    assert (shown.calls, shown.failed, shown.state) == (20, 0, "ok")
    assert shown.p50_s == pytest.approx(1.0)
    assert shown.p95_s == pytest.approx(1.9)
    assert shown.share == pytest.approx(20 / 21, abs=1e-3)
    assert health.show(Scope("default", "else")) == []
    health.time += 60
    assert health.shown().state == "idle"


def test_names_from_callers_cannot_fill_the_memory():
    health = Clocked()
    for number in range(MAX_TARGETS + 10):
        health.tell(model=f"m{number}")
    assert len(health.show(HERE)) <= MAX_TARGETS
