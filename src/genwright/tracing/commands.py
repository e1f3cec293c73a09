"""`genwright traces list | show | score`, `genwright why TRACE`, `genwright impact REF`. Talks to the server like any client.

Texts from traces come from models and callers: control characters never reach the terminal.
"""

from __future__ import annotations

import re
import textwrap
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Invalid

app = typer.Typer(help="Traces: what was asked, answered and done on the way.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NS = 1_000_000_000
TraceId = Annotated[str, typer.Argument(help="Trace id (32 hex digits), from the list or an answer's x-genwright-trace.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(help="Only the last e.g. 30m, 24h, 7d.")] = "",
    app_name: Annotated[str, typer.Option("--app", help="Only this app.")] = "",
    model: Annotated[str, typer.Option(help="Only with a call of this model.")] = "",
    status: Annotated[str, typer.Option(help="ok, error or pending.")] = "",
    release: Annotated[str, typer.Option(help="Only this release (ref or digest).")] = "",
    session: Annotated[str, typer.Option(help="Only this session.")] = "",
    user: Annotated[str, typer.Option(help="Only this user.")] = "",
    run: Annotated[str, typer.Option(help="Only this evaluation run.")] = "",
    text: Annotated[str, typer.Option(help="Text in the beginning of question or answer.")] = "",
    score: Annotated[str, typer.Option(help='A score, e.g. "groundedness < 0.5".')] = "",
    min_cost_usd: Annotated[float, typer.Option(min=0, help="At least so many dollars.")] = 0.0,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the last list ended.")] = None,
) -> None:
    """Traces, newest first."""
    found = ctx.obj.client.tracing.list(
        app=app_name, model=model, status=status, release=release, session=session, user=user, run=run, text=text, score=score,
        since_ns=_since(since), min_cost_nano_usd=round(min_cost_usd * 1e9), limit=limit, cursor=cursor,
    )  # fmt: skip
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    _show_rows(ctx, found["items"], "Traces")
    if found["next"]:
        ctx.obj.say(f"There are more: --cursor {found['next']}")


@app.command()
def show(ctx: typer.Context, trace_id: TraceId) -> None:
    """One trace as a tree with timings."""
    trace = ctx.obj.client.tracing.get(trace_id=trace_id)
    if ctx.obj.as_json:
        ctx.obj.show(trace)
        return
    ctx.obj.write(_headline(trace["row"]))
    for depth, span in _tree(trace["spans"]):
        ctx.obj.write(_span_line(depth, span, trace["row"]["start_ns"]))
    for score in trace["scores"]:
        ctx.obj.write(f"  {_score(score)}")


@app.command()
def score(
    ctx: typer.Context,
    trace_id: TraceId,
    name: Annotated[str, typer.Argument(help="What is judged, e.g. correct.")],
    value: Annotated[str, typer.Argument(help="A number, or a label.")],
    comment: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Judge a trace."""
    try:
        given: float | str = float(value)
    except ValueError:
        given = value
    kept = ctx.obj.client.tracing.score(trace_id=trace_id, name=name, value=given, comment=comment, source="person")
    if ctx.obj.as_json:
        ctx.obj.show(kept)
    else:
        ctx.obj.say(f"Kept: {_score(kept)}")


def why(ctx: typer.Context, trace_id: TraceId) -> None:
    """Why an answer is as it is: release, prompt, passages, model, guards, scores."""
    found = ctx.obj.client.tracing.why(trace_id=trace_id)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    for line in why_lines(found):
        ctx.obj.write(line)


def impact(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(help="kind:name[@label|@number|@sha256:…], document:sha256:… or model:NAME")],
    limit: Annotated[int, typer.Option(min=1, max=500, help="Answers to list.")] = 10,
    cursor: Annotated[str | None, typer.Option(help="Where the last list ended.")] = None,
) -> None:
    """What a document, prompt, model or any version has touched: versions, releases, answers."""
    found = ctx.obj.client.tracing.impact(ref=ref, limit=limit, cursor=cursor)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    ctx.obj.write(_clean(found["ref"]))
    for title, versions in (("Versions that depend on it", found["versions"]), ("Releases", found["releases"])):
        ctx.obj.write(f"{title}: {len(versions) or 'none'}")
        for version in versions:
            labels = f"  [{', '.join(version['labels'])}]" if version["labels"] else ""
            indent = "  " * version["depth"]
            ctx.obj.write(
                _clean(f"{indent}{version['kind']}:{version['name']}@{version['number']}  {version['relation']}{labels}")
            )
    more = "at least " if found["traces"] >= found["counted_to"] else ""
    ctx.obj.write(f"Answers it took part in: {more}{found['traces']}")
    if found["items"]:
        _show_rows(ctx, found["items"], "")
    if found["next"]:
        ctx.obj.say(f"There are more: --cursor {found['next']}")


# -- text


def _since(text: str) -> int:
    if not text:
        return 0
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if found is None:
        raise Invalid(f"--since {text!r} is not understood. Write e.g. 30m, 24h or 7d.")
    return clock.now_ns() - int(found[1]) * _UNITS[found[2]] * _NS


def _show_rows(ctx: typer.Context, rows: list[dict[str, Any]], title: str) -> None:
    from genwright.web.formats import money

    lines = [
        {
            "started": clock.iso(row["start_ns"])[:19].replace("T", " "), "trace": row["trace_id"], "name": row["name"],
            "status": row["status"], "took": _took(row["duration_ns"]), "spans": row["spans"],
            "tokens": row["tokens_in"] + row["tokens_out"], "cost": money(row["cost_nano_usd"]),
            "asked": _first_line(row["search"]),
        }
        for row in rows
    ]  # fmt: skip
    ctx.obj.show(lines, ["started", "trace", "name", "status", "took", "spans", "tokens", "cost", "asked"], title)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line[:60] + "…" if len(line) > 60 else line


def _took(ns: int) -> str:
    from genwright.web.formats import duration

    return duration(ns / 1e6)


def _clean(text: Any) -> str:
    return "".join(letter for letter in str(text) if letter.isprintable() or letter == "\n")


def _headline(row: dict[str, Any]) -> str:
    from genwright.web.formats import money

    tokens = row["tokens_in"] + row["tokens_out"]
    parts = [
        row["name"], row["status"], _took(row["duration_ns"]), f"{row['spans']} spans", f"{tokens} tokens",
        str(money(row["cost_nano_usd"])), clock.iso(row["start_ns"]),
    ]  # fmt: skip
    return _clean(" · ".join(parts))


def _tree(spans: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Spans with their depth, parents before children, siblings by start; spans of a circle at the end."""
    ids = {span["span_id"] for span in spans}
    children: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        children.setdefault(span["parent_id"] if span["parent_id"] in ids else "", []).append(span)
    lines: list[tuple[int, dict[str, Any]]] = []
    waiting = [(0, span) for span in reversed(children.get("", []))]
    while waiting:
        depth, span = waiting.pop()
        lines.append((depth, span))
        waiting += [(depth + 1, child) for child in reversed(children.get(span["span_id"], []))]
    seen = {span["span_id"] for _, span in lines}
    return lines + [(0, span) for span in spans if span["span_id"] not in seen]


def _span_line(depth: int, span: dict[str, Any], start_ns: int) -> str:
    marks = {"ok": " ", "error": "✗", "pending": "…"}
    facts = [span["model"]] if span["model"] else []
    if span["tokens_in"] is not None or span["tokens_out"] is not None:
        facts.append(f"{span['tokens_in'] or 0} → {span['tokens_out'] or 0} tokens")
    if span["error"]:
        facts.append(span["error"].partition("\n")[0][:120])
    name = f"{'  ' * min(depth, 20)}{span['name']}"
    began = f"+{(span['start_ns'] - start_ns) / 1e6:.1f} ms"
    took = "not ended" if span["status"] == "pending" else _took(span["duration_ns"])
    return _clean(f"{marks[span['status']]} {name:<44} {began:>12} {took:>10}  {' · '.join(facts)}".rstrip())


def _score(score: dict[str, Any]) -> str:
    value = score["text"] or ("" if score["value"] is None else f"{score['value']:.4g}")
    comment = f" – {score['comment']}" if score["comment"] else ""
    return _clean(f"{score['name']}: {value} ({score['source']}){comment}")


def why_lines(found: dict[str, Any]) -> list[str]:
    """The answer of `why` as text, section by section."""
    lines = [_headline(found["trace"])]
    for title, value in (("Asked", found["input"]), ("Answered", found["output"])):
        if value is not None:
            lines += _section(title, [_said(value)])
    lines += _section("Release", _release(found["release"]))
    lines += _section("Prompt", [_version_line(item) for item in found["prompts"]])
    lines += _section("Index", [line for item in found["indexes"] for line in _index(item)])
    lines += _section("Passages", [_passage(item) for item in found["passages"]])
    lines += _section("Model", [_model(item) for item in found["models"]])
    lines += _section("Guards", [_guard(item) for item in found["guards"]])
    lines += _section("Scores", [_score(item) for item in found["scores"]])
    lines += _section("Errors", [f"{item['name']}: {item['error']}" for item in found["errors"]])
    lines += _section("Not known", found["missing"])
    return [_clean(line) for line in lines]


def _section(title: str, parts: list[str]) -> list[str]:
    if not parts:
        return []
    lines = [f"{title}:"]
    for part in parts:
        lines += textwrap.wrap(part, 118, initial_indent="  ", subsequent_indent="    ") or ["  -"]
    return lines


def _said(value: Any) -> str:
    from genwright.tracing.dialect_messages import readable

    return readable(value, 2_000)


def _release(release: dict[str, Any] | None) -> list[str]:
    if release is None:
        return []
    lines = [f"{release['ref']}" + (f" (number {release['number']})" if "number" in release else "")]
    for move in release.get("promoted", []):
        note = f": {move['note']}" if move["note"] else ""
        lines.append(f"{move['label']} by {move['by']} at {clock.iso(move['at_ns'])}{note}")
    return lines


def _version_line(item: dict[str, Any]) -> str:
    labels = f" [{', '.join(item['labels'])}]" if item.get("labels") else ""
    number = f" (number {item['number']}{labels}, by {item['created_by']})" if "number" in item else ""
    return f"{item['ref']}{number}"


def _index(item: dict[str, Any]) -> list[str]:
    lines = [
        _version_line(item),
        f"mode {item['mode'] or '-'}, k {item['k'] or '-'}, embedding model {item['embedding_model'] or '-'}",
    ]
    if item["corpus"]:
        lines.append(f"built from {_version_line(item['corpus'])}, {item['corpus'].get('documents', '?')} documents")
    return lines


def _passage(item: dict[str, Any]) -> str:
    mark = "cited" if item["cited"] else "given" if item["n"] else "dropped by a guard"
    score = "" if item["score"] is None else f", score {item['score']:.4g}"
    place = f"{item['name'] or item['title'] or item['document']}, characters {item['start']}–{item['end']}"
    heading = f" ({item['heading']})" if item["heading"] else ""
    return f"[{item['n'] or '-'}] {mark}: {place}{heading}{score}"


def _model(item: dict[str, Any]) -> str:
    from genwright.web.formats import money

    route = f"{item['route']} → " if item["route"] and item["route"] != item["model"] else ""
    tokens = " → ".join("?" if item[side] is None else str(item[side]) for side in ("tokens_in", "tokens_out"))
    parameters = "".join(f", {key}={value}" for key, value in item["parameters"].items())
    facts = f"{item['status']}, {tokens} tokens, {money(item['cost_nano_usd'])}, {_took(item['duration_ns'])}{parameters}"
    return f"{route}{item['provider']} {item['model']}: {facts}"


def _guard(item: dict[str, Any]) -> str:
    found = "; ".join(f"{one.get('guard', '')} {one.get('kind', '')}: {one.get('reason', '')}" for one in item["findings"])
    line = f"{item['rail'] or '-'}: {item['action'] or 'nothing to do'} ({_took(item['duration_ns'])})"
    return f"{line} – {found}" if found else line
