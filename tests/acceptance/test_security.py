"""Security as an operator and an app meet it: the real commands, the real serving process over HTTP and HTTPS, the real logs."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from config.secrets import MASK
from daemon.process import presence
from tests.support import postgres
from tests.support.certificates import expired, self_signed
from tests.support.forked_commands import Commands
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving, spawn

PREDICT = f"/v1/tasks/{TASK}/predict"
FEEDBACK = {"task": TASK, "user_id": "u", "verdict": "correction", "text": TEXT, "target": {"spans": []}}
KEY = re.compile(r"prn_[0-9a-f]{12}_[0-9a-f]{64}")
NOTICED_S = 10
"""A key counts within 2 s and one read of the registry; a busy machine takes its time."""


class Operator:
    """Runs `perennial` with the settings of one installation."""

    def __init__(self, folder: Path, commands: Commands, **settings: str) -> None:
        self.folder = folder
        self._commands = commands
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        self.environment = clean | {"PERENNIAL_SERVING__PORT": "0", "PERENNIAL_DATA_DIR": str(folder / "data"), "COLUMNS": "200"}
        self.environment |= {f"PERENNIAL_{name}": value for name, value in settings.items()}

    def __call__(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self._commands.run(*arguments, folder=self.folder, environment=self.environment | more)

    def key(self, name: str, *scopes: str) -> str:
        made = self("keys", "create", name, *(word for scope in scopes for word in ("--scope", scope)))
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    @contextmanager
    def daemon(self) -> Iterator[Path]:
        """Run the daemon with its serving child; yield the file of their logs."""
        log = self.folder / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon", "run"], cwd=self.folder, env=self.environment, stdout=stream, stderr=stream
            )
        try:
            yield log
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    def address(self) -> str:
        """Wait until serving listens, and return where."""

        def up() -> presence.Presence | None:
            here = presence.read(self.folder / "data")
            return here if here is not None and presence.is_alive(here) else None

        eventually(up, within_s=120)
        here = up()
        assert here is not None
        return here.address


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_keys_are_made_listed_and_revoked(tmp_path: Path, commands: Commands) -> None:
    operator = Operator(tmp_path, commands)
    for wrong, said in (
        (["create", "Desk 7", "--scope", "predict"], "is not a name for a key"),
        (["create", "desk", "--scope", "weather"], "no scope weather; the scopes are predict, feedback, correct, admin"),
        (["create", "desk", "--scope", "predict", "--expires", "0"], "--expires 0"),
        (["create", "desk"], "--scope"),
        (["list"], "there is no registry at"),
        (["revoke", "desk"], "there is no registry at"),
    ):
        done = operator("keys", *wrong)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert said in done.stderr
        assert not (tmp_path / "data").exists(), "a mistake makes nothing"
    made = operator("keys", "create", "desk", "--scope", "feedback", "--scope", "predict", "--expires", "30")
    assert KEY.fullmatch(made.stdout.strip())
    assert "desk may predict, feedback, until" in made.stderr
    assert "registry.db. It is not shown again" in made.stderr
    other = json.loads(operator("keys", "create", "scraper", "--scope", "admin", "--json").stdout)
    assert KEY.fullmatch(other["key"])
    assert (other["name"], other["scopes"], other["expires_at"], other["state"]) == ("scraper", ["admin"], None, "active")
    assert operator("keys", "create", "desk", "--scope", "predict").returncode == 2
    listed = operator("keys", "list")
    assert "desk" in listed.stdout
    assert not KEY.search(listed.stdout)
    rows = json.loads(operator("keys", "list", "--json").stdout)
    assert [(row["name"], row["id"], row["last_used_at"]) for row in rows] == [
        ("desk", made.stdout[4:16], None), ("scraper", other["id"], None),
    ]  # fmt: skip
    assert not KEY.search(json.dumps(rows))
    assert "desk was revoked" in operator("keys", "revoke", "desk").stdout
    assert json.loads(operator("keys", "revoke", "desk", "--json").stdout)["state"] == "revoked"
    assert "`perennial keys list` names them" in operator("keys", "revoke", "nobody").stderr


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path)
    made.champion()
    return made


def operator_of(data: ServedData, commands: Commands) -> Operator:
    return Operator(data.folder, commands, TASKS_DIR=str(data.folder / "tasks"))


def test_keys_open_a_wide_bind_and_serving_notices_new_and_revoked_ones(data: ServedData, commands: Commands) -> None:
    operator = operator_of(data, commands)
    wide = data.settings_with(host="0.0.0.0")  # noqa: S104 - what is tested
    refused = spawn(wide, stderr=subprocess.PIPE)
    assert "there is no API key" in refused.communicate(timeout=60)[1]
    assert refused.returncode == 2
    reader = operator.key("reader", "predict")
    process = spawn(wide, stderr=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["address"].rpartition(":")[2]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            eventually(lambda: client.get("/readyz").status_code == 200, within_s=60)
            assert client.post(PREDICT, json={"text": TEXT}).status_code == 401
            assert client.post(PREDICT, json={"text": TEXT}, headers=bearer(reader)).status_code == 200
            assert client.post("/v1/feedback", json=FEEDBACK, headers=bearer(reader)).status_code == 403
            assert client.get("/metrics", headers=bearer(reader)).status_code == 403
            desk, scraper = operator.key("desk", "feedback"), operator.key("scraper", "admin")
            eventually(lambda: client.get("/metrics", headers=bearer(scraper)).status_code == 200, within_s=NOTICED_S)
            posted = client.post("/v1/feedback", json=FEEDBACK, headers=bearer(desk))
            assert posted.status_code == 202
            assert client.get(posted.json()["fate"], headers=bearer(desk)).json()["status"] == "queued"
            assert operator("keys", "revoke", "reader").returncode == 0
            eventually(lambda: client.get("/v1/tasks", headers=bearer(reader)).status_code == 401, within_s=NOTICED_S)
            eventually(lambda: _used(operator) == {"reader", "desk", "scraper"}, within_s=NOTICED_S)
    finally:
        process.send_signal(signal.SIGTERM)
        _output, errors = process.communicate(timeout=30)
    assert '"event": "serving.no_tls"' in errors
    assert not KEY.search(errors)


def _used(operator: Operator) -> set[str]:
    return {row["name"] for row in json.loads(operator("keys", "list", "--json").stdout) if row["last_used_at"]}


def test_rate_limits_of_a_real_process_tell_when_to_come_again(data: ServedData) -> None:
    settings = data.settings_with(token="s3cret", texts_per_s=2, burst_s=1, max_texts=4, wrong_keys_per_min=3)
    with serving(settings) as (_process, address), httpx.Client(base_url=address, timeout=30, headers=bearer("s3cret")) as client:
        eventually(lambda: client.get("/readyz").status_code == 200, within_s=60)
        body = {"texts": [TEXT] * 4}
        assert client.post(PREDICT, json=body).status_code == 200
        refused = client.post(PREDICT, json=body)
        assert refused.status_code == 429
        assert refused.json()["error"]["remedy"] == f"send it again in {refused.headers['Retry-After']} s"
        time.sleep(int(refused.headers["Retry-After"]))
        # The first refusal came before the body was read; the second one knows how many texts are asked for.
        if (again := client.post(PREDICT, json=body)).status_code == 429:
            time.sleep(int(again.headers["Retry-After"]))
            again = client.post(PREDICT, json=body)
        assert again.status_code == 200
        guesses = [client.get("/v1/tasks", headers=bearer(f"guess {number}")).status_code for number in range(4)]
        assert guesses == [401, 401, 401, 429]
        assert client.get("/v1/tasks").status_code == 429
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("spoofed", ["203.0.113.9", "203.0.113.10"])
def test_a_header_does_not_choose_the_address_that_is_limited(data: ServedData, spoofed: str) -> None:
    settings = data.settings_with(token="s3cret", wrong_keys_per_min=1)
    with serving(settings) as (_process, address), httpx.Client(base_url=address, timeout=30) as client:
        assert client.get("/v1/tasks", headers=bearer("guess")).status_code == 401
        assert client.get("/v1/tasks", headers={**bearer("guess"), "X-Forwarded-For": spoofed}).status_code == 429


def test_over_https_clients_answer_and_our_own_commands_too(data: ServedData, commands: Commands) -> None:
    pair, other = self_signed(data.folder), self_signed(data.folder, "other")
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    operator = operator_of(data, commands)
    for name, value in files.items():
        operator.environment[f"PERENNIAL_SERVING__{name.upper()}"] = value
    key = operator.key("reader", "predict")
    trusting = ssl.create_default_context(cafile=str(pair.certificate))
    # The certificate is for the public name, as a client in the network sees it.
    extensions = {"sni_hostname": "news.example"}
    with serving(data.settings_with(**files)) as (_process, address), httpx.Client(verify=trusting, timeout=30) as client:
        assert address.startswith("https://127.0.0.1:")

        def ask(**more: Any) -> httpx.Response:
            return client.post(f"{address}{PREDICT}", json={"text": TEXT}, extensions=extensions, **more)

        eventually(lambda: client.get(f"{address}/readyz", extensions=extensions).status_code == 200, within_s=60)
        assert ask().status_code == 401
        assert ask(headers=bearer(key)).json()["version"] == f"{TASK}/v1"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{address}/healthz", verify=ssl.create_default_context(cafile=str(other.certificate)))
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{address.replace('https', 'http')}/healthz")
        asked = operator("predict", TASK, TEXT, "--json", PERENNIAL_SERVING__TOKEN=key)
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["by"] == address
        without = operator("predict", TASK, TEXT)
        assert (without.returncode, "the bearer token is missing" in without.stderr) == (2, True)
        stranger = operator("predict", TASK, TEXT, PERENNIAL_SERVING__TLS_CERTIFICATE=str(other.certificate))
        assert stranger.returncode == 1
        assert "certificate verify failed" in stranger.stderr
        found = {one["check"]: one for one in json.loads(operator("doctor", "--json").stdout)}
        assert found["serving"]["found"] == f"answers at {address}"
        assert found["TLS"]["level"] == "ok"


def test_files_that_make_no_tls_are_refused_at_the_start(data: ServedData) -> None:
    pair, other = self_signed(data.folder), self_signed(data.folder, "other")
    cases = [
        ({"tls_certificate": str(pair.certificate)}, "serving.tls_key is not; TLS needs both"),
        ({"tls_certificate": str(pair.certificate), "tls_key": str(other.key)}, "do not belong together"),
        ({"tls_certificate": str(pair.certificate), "tls_key": "/nowhere.key"}, "/nowhere.key cannot be read"),
    ]
    started = [(spawn(data.settings_with(**files), stderr=subprocess.PIPE), said) for files, said in cases]
    for process, said in started:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (2, "")
        assert said in errors
        assert "Traceback" not in errors


def test_a_certificate_whose_time_is_over_is_told(data: ServedData) -> None:
    pair = expired(data.folder)
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    process = spawn(data.settings_with(**files), stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert "certificate has expired" in process.communicate(timeout=30)[1]


def test_no_secret_is_in_the_logs_of_daemon_and_serving(tmp_path: Path, commands: Commands) -> None:
    postgres.need_driver()
    token, password = "hush-hush-token", "p:w of-the-registry"
    pair = self_signed(tmp_path)
    # The daemon outlives the registry's server: everybody then complains of it, with its URL.
    with ExitStack() as running:
        with postgres.running() as server:
            # The token stands in the URL too, where messages about the registry would tell it.
            url = f"{server.empty_database().replace('@', f':{quote(password)}@')}&application_name={token}"
            operator = Operator(
                tmp_path, commands, SERVING__TOKEN=token, REGISTRY__URL=url, SERVING__TLS_CERTIFICATE=str(pair.certificate),
                SERVING__TLS_KEY=str(pair.key), LOG__LEVEL="debug",
            )  # fmt: skip
            key = operator.key("desk", "predict", "feedback")
            assert not [secret for secret in ("of-the-registry", "p%3Aw") if secret in operator("config").stdout]
            log = running.enter_context(operator.daemon())
            address = operator.address()
            assert address.startswith("https://")
            assert json.loads(operator("status", "--json").stdout)["serving"] == address
            with httpx.Client(base_url=address, timeout=30, verify=False) as client:  # noqa: S501 - what is tested is the log
                for credential in (token, key, key[:-1], "wrong-but-secret", f"{token}?password={token}"):
                    for path in ("/v1/tasks", f"/v1/feedback/{token}", f"/v1/models?task={key}", f"/{key}"):
                        client.get(path, headers=bearer(credential))
                body = {
                    "task": "news-topics",
                    "user_id": "u",
                    "verdict": "correction",
                    "text": "x",
                    "target": {"label": "sports"},
                }
                assert client.post("/v1/feedback", json=body, headers=bearer(key)).status_code == 202
        for said in ("the registry postgresql+psycopg://perennial:********@", "serving.keys_unread"):
            eventually(lambda said=said: said in log.read_text(), within_s=60)
    text = log.read_text()
    assert text.count(f"application_name={MASK}") >= 3
    for secret in (token, password, quote(password), "of-the-registry", key, key[-64:], "wrong-but-secret"):
        assert secret not in text
