"""A sample call in a few plain fields, to ask which way it would go."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.gateway.types import Call
from genwright.messages import Media, Message, Text, say


class Sample(msgspec.Struct, frozen=True):
    """What a route's conditions can look at."""

    text: str = ""
    """What the user says."""
    system: str = ""
    tokens: int = 0
    """As if the conversation were this long (filler words are put before the text)."""
    modality: list[str] = []
    """image, audio, video, file."""
    session: str = ""
    user: str = ""
    tags: dict[str, str] = {}
    parameters: dict[str, Any] = {}

    def call(self, name: str) -> Call:
        """The call, to route/NAME."""
        messages = [say("system", self.system)] if self.system else []
        if self.tokens > 0:
            messages.append(say("user", "word " * min(self.tokens, 2_000_000)))
        media: list[Any] = [Media(one) for one in self.modality if one in ("image", "audio", "video", "file")]  # type: ignore[arg-type]
        messages.append(Message("user", [*media, Text(self.text)]))
        return Call(
            f"route/{name.removeprefix('route/')}",
            messages,
            self.parameters,
            session=self.session,
            user=self.user,
            tags=self.tags,
        )
