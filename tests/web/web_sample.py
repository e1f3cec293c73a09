"""Sample values for the gallery, and an app that serves it: `python tests/web/web_sample.py` shows it on port 8765."""

import json
import math

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from genwright.clock import now_ns
from genwright.web.graph import Edge, Node
from genwright.web.render import Pages

PLANTED = '<script>alert("planted")</script><img src=x onerror=alert(1)>'
ANSWER = """The `nonlocal` statement makes names refer to **previously bound variables** in the nearest
enclosing scope [1], not to globals [2].

1. The names must already exist.
2. They must not be [parameters](https://example.org/x).

```
def f():
    nonlocal x
```"""

LAST = {
    "choices": [],
    "usage": {"total_tokens": 1234},
    "genwright": {
        "trace": "f" * 32,
        "passages": [{"n": 1, "title": "simple_stmts", "start": 5, "end": 90, "document": "sha256:ab", "text": PLANTED}],
    },
}
NAVIGATION = [
    ("", "Overview", "/w/{workspace}", "layout-dashboard"),
    ("Use", "Chat", "/w/{workspace}/agents", "messages-square"),
    ("Watch", "Traces", "/w/{workspace}/tracing", "activity"),
    ("Build", "Prompts", "/w/{workspace}/prompts", "file-text"),
    ("Build", "Documents", "/w/{workspace}/retrieval", "library"),
    ("Improve", "Evaluations", "/w/{workspace}/evals", "flask-conical"),
    ("Improve", "Releases", "/w/{workspace}/releases", "rocket"),
]


def pages() -> Pages:
    return Pages(NAVIGATION, lambda request: {"user": "Ada Admin", "workspaces": ["default", "research"]})


def context() -> dict:
    started = now_ns()
    names = ["chat docs-qa", "chat docs-qa", "embeddings", PLANTED, "chat support with a rather long name that goes on"]
    traces = [
        {
            "id": f"{n:032x}",
            "started": started - n * 47_000_000_000,
            "name": name,
            "status": "error" if n == 2 else "ok",
            "tokens": 812 * (n + 1),
            "cost": 1_230_000 * n * n,
            "ms": 312.0 * (n + 1),
        }
        for n, name in enumerate(names)
    ]
    steps = [
        ("app docs-qa", "app", 0, 0, 1240),
        ("guard input", "guard", 1, 2, 9),
        ("retrieve python-ref", "retrieval", 1, 12, 80),
        ("embed question", "embedding", 2, 13, 3),
        ("render docs/answer", "prompt", 1, 95, 1),
        ("local/extractive", "llm", 1, 98, 1100),
        ("guard output", "guard", 1, 1200, 30),
    ]
    spans = [{"name": n, "kind": k, "depth": d, "start_ms": s, "duration_ms": t, "url": "#span"} for n, k, d, s, t in steps]
    spans[-1]["status"] = "error"
    hours = [f"2026-11-20T{hour:02d}:00:00Z" for hour in range(24)]
    waves = [[round(400 + 300 * math.sin(hour / 4 + shift)) for hour in range(24)] for shift in (0, 2)]
    nodes = [
        Node("doc", "simple_stmts", "document", url="#d"),
        Node("chunk", "nonlocal, 0–210", "chunk"),
        Node("index", "python-ref@2", "index", url="#i"),
        Node("prompt", "docs/answer@3", "prompt", "label production", "#p"),
        Node("model", "local/extractive", "model"),
        Node("release", "docs-qa release 3", "release", "promoted by ada", "#r"),
        Node("policy", "default@1", "policy"),
        Node("trace", "this answer", "trace", "812 ms", focus=True),
    ]
    edges = [
        Edge("doc", "chunk"),
        Edge("chunk", "index"),
        Edge("index", "release", "pins"),
        Edge("prompt", "release", "pins"),
        Edge("model", "release"),
        Edge("policy", "release"),
        Edge("release", "trace", "answered"),
        Edge("chunk", "trace", "retrieved"),
    ]
    return {
        "planted": PLANTED,
        "answer": ANSWER,
        "traces": traces,
        "spans": spans,
        "nodes": nodes,
        "edges": edges,
        "line": {
            "kind": "line",
            "x": hours,
            "unit": "",
            "series": [{"name": "docs-qa", "values": waves[0]}, {"name": "support", "values": waves[1]}],
        },
        "bars": {
            "kind": "bar",
            "x": ["vector", "full text", "hybrid"],
            "series": [
                {"name": "nDCG@10", "values": [0.943, 0.965, 0.981], "low": [0.931, 0.955, 0.973], "high": [0.954, 0.974, 0.988]}
            ],
        },
        "differences": [
            {"name": "recall@5", "value": 0.075, "low": 0.025, "high": 0.15, "verdict": "better"},
            {"name": "token-F1", "value": 0.012, "low": -0.021, "high": 0.044, "verdict": "same", "note": "40 answers"},
            {"name": "ROUGE-L", "value": -0.03, "low": -0.05, "high": -0.012, "verdict": "worse"},
        ],
        "old_prompt": "You answer questions about Python.\nUse the passages.\nBe brief.",
        "new_prompt": "You answer questions about Python 3.\nUse only the passages below.\nBe brief.\nCite them as [1].",
    }


def app() -> Starlette:
    house = pages()

    async def gallery(request: Request) -> Response:
        return house.render(request, "gallery.html", block=request.query_params.get("block"), **context())

    async def login(request: Request) -> Response:
        return house.login(request, error=request.query_params.get("error", ""), next_url=request.query_params.get("next", "/"))

    async def broken(request: Request) -> Response:
        return house.error(request, int(request.path_params["status"]), code="not_found")

    async def passage(request: Request) -> Response:
        return house.render(request, "gallery.html", block="list", **context())

    async def complete(request: Request) -> Response:
        body = await request.json()
        if body["messages"][-1]["content"] == "fail":
            return JSONResponse({"error": {"message": "The provider refused the call."}}, 502)

        async def stream():
            for piece in (ANSWER + "\n\n" + PLANTED).split(" "):
                yield f"data: {json.dumps({'choices': [{'delta': {'content': piece + ' '}}]})}\r\n\r\n".encode()
            yield f"data: {json.dumps(LAST)}\n\ndata: [DONE]\n\n".encode()

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-genwright-trace": "f" * 32})

    async def score(request: Request) -> Response:
        request.app.state.scores.append({"trace_id": request.path_params["trace"], **await request.json()})
        return JSONResponse({"ok": True})

    served = Starlette(
        routes=[
            Route("/w/{workspace}/gallery", gallery),
            Route("/w/{workspace}", gallery),
            Route("/login", login),
            Route("/broken/{status:int}", broken),
            Route("/passages/{n}", passage),
            Route("/w/{workspace}/tracing/{trace}/passages/{n}", passage),
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/api/tracing/{trace}/scores", score, methods=["POST"]),
            Mount("/static", house.static),
        ]
    )
    served.state.scores = []
    return served


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app(), host="127.0.0.1", port=8765, log_level="warning")
