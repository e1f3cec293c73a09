"""What a node of the key tree may do at most: roles and allowlists, compared and narrowed. Pure; knows no storage.

A child may do no more than its parent. That is checked when it is made (`refuse_more`), and again each time a key is looked up,
since a parent may have been narrowed meanwhile (`Path.under`): then the child keeps what both allow.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from genwright.access.types import NOTHING, OPERATIONS, ROLES, Terms
from genwright.errors import Invalid

PATTERN = re.compile(r"[A-Za-z0-9_.:/@*-]{1,200}\Z")
TAG = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
MAX_PATTERNS = 100
MAX_TAGS = 20


def check_role(role: str) -> None:
    if role not in ROLES:
        raise Invalid(f"'{role[:40]}' is not a role. Nothing was changed. Roles are: {', '.join(ROLES)}.", field="role")


def check_terms(models: tuple[str, ...], operations: tuple[str, ...], tags: dict[str, str]) -> None:
    """Raise Invalid, naming the field, for what can be no allowlist or tag."""
    wrong = next((name for name in models if not PATTERN.match(name)), None)
    if wrong is not None or len(models) > MAX_PATTERNS:
        what = f"'{wrong[:80]}' is no name of a model" if wrong is not None else f"More than {MAX_PATTERNS} names of models"
        form = "One is like 'openai/gpt-*' or 'route/support': only * is special."
        raise Invalid(f"{what}. Nothing was changed. {form}", field="models")
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown:
        known = ", ".join(OPERATIONS)
        raise Invalid(f"'{unknown[0][:40]}' is not an operation. Nothing was changed. They are: {known}.", field="operations")
    for name, value in tags.items():
        if not TAG.match(name) or not 0 < len(value) <= 200 or not value.isprintable():
            raise Invalid(
                f"'{name[:40]}' cannot be a tag like that. Nothing was changed. "
                "A name of letters, digits, '.', '_', '-' and a printable value of up to 200 characters.",
                field="tags",
            )
    if len(tags) > MAX_TAGS:
        raise Invalid(f"More than {MAX_TAGS} tags. Nothing was changed.", field="tags")


def covers(parent: tuple[str, ...], child: tuple[str, ...]) -> bool:
    """Whether every name that the child's patterns match is matched by the parent's. Empty: everything.

    A pattern knows only `*`. Matched as a plain string, a child's `*` can be met by a `*` of the parent alone, so what the
    child matches lies within what that one matches.
    """
    if not parent:
        return True
    return bool(child) and all(any(fnmatchcase(name, pattern) for pattern in parent) for name in child)


def both(parent: tuple[str, ...], child: tuple[str, ...]) -> tuple[str, ...]:
    """What both allow; of two patterns that only overlap (`a*`, `*b`) neither: rather less than more."""
    if not parent or not child:
        return parent or child
    found = [name for name in child if covers(parent, (name,))]
    found += [name for name in parent if name not in found and covers(child, (name,))]
    return tuple(found) or NOTHING


def lower_role(one: str, other: str) -> str | None:
    """The role that may do what both may, or None where that is nothing (a caller among viewers)."""
    common = ROLES[one] & ROLES[other]
    return max((role for role in ROLES if ROLES[role] <= common), key=lambda role: len(ROLES[role]), default=None)


class Path(NamedTuple):
    """What a place in the tree may do, all above it counted in."""

    nodes: tuple[str, ...]
    role: str | None = "admin"
    """None: nothing at all."""
    terms: Terms = Terms()

    def under(self, node: str, record: Any) -> Path:
        """One level down: `record` has role, models, operations and tags (a member, team, service account or key).

        A tag of a level above stands. An administrator could lift any limit: where there is one, the role is a releaser's.
        """
        role = None if self.role is None else lower_role(self.role, record.role)
        models, operations = both(self.terms.models, record.models), both(self.terms.operations, record.operations)
        if role == "admin" and (models or operations):
            role = "releaser"
        terms = Terms(models, operations, tags={**record.tags, **self.terms.tags})
        return Path((*self.nodes, node), role, terms)

    def refuse_more(self, what: str, record: Any) -> None:
        """Raise Invalid, naming the field, if a child would do more than this place may."""
        here = self.nodes[-1].partition(":")[0] if self.nodes else "place"
        if self.role is None or not ROLES[record.role] <= ROLES[self.role]:
            raise Invalid(
                f"{what} cannot be '{record.role}' under a {here} that is '{self.role or 'nothing'}' at most. "
                f"Nothing was changed. Choose a lower role, or raise the {here}'s first.",
                field="role",
            )
        for field, mine in (("models", self.terms.models), ("operations", self.terms.operations)):
            theirs = getattr(record, field)
            if theirs and not covers(mine, theirs):
                raise Invalid(
                    f"{what} cannot have {field} {', '.join(theirs)}: the {here} above allows {', '.join(mine)}. "
                    "Nothing was changed. Name fewer, or none to take over those.",
                    field=field,
                )
        if record.role == "admin" and (record.models or record.operations or self.terms.models or self.terms.operations):
            raise Invalid(
                f"{what} is an administrator, who could lift any limit: one with limited models or operations would be no limit. "
                "Nothing was changed. Take a lower role, e.g. releaser.",
                field="role",
            )
        taken = next((name for name, value in record.tags.items() if self.terms.tags.get(name, value) != value), None)
        if taken is not None:
            above = self.terms.tags[taken]
            raise Invalid(f"The tag '{taken}' is '{above}' for everything under this {here}. Nothing was changed.", field="tags")
