"""Page of costs: by one or two dimensions, over time, drilled down by a click; the address holds all that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Invalid
from genwright.gateway.money.hours import HOUR_NS
from genwright.gateway.reports import asked
from genwright.gateway.reports.service import TIMES, Reports, time_of
from genwright.gateway.reports.store import DAY_NS
from genwright.gateway.reports.types import CostLine, CostQuery, CostReport
from genwright.web.forms import address

router = APIRouter(prefix="/w/{workspace}/gateway", include_in_schema=False)

SPANS = [("24h", "Last 24 hours"), ("7d", "Last 7 days"), ("30d", "Last 30 days"), ("90d", "Last 90 days"), ("", "All time")]
NAMES = {
    "model": "Model", "provider": "Provider", "app": "App", "key": "Key", "team": "Team", "member": "Member", "user": "User",
    "session": "Session", "route": "Route", "cost_kind": "Kind of cost", "operation": "Operation", "status": "Status",
    "price_source": "Price from", "day": "Day", "hour": "Hour", "month": "Month",
}  # fmt: skip
FILTERABLE = ("model", "provider", "app", "key", "team", "member", "user", "session", "route", "cost_kind", "operation", "status")
SUGGESTED = ("model", "provider", "app", "route")
SHOWN = 100
SERIES = 6
"""Lines drawn by name; the rest is one more."""


@router.get("/costs")
async def costs(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Sums of the ledger, a chart over time, a table that drills down."""
    reports: Reports = request.app.state.gateway.reports
    fields = _fields(request.query_params)
    context: dict[str, Any] = {
        "fields": fields,
        "dimensions": [*NAMES.items(), *((name, f"Tag {name[4:]}") for name in _tags(fields))],
        "spans": SPANS,
        "filterable": [(name, NAMES[name]) for name in FILTERABLE],
        "filters": any(fields[name] for name in (*FILTERABLE, "tag")),
        "cleared": address(request.url.path, {name: fields[name] for name in ("by", "and", "since", "show")}),
        "error": "",
        "report": None,
        "known": {},
    }
    try:
        query = _query(fields)
        report = await reports.costs(actor, query)
    except Invalid as problem:
        context["error"] = problem.message
    else:
        context |= await _about(reports, actor, query, report, fields, request.url.path)
    return request.app.state.pages.render(request, "gateway/costs.html", status=422 if context["error"] else 200, **context)


def _fields(given: Mapping[str, str]) -> dict[str, str]:
    fields = {name: given.get(name, "").strip() for name in ("by", "and", "since", "show", "tag", *FILTERABLE)}
    fields["by"] = fields["by"] or "model"
    fields["since"] = fields["since"] if "since" in given else "7d"
    fields["show"] = fields["show"] if fields["show"] in ("calls", "tokens") else "usd"
    return fields


def _query(fields: dict[str, str]) -> CostQuery:
    by = ",".join(dict.fromkeys(name for name in (fields["by"], fields["and"]) if name))
    tags = [fields["tag"]] if fields["tag"] else []
    return asked.query({**fields, "by": by}, tags, limit=asked_limit(by))


def asked_limit(by: str) -> int:
    """Lines fetched for a page: those of time are all drawn."""
    return 2_000 if any(name in TIMES for name in by.split(",")) else 1_000


def _tags(fields: dict[str, str]) -> list[str]:
    return [name for name in dict.fromkeys((fields["by"], fields["and"])) if name.startswith("tag:")]


async def _about(
    reports: Reports, actor: Actor, query: CostQuery, report: CostReport, fields: dict[str, str], path: str
) -> dict[str, Any]:
    """What the page shows of a report."""
    value = _value(fields["show"])
    if query.by[0] in TIMES:
        lines = list(reversed(report.lines))
    else:
        lines = sorted(report.lines, key=lambda line: (-value(line), -line.sums.calls))
    whole = sum(value(line) for line in report.lines)
    chart, title = await _chart(reports, actor, query, fields, lines)
    kinds = await reports.costs(actor, CostQuery(("cost_kind",), query.since_ns, query.until_ns, query.where))
    known = {name: await reports.values(actor, name, query.since_ns) for name in SUGGESTED}
    return {
        "report": report,
        "count": len(report.lines) + report.left_out,
        "rows": [_row(line, value(line) / whole if whole else None, fields, path) for line in lines[:SHOWN]],
        "heads": [_title(name) for name in query.by],
        "kinds": kinds.lines if "cost_kind" not in query.by else [],
        "known": known,
        "chart": chart,
        "chart_title": title,
        "csv_url": address("/api/gateway/costs.csv", {**_asked(fields), "by": ",".join(query.by)}),
    }


