"""The `genwright` command: assembles every room's commands; talks to the server over HTTP like everybody else.

Knows no room's meaning: rooms give their commands in `commands.py` and get a `Console` as `ctx.obj`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from genwright import __version__
from genwright.errors import Error

GROUPS = {
    "keys": ("access", "keys"),
    "workspaces": ("access", "workspaces"),
    "projects": ("access", "projects"),
    "members": ("access", "members"),
    "teams": ("access", "teams"),
    "services": ("access", "services"),
    "artifacts": ("registry", "app"),
    "prompts": ("prompts", "app"),
    "policies": ("guardrails", "app"),
    "import": ("gateway.files", "imports"),
    "providers": ("gateway", "app"),
    "models": ("gateway.catalogue", "models"),
    "routes": ("gateway.routing", "routes"),
    "aliases": ("gateway.routing", "aliases"),
    "router": ("gateway.learned", "router"),
    "cache": ("gateway.cache", "app"),
    "limits": ("gateway.money", "limits"),
    "budgets": ("gateway.money", "budgets"),
    "costs": ("gateway.reports", "costs"),
    "prices": ("gateway.reports", "prices"),
    "batch": ("gateway.media", "batch"),
    "documents": ("retrieval", "app"),
    "apps": ("agents", "app"),
    "traces": ("tracing", "app"),
    "datasets": ("datasets", "app"),
    "eval": ("evals", "app"),
    "releases": ("releases", "app"),
}
"""Command groups: name → (room, attribute of its commands.py)."""
VERBS = {
    "apply": ("gateway.files", "apply"),
    "export": ("gateway.files", "export"),
    "ingest": ("retrieval", "ingest"),
    "ask": ("agents", "ask"),
    "why": ("tracing", "why"),
    "impact": ("tracing", "impact"),
    "replay": ("agents", "replay"),
}
"""Single commands at the top level."""


class Console:
    """What a command needs: a client (opened when first used), and one way to show things."""

    def __init__(self, *, as_json: bool, url: str | None, home: str | None):
        self.as_json = as_json
        self._url, self._home = url, home
        self._client: Any = None

    @property
    def client(self) -> Any:
        if self._client is None:
            from genwright.client import Client

            self._client = Client(self._url, home=self._home)
        return self._client

    def show(self, data: Any, columns: Sequence[str] = (), title: str = "") -> None:
        """Print data: JSON under --json, else a table of the named columns (list of dicts), or name: value lines (dict)."""
        rows = data["items"] if isinstance(data, dict) and isinstance(data.get("items"), list) else data
        if self.as_json:
            print(json.dumps(data, indent=2, ensure_ascii=False, default=str))
        elif isinstance(rows, list):
            self._table(rows, columns, title)
        elif isinstance(rows, dict):
            width = max((len(name) for name in rows), default=0)
            for name, value in rows.items():
                print(f"{name:<{width}}  {_cell(value)}")
        else:
            print(rows)

    def say(self, text: str) -> None:
        """Prose for the person at the terminal; on stderr, so that output can be piped."""
        print(text, file=sys.stderr, flush=True)

    def write(self, text: str, end: str = "\n") -> None:
        """Output text as it comes (a streamed answer)."""
        print(text, end=end, flush=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Any]:
        """A bar on stderr: `with ctx.obj.progress("Uploading") as update: update(done, total, "file.md")`."""
        from rich.console import Console as Rich
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        rich = Rich(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=rich, disable=self.as_json or not rich.is_terminal) as bar:
            task = bar.add_task(title, total=None, note="")

            def update(done: int, total: int | None = None, note: str = "") -> None:
                bar.update(task, completed=done, total=total, note=note[:50])

            yield update

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _table(self, rows: list[Any], columns: Sequence[str], title: str) -> None:
        from rich.console import Console as Rich
        from rich.table import Table
        from rich.text import Text

        if not rows:
            self.say(f"{title + ': ' if title else ''}nothing yet.")
            return
        names = list(columns) or list(rows[0])
        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(row.get(name))) for name in names))
        wide = None if sys.stdout.isatty() else 240
        Rich(width=wide, highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(part, (str, int)) for part in value):
        return ", ".join(map(str, value))
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False) if value else ""
    text = str(value)
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")  # no terminal codes from data


def _global(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    url: Annotated[str | None, typer.Option(help="Address of a server (or GENWRIGHT_URL).")] = None,
    home: Annotated[str | None, typer.Option(help="Home folder (or GENWRIGHT_HOME; default .genwright).")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """One self-hosted system for the whole life of a generative-AI application."""
    if version:
        print(f"genwright {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit
    if home:
        os.environ["GENWRIGHT_HOME"] = home
    ctx.obj = Console(as_json=as_json, url=url, home=home)
    ctx.call_on_close(ctx.obj.close)


def build() -> typer.Typer:
    """The whole command tree."""
    cli = typer.Typer(
        no_args_is_help=False,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback(invoke_without_command=True)(_global)
    serve = importlib.import_module("genwright.serve")
    cli.command("up")(serve.up)
    cli.command("doctor")(serve.doctor)
    cli.command("demo")(importlib.import_module("genwright.demo").demo)
    for name, (room, attribute) in VERBS.items():
        cli.command(name)(getattr(importlib.import_module(f"genwright.{room}.commands"), attribute))
    for name, (room, attribute) in GROUPS.items():
        cli.add_typer(getattr(importlib.import_module(f"genwright.{room}.commands"), attribute), name=name)
    return cli


def main() -> None:
    """Entry point: errors become one clear line and an exit code (2 wrong use, 1 otherwise), never a traceback."""
    arguments = sys.argv[1:]
    if "--json" in arguments:  # accepted anywhere, as people type it
        sys.argv[1:] = ["--json", *(part for part in arguments if part != "--json")]
    try:
        build()()
    except Error as error:
        if "--json" in arguments:
            print(json.dumps({"error": error.as_dict()}, default=str))
        print(f"genwright: {error.message}", file=sys.stderr)
        sys.exit(2 if error.status in (400, 404) else 1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # the last edge: a person gets a line, the traceback is for those who ask
        if os.environ.get("GENWRIGHT_LOG_LEVEL") == "debug":
            raise
        print(f"genwright: unexpected {type(error).__name__}: {error}", file=sys.stderr)
        print("Please report it with what GENWRIGHT_LOG_LEVEL=debug prints for the same command.", file=sys.stderr)
        sys.exit(70)


if __name__ == "__main__":
    main()
