"""What a release is. The content of a release version is a `Release` as plain data; its digest changes with any line of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from genwright.registry.types import LabelMove, Version


class Pin(msgspec.Struct, frozen=True):
    """One version that the release runs with."""

    kind: str
    name: str
    number: int
    digest: str


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code it was built from: the caller's commit, and the difference of a dirty tree."""

    commit: str = ""
    diff: str = ""
    """Unified diff of what was not committed; stored as a blob, pinned by digest."""
    repository: str = ""


class PinnedCode(msgspec.Struct, frozen=True):
    commit: str
    repository: str
    dirty: bool
    diff_digest: str
    """Digest of the blob with the difference; empty for a clean tree."""


class Release(msgspec.Struct, frozen=True):
    """Everything an answer of this release depends on."""

    app: Pin
    content: dict[str, Any]
    """The app's own content, so that a release can be read alone."""
    pins: dict[str, Pin]
    """Ref as the app writes it → the version it stood for."""
    models: list[str]
    """PROVIDER/MODEL of each model step."""
    code: PinnedCode
    lock: str
    """Digest over name==version of every installed distribution."""
    configuration: dict[str, Any]
    datasets: dict[str, Pin]
    suites: dict[str, Pin]


class CreateRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release to be made of an app as it stands now."""

    app: str
    note: str = ""
    selector: str = ""
    """Version of the app; the newest without."""
    code: Code = Code()
    datasets: list[str] = []
    suites: list[str] = []


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a promotion rests on."""

    run: str = ""
    """Evaluation run of the candidate."""
    baseline: str = ""
    """Evaluation run of what it replaces, over the same dataset version."""
    gate: str = ""
    """Ref of a gate; `gate:APP` is used where it exists."""


class PromoteRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move a label to a release, if its gate lets it pass."""

    app: str
    number: int
    label: str = "production"
    note: str = ""
    evidence: Evidence = Evidence()


class RollBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put a label back on the release it stood on before."""

    app: str
    label: str = "production"
    note: str = ""


class NewApp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A first app over documents: what is left empty is chosen."""

    name: str
    index: str = ""
    """`NAME` or `index:NAME[@label|@number]`; the only one there is where empty."""
    model: str = ""
    """PROVIDER/MODEL; the server's default model, else local/extractive, where empty."""
    prompt: str = ""
    """`NAME[@label|@number]` of a prompt that is there; one is made under the app's name where empty."""
    description: str = ""
    mode: Literal["vector", "text", "hybrid"] = "hybrid"
    k: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5
    """How many passages."""


class StartedApp(msgspec.Struct, frozen=True):
    """What was made of it."""

    name: str
    app: str
    release: str
    number: int
    promoted: bool
    """False where the maker may not promote: somebody else has to, until then only `app/NAME@draft` answers."""
    index: str
    prompt: str
    policy: str
    model: str


class Promotion(msgspec.Struct, frozen=True):
    """What became of a promotion."""

    promoted: bool
    release: Version
    label: str
    reasons: list[str]
    """Why it was let through or refused, in words with figures."""
    move: LabelMove | None = None
    gate: dict[str, Any] | None = None
    """Result of the gate as evals gives it; None where no gate is set."""
    undecided: bool = False
    """Refused not because it is worse, but because the data cannot show that it is not: more items would decide."""
