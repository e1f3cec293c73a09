"""Pages as HTML: nothing inline, everything escaped, everything named, headers set, fragments small."""

import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient
from web_sample import PLANTED, app

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "path", "rect", "circle", "use", "source"}


class Document(HTMLParser):
    """Elements with attributes and text, enough to ask for names; unbalanced tags are kept in `problems`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self.open: list[tuple[str, dict, list[str]]] = []
        self.problems: list[str] = []
        self.feed(html)
        self.problems += [f"never closed: {tag}" for tag, _, _ in self.open]

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open[-1][0] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1][0] if self.open else 'nothing'}")
            return
        self.open.pop()

    def handle_data(self, data):
        for _, attributes, text in self.open:
            if "aria-hidden" not in attributes:
                text.append(data)

    def all(self, *tags: str):
        return [element for element in self.elements if element[0] in tags]


@pytest.fixture(scope="module")
def client():
    with TestClient(app()) as client:
        yield client


PATHS = ["/w/default/gallery", "/login?error=" + PLANTED, "/login", "/broken/404", "/broken/403", "/broken/500", "/broken/418"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_inline(client, path):
    response = client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    page = Document(response.text)
    assert page.problems == []
    for tag, attributes, text in page.elements:
        assert tag != "style"
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name.startswith("hx-on")], (tag, attributes)
        assert not attributes.get("href", "").lower().startswith(("javascript:", "data:"))
        if tag == "script":
            assert attributes.get("src", "").startswith("/static/")
            assert "".join(text).strip() == ""


@pytest.mark.parametrize("path", PATHS)
def test_only_own_addresses_and_strict_headers(client, path):
    response = client.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    for _, attributes, _ in Document(response.text).all("link", "script", "img", "use"):
        assert (attributes.get("href") or attributes.get("src")).startswith("/static/")


def test_planted_markup_is_inert(client):
    html = client.get("/w/default/gallery").text
    assert PLANTED not in html
    assert html.count("&lt;script&gt;alert") >= 5
    page = Document(html)
    assert not page.all("img")
    assert all(not "".join(text) for _, _, text in page.all("script"))
    assert PLANTED not in client.get("/login", params={"error": PLANTED}).text


@pytest.mark.parametrize("path", PATHS)
def test_everything_has_a_name(client, path):
    page = Document(client.get(path).text)
    labels = {attributes.get("for") for _, attributes, _ in page.all("label")}
    for tag, attributes, text in page.all("button", "a"):
        assert attributes.get("aria-label") or "".join(text).strip(), (tag, attributes)
    for _, attributes, _ in page.all("img"):
        assert "alt" in attributes
    for tag, attributes, _ in page.all("input", "select", "textarea"):
        named = attributes.get("type") in ("hidden", "checkbox") or attributes.get("aria-label") or attributes.get("id") in labels
        assert named, (tag, attributes)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1


def test_navigation_knows_workspace_place_and_keys(client):
    page = Document(client.get("/w/research").text)
    links = {"".join(text).strip(): attributes for tag, attributes, text in page.all("a") if "data-go" in attributes}
    assert links["Traces"]["href"] == "/w/research/tracing"
    assert links["Overview"]["aria-current"] == "page"
    assert "aria-current" not in links["Traces"]
    elsewhere = Document(client.get("/w/research/gallery").text)
    assert not [a for tag, a, _ in elsewhere.all("a") if "data-go" in a and "aria-current" in a]
    keys = [attributes["data-go"] for attributes in links.values()]
    assert links["Traces"]["data-go"] == "t"
    assert len(set(keys)) == len(keys)


def test_a_block_is_only_the_block(client):
    html = client.get("/w/default/gallery?block=list").text
    assert "<html" not in html
    assert html.count("<tr class") == 5
    assert "stats" not in html


def test_sign_in_goes_nowhere_else(client):
    for bad in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        page = Document(client.get("/login", params={"next": bad}).text)
        assert [attributes["value"] for _, attributes, _ in page.all("input") if attributes["name"] == "next"] == ["/"]
    assert 'value="/w/default/tracing"' in client.get("/login", params={"next": "/w/default/tracing"}).text


def test_errors_say_what_and_what_next(client):
    response = client.get("/broken/403")
    assert response.status_code == 403
    assert "Your role does not include this." in response.text
    assert "Ask an admin" in response.text
    assert client.get("/broken/418").status_code == 418


def test_static_files_are_kept_by_hash(client):
    html = client.get("/login").text
    for address in re.findall(r'(?:src|href|content)="(/static/[^"#]+)', html):
        response = client.get(address)
        assert response.status_code == 200, address
        assert "immutable" in response.headers["cache-control"]
    assert client.get("/static/app.js").headers["cache-control"] == "no-cache"
    assert client.get("/static/nothing.js?v=1").headers.get("cache-control") != "public, max-age=31536000, immutable"
    assert client.get("/static/%2e%2e/render.py").status_code == 404