def _asked(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in ("and", "show")}


def _value(show: str) -> Any:
    """What is compared: dollars, calls or tokens of a line."""
    return {
        "usd": lambda line: line.sums.nano_usd / 1e9,
        "calls": lambda line: line.sums.calls,
        "tokens": lambda line: line.sums.input_tokens + line.sums.output_tokens,
    }[show]


def _title(name: str) -> str:
    return NAMES.get(name) or name.removeprefix("tag:")


def _row(line: CostLine, share: float | None, fields: dict[str, str], path: str) -> SimpleNamespace:
    """A line with its texts, and where a click leads: the same page, narrowed to it."""
    cells = []
    narrowed = dict(fields)
    for name, value in line.by.items():
        known = line.names.get(name, "")
        cells.append(SimpleNamespace(text=known or value or "–", note=value if known else ""))
        if name.startswith("tag:") and value:
            narrowed["tag"] = f"{name[4:]}={value}"
        elif name in FILTERABLE and value:
            narrowed[name] = value
    if len(line.by) == 1 and fields["by"] in FILTERABLE:
        narrowed["by"] = "day" if fields["by"] != "app" else "cost_kind"
    return SimpleNamespace(cells=cells, sums=line.sums, share=share, url=address(path, narrowed))


async def _chart(
    reports: Reports, actor: Actor, query: CostQuery, fields: dict[str, str], lines: list[CostLine]
) -> tuple[dict[str, Any], str]:
    """Bars over time, the largest lines by name; by hours up to three days, else by days, from ninety by months."""
    value, name = _value(fields["show"]), query.by[0]
    first, last = query.since_ns or await _first(reports, actor, query), min(query.until_ns, clock.now_ns())
    span = last - first
    unit = "hour" if span <= 3 * DAY_NS else "day" if span <= 120 * DAY_NS else "month"
    by = (unit,) if name in TIMES else (unit, name)
    found = await reports.costs(actor, CostQuery(by, query.since_ns, query.until_ns, query.where, 100_000))
    words = {"usd": "Cost", "calls": "Calls", "tokens": "Tokens"}[fields["show"]]
    times = _times(unit, first, last, found)
    leading: list[str] = []
    if len(by) == 2:
        leading = list(dict.fromkeys(line.by[name] for line in lines))[:SERIES]
    called = {line.by[name]: line.names.get(name) or line.by[name] or "–" for line in lines} if leading else {}
    sums: dict[str, dict[str, float]] = {}
    for line in found.lines:
        label = called.get(line.by[name], "others") if leading and line.by[name] in leading else ("others" if leading else words)
        at = sums.setdefault(label, {})
        at[line.by[unit]] = at.get(line.by[unit], 0) + value(line)
    labels = [called[each] for each in leading] + (["others"] if "others" in sums and leading else []) or [words]
    series = [{"name": label, "values": [sums.get(label, {}).get(time, 0) for time in times]} for label in dict.fromkeys(labels)]
    shown = [time.removesuffix(":00Z").replace("T", " ") + "h" if unit == "hour" else time for time in times]
    spec = {"kind": "bar", "x": shown, "series": series, "stacked": True, "unit": "$" if fields["show"] == "usd" else ""}
    return spec, f"{words} by {unit}" + (f" and {_title(name).lower()}" if leading else "")


async def _first(reports: Reports, actor: Actor, query: CostQuery) -> int:
    """Begin of the first month that holds anything of what is asked for."""
    months = await reports.costs(actor, CostQuery(("month",), query.since_ns, query.until_ns, query.where))
    return asked.moment(f"{months.lines[0].by['month']}-01", 0) if months.lines else clock.now_ns()


def _times(unit: str, first: int, last: int, found: CostReport) -> list[str]:
    """Every hour or day of the span, empty ones too; months only where something was."""
    held = sorted({line.by[unit] for line in found.lines})
    if unit == "month" or not held:
        return held
    size, form = (HOUR_NS, "hour") if unit == "hour" else (DAY_NS, "day")
    return [time_of(form, at) for at in range(first - first % size, last + 1, size)]
