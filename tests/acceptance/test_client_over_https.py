"""The client and a serving process with TLS and API keys: what each scope opens, and certificates that are not trusted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial_client import Client, Model, RefusedError
from tests.support.certificates import Pair, self_signed
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving

FEEDBACK: dict[str, Any] = {"user_id": "u", "verdict": "correction", "target": {"spans": []}, "text": TEXT}


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path / "server")
    made.champion()
    return made


@pytest.fixture
def certificate(tmp_path: Path) -> Pair:
    return self_signed(tmp_path, host="127.0.0.1")


@pytest.fixture
def address(data: ServedData, certificate: Pair) -> Iterator[str]:
    settings = data.settings_with(tls_certificate=str(certificate.certificate), tls_key=str(certificate.key))
    with serving(settings) as (_process, address):
        yield address


def test_a_key_opens_what_its_scope_says(data: ServedData, certificate: Pair, address: str, tmp_path: Path) -> None:
    keys = {scope: data.registry.api_keys.create(f"app-{scope}", [scope])[1] for scope in ("predict", "feedback")}
    trusted = ssl.create_default_context(cafile=str(certificate.certificate))

    def client(scope: str) -> Client:
        return Client(address, api_key=keys[scope], verify=trusted)

    with client("predict") as app, client("feedback") as desk:
        # A key that was just made counts within seconds; until then it is a wrong one.
        eventually(lambda: counts(app))
        with Model.follow(TASK, client=app, cache_dir=tmp_path / "cache", poll_s=0.05) as model:
            assert model.predict([TEXT])[0].answer == app.predict(TASK, [TEXT])[0].answer
            data.champion()
            eventually(lambda: model.version == f"{TASK}/v2")
        assert desk.fate(desk.feedback(TASK, **FEEDBACK).event_id).status == "queued"
        with pytest.raises(RefusedError, match="--scope feedback") as refused:
            app.feedback(TASK, **FEEDBACK)
        assert (refused.value.status, refused.value.field) == (403, "Authorization")
        for ask in (lambda: desk.champion(TASK), lambda: desk.manifest(f"{TASK}/v1"), lambda: desk.predict(TASK, [TEXT])):
            with pytest.raises(RefusedError, match="--scope predict"):
                ask()
        with (
            pytest.raises(RefusedError) as untrusted,
            Client(address, api_key=keys["predict"]) as stranger,
        ):
            stranger.predict(TASK, [TEXT])
        assert "CERTIFICATE_VERIFY_FAILED" in untrusted.value.what
        assert "verify" in untrusted.value.remedy


def counts(client: Client) -> bool:
    try:
        return client.champion(TASK).version == f"{TASK}/v1"
    except RefusedError:
        return False
