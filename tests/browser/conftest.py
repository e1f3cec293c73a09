"""Real Chromium against a real server on a copy of the demo's home; every console error of every page fails its test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genwright.testing.provider import ScriptedProvider
from journey import Server, demo, server  # noqa: F401  (fixtures)

CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(path).exists()), None
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SHOTS = Path(__file__).with_name("shots")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="needs Chromium (apt-get install chromium)"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser a file: while Playwright's loop runs, no asynchronous test can run in the same process."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cookies(chromium: Any, server: Server) -> list[dict[str, Any]]:  # noqa: F811
    """The session that the one-time link opens: the link is used here, in the browser, and nowhere else."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.login)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.address}/w/default")
    assert page.url == f"{server.address}/w/default"
    kept = context.cookies()
    context.close()
    return kept


@pytest.fixture
def visit(chromium: Any, cookies: list[dict[str, Any]], server: Server) -> Iterator[Callable[..., Any]]:  # noqa: F811
    """`visit(path, **context options)`: a page of the workspace, logged in. Errors in its console fail the test at the end."""
    contexts, complaints = [], []

    def go(path: str = "", **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options})
        context.add_cookies(cookies)
        contexts.append(context)
        page = context.new_page()
        page.complaints = complaints
        page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        answer = page.goto(f"{server.address}/w/default{path}")
        assert answer.status == 200, f"{path}: {answer.status}"
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(models=["test-model"]) as running:
        yield running


@pytest.fixture(scope="module")
def trace(demo: Any) -> str:  # noqa: F811
    """The trace that the demo explained."""
    return re.search(r"genwright why ([0-9a-f]{32})", demo.text)[1]
