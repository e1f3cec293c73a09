"""Page of limits and budgets: what is used of each and until when it lasts, a burn-down, a form, what happened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid, Missing
from genwright.gateway.money.limits import SetLimit
from genwright.gateway.money.types import Burn, Limit, LimitEvent, WindowKind
from genwright.gateway.reports.burn import burn_down, paced
from genwright.web.formats import money, number
from genwright.web.forms import read_form

router = APIRouter(prefix="/w/{workspace}/gateway/limits", include_in_schema=False)

METRICS = {"usd": "Budget in dollars", "requests": "Requests", "tokens": "Tokens", "concurrent": "Calls at once"}
FIELDS = ("node", "metric", "window", "amount", "models", "hard", "warn_at", "timezone")
SHOWN = 300
EVENTS = 20


@router.get("")
async def limits(request: Request, id: str = "", edit: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """All of them; `id` is drawn as a burn-down, `edit` stands in the form."""
    return await _page(request, actor, chosen=id, edit=edit)


@router.post("")
async def set_limit(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Set a limit or change the one at its place; answers with the list, and with the form again where it does not fit."""
    form = await read_form(request)
    try:
        done = await request.app.state.gateway.limits.set(actor, _asked(form))
    except Error as problem:
        return await _page(request, actor, block="limits", form=form, error=problem.message)
    response = await _page(request, actor, block="limits")
    return request.app.state.pages.toast(response, f"Set: {_words(done)}. It holds from now on.")


