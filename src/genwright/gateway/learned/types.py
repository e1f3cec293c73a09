"""Records of learned routing: what a router is fitted to (Example), what it is worth (Card), what a point of it costs (Point).

Money is in US dollars a call here: means of samples, not bookings. Knows no storage and no arithmetic.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Given(msgspec.Struct, frozen=True):
    """One model's answer to a prompt, judged."""

    score: float
    """0 (useless) … 1 (right)."""
    cost_usd: float | None = None
    latency_s: float | None = None


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a JSONL file: `{"prompt": "…", "answers": {"openai/gpt-4.1": {"score": 1}, "groq/llama": 0}}`."""

    prompt: str
    answers: dict[str, Given | float | bool]
    """PROVIDER/MODEL → answer, or its score alone."""


class Cost(msgspec.Struct, frozen=True):
    """What a call to a model costs and takes, on the rows fitted."""

    model: str
    usd: float
    source: str
    """rows, given, price list, or none."""
    latency_s: float | None = None
    quality: float = 0.0
    """Mean score of its answers."""
    answers: int = 0


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval over rows drawn again (bootstrap)."""

    value: float
    low: float
    high: float


class Point(msgspec.Struct, frozen=True):
    """One way to choose: the model with the greatest score − lam × dollars − per_second × seconds."""

    lam: float
    """Score that a dollar is worth; very great: always the cheapest, very small: always the dearest."""
    quality: float
    """Mean score to be expected."""
    kept: float
    """Of the strongest model's mean score."""
    gap: float
    """Of the way from the cheapest model's score to the strongest one's."""
    usd: float
    """A call."""
    saving: float
    """Of what the strongest model alone would cost."""
    shares: list[float]
    """Of calls, by model."""
    latency_s: float | None = None


class Chosen(msgspec.Struct, frozen=True):
    """The point a route uses, with intervals."""

    point: Point
    asked: dict[str, float]
    """What the user asked for, e.g. {"keep": 0.95}."""
    kept: Estimate
    gap: Estimate
    saving: Estimate


class Use(msgspec.Struct, frozen=True):
    """A point that is to be used."""

    asked: dict[str, float]
    """One of keep, gap, usd."""
    per_second: float = 0.0
    unsure: str = ""
    """Model asked where the router cannot judge; empty: as before."""
    far: float | None = None
    """None: as before."""
    selector: str = ""
    """Version whose weights are used; empty: the one that is called."""


class Kept(msgspec.Struct, frozen=True):
    """A row of the table: so much of the gap kept needs so many calls to the strong model."""

    gap: float
    strong_share: Estimate


class Bin(msgspec.Struct, frozen=True):
    """A tenth of the rows by predicted gain of the strongest model over the cheapest."""

    predicted: float
    actual: float
    low: float
    high: float
    rows: int


class Lies(msgspec.Struct, frozen=True):
    """Where the prompts fitted lie: what drift is measured against."""

    gains: list[float]
    """Edges of tenths of the predicted gain."""
    near: list[float]
    """Edges of tenths of the similarity to the nearest landmark."""
    far: float
    """Below this similarity a prompt is unlike all that was fitted (at most 1 in 200 of the rows fitted is)."""


class Card(msgspec.Struct, frozen=True):
    """What is said about a fitted router. Every figure is of rows that the predictor had not seen (5 folds)."""

    data: str
    """Where the rows are from: a digest, a dataset's ref, or the traces asked for."""
    rows: int
    dropped: int
    """Rows without a usable answer, and those over the limit."""
    groups: int
    """Different prompts: equal ones are never in two folds."""
    complete: bool
    """Whether every row has a score for each model. If not, figures are estimates that hold if models were asked at random."""
    at_ns: int
    seconds: float
    features: list[str]
    method: str
    models: list[Cost]
    strong: str
    cheap: str
    apgr: Estimate
    """Average share of the gap recovered over all shares of strong calls; 0.5 is choosing at random."""
    apgr_ridge: float
    """The same of plain ridge regression on the embedding, on the same folds."""
    table: list[Kept]
    frontier: list[Point]
    calibration: list[Bin]
    calibration_error: float
    """Mean distance of predicted and actual gain over the tenths."""
    lies: Lies
    notes: list[str] = []
    """When it lies, in words."""


class Router(msgspec.Struct, frozen=True):
    """A learned route, as REST shows it."""

    name: str
    """Of the route: it is called as route/NAME."""
    number: int
    digest: str
    created_ns: int
    chosen: dict[str, Any]
    """The point in use (Chosen), with `strong` and `cheap`."""
    weights: str
    unsure: str
    models: list[str]
    card: Card | None = None
    """None in lists."""
    labels: list[str] = []


class Saving(msgspec.Struct, frozen=True):
    """What a route cost, from its ledger rows, beside what its strongest model alone would have cost."""

    route: str
    since_ns: int
    calls: int
    usd: float
    strong: str
    strong_usd: float
    """The same tokens at the strong model's price. Always an estimate: it would have written other ones."""
    saving: float | None
    """1 − usd / strong_usd; None without calls or without prices."""
    basis: str
    """ledger: what was paid, and the strong model's price in force; given: both by the costs of the fit, as there is no price."""
    unpriced: int
    """Calls left out because their own price is not known."""
    models: list[dict[str, Any]]
    """[{"model", "calls", "usd"}]"""


class Drift(msgspec.Struct, frozen=True):
    """Live prompts of a route beside those it was fitted to."""

    weights: str
    calls: int
    since_ns: int
    until_ns: int
    far: int
    """Prompts unlike all that was fitted; they went to the route's `unsure` model."""
    gains: list[int]
    """Calls in each tenth of predicted gain; equal numbers where nothing has changed."""
    near: list[int]
    """Calls in each tenth of similarity."""
    psi_gain: float
    """Population stability index of `gains`: below 0.1 alike, above 0.25 another population."""
    psi_near: float
    drifted: bool
    says: str
