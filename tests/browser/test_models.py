"""Pages of providers and models as a person uses them: everything tried, a card completed, a rule made, a canary run."""


def test_everything_is_tried_and_the_outcome_stands_by_itself(visit):
    page = visit("/gateway")
    page.get_by_role("button", name="Try everything at local").click()
    page.get_by_role("heading", name="Test of local").wait_for()
    row = page.get_by_role("row").filter(has_text="384 numbers a text")
    assert "works" in row.inner_text()


def test_a_models_card_is_completed_and_asked_again(visit):
    page = visit("/gateway/models")
    page.get_by_role("link", name="local/extractive").click()
    page.get_by_label("Field").select_option("region")
    page.get_by_label("Value").fill("eu-west-3")
    page.get_by_role("button", name="Store").click()
    page.get_by_role("row").filter(has_text="eu-west-3").filter(has_text="this project").wait_for()
    page.get_by_role("button", name="Is it still the same?").click()
    page.get_by_text("Asking local/extractive").wait_for()
    for _ in range(40):
        page.reload()
        if page.get_by_role("cell", name="first").count():
            break
        page.wait_for_timeout(250)
    assert page.get_by_role("cell", name="first").count() == 1


def test_a_rule_on_models_is_made_and_removed(visit):
    page = visit("/gateway/models")
    page.get_by_label("Name of the rule").fill("eu-only")
    page.get_by_role("textbox", name="Models", exact=True).fill("nobody/*")
    page.get_by_label("Must be").fill('{"area": "eu"}')
    page.get_by_role("button", name="Store").click()
    page.get_by_role("row").filter(has_text="area = eu").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove eu-only").click()
    page.get_by_text("Any model may be called").wait_for()