@router.post("/{limit_id}/remove")
async def remove(request: Request, limit_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """End a limit."""
    done = await request.app.state.gateway.limits.remove(actor, limit_id)
    response = await _page(request, actor, block="limits")
    return request.app.state.pages.toast(response, f"Removed: {_words(done)}. What was used stays in the ledger.")


def _asked(form: dict[str, str]) -> SetLimit:
    metric, amount = form.get("metric", "usd"), form.get("amount", "").strip().replace(",", "").removeprefix("$")
    warn = [part.strip().removesuffix("%").strip() for part in form.get("warn_at", "").split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in warn):
        raise Invalid("Percentages are whole numbers with commas between, e.g. 80, 100. Nothing was set.", field="warn_at")
    if metric != "usd" and not (amount.isascii() and amount.isdigit()):
        raise Invalid("The amount is a whole number. Nothing was set.", field="amount")
    return SetLimit(
        node=form.get("node", ""),
        metric=metric,
        window=form.get("window", "month"),
        amount=int(amount) if metric != "usd" else None,
        usd=amount if metric == "usd" else "",
        models=form.get("models", "").strip(),
        hard=form.get("hard", "") != "no",
        warn_at=[int(part) for part in warn] if warn else None,
        timezone=form.get("timezone", "").strip() or "UTC",
    )


async def _page(
    request: Request,
    actor: Actor,
    block: str | None = None,
    chosen: str = "",
    edit: str = "",
    form: dict[str, str] | None = None,
    error: str = "",
) -> Response:
    gateway = request.app.state.gateway
    burns: list[Burn] = await gateway.limits.used(actor)
    names: dict[str, str] = await gateway.limits.names(actor)
    by_id = {burn.limit.id: burn for burn in burns}
    if edit in by_id and form is None:
        form = _form(by_id[edit].limit)
    rows = sorted((_row(burn, names) for burn in burns), key=lambda row: (-row.share, row.name, row.id))
    events = await gateway.limits.events(actor, limit=EVENTS)
    return request.app.state.pages.render(
        request,
        "gateway/limits.html",
        block=block,
        status=422 if error else 200,
        budgets=[row for row in rows if row.metric == "usd"][:SHOWN],
        others=[row for row in rows if row.metric != "usd"][:SHOWN],
        total=len(rows),
        names=names,
        events=[(event, _told(event, by_id)) for event in events],
        burn=await _burn(gateway, actor, by_id, names, chosen),
        metrics=list(METRICS.items()),
        windows=[(name, _per(name)) for name in get_args(WindowKind)],
        nodes=sorted(
            ((node, f"{node.partition(':')[0]} {name}") for node, name in names.items()), key=lambda pair: _rank(pair[0])
        ),
        admin=actor.may("admin"),
        form=form or {},
        error=error,
    )


def _rank(node: str) -> tuple[int, str]:
    order = ("workspace", "project", "team", "service", "member", "key")
    kind = node.partition(":")[0]
    return (order.index(kind) if kind in order else len(order), node)


async def _burn(gateway: Any, actor: Actor, by_id: dict[str, Burn], names: dict[str, str], chosen: str) -> SimpleNamespace | None:
    """The burn-down of the chosen budget, else of the one that is nearest to its end."""
    if chosen and chosen not in by_id:
        raise Missing(f"There is no limit '{chosen[:100]}' here.")
    budgets = [burn for burn in by_id.values() if burn.limit.metric == "usd" and burn.limit.amount]
    burn = by_id.get(chosen) or max(budgets, key=lambda burn: burn.used / burn.limit.amount, default=None)
    if burn is None or burn.limit.metric != "usd":
        return None
    spec = await burn_down(gateway.reports, actor, burn, clock.now_ns())
    return None if spec is None else SimpleNamespace(row=_row(burn, names), spec=spec)


def _row(burn: Burn, names: dict[str, str]) -> SimpleNamespace:
    """A limit as the page shows it."""
    limit, now_ns = burn.limit, clock.now_ns()
    show = money if limit.metric == "usd" else number
    taken = burn.used + burn.held
    share = taken / limit.amount if limit.amount else 1.0
    return SimpleNamespace(
        id=limit.id,
        metric=limit.metric,
        kind=limit.node.partition(":")[0],
        name=names.get(limit.node) or limit.node.partition(":")[2],
        node=limit.node,
        what=METRICS[limit.metric],
        window=_per(limit.window),
        per="" if limit.metric == "concurrent" else _per(limit.window),
        zone=limit.timezone,
        models=limit.models,
        hard=limit.hard,
        warn_at=limit.warn_at,
        amount=show(limit.amount),
        used=show(burn.used),
        held=show(burn.held) if burn.held else "",
        left=show(max(burn.left, 0)),
        share=share,
        percent=min(round(share * 100), 100),
        tone="bad" if share >= 1 else "warn" if share >= 0.8 else "",
        ends_ns=burn.ends_ns,
        empty_ns=burn.empty_ns if 0 < share < 1 and paced(burn, now_ns) else 0,
        projected=show(round(_projected(burn, now_ns))) if limit.metric == "usd" and paced(burn, now_ns) else "",
        early=bool(burn.ends_ns) and not paced(burn, now_ns),
    )


def _projected(burn: Burn, now_ns: int) -> float:
    """What will be used by the window's end at the pace so far."""
    return burn.used + burn.per_day * max(burn.ends_ns - now_ns, 0) / 86_400e9


def _per(window: str) -> str:
    return {"total": "in all", "hour": "an hour"}.get(window, f"a {window}")


def _form(limit: Limit) -> dict[str, str]:
    amount = f"{limit.amount / 1e9:.9f}".rstrip("0").rstrip(".") if limit.metric == "usd" else str(limit.amount)
    return {
        "node": limit.node, "metric": limit.metric, "window": limit.window, "amount": amount, "models": limit.models,
        "hard": "yes" if limit.hard else "no", "warn_at": ", ".join(map(str, limit.warn_at)), "timezone": limit.timezone,
    }  # fmt: skip


def _words(limit: Limit) -> str:
    amount = money(limit.amount) if limit.metric == "usd" else f"{limit.amount:,} {limit.metric}"
    return amount if limit.metric == "concurrent" else f"{amount} {_per(limit.window)}"


def _told(event: LimitEvent, by_id: dict[str, Burn]) -> str:
    """An event in words; ids of limits that are there become what they say."""
    burn = by_id.get(event.limit_id)
    if burn is None or not event.percent:
        return event.message
    return f"{event.percent} % of {_words(burn.limit)} {'was' if event.percent < 100 else 'is'} used"
