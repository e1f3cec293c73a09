"""A learned route in Chromium: its frontier drawn, a point looked at by field and by click, used; both sizes, both themes."""

from __future__ import annotations

import csv
import json

import pytest

from journey import DATA

ANSWERS = DATA / "routing" / "routellm-gsm8k-mmlu" / "gsm8k_responses.csv"
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}

pytestmark = pytest.mark.skipif(not ANSWERS.is_file(), reason="RouteLLM's answers are not beside the repository (../shared/data)")


@pytest.fixture(scope="module")
def house(server, provider, tmp_path_factory):
    """A route fitted to three hundred of RouteLLM's answers, and calls through it."""
    server.cli(
        "providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-scripted-1"
    )
    with ANSWERS.open(newline="") as file:
        rows = list(csv.DictReader(file))[12:332]
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    answers = [{"prompt": row["prompt"], "answers": {WEAK: row[WEAK] == "True", STRONG: row[STRONG] == "True"}} for row in rows]
    file.write_text("\n".join(map(json.dumps, answers[:300])))
    names = ["--model", f"{WEAK}=scripted/mixtral", "--model", f"{STRONG}=scripted/gpt-4"]
    server.cli(
        "router", "fit", "maths/sums", str(file), *names, "--cost", "scripted/mixtral=0.0003", "--cost", "scripted/gpt-4=0.01"
    )
    with server.http() as client:
        for row in answers[300:]:
            body = {"model": "route/maths/sums", "messages": [{"role": "user", "content": row["prompt"]}]}
            client.post("/v1/chat/completions", json=body).raise_for_status()
    return server


def test_a_point_is_looked_at_used_and_written_as_a_version(house, visit):
    page = visit("/gateway/routers")
    page.get_by_role("link", name="maths/sums").click()
    page.locator("[data-pick][data-drawn]").wait_for()
    assert page.get_by_text("This is the point in use.").count() == 1
    assert page.locator(".stat", has_text="Realised saving").get_by_text("20 calls").count() == 1
    page.get_by_label("Quality to keep, per cent").fill("85")
    page.get_by_role("button", name="What would that be?").click()
    page.get_by_role("button", name="Use this point").click()
    page.wait_for_url("**/gateway/routers/maths/sums?v=2")
    assert page.get_by_text("This is the point in use.").count() == 1
    chosen = house.cli("router", "show", "maths/sums@2")["chosen"]
    assert chosen["asked"] == {"keep": 0.85}


def test_a_click_on_the_curve_asks_for_that_point(house, visit):
    page = visit("/gateway/routers/maths/sums?v=1")
    chart = page.locator("[data-pick][data-drawn]")
    chart.wait_for()
    x, y, kept = chart.evaluate(
        """node => {
            const chart = echarts.getInstanceByDom(node), line = chart.getOption().series[0].data;
            const point = line[line.length >> 1];
            return [...chart.convertToPixel({ seriesIndex: 0 }, point), point[1]];
        }"""
    )
    box = chart.bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.get_by_role("button", name="Use this point").wait_for()
    assert float(page.get_by_label("Quality to keep, per cent").input_value()) == pytest.approx(100 * kept, abs=0.11)


def test_what_cannot_be_kept_is_said_and_nothing_changes(house, visit):
    page = visit("/gateway/routers/maths/sums?keep=190")
    assert page.get_by_text("No point keeps 190.0%").count() == 1
    assert page.get_by_role("button", name="Use this point").count() == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_the_screen(house, visit, size, theme):
    for path in ("/gateway/routers", "/gateway/routers/maths/sums"):
        page = visit(path, viewport=SIZES[size], color_scheme=theme)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
