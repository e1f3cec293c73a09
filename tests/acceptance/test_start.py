"""Starting, logging in, keys, health, commands without a server, and the files in deploy/: all as an operator meets them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from journey import COMMAND, POSTGRES, ROOT, environment, genwright, sign_in, until

ADMIN_KEY = "gw_operator_0123456789abcdef0123456789"
STOPPED = (0, -signal.SIGTERM)
"""Ended in order: uvicorn raises the signal it was stopped by once everything is closed."""


@pytest.fixture
def browser(empty):
    """HTTP as a browser without a session does it."""
    with httpx.Client(base_url=empty.address, headers={"accept": "text/html"}, timeout=30) as client:
        yield client


# -- log-in


def test_the_link_logs_in_once_and_never_again(empty, browser):
    assert browser.get("/").status_code == 303
    assert empty.login.startswith(f"{empty.address}/login?token=")
    token = empty.login.partition("token=")[2]
    for _ in range(2):  # a scanner of links looks; nothing is used up
        looked = browser.get("/login", params={"token": token})
        assert looked.status_code == 200
        assert "set-cookie" not in looked.headers
        assert "Sign in as Administrator" in looked.text
    first = browser.post("/login", data={"token": token}, headers={"origin": empty.address})
    assert first.status_code == 303
    cookie = first.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert browser.get("/w/default").status_code == 200
    for again in (
        httpx.get(f"{empty.address}/login", params={"token": token}, timeout=30),
        httpx.post(f"{empty.address}/login", data={"token": token}, timeout=30),
    ):
        assert again.status_code == 401
        assert "used already" in again.text
        assert "set-cookie" not in again.headers
    assert browser.post("/logout", headers={"origin": empty.address}).status_code == 303
    assert browser.get("/w/default").headers["location"].startswith("/login")


def test_a_new_link_can_be_made_on_the_same_machine(empty, browser):
    assert sign_in(browser, empty.cli("keys", "link")["link"]).status_code == 303
    assert browser.get("/w/default").status_code == 200


def test_there_is_no_way_in_without_a_key(empty, browser):
    for key in ("", "admin", "gw_", "password", "changeme"):
        answer = browser.post("/login", data={"key": key, "next": "/"}, headers={"origin": empty.address})
        assert answer.status_code in (401, 422), key
        assert "set-cookie" not in answer.headers
    with empty.http("") as nobody:
        for path in ("/api/registry/artifacts", "/api/access/keys", "/v1/models", "/metrics", "/w/default"):
            assert nobody.get(path).status_code == 401, path
    with empty.http("gw_" + "a" * 43) as stranger:
        assert stranger.get("/v1/models").status_code == 401


def test_a_request_from_another_site_changes_nothing(empty, browser):
    sign_in(browser, empty.cli("keys", "link")["link"])
    body = {"name": "planted", "role": "admin"}
    for headers in ({"origin": "https://evil.example"}, {}):
        refused = browser.post("/api/access/keys", json=body, headers={"accept": "application/json", **headers})
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "csrf"
    assert "planted" not in {key["name"] for key in empty.cli("keys", "list")["items"]}
    rebound = httpx.get(f"{empty.address}/healthz", headers={"host": "evil.example"}, timeout=30)
    assert rebound.status_code == 400


def test_the_home_folder_is_private(empty):
    secrets = [path for path in empty.home.iterdir() if "key" in path.name and path.is_file()]
    assert secrets
    assert stat.S_IMODE(empty.home.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (empty.home / "lock", *secrets))


# -- keys


def test_keys_are_made_used_listed_and_revoked(empty):
    key_id, secret = empty.make_key("viewer")
    assert secret.startswith("gw_")
    assert empty.get("/api/registry/artifacts", secret)["items"] == []
    with empty.http(secret) as viewer:
        refused = viewer.post("/api/access/keys", json={"name": "more"})
        assert refused.status_code == 403
        assert "viewer" in refused.json()["error"]["message"]
        assert viewer.get("/w/other").status_code in (403, 404)
    listed = {key["id"]: key for key in empty.cli("keys", "list")["items"]}
    assert listed[key_id]["role"] == "viewer"
    assert secret not in json.dumps(listed)
    everything = b"".join(path.read_bytes() for path in empty.home.rglob("*") if path.is_file() and path.name != "lock")
    assert secret.encode() not in everything, "only a code of the secret may be stored"
    empty.cli("keys", "revoke", key_id)
    with empty.http(secret) as gone:
        assert gone.get("/api/registry/artifacts").status_code == 401
    assert empty.cli("keys", "audit")["verification"]["sound"] is True


def test_a_key_from_the_environment_is_an_administrators(start, tmp_path):
    short = genwright(tmp_path / "short", "up", "--port", "0", GENWRIGHT_ADMIN_KEY="too-short")
    assert short.code == 2
    assert "24" in short.err
    server = start(tmp_path / "home", GENWRIGHT_ADMIN_KEY=ADMIN_KEY)
    assert server.login == "", "no link is printed where a key was given"
    assert server.get("/api/access/me", ADMIN_KEY)["role"] == "admin"
    elsewhere = {"GENWRIGHT_URL": server.address, "GENWRIGHT_API_KEY": ADMIN_KEY}
    made = genwright(None, "keys", "create", "ci", "--json", cwd=tmp_path, **elsewhere)
    assert made.json["role"] == "caller"
    assert server.stop() in STOPPED


# -- health


def test_health_readiness_and_metrics(empty):
    assert httpx.get(f"{empty.address}/healthz", timeout=30).json()["status"] == "ok"
    assert httpx.get(f"{empty.address}/readyz", timeout=30).json()["problems"] == []
    with empty.http() as client:
        metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if not line.startswith("#"))
    assert float(values["genwright_up"]) == 1
    assert all(re.fullmatch(r'[a-z_]+(\{\w+="[^"]*"\})?', name) for name in values)


def test_doctor_tells_the_state_of_the_machine(empty):
    checks = {row["check"]: row["state"] for row in empty.cli("doctor")}
    database = "database" if POSTGRES else "registry database"
    assert checks["embedding model"] == checks[database] == checks["server"] == "fine"


def test_a_taken_port_and_a_taken_folder_are_said(empty, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = genwright(tmp_path / "home", "up", "--port", port)
    assert refused.code == 2
    assert port in refused.err
    assert "Traceback" not in refused.err
    second = genwright(empty.home, "up", "--port", "0")
    assert second.code == 1
    assert empty.address in second.err


# -- without a server


def test_commands_run_in_their_own_process_where_no_server_is(tmp_path):
    listed = genwright(None, "--json", "prompts", "list", cwd=tmp_path)
    assert (listed.code, listed.json["items"]) == (0, [])
    content = {"messages": [{"role": "user", "content": "Say {{word}}."}], "variables": {"word": {}}}
    put = genwright(None, "prompts", "put", "greet", "-", "--json", cwd=tmp_path, stdin=json.dumps(content))
    assert put.json["number"] == 1
    rendered = genwright(None, "prompts", "render", "greet", "--variables", '{"word": "hi"}', "--json", cwd=tmp_path)
    assert "Say hi." in rendered.out
    assert sorted(path.name for path in tmp_path.iterdir()) == [".genwright"]


def test_errors_are_one_line_and_json_where_asked(empty):
    wrong = genwright(empty.home, "prompts", "show", "no-such", "--json")
    assert wrong.code == 2
    assert wrong.json["error"]["code"] == "not_found"
    assert wrong.err.startswith("genwright: ")
    assert "Traceback" not in wrong.err
    away = genwright(None, "prompts", "list", GENWRIGHT_URL="http://127.0.0.1:9")
    assert away.code == 1
    assert "127.0.0.1:9" in away.err
    assert "Traceback" not in away.err


STALE = """
import os, signal, sys
import genwright
client = genwright.Client({url!r}, {key!r})
print(client.prompts.get("greet", max_age_s=0)["content"]["messages"][0]["content"], flush=True)
sys.stdin.readline()
known = client.prompts.get("greet", max_age_s=0)
print(known["content"]["messages"][0]["content"], known.get("stale"), flush=True)
try:
    client.prompts.get("other", max_age_s=0)
