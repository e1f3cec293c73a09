"""Other gateways in front of the same upstream, one worker each: installed by this file where they are missing, and started.

LiteLLM from PyPI and Portkey from npm, the versions pinned here, into `$GENWRIGHT_BENCH_DIR` (default: a folder in the user's
cache). Both forward the same chat with a key check and no database.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import load

LITELLM = "1.106.2"
PORTKEY = "1.15.2"
KEY = "sk-benchmark-key"
Start = Callable[[Path, int, int], Iterator[tuple[list[str], dict[str, str]]]]


def folder() -> Path:
    """Where peers are kept between runs."""
    return Path(os.environ.get("GENWRIGHT_BENCH_DIR") or Path.home() / ".cache" / "genwright-bench")


def litellm_command(work: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    """Installs LiteLLM in a virtual environment of its own; its command and variables."""
    home = folder() / f"litellm-{LITELLM}"
    if not (home / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([home / "bin" / "pip", "install", "-q", f"litellm[proxy]=={LITELLM}"], check=True)
    config = work / "litellm.yaml"
    config.write_text(
        "model_list:\n- model_name: openai/gpt-4o-mini\n  litellm_params: {model: openai/gpt-4o-mini, api_key: none, "
        f"api_base: 'http://127.0.0.1:{upstream}/v1'}}\ngeneral_settings: {{master_key: {KEY}}}\n"
    )
    command = [str(home / "bin" / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    return command, {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}


def portkey_command(work: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    """Installs Portkey's gateway; its command and variables. Which provider it asks, each request says."""
    home = folder() / f"portkey-{PORTKEY}"
    start = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not start.exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(home), f"@portkey-ai/gateway@{PORTKEY}"], check=True)
    return ["node", str(start), f"--port={port}", "--headless"], {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}


def portkey_headers(upstream: int) -> str:
    return f"x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:{upstream}/v1\r\n"


@contextmanager
def running(work: Path, upstream: int, process: Callable, free_port: Callable[[], int]) -> Iterator[dict[str, tuple]]:
    """name → (port, process ids, key, further headers) of the peers that could be started; the others are said and left out."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        found = {}
        for name, make, headers in (("litellm", litellm_command, ""), ("portkey", portkey_command, portkey_headers(upstream))):
            if name == "portkey" and not (shutil.which("node") and shutil.which("npm")):
                print("portkey: left out, node or npm is missing", flush=True)
                continue
            port = free_port()
            try:
                command, variables = make(work, port, upstream)
                pid = stack.enter_context(process(command, port, variables))
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                print(f"{name}: left out, it could not be started: {error}", flush=True)
                continue
            found[name] = (port, [pid, *children(pid)], KEY, headers)
        yield found


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def requests(port: int, bodies: list[bytes], key: str, headers: str) -> list[bytes]:
    """The same chats for a peer."""
    return [load.request(port, body, key, headers) for body in bodies]
