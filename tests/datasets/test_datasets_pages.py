"""Pages of datasets: rows in pages and splits, one row, new versions from pasted lines."""

import json
import re

from page_site import PLANTED


async def test_none_yet(site):
    assert "genwright datasets put" in await site.get("/datasets")
    await site.get("/datasets/none", 404)


async def test_rows_splits_and_versions(site):
    rows = [{"question": f"Question {n}", "split": "tune" if n % 2 else "report", "topics": ["a", "b"]} for n in range(120)]
    await site.house.datasets.put(site.actor, "team/questions", rows, note=PLANTED)
    html = await site.get("/datasets", q="quest")
    assert 'href="/w/default/datasets/team/questions"' in html
    assert "report 60" in html
    seen, path = [], "/datasets/team/questions"
    while path:
        html = await site.get(path)
        seen += re.findall(r"<span>(Question \d+)</span>", html)
        found = re.search(r'rel="next" href="/w/default([^"]+)"', html)
        path = found.group(1).replace("&amp;", "&") if found else ""
    assert seen == [row["question"] for row in rows]
    html = await site.get("/datasets/team/questions", split="tune")
    assert "60 rows" in html
    second = re.findall(r'hx-get="/w/default([^"]+)"', html)[1].replace("&amp;", "&")
    assert "Question 3<" in await site.get(second)
    await site.get("/datasets/team/questions", 404, split="none")
    await site.get("/datasets/team/questions", 404, v="9")
    assert "There is no row" in await site.get("/datasets/team/questions", row="500")


async def test_lines_become_versions(site):
    lines = "\n".join(json.dumps({"question": question}) for question in ("a", PLANTED))
    answer = await site.post("/datasets", 303, name="mine", rows=lines + "\n\n", note="first")
    assert answer.headers["location"] == "/w/default/datasets/mine?v=1"
    assert "&lt;script&gt;" in await site.get("/datasets/mine")
    refused = await site.post("/datasets", 422, name="mine", rows='{"question": "x"}\nnot json')
    assert "Line 2 is no JSON" in refused.text
    assert "not json" in refused.text
    assert "no rows" in (await site.post("/datasets", 422, name="mine", rows="\n")).text
    assert (await site.house.datasets.get(site.scope, "mine")).number == 1
    await (await site.as_role("viewer")).post("/datasets", 403, name="mine", rows="{}")


async def test_a_row_cannot_leave_its_attribute(site):
    await site.house.datasets.put(site.actor, "planted", [{"question": "x", "topics": [PLANTED, '" onfocus="alert(1)']}])
    assert "&#34; onfocus=" in await site.get("/datasets/planted", row="0")
