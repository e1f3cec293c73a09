"""The folder: YAML or JSON files into what is wanted, and what a server has into files. Knows no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genwright import yamls
from genwright.errors import Invalid
from genwright.gateway.files.kinds import KINDS
from genwright.gateway.files.limits import limit_name
from genwright.gateway.files.types import Wanted

SUFFIXES = (".yaml", ".yml", ".json")
LISTS = ("limit", "budget")
FILES = {row.file.removesuffix(".yaml"): kind for kind, row in KINDS.items() if not row.file.endswith("/")}
FOLDERS = {row.file.removesuffix("/"): kind for kind, row in KINDS.items() if row.file.endswith("/")}


def read(folder: Path) -> Wanted:
    """What a folder says. Raises Invalid naming file and line; hidden files are passed over, other unknown ones are named."""
    if not folder.is_dir():
        raise Invalid(f"{folder} is no folder. Nothing was changed. `genwright export FOLDER` makes one.")
    wanted = Wanted()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or not path.is_file():
            continue
        shown = "/".join(parts)
        if path.suffix not in SUFFIXES:
            wanted.unread.append(shown)
        elif len(parts) == 1 and path.stem in FILES:
            _file(wanted, FILES[path.stem], yamls.read(path.read_text(), shown), shown)
        elif len(parts) > 1 and parts[0] in FOLDERS:
            name = "/".join(parts[1:]).removesuffix(path.suffix)
            _add(wanted, FOLDERS[parts[0]], name, yamls.read(path.read_text(), shown), shown)
        else:
            wanted.unread.append(shown)
    for name, kind in FOLDERS.items():
        if (folder / name).is_dir():
            wanted.whole.add(kind)
    return wanted


def _file(wanted: Wanted, kind: str, data: Any, source: str) -> None:
    wanted.whole.add(kind)
    if kind == "price" and isinstance(data, dict) and isinstance(data.get("prices"), dict):
        data = data["prices"]
    if kind in LISTS:
        if not isinstance(data, (list, type(None))):
            raise Invalid(f"{source}: a list was expected, each with node, amount or usd …")
        for item in data or []:
            cleaned = KINDS[kind].clean(source, item)
            if (cleaned["metric"] == "usd") is not (kind == "budget"):
                raise Invalid(
                    f"{source}: {limit_name(cleaned)} belongs into {KINDS['limit' if kind == 'budget' else 'budget'].file}."
                )
            _add(wanted, kind, limit_name(cleaned), item, source)
        return
    if not isinstance(data, (dict, type(None))):
        raise Invalid(f"{source}: an object was expected, names with what they stand for.")
    for name, item in (data or {}).items():
        _add(wanted, kind, str(name), item, source)


def _add(wanted: Wanted, kind: str, name: str, data: Any, source: str) -> None:
    if name in wanted.items.get(kind, {}):
        raise Invalid(f"{source}: {kind} {name} stands in {wanted.sources[kind, name]} already.")
    wanted.add(kind, name, data, source)


def cleaned(wanted: Wanted) -> dict[str, dict[str, Any]]:
    """What is wanted, in the form that `write` takes."""
    return {kind: {name: KINDS[kind].clean(name, data) for name, data in items.items()} for kind, items in wanted.items.items()}


def write(folder: Path, have: dict[str, dict[str, Any]]) -> list[str]:
    """Files for what a server has; the names written. Files of the same names are replaced, others are left alone."""
    written = []
    for kind, row in KINDS.items():
        shown = {name: row.shown(data) for name, data in sorted(have.get(kind, {}).items())}
        if row.file.endswith("/"):
            for name, data in shown.items():
                written.append(_write(folder, f"{row.file}{name}", data))
        elif shown:
            data = list(shown.values()) if kind in LISTS else {"prices": shown} if kind == "price" else shown
            written.append(_write(folder, row.file.removesuffix(".yaml"), data))
    return written


def _write(folder: Path, name: str, data: Any) -> str:
    """YAML; JSON where YAML would not read back the same."""
    text = yamls.write(data)
    suffix = ".yaml"
    if yamls.read(text) != data:
        text, suffix = json.dumps(data, indent=2, ensure_ascii=False) + "\n", ".json"
    path = folder / (name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name + suffix
