"""Writes the generated pages: docs/settings.md, api.md, tables.md, cli.md (or into a folder given as argument)."""

import importlib
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = "<!-- Written by `make docs`. Do not edit: change the code. -->\n\n"


def settings_page() -> str:
    from genwright import settings

    lines = [
        "# Settings",
        "",
        "Environment variables of one server. A wrong value stops the start with a message that names it.",
        "",
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, kind, default, meaning in settings.describe():
        lines.append(f"| `GENWRIGHT_{name.upper()}` | `{kind.replace('|', '/')}` | `{default}` | {meaning} |")
    return "\n".join(lines)


def api_page() -> str:
    from genwright.client import operations

    lines = [
        "# Management API",
        "",
        "Every route, as the Python client names it: `client.prompts.list(query=…)`. JSON in and out;",
        "A key goes in `Authorization: Bearer`.",
        'Errors are `{"error": {"code", "message", "retry", "details"}}`. The wire faces are `/v1/chat/completions`,',
        "`/v1/messages`, `/v1/embeddings`, `/v1/models` and `/v1/traces` (OTLP).",
        "",
    ]
    room = ""
    for name, row in sorted(operations().items()):
        if name.split(".")[0] != room:
            room = name.split(".")[0]
            lines += ["", f"## {room}", "", "| method | route | fields | what it does |", "|---|---|---|---|"]
        fields = ", ".join(f"`{field}`" for field in row["in_path"] + row["fields"])
        lines.append(f"| `{name}` | `{row['method']} {row['path']}` | {fields} | {row['summary']} |")
    return "\n".join(lines)


def tables_page() -> str:
    from genwright import db
    from genwright.app import ROOMS

    for room in ROOMS:
        if (ROOT / "src" / "genwright" / room / "store.py").exists():
            importlib.import_module(f"genwright.{room}.store")
    lines = ["# Tables", "", "Every row begins with its workspace and project. `Json` columns hold JSON bytes."]
    for database, metadata in db.METADATA.items():
        lines += ["", f"## {database}"]
        for table in metadata.sorted_tables:
            lines += ["", f"### {table.name}", "", "| column | type | key |", "|---|---|---|"]
            for column in table.columns:
                kind = "JSON" if isinstance(column.type, db.Json) else str(column.type)
                lines.append(f"| `{column.name}` | {kind} | {'primary' if column.primary_key else ''} |")
    return "\n".join(lines)


def cli_page() -> str:
    import typer

    from genwright.cli import build

    lines = ["# Commands", "", "`--json`, `--url` and `--home` go with every command. `genwright COMMAND --help` tells more.", ""]
    lines += ["| command | what it does |", "|---|---|"]

    def walk(command, path: str) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name in children:
                walk(children[name], f"{path} {name}")
        else:
            arguments = " ".join(part.name.upper() for part in command.params if part.param_type_name == "argument")
            first = inspect.cleandoc(command.help or "").split("\n")[0]
            lines.append(f"| `{path.strip()}{' ' + arguments if arguments else ''}` | {first} |")

    walk(typer.main.get_command(build()), "genwright")
    return "\n".join(lines)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    pages = {"settings.md": settings_page, "api.md": api_page, "tables.md": tables_page, "cli.md": cli_page}
    for name, page in pages.items():
        (target / name).write_text(HEAD + page() + "\n")


if __name__ == "__main__":
    main()
