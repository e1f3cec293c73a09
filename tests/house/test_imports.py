"""The plan of the house, held by tests: who may import whom, and what an `__init__.py` may hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "genwright"
ROOMS = [
    "access", "registry", "tracing", "prompts", "guardrails", "gateway", "retrieval", "agents", "datasets", "evals", "training",
    "releases", "pipelines", "monitoring", "governance",
]  # fmt: skip
ROOF = {"app", "cli", "client", "demo", "serve"}
ROOM_FILES = {"types", "store", "service", "routes", "pages", "commands"}


def imports(file: Path) -> list[tuple[str, int]]:
    """Every genwright module a file imports, at any depth, with its line."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name if _is_module(name) else node.module, node.lineno) for name in names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append(("relative", node.lineno))
    return [(name, line) for name, line in found if name.startswith("genwright") or name == "relative"]


def _is_module(name: str) -> bool:
    path = SOURCE.parent / Path(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_follow_the_order_of_rooms(file):
    parts = file.relative_to(SOURCE).with_suffix("").parts
    here = parts[0]
    wrong = []
    for name, line in imports(file):
        if name == "relative":
            wrong.append(f"line {line}: relative import")
            continue
        target = name.split(".")[1:]
        if not target:
            continue
        room = target[0]
        if here in ROOF or parts == ("web", "server") or room == here or here in ("migrations", "testing"):
            continue
        if room in ROOF:
            wrong.append(f"line {line}: {name} is the roof")
        elif room in ROOMS and here not in ROOMS:
            if not (here == "web" and room == "access"):
                wrong.append(f"line {line}: the ground floor imports the room {name}")
        elif room in ROOMS and ROOMS.index(room) > ROOMS.index(here):
            wrong.append(f"line {line}: {name} stands to the right of {here}")
        elif room in ROOMS and (len(target) < 2 or target[1] not in ("service", "types")):
            wrong.append(f"line {line}: only service and types of {room} may be imported, not {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", [file for file in files() if file.name == "__init__.py"], ids=lambda file: file.parent.name)
def test_init_files_hold_a_docstring_and_no_imports(file):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree), "an __init__.py says in one sentence what the folder is"
    if file.parent != SOURCE:
        assert len(tree.body) == 1, "nothing but a docstring"


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_module_says_what_it_is(file):
    if "versions" not in file.parts:
        assert ast.get_docstring(ast.parse(file.read_text()))


def test_rooms_have_the_same_file_names():
    for room in ROOMS:
        folder = SOURCE / room
        if folder.exists():
            names = {file.stem for file in folder.glob("*.py")}
            assert {"__init__", "types", "service"} <= names, room


FORBIDDEN = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"}


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_no_code_from_data_and_one_clock(file):
    wrong = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            wrong += [f"line {node.lineno}: {name}" for name in names if name.split(".")[0] in FORBIDDEN]
        if isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            if text in ("eval", "exec", "yaml.load", "torch.load", "__import__", "os.system"):
                wrong.append(f"line {node.lineno}: {text}")
            if file.name != "clock.py" and text in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow"):
                wrong.append(f"line {node.lineno}: {text} (use clock)")
    assert not wrong, "\n".join(wrong)


def test_a_command_starts_without_database_framework_or_numbers():
    program = (
        "import importlib, sys, genwright.cli as cli\n"
        "for room, _ in {*cli.GROUPS.values(), *cli.VERBS.values()}: importlib.import_module(f'genwright.{room}.commands')\n"
        "print({name.split('.')[0] for name in sys.modules} & {'sqlalchemy', 'numpy', 'fastapi', 'starlette', 'dbos'})"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"
