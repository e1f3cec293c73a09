"""Pages of providers and models: what is stored, never the credential."""

from page_site import PLANTED

SECRET = "sk-never-shown-again"


async def test_a_provider_is_stored_tested_and_removed(site):
    html = await site.get("/gateway")
    assert "local" in html
    assert "openai-compatible" in html
    answer = await site.post(
        "/gateway", name="mine", kind="openai-compatible", base_url="https://llm.example.org/v1", api_key=SECRET
    )
    assert "llm.example.org" in answer.text
    assert SECRET not in answer.text
    assert SECRET not in await site.get("/gateway")
    tested = await site.post("/gateway/local/test")
    assert "Answers in" in tested.text
    await site.post("/gateway/mine/remove")
    assert "llm.example.org" not in await site.get("/gateway")
    await site.post("/gateway/mine/remove", 404)


async def test_a_wrong_form_comes_back_without_the_key(site):
    answer = await site.post("/gateway", 422, name="app", base_url=PLANTED, api_key=SECRET)
    assert "Nothing was stored" in answer.text
    assert SECRET not in answer.text


async def test_a_provider_that_cannot_be_reached_says_so(site):
    await site.post("/gateway", name="near", kind="openai-compatible", base_url="http://127.0.0.1:9/v1")
    answer = await site.post("/gateway/near/test")
    assert "circle-x" in answer.text


async def test_models_are_found_by_words(site):
    await site.released()
    html = await site.get("/gateway/models")
    assert "local/extractive" in html
    assert 'href="/w/default/chat/docs-qa"' in html
    html = await site.get("/gateway/models", q="MINI local")
    assert "local/minilm" in html
    assert "local/extractive" not in html
    assert "No model is called that" in await site.get("/gateway/models", q=PLANTED)


async def test_a_models_card_is_shown_and_completed(site):
    html = await site.get("/gateway/models/card", model="local/extractive")
    assert "Apache-2.0" in html
    assert "not known" in html
    answer = await site.post("/gateway/models/card?model=local/extractive", field="note", value=PLANTED)
    assert PLANTED not in answer.text
    assert ">this project<" in answer.text
    answer = await site.post("/gateway/models/card?model=local/extractive", 422, field="context", value="many")
    assert "Nothing was stored" in answer.text
    await site.post("/gateway/models/card?model=local/extractive", field="note", value="")
    assert ">this project<" not in await site.get("/gateway/models/card", model="local/extractive")
    await site.get("/gateway/models/card", 404, model="nobody/x")


async def test_rules_on_models(site):
    answer = await site.post("/gateway/models/rules", name="eu", models="test/*", condition='{"area": "eu"}')
    assert "area = eu" in answer.text
    assert "area = eu" in await site.get("/gateway/models")
    for wrong in ("{", '{"colour": "red"}'):
        answer = await site.post("/gateway/models/rules", 422, name="x", condition=wrong)
        assert "Nothing was stored" in answer.text
    answer = await site.post("/gateway/models/rules/eu/remove")
    assert "area = eu" not in answer.text


async def test_everything_is_tried_from_the_page(site):
    answer = await site.post("/gateway/local/test?whole=true")
    assert "embeddings" in answer.text
    assert "384 numbers a text" in answer.text


async def test_a_canary_run_is_shown(site):
    from genwright.gateway.catalogue import canary

    await canary.run(site.house.gateway, site.actor, "local/extractive")
    html = await site.get("/gateway/models/card", model="local/extractive")
    assert "first" in html
    assert "arithmetic" in html


async def test_readers_change_nothing(site):
    viewer = await site.as_role("viewer")
    assert "api_key" not in await viewer.get("/gateway")
    await viewer.post("/gateway", 403, name="x")
    await viewer.post("/gateway/local/test", 403)
    await viewer.post("/gateway/local/remove", 403)
