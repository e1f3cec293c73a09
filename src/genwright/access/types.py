"""Records of access. Knows nothing of storage or HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

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


NodeKind = Literal["team", "service"]
FIRST_PROJECT = "default"
"""Each workspace begins with it; whoever administers it administers the workspace."""
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
    projects: tuple[str, ...] = ()
    """Other projects that this session may switch to."""

    @property
    def manages_workspace(self) -> bool:
        """Whether projects and everybody in them are this actor's to manage."""
        return self.role == "admin" and self.scope.project == FIRST_PROJECT

    @property
    def operates(self) -> bool:
        """Whether this actor runs the server: an administrator of the first workspace, or this machine's own credential."""
        return self.manages_workspace and self.scope.workspace == Scope().workspace

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
    team: str = ""
    """Id of the team it hangs under, or empty."""
    holder: str = ""
    """Id of the member or service account that it is for, or empty."""
    models: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    default_max_output_tokens: int = 0
    on_disconnect: OnDisconnect = "cancel"
    tags: dict[str, str] = {}
    """These five: see Terms."""
    used_ns: int | None = None
    """When it was last used, to about a minute; None: never."""
    old_hint: str = ""
    old_until_ns: int | None = None
    """After a rotation: what the secret before begins with, and until when it is still valid."""


class NewKey(msgspec.Struct, frozen=True):
    """A key just made, with the secret that is shown once."""

    key: Key
    secret: str


class Member(msgspec.Struct, frozen=True):
    """A person in a project. One person in several projects has the same id and name in each, and a role of its own."""

    workspace: str
    project: str
    id: str
    name: str
    role: str
    created_ns: int
    team: str = ""
    models: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    tags: dict[str, str] = {}


class Node(msgspec.Struct, frozen=True):
    """A team, or a service account: a caller that is no person. What hangs under it can do at most what it may."""

    workspace: str
    project: str
    id: str
    kind: NodeKind
    name: str
    team: str
    """Id of the team a service account belongs to, or empty."""
    role: str
    """The most that anything under it may do."""
    models: tuple[str, ...]
    operations: tuple[str, ...]
    tags: dict[str, str]
    created_ns: int
    created_by: str
    ended_ns: int | None = None


class Workspace(msgspec.Struct, frozen=True):
    """A tenant: a wall that nothing crosses."""

    workspace: str
    created_ns: int
    created_by: str


class Project(msgspec.Struct, frozen=True):
    """A part of a workspace, with its own artifacts, traces, keys and members."""

    workspace: str
    project: str
    created_ns: int


class NewPlace(msgspec.Struct, frozen=True):
    """A workspace or project just made, with what opens it: shown once."""

    workspace: str
    project: str
    key: Key | None = None
    """Its first administrator's key."""
    secret: str = ""
    token: str = ""
    """For the log-in page, once, within an hour; a project has none: its administrators come from the workspace."""


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
    wide: bool = False
    """Whether it may switch to the member's other projects; not if an administrator of one project alone opened the way."""


class Under(msgspec.Struct, frozen=True):
    """Where a new key hangs, and what it is bound to there (see Terms)."""

    project: str = ""
    """Of the same workspace, for its administrators; empty: the caller's own."""
    team: str = ""
    member: str = ""
    service: str = ""
    """Ids. A member's or service account's key is under that one's team."""
    models: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    default_max_output_tokens: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    on_disconnect: OnDisconnect = "cancel"
    tags: dict[str, str] = {}


class NewMember(msgspec.Struct, frozen=True):
    """What may be said of a new member."""

    name: str
    role: str = "viewer"
    team: str = ""
    models: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    project: str = ""


class NewNode(msgspec.Struct, frozen=True):
    """What may be said of a new team (which belongs to none) or service account."""

    name: str
    role: str = ""
    """Empty: releaser for a team (whose members may be anything but administrators), caller for a service account."""
    team: str = ""
    models: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    project: str = ""


class Changes(msgspec.Struct, frozen=True):
    """What may be changed of a member, team or service account; None: as it is."""

    role: str | None = None
    team: str | None = None
    models: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None
    tags: dict[str, str] | None = None
    project: str = ""
