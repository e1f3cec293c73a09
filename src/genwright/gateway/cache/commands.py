"""`genwright cache`: rules that switch it on, how well it does, what it holds, pairs of questions to teach it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Answers used again, exactly or by meaning, with a measured share of false hits.", no_args_is_help=True)
rules = typer.Typer(help="Rules: which models, who shares, how long, how sure.", no_args_is_help=True)
app.add_typer(rules, name="rules")

_SHOWN = ["name", "models", "mode", "share", "ttl_s", "target", "enabled", "number", "note"]
_UNSET: Any = None


@rules.command("list")
def list_rules(ctx: typer.Context) -> None:
    """The rules of this project; the first by name that covers a model holds."""
    ctx.obj.show(ctx.obj.client.gateway.cache_rules(), _SHOWN, "Cache rules")


@rules.command("set")
def set_rule(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="e.g. support")],
    models: Annotated[str, typer.Option(help="PROVIDER/MODEL, `*` for any letters.")] = _UNSET,
    mode: Annotated[str, typer.Option(help="exact or semantic.")] = _UNSET,
    share: Annotated[str, typer.Option(help="Who shares answers: key, user, team or project.")] = _UNSET,
    ttl: Annotated[int, typer.Option(help="Seconds an answer is kept.")] = _UNSET,
    target: Annotated[float, typer.Option(help="Largest share of semantic hits that may be wrong.")] = _UNSET,
    threshold: Annotated[float, typer.Option(help="Probability from which one is served; 0 fits it to the target.")] = _UNSET,
    sample: Annotated[float, typer.Option(help="Share of semantic hits judged in the background.")] = _UNSET,
    judge: Annotated[str, typer.Option(help="Model that judges; empty compares with a fresh answer.")] = _UNSET,
    sampled: Annotated[bool, typer.Option(help="Also calls with a temperature above 0.")] = _UNSET,
    tools: Annotated[bool, typer.Option(help="Also answers that call tools.")] = _UNSET,
    entries: Annotated[int, typer.Option(help="Most answers kept.")] = _UNSET,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Switch it on or off.")] = _UNSET,
    note: str = "",
) -> None:
    """Make a rule, or change one: what is not given stays as it is."""
    fields = {
        "models": models, "mode": mode, "share": share, "ttl_s": ttl, "target": target, "threshold": threshold, "sample": sample,
        "judge": judge, "sampled": sampled, "tools": tools, "max_entries": entries, "enabled": enabled,
    }  # fmt: skip
    given = {field: value for field, value in fields.items() if value is not None}
    rule = ctx.obj.client.gateway.put_cache_rule(name=name, note=note, **given)
    ctx.obj.show({field: rule[field] for field in _SHOWN})


@rules.command("remove")
def remove_rule(ctx: typer.Context, name: str) -> None:
    """End a rule and delete what it kept; its history stays."""
    ctx.obj.show({"removed": ctx.obj.client.gateway.remove_cache_rule(name=name)["name"]})


@rules.command("history")
def history(ctx: typer.Context, name: str) -> None:
    """A rule's versions, newest first."""
    ctx.obj.show(ctx.obj.client.gateway.cache_rule_history(name=name), ["number", *_SHOWN[1:7], "created_by", "note"], name)


@app.command()
def stats(ctx: typer.Context) -> None:
    """By rule: entries, hits, savings, and the measured share of false hits with its interval."""
    found = ctx.obj.client.gateway.cache_quality()
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    lines = [_line(item) for item in found["items"]]
    heads = ["rule", "on", "entries", "exact", "semantic", "saved usd", "saved s", "threshold", "judged", "false hits"]
    ctx.obj.show(lines, heads, "Cache")
    for item in found["items"]:
        if not item["rule"]["enabled"] and item["rule"]["note"]:
            ctx.obj.say(f"{item['rule']['name']}: {item['rule']['note']}")


def _line(item: dict[str, Any]) -> dict[str, Any]:
    rate = item["false_hit_rate"]
    return {
        "rule": item["rule"]["name"],
        "on": item["rule"]["enabled"],
        "entries": item["entries"],
        "exact": item["exact_hits"],
        "semantic": item["semantic_hits"],
        "saved usd": f"{item['saved_nano_usd'] / 1e9:.6f}",
        "saved s": round(item["saved_ns"] / 1e9, 1),
        "threshold": f"{item['threshold']:.2f} ({item['fitted_on']})" if item["rule"]["mode"] == "semantic" else "",
        "judged": item["judged"],
        "false hits": "" if rate is None else f"{rate:.1%} ({item['low']:.1%} to {item['high']:.1%})",
    }


@app.command()
def hits(
    ctx: typer.Context,
    how: Annotated[str, typer.Option(help="exact or semantic.")] = "semantic",
    rule: str = "",
    limit: int = 20,
) -> None:
    """Answers served from the cache, newest first."""
    shown = ["id", "how", "model", "similarity", "asked", "question", "verdict", "judged_by"]
    ctx.obj.show(ctx.obj.client.gateway.cache_hits(how=how, rule=rule, limit=limit), shown, "Hits")


@app.command()
def judge(ctx: typer.Context, hit: str, verdict: Annotated[str, typer.Argument(help="right or wrong")]) -> None:
    """Say whether a hit was right."""
    ctx.obj.show(ctx.obj.client.gateway.judge_cache_hit(id=hit, verdict=verdict), ["id", "verdict", "rule"])


@app.command()
def label(
    ctx: typer.Context,
    asked: Annotated[str, typer.Argument(help="A question; or a JSONL file of {asked, question, same} with --file.")],
    question: Annotated[str, typer.Argument(help="Another one.")] = "",
    same: Annotated[bool, typer.Option("--same/--different", help="Whether one answer may serve both.")] = True,
    file: Annotated[bool, typer.Option("--file", help="Read pairs from the file named first.")] = False,
) -> None:
    """Teach it pairs of questions: from 100 on, thresholds are fitted to your own."""
    pairs = _read(asked) if file else [{"asked": asked, "question": question, "same": same}]
    for pair in pairs:
        ctx.obj.client.gateway.label_cache(**pair)
    ctx.obj.show({"labelled": len(pairs)})


def _read(path: str) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found.append({"asked": row["asked"], "question": row["question"], "same": bool(row["same"])})
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"{path}, line {number}: {error!r}; a line is {{asked, question, same}}. Nothing was kept.") from None
    return found


@app.command("test")
def try_pair(ctx: typer.Context, asked: str, question: str, rule: str = "") -> None:
    """What the verifier says about two questions. Nothing is kept."""
    ctx.obj.show(ctx.obj.client.gateway.test_cache(asked=asked, question=question, rule=rule))


@app.command()
def clear(
    ctx: typer.Context,
    trace: Annotated[str, typer.Option(help="The answer kept from this trace.")] = "",
    rule: Annotated[str, typer.Option(help="All of this rule.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Everything of this project.")] = False,
) -> None:
    """Delete kept answers."""
    ctx.obj.show(ctx.obj.client.gateway.clear_cache(trace=trace, rule=rule, everything=everything))
