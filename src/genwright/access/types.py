"""Records of access. Knows nothing of storage or HTTP."""

from __future__ import annotations

from typing import Literal

import msgspec

from genwright.errors import Forbidden
from genwright.vocab import Scope

Capture = Literal["full", "metadata", "off"]
"""How much of a call is kept in its trace: everything, all but texts, nothing."""
ActorKind = Literal["key", "session", "system"]
OnDisconnect = Literal["cancel", "drain"]
"""When the client of a call goes away: end the call upstream, or read it to its end so that it is billed exactly."""

KNOWN = "known"
"""The permission that every actor has: being known at all."""
PERMISSIONS = frozenset({"call", "read", "score", "write", "promote", "admin"})
ROLES: dict[str, frozenset[str]] = {
    "caller": frozenset({"call"}),
    "viewer": frozenset({"read"}),
    "reviewer": frozenset({"read", "score"}),
    "editor": frozenset({"read", "score", "call", "write"}),
    "releaser": frozenset({"read", "score", "call", "write", "promote"}),
    "admin": PERMISSIONS,
}
"""What each role may do: call models and apps; read everything; score traces; write artifacts; move `production`; manage."""


OPERATIONS = (
    "chat", "embeddings", "responses", "images", "audio", "moderations", "files", "batches", "videos", "rerank",
)  # fmt: skip
"""What a key can be limited to: the gateway's operations."""
NOTHING = ("",)
"""As `Terms.models` or `Terms.operations`: nothing is allowed (no model and no operation has an empty name)."""


class Terms(msgspec.Struct, frozen=True):
    """What an actor's calls of models are bound to: its key's own words within those of every node above it."""

    models: tuple[str, ...] = ()
    """Names of models, `*` standing for any letters: `openai/gpt-*`, `route/support`. Empty: all."""
    operations: tuple[str, ...] = ()
    """Some of OPERATIONS. Empty: all."""
    default_max_output_tokens: int = 0
    """For calls that set no cap themselves; 0: the server's setting."""
    on_disconnect: OnDisconnect = "cancel"
    tags: dict[str, str] = {}
    """For chargeback: every cost of the actor is booked with them."""


class Actor(msgspec.Struct, frozen=True):
    """Who asks, for one request or job."""

    scope: Scope
    """Where the actor may act: nowhere else."""
    id: str
    """Id of the key or member; what audit events and spans name."""
    name: str
    kind: ActorKind
    role: str
    """One of ROLES."""
    capture: Capture = "full"
    nodes: tuple[str, ...] = ()
    """The actor's place in the tree, outermost first: `workspace:default`, `project:default`, `team:team_…`, then
    `member:mem_…` or `service:svc_…`, then `key:key_…`. Limits and budgets hang on these."""
    terms: Terms = Terms()

    def may(self, permission: str) -> bool:
        return permission in ROLES[self.role] or permission == KNOWN

    def need(self, permission: str) -> None:
        """Raise Forbidden unless the actor has the permission."""
        if not self.may(permission):
            roles = ", ".join(role for role, permissions in ROLES.items() if permission in permissions)
            raise Forbidden(
                f"'{self.name}' ({self.role}) has no permission to {permission}. Nothing was done. "
                f"Roles that have it: {roles}. An administrator can make such a key.",
                permission=permission,
            )


def SYSTEM(scope: Scope) -> Actor:
    """The house itself, for jobs and what follows from an event."""
    return Actor(scope, "system", "Genwright", "system", "admin")


class Key(msgspec.Struct, frozen=True):
    """An API key, without its secret."""

    workspace: str
    project: str
    id: str
    name: str
    role: str
    capture: Capture
    hint: str
    """The first characters of the secret, to tell keys apart."""
    created_ns: int
    created_by: str
    expires_ns: int | None = None
    revoked_ns: int | None = None


class NewKey(msgspec.Struct, frozen=True):
    """A key just made, with the secret that is shown once."""

    key: Key
    secret: str


class Member(msgspec.Struct, frozen=True):
    """A person."""

    workspace: str
    project: str
    id: str
    name: str
    role: str
    created_ns: int


class Session(msgspec.Struct, frozen=True):
    """A browser that is logged in, as a member or in the name of a key."""

    workspace: str
    project: str
    id: str
    member: str
    """Id of the member, or empty."""
    key: str
    """Id of the key that was used to log in, or empty; the session ends with the key."""
    created_ns: int
    expires_ns: int
