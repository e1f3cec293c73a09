"""Videos: made at a provider in minutes; created, asked after, fetched, cancelled here under our own ids.

What it costs is booked when the provider has taken the order, so that nothing depends on somebody asking again; should the
provider fail to make it, the same amount is booked back, once. Asking after a video never costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Conflict, Invalid, Missing
from genwright.gateway.attempt import Attempt
from genwright.gateway.media import store
from genwright.gateway.media.operations import Asked, encode, field
from genwright.gateway.media.types import Video
from genwright.gateway.providers.base import Endpoint, understood
from genwright.gateway.types import Call
from genwright.gateway.wire.openai import bad
from genwright.messages import user
from genwright.prices import Usage
from genwright.vocab import new_id

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway

DEFAULT_SECONDS = 4.0
LONGEST_SECONDS = 60.0
ENDED = ("completed", "failed", "cancelled")


class Videos:
    def __init__(self, gateway: Gateway, database: Database):
        self._gateway = gateway
        self._database = database

    async def create(self, actor: Actor, asked: Asked, call: Call) -> tuple[Video, int | None]:
        """Order a video; it and its cost. Raises Invalid, Missing, RateLimited, Upstream and its kinds."""
        actor.need("call")
        model, prompt, seconds = field(asked, "model"), field(asked, "prompt"), _seconds(asked)
        if not isinstance(model, str) or not model:
            raise bad("model", "model is needed. Nothing was sent.")
        if not isinstance(prompt, str) or not prompt:
            raise bad("prompt", "prompt is needed. Nothing was sent.")
        call, target = await self._gateway.resolve(actor, msgspec.structs.replace(call, model=model, messages=[user(prompt)]))
        if target is not None:
            raise Invalid(f"'{call.model}' is an app: it answers chats. Nothing was sent.", param="model")

        async def once(attempt: Attempt, endpoint: Endpoint, call: Call) -> tuple[Video, int | None]:
            attempt.describe(call, stream=False)
            used = Usage(units={"video_second": seconds})
            call = await attempt.reserve(call, most=used)
            send = getattr(endpoint, "serve", None)
            if send is None:
                raise Invalid(
                    f"{endpoint.name} makes no videos here. Nothing was sent.", code="unsupported_operation", param="model"
                )
            attempt.sent = True
            kind, body = encode(asked, attempt.model)
            _, data = await send("videos", attempt.model, kind, body, call.timeout_s)
            said = understood(endpoint, _resource, data)
            cost = attempt.served(used, "", [])
            scope = actor.scope
            video = Video(
                scope.workspace, scope.project, new_id("video"), attempt.provider, attempt.model, said["id"],
                said.get("status") or "queued", seconds, said, attempt.span.trace_id, clock.now_ns(), actor.id,
            )  # fmt: skip
            await self._database.write(store.insert, store.videos, video)
            return video, cost

        return await self._gateway.flow.run(actor, call, "video_generation", once)

    async def get(self, actor: Actor, video_id: str) -> Video:
        """The video as its provider says now."""
        video = await self._row(actor, video_id)
        if video.status in ENDED:
            return video
        said = msgspec.json.decode((await self._ask(actor, video, "GET", "")).body)
        changed = msgspec.structs.replace(video, said=said, status=said.get("status") or video.status)
        values = {"said": said, "status": changed.status}
        await self._database.write(_change, actor, video.id, (video.status,), values)
        if changed.status == "failed":
            await self._refund(actor, changed)
        return changed

    async def newest(self, actor: Actor, after: str = "", limit: int = 20) -> list[Video]:
        """Newest first, as last heard."""
        return await self._database.read(store.newest, store.videos, Video, actor.scope, after, limit, {})

    async def content(self, actor: Actor, video_id: str, variant: str = "") -> tuple[str, bytes]:
        """(content type, bytes). Raises Conflict while it is not ready."""
        video = await self.get(actor, video_id)
        if video.status != "completed":
            raise Conflict(f"The video is {video.status}: there is nothing to fetch. Ask again later.", retry=5.0)
        if variant not in ("", "video", "thumbnail", "spritesheet"):
            raise bad("variant", "variant is video, thumbnail or spritesheet.")
        answer = await self._ask(actor, video, "GET", "/content" + (f"?variant={variant}" if variant else ""))
        return answer.headers.get("content-type", "video/mp4"), answer.body

    async def delete(self, actor: Actor, video_id: str) -> None:
        """Cancel it, or delete what was made; here and at the provider."""
        actor.need("call")
        video = await self._row(actor, video_id)
        await self._ask(actor, video, "DELETE", "")
        await self._database.write(_delete, actor, video.id)

    async def _row(self, actor: Actor, video_id: str) -> Video:
        actor.need("call")
        video = await self._database.read(store.get, store.videos, Video, actor.scope, video_id)
        if video is None:
            raise Missing(f"There is no video '{video_id[:100]}' here. GET /v1/videos lists them.", param="video_id")
        return video

    async def _ask(self, actor: Actor, video: Video, method: str, suffix: str) -> Any:
        endpoint: Any = await self._gateway.endpoint(actor, video.provider)
        return await endpoint.resource(method, "videos", video.upstream, suffix)

    async def _refund(self, actor: Actor, video: Video) -> None:
        if await self._database.write(store.settle_once, actor.scope, video.id):
            await self._gateway.refund(actor, video.trace, "video_generation")


def _resource(data: bytes) -> dict[str, Any]:
    said = msgspec.json.decode(data)
    if not isinstance(said["id"], str):
        raise TypeError("its id is no text")
    return said


def _seconds(asked: Asked) -> float:
    text = str(field(asked, "seconds") or DEFAULT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise bad("seconds", f"seconds must lie between 1 and {LONGEST_SECONDS:g}. Nothing was sent.")
    return seconds


def _change(connection: Any, actor: Actor, video_id: str, only_in: tuple[str, ...], values: dict[str, Any]) -> bool:
    return store.change(connection, store.videos, actor.scope, video_id, only_in, **values)


def _delete(connection: Any, actor: Actor, video_id: str) -> None:
    store.delete(connection, store.videos, actor.scope, video_id)
