"""M7: windows of money and jumps of the clock. 10,000 random moments in all zones; jumps, slewing, sleep."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genwright.errors import Invalid
from genwright.gateway.money.windows import FOREVER, KINDS, SECOND, Steady, window, zone

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Africa/Cairo", "Asia/Beirut",
    "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Atlantic/Azores",
)  # fmt: skip
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND


def ns(*when, tz=UTC):
    return round(datetime(*when, tzinfo=tz).timestamp()) * SECOND


@settings(max_examples=10_000, deadline=None)
@given(st.integers(ns(1990, 1, 1), ns(2040, 1, 1)), st.sampled_from(KINDS), st.sampled_from(ZONES))
def test_windows_follow_each_other_without_a_gap(now, kind, name):
    begin, end = window(kind, zone(name), now)
    assert begin <= now < end
    if kind != "total":
        assert window(kind, zone(name), end)[0] == end, "the next begins where this one ends"
        assert window(kind, zone(name), begin - 1)[1] == begin, "the one before ends where this one begins"
    if kind in ("day", "week", "month"):
        local = datetime.fromtimestamp(begin // SECOND, zone(name))
        assert local.minute in (0, 30)
        assert (local.hour, local.minute) == (0, 0) or begin - 1 < ns(local.year, local.month, local.day, tz=zone(name)) + HOUR


def test_days_of_a_change_of_clocks():
    berlin = zone("Europe/Berlin")
    begin, end = window("day", berlin, ns(2026, 3, 29, 12))
    assert (end - begin) == 23 * HOUR
    assert begin == ns(2026, 3, 28, 23)
    begin, end = window("day", berlin, ns(2026, 10, 25, 12))
    assert (end - begin) == 25 * HOUR


def test_a_day_without_midnight_begins_with_its_first_moment():
    cairo = zone("Africa/Cairo")  # 2026-04-24: 00:00 becomes 01:00
    begin, _ = window("day", cairo, ns(2026, 4, 24, 12))
    assert begin == ns(2026, 4, 23, 22)


def test_ends_of_months_and_leap_years():
    begin, end = window("month", UTC, ns(2028, 2, 29, 23, 59, 59))
    assert (begin, end) == (ns(2028, 2, 1), ns(2028, 3, 1))
    begin, end = window("month", UTC, ns(2026, 12, 31, 23, 59, 59))
    assert (begin, end) == (ns(2026, 12, 1), ns(2027, 1, 1))
    assert window("week", UTC, ns(2026, 11, 22, 23)) == (ns(2026, 11, 16), ns(2026, 11, 23)), "from Monday"
    assert window("total", UTC, 5) == (0, FOREVER)


def test_zones_that_are_none():
    for name in ("Mars/Olympus", "../etc/passwd", "Europe", "", "a\x00b"):
        with pytest.raises(Invalid, match="time zone"):
            zone(name)


class Two:
    """A wall clock and the time that passes, apart."""

    def __init__(self):
        self.wall, self.elapsed = ns(2026, 11, 21, 12), 0
        self.clock = Steady(lambda: self.wall, lambda: self.elapsed)

    def wait(self, seconds):
        self.wall += round(seconds * SECOND)
        self.elapsed += round(seconds * SECOND)

    def jump(self, seconds):
        self.wall += round(seconds * SECOND)


@pytest.mark.parametrize("seconds", [3600, -3600, 86_400, -86_400, 31 * 86_400, 6, -6])
def test_a_jump_that_comes_back_changes_no_window(seconds):
    two = Two()
    begin = two.clock.now_ns()
    two.jump(seconds)
    for _ in range(10):
        two.wait(60)
        assert two.clock.now_ns() == begin + two.elapsed
    two.jump(-seconds)
    two.wait(1)
    assert two.clock.now_ns() == two.wall == begin + two.elapsed


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_a_clock_that_was_set_right_is_followed_after_a_while(seconds):
    two = Two()
    two.jump(seconds)
    two.clock.now_ns()
    two.wait(Steady.CONFIRM_S - 1)
    assert two.clock.now_ns() == two.wall - seconds * SECOND
    two.wait(1)
    assert two.clock.now_ns() == two.wall


def test_slewing_leap_seconds_and_sleep_are_followed():
    two = Two()
    for _ in range(1_000):
        two.wait(60)
        two.jump(random.Random(two.elapsed).uniform(-1, 1))
        assert two.clock.now_ns() == two.wall
    two.wait(8 * 3600)  # asleep: the elapsed clock counts that
    assert two.clock.now_ns() == two.wall


def test_no_window_resets_early_or_late_whatever_the_clock_does():
    """A day of random jumps that come back: each window is entered once, in order, within a second of its moment."""
    for seed in range(200):
        dice, two, seen, out = random.Random(seed), Two(), [], 0.0
        for _ in range(50):
            two.wait(dice.uniform(1, 1_500))
            if out:
                two.jump(-out)
                out = 0.0
            elif dice.random() < 0.4:
                out = dice.choice([-86_400, -3600, 3600, 86_400, 5.5])
                two.jump(out)
                two.clock.now_ns()
                continue
            true = ns(2026, 11, 21, 12) + two.elapsed
            begin, _ = window("hour", UTC, two.clock.now_ns())
            assert abs(two.clock.now_ns() - true) <= Steady.JUMP_NS
            if not seen or seen[-1] != begin:
                seen.append(begin)
        assert seen == sorted(set(seen)), "never back into a window that is over"
