"""Turns a template and a context into a safe HTML answer: `Pages`.

A room's `pages.py` calls `pages.render(request, "tracing/list.html", traces=…)`; `tracing/list.html` is
`genwright/tracing/templates/list.html`. Knows no room: navigation and who is signed in are handed in by `app.py`.
How to write a page: `docs/pages.md`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from jinja2.runtime import Macro
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from genwright.web import diff, formats, graph, links

HERE = Path(__file__).parent
STATIC = HERE / "static"
# 'self' only: no inline script, no inline style, no eval, no frame around us, and forms go nowhere else.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
ADVICE = {
    401: (
        "Please sign in",
        "Your session has ended or you have not signed in yet.",
        "Sign in again; the page you asked for opens then.",
    ),
    403: ("Not allowed", "Your role does not include this.", "Ask an admin of the workspace for the role you need."),
    404: (
        "Nothing here",
        "This address names nothing that exists, or nothing you may see.",
        "Check the address, or start from the overview.",
    ),
    429: ("Too many requests", "You have reached a limit.", "Wait a moment and try again."),
    500: (
        "Something broke",
        "Genwright hit an error it did not expect. What was stored before is kept.",
        "Try again. If it happens again, run `genwright doctor` and look at the server's log.",
    ),
}


class NavItem(NamedTuple):
    """A row of the left navigation. `url` may contain `{workspace}`; `icon` is a name in `static/icons.svg`."""

    group: str
    title: str
    url: str
    icon: str


class Pages:
    """Renders templates. `navigation` is the left column; `identity(request)` gives what the frame shows of the caller:
    a mapping with `user` (a name, or None), `workspaces` (names they may switch to), `project` (where they are) and
    `projects` (others of the workspace to switch to)."""

    def __init__(
        self,
        navigation: list[NavItem] | list[tuple[str, str, str, str]] | None = None,
        identity: Callable[[Request], Mapping[str, Any]] | None = None,
    ) -> None:
        self.navigation = [NavItem(*item) for item in navigation or []]
        self.identity = identity or (lambda request: {})
        self.static = HashedStatic(directory=STATIC)

    @cached_property
    def environment(self) -> Environment:
        """Built at the first page, so that a server that only answers the API never compiles a template."""
        rooms = {
            room.name: FileSystemLoader(room / "templates")
            for room in HERE.parent.iterdir()
            if (room / "templates").is_dir() and room != HERE
        }
        loader = ChoiceLoader([FileSystemLoader(HERE / "templates"), PrefixLoader(rooms)])
        env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        env.filters |= formats.FILTERS | {"chart_json": chart_json, "tojson": indented_json}
        env.globals |= {
            "static": self.static.url,
            "diff_lines": diff.lines,
            "graph_layout": graph.layout,
            "graph_box": (graph.WIDTH, graph.HEIGHT),
            "artifact_url": links.artifact,
        }
        components = env.globals["ui"] = SimpleNamespace()  # set before it is filled: macros reach one another through it too
        for name in ("components.html", "talk.html", "figures.html"):
            module = vars(env.get_template(name).module)
            vars(components).update({key: value for key, value in module.items() if isinstance(value, Macro)})
        return env

    def render(
        self, request: Request, template: str, *, status: int = 200, block: str | None = None, **context: Any
    ) -> HTMLResponse:
        """The page as an answer; with `block`, only that block of it (what htmx swaps in)."""
        page = self.environment.get_template(template)
        values = self._frame(request) | context
        if block is None:
            html = page.render(values)
        else:
            html = "".join(page.blocks[block](page.new_context(values)))
        vary = {"Vary": "HX-Request", "Cache-Control": "no-store"}
        return HTMLResponse(html, status, headers=SECURITY_HEADERS | vary)

    def error(self, request: Request, status: int, *, message: str = "", action: str = "", code: str = "") -> HTMLResponse:
        """The error page: what happened, what was kept, what to do. Empty texts are filled from the status."""
        title, what, advice = ADVICE.get(status, ADVICE[404 if status < 500 else 500])
        words = {"title": title, "message": message or what, "action": action or advice, "code": code}
        return self.render(request, "error.html", status=status, status_code=status, **words)

    def login(self, request: Request, *, error: str = "", next_url: str = "/", status: int = 200) -> HTMLResponse:
        """The sign-in page; its form posts `key` and `next` to `/login`. `next_url` off this server is dropped."""
        local = next_url if next_url.startswith("/") and next_url[1:2] not in ("/", "\\") else "/"
        return self.render(request, "login.html", status=status, error=error, next_url=local)

    def enter(self, request: Request, token: str, *, who: str, where: str) -> HTMLResponse:
        """What a one-time link opens: a button that posts `token` to `/login`. Programs that only look use nothing up."""
        return self.render(request, "enter.html", token=token, who=who, where=where)

    def toast(self, response: Response, message: str, tone: str = "good") -> Response:
        """Lets an answer to htmx also show a short message. `tone`: good, info, warn, bad."""
        response.headers["HX-Trigger"] = json.dumps({"toast": {"message": message, "tone": tone}})  # ASCII: it is a header
        return response

    def _frame(self, request: Request) -> dict[str, Any]:
        workspace = request.path_params.get("workspace", "default")
        items = [item._replace(url=item.url.replace("{workspace}", workspace)) for item in self.navigation]
        here = request.url.path + "/"
        urls = [item.url.rstrip("/") + "/" for item in items]
        # An entry that stands above others (the overview) is only meant by its very address.
        matching = [
            url
            for url in urls
            if here == url or (here.startswith(url) and not any(other != url and other.startswith(url) for other in urls))
        ]
        active = max(matching, key=len, default="").rstrip("/")
        values = {
            "request": request,
            "workspace": workspace,
            "navigation": _grouped(items),
            "active": active,
            "user": None,
            "workspaces": [],
            "project": "",
            "projects": [],
        }
        return values | dict(self.identity(request))


def _grouped(items: list[NavItem]) -> dict[str, list[tuple[NavItem, str]]]:
    """Items by group, each with its key for `g <key>`: the first letter of its title that no item before it took."""
    groups: dict[str, list[tuple[NavItem, str]]] = {}
    taken: set[str] = set()
    for item in items:
        key = next((letter for letter in item.title.lower() if letter.isalpha() and letter not in taken), "")
        taken.add(key)
        groups.setdefault(item.group, []).append((item, key))
    return groups


class HashedStatic(StaticFiles):
    """Static files whose URLs carry a hash of the content, so that browsers may keep them for a year."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self.root = directory
        self._known: dict[str, tuple[int, str]] = {}

    def url(self, name: str) -> str:
        """`genwright.css` → `/static/genwright.css?v=…`; `icons.svg#name` keeps its fragment. Raises FileNotFoundError."""
        path, hash_sign, fragment = name.partition("#")
        changed = (self.root / path).stat().st_mtime_ns
        known = self._known.get(path)
        if known is None or known[0] != changed:
            digest = hashlib.sha256((self.root / path).read_bytes()).hexdigest()[:12]
            known = self._known[path] = (changed, digest)
        return f"/static/{path}?v={known[1]}{hash_sign}{fragment}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, kept for a year if it was asked for by its hash, checked again each time if not."""
        response = await super().get_response(path, scope)
        hashed = scope.get("query_string", b"").startswith(b"v=") and response.status_code < 400
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def chart_json(value: Any) -> str:
    """JSON for a `data-chart` attribute (the template escapes it). NaN is refused: browsers can't read it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def indented_json(value: Any, indent: int = 2) -> str:
    """JSON as plain text, in place of Jinja's `tojson`: that one counts as safe, and its quotes would end an attribute."""
    return json.dumps(value, indent=indent, ensure_ascii=False)