except genwright.Error as error:
    print(type(error).__name__, flush=True)
"""


def test_prompts_are_served_stale_when_the_server_is_away(start, tmp_path):
    server = start(tmp_path / "home")
    content = {"messages": [{"role": "user", "content": "Say {{word}}."}], "variables": {"word": {}}}
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps(content))
    server.cli("prompts", "put", "greet", str(file), "--label", "production")
    program = STALE.format(url=server.address, key=server.key)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(server.home)
    ) as client:
        assert client.stdout.readline() == "Say {{word}}.\n"
        server.stop()
        out, _ = client.communicate("\n", timeout=60)
    assert out.splitlines() == ["Say {{word}}. True", "Upstream"]


# -- deploy/


def container_lines() -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    text = (ROOT / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word.isupper():
            lines.setdefault(word, []).append(rest.strip())
    return lines


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_the_containers_command_serves_and_its_health_check_knows(tmp_path):
    """The image's own ENV, CMD and HEALTHCHECK, run here; only folder and port are ours."""
    lines = container_lines()
    given = dict(pair.split("=", 1) for line in lines["ENV"] for pair in shlex.split(line))
    port = str(free_port())
    assert {"GENWRIGHT_HOME", "GENWRIGHT_HOST"} <= set(given)
    variables = {
        **{name: value for name, value in given.items() if name.startswith("GENWRIGHT_")},
        "GENWRIGHT_HOME": str(tmp_path / "data"), "GENWRIGHT_PORT": port, "GENWRIGHT_ADMIN_KEY": ADMIN_KEY,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }  # fmt: skip
    command = json.loads(lines["CMD"][0])
    check = [part.replace(":7600", f":{port}") for part in json.loads(lines["HEALTHCHECK"][0].partition("CMD ")[2])]
    ran = {"env": {**environment(tmp_path / "data", **variables)}, "capture_output": True, "timeout": 60}
    assert subprocess.run(check, **ran).returncode != 0, "healthy before anything runs"
    with subprocess.Popen(
        command, env=environment(tmp_path / "data", **variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as serving:
        try:
            until(lambda: subprocess.run(check, **ran).returncode == 0, 60)
            me = httpx.get(f"http://127.0.0.1:{port}/api/access/me", headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=30)
            assert me.json()["role"] == "admin"
        finally:
            serving.terminate()
        assert serving.wait(60) in STOPPED
    for copied in (part for line in lines["COPY"] if "--from" not in line for part in line.split()[:-1]):
        assert (ROOT / copied).exists(), copied
    assert lines["USER"] == ["genwright"]


def test_the_compose_file_names_what_is_there():
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    service = re.search(r"command: (\[.*\])", text)
    assert json.loads(service[1]) == json.loads(container_lines()["CMD"][0])
    assert (ROOT / "deploy" / re.search(r"context: (\S+)", text)[1] / re.search(r"dockerfile: (\S+)", text)[1]).is_file()
    assert "${GENWRIGHT_ADMIN_KEY:?" in text, "no default password"
    assert re.search(r'"127\.0\.0\.1:(\d+):(\d+)"', text)[2] == container_lines()["EXPOSE"][0]
    volume = re.search(r"- (\w+):(\S+)\n", text)
    assert volume[2] in container_lines()["VOLUME"]


def test_the_systemd_units_command_serves(tmp_path):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "deploy" / "genwright.service")
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "genwright"
    name, _, home = unit["Service"]["Environment"].partition("=")
    assert (name, Path(home).name) == ("GENWRIGHT_HOME", unit["Service"]["StateDirectory"])
    with subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(tmp_path / "state", GENWRIGHT_HOME=str(tmp_path / "state"), GENWRIGHT_PORT="0"),
    ) as serving:
        said = [serving.stdout.readline() for _ in range(3)]
        serving.terminate()
        assert serving.wait(60) in STOPPED
    assert said[2].startswith("Data in")
    assert str(tmp_path / "state") in said[2]


def test_a_command_given_while_the_server_starts_waits_for_it(tmp_path):
    home = tmp_path / "home"
    with subprocess.Popen(
        [*COMMAND, "--home", str(home), "up", "--port", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(home),
    ) as serving:  # fmt: skip
        try:
            until(lambda: (home / "lock").exists() and (home / "lock").stat().st_size)
            listed = genwright(home, "prompts", "list", "--json")
            assert (listed.code, listed.json["items"]) == (0, []), listed.err
        finally:
            serving.terminate()
            serving.wait(60)
