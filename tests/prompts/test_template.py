"""The template language: what it renders, and what it can never do."""

import pytest

from genwright.errors import Invalid, TooLarge
from genwright.prompts import template


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("Hello {{name}}!", {"name": "Ada"}, "Hello Ada!"),
        ("{{ n }} {{flag}}", {"n": 3.5, "flag": True}, "3.5 true"),
        ("{{#p}}[{{n}}] {{t}}\n{{/p}}", {"p": [{"n": 1, "t": "a"}, {"n": 2, "t": "b"}]}, "[1] a\n[2] b\n"),
        ("{{#p}}{{.}};{{/p}}", {"p": ["x", "y"]}, "x;y;"),
        ("{{^p}}none{{/p}}", {"p": []}, "none"),
        ("{{#p}}\nx\n{{/p}}\nend", {"p": [1, 2]}, "x\nx\nend"),
        ("{{#p}}{{q}}{{/p}}", {"p": [{"a": 1}], "q": "outer"}, "outer"),
        ("a{{! a note }}b", {}, "ab"),
        ("{{missing}}", {}, ""),
    ],
)
def test_renders(text, variables, expected):
    assert template.render(text, variables) == expected


def test_values_are_never_templates():
    assert template.render("{{a}}", {"a": "{{b}}", "b": "secret"}) == "{{b}}"


@pytest.mark.parametrize(
    "text",
    [
        "{{a.__class__}}", "{{a()}}", "{{a|upper}}", "{{7*7}}", "{{a['b']}}", "{{#a}}", "{{/a}}", "{{#a}}{{/b}}", "{{> partial}}",
        "{{& raw}}", "{{a b}}", "{{=<% %>=}}",
    ],
)  # fmt: skip
def test_refuses_everything_that_is_not_a_name(text):
    with pytest.raises(Invalid):
        template.render(text, {"a": [1]})


def test_attributes_of_objects_are_out_of_reach():
    class Secret:
        password = "hunter2"

    assert "hunter2" not in template.render("{{#o}}{{password}}{{/o}}", {"o": {"k": 1}, "password_of": "no"})
    with pytest.raises(TypeError):
        template.render("{{o}}", {"o": Secret()})


def test_output_is_limited():
    with pytest.raises(TooLarge):
        template.render("{{#a}}{{#a}}{{#a}}xxxxxxxxxx{{/a}}{{/a}}{{/a}}", {"a": list(range(60))})


def test_mistakes_name_their_line():
    with pytest.raises(Invalid, match="line 2"):
        template.parse("fine\n{{not ok}}")
