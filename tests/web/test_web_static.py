"""Vendored files are what their table says; stylesheets load nothing; icons named in templates exist; colours are readable."""

import hashlib
import re
from pathlib import Path

import genwright.web.render as render
from genwright.web.house import NAVIGATION

STATIC = render.STATIC
TEMPLATES = render.HERE / "templates"


def test_vendored_digests_match():
    rows = re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$", (STATIC / "vendor/README.md").read_text(), re.M)
    assert len(rows) == 3
    for name, digest in rows:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest, name


def test_stylesheets_load_nothing():
    for path in STATIC.glob("*.css"):
        text = path.read_text()
        assert not re.search(r"url\(|@import", text), path
        assert text.count("{") == text.count("}"), path


def test_scripts_never_parse_html_or_code():
    for path in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.style",
            path.read_text().replace('swap: "innerHTML"', ""),
        ), path


def test_icons_exist():
    known = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    used = set()
    for path in [*TEMPLATES.glob("*.html"), *STATIC.glob("*.js")]:
        used |= set(re.findall(r'\bicon\("([a-z0-9-]+)"', path.read_text()))
    used |= {item[3] for item in NAVIGATION}
    assert used
    assert used <= known, used - known


def test_classes_used_are_styled():
    css = "".join(path.read_text() for path in STATIC.glob("*.css"))
    for name in (
        "page-head",
        "stat",
        "stacking",
        "pill",
        "empty",
        "kv",
        "waterfall",
        "intervals",
        "lineage",
        "passage",
        "message",
        "composer",
        "diff",
    ):
        assert f".{name}" in css
    macros = "".join(path.read_text() for path in TEMPLATES.glob("*.html"))
    for match in re.findall(r'class="([a-z][a-z -]*)"', macros):
        for name in match.split():
            assert re.search(rf"\.{name}\b", css) or name in {"chart-figure", "wide", "ins", "del"}, name


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_contrast_meets_wcag_aa_in_both_themes():
    pairs = dict(re.findall(r"--([a-z-]+): light-dark\((#\w{6}, #\w{6})\)", (STATIC / "genwright.css").read_text()))
    for theme in (0, 1):
        colour = {name: value.split(", ")[theme] for name, value in pairs.items()} | {"on-accent": "#ffffff"}
        text_on = [(name, ground) for name in ("text", "muted", "link") for ground in ("bg", "surface", "sunken", "hover")]
        text_on += [(name, f"{name}-soft") for name in ("good", "warn", "bad", "violet", "teal", "rose")]
        text_on += [(name, "surface") for name in ("good", "warn", "bad", "violet")]
        text_on += [
            (name, ground) for name in ("text", "muted") for ground in ("good-soft", "bad-soft", "warn-soft", "accent-soft")
        ]
        text_on += [("link", "accent-soft"), ("on-accent", "accent"), ("on-accent", "accent-hover")]
        for name, ground in text_on:
            assert _contrast(colour[name], colour[ground]) >= 4.5, (theme, name, ground, _contrast(colour[name], colour[ground]))
        assert _contrast(colour["line-strong"], colour["surface"]) >= 3  # borders of fields


def test_every_component_and_filter_is_documented():
    text = (Path(__file__).parents[2] / "docs/pages.md").read_text()
    ui = render.Pages().environment.globals["ui"]
    assert len(vars(ui)) > 25
    for name in vars(ui):
        if name not in {"logo"}:
            assert f"ui.{name}(" in text, name
    for name in render.formats.FILTERS:
        assert f"`{name}`" in text or f"`{name}` (" in text, name


def test_package_carries_its_files():
    assert Path(render.__file__).parent.joinpath("static/vendor/htmx.min.js").is_file()
