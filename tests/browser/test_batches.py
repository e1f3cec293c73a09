"""The page of batches in Chromium: begun with plain questions, watched, its answers and wrong lines read."""

from __future__ import annotations


def test_a_batch_is_begun_watched_and_read(visit):
    page = visit("/gateway/batches")
    page.get_by_role("button", name="New batch").click()
    page.get_by_label("Lines").fill("What is a tuple?\nWhat is a list?")
    page.get_by_label("Model").fill("local/extractive")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("completed").first.wait_for()
    page.get_by_role("link", name="Answers").wait_for()
    assert page.get_by_role("cell", name="line-2").is_visible()
    page.get_by_role("link", name="Batches").first.click()
    page.get_by_text("2 of 2").wait_for()


def test_a_file_that_cannot_be_used_says_why(visit):
    page = visit("/gateway/batches")
    page.get_by_role("button", name="New batch").click()
    page.get_by_label("Lines").fill('{"custom_id": "a", "body": {"stream": true}}')
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("leave out stream").wait_for()
    assert "nothing was sent" in page.content()
