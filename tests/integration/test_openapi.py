"""`/openapi.json` is what the server does: schemathesis finds no difference, and a client generated from it works as it is."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from daemon.serving.http.refusals import REFUSALS
from daemon.serving.service import Service
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu

ROOT = Path(__file__).parents[2]
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ServedData:
    made = ServedData(tmp_path_factory.mktemp("served"))
    made.champion()
    return made


@pytest.fixture(scope="module", params=["open", "with a token"])
def served(request: pytest.FixtureRequest, data: ServedData) -> Iterator[tuple[str, str]]:
    """The address, and the token that it asks for."""
    token = "" if request.param == "open" else TOKEN
    with Service.open(data.settings_with(token=token, max_texts=64), load=load_on_cpu) as service:
        eventually(lambda: service.slots[TASK].status().serving)
        with listening(service) as address:
            yield address, token


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def document(address: str, token: str) -> Any:
    return httpx.get(f"{address}/openapi.json", headers=headers(token), timeout=30).json()


def tool(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a development tool of this environment."""
    beside = Path(sys.executable).parent
    return subprocess.run(
        [str(beside / name), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("served", ["with a token"], indirect=True)
def test_schemathesis_finds_no_difference(served: tuple[str, str], tmp_path: Path) -> None:
    address, token = served
    # What a target may hold depends on its task's kind and labels and on the text, which no schema says: 422 is right there.
    run = tool(
        "schemathesis", "run", f"{address}/openapi.json", f"--header=Authorization: Bearer {token}", "--max-examples=6",
        "--seed=9", "--exclude-checks=positive_data_acceptance", "--no-shrink", "--warnings=off", cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No issues found" in run.stdout, run.stdout


def test_every_refusal_is_in_the_document(served: tuple[str, str]) -> None:
    described = document(*served)
    for path, item in described["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if int(status) < 400 or (path, status) == ("/readyz", "503"):
                    continue
                assert response["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
                codes = [code for code, refusal in REFUSALS.items() if f"`{code}`" in response["description"]]
                assert codes
                assert {REFUSALS[code].status for code in codes} == {int(status)}


def test_every_status_that_the_source_answers_with_is_in_the_table() -> None:
    known = {refusal.status for refusal in REFUSALS.values()}
    found = set()
    for file in (ROOT / "daemon" / "serving").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError":
                status = node.args[0]
                found |= {status.value} if isinstance(status, ast.Constant) else set()
    assert found
    assert found <= known


def test_a_key_is_asked_for_where_one_is_needed(served: tuple[str, str]) -> None:
    address, token = served
    described = document(address, token)
    assert described["components"]["securitySchemes"]["bearer"] | {"description": ""} == {
        "type": "http", "scheme": "bearer", "description": "",
    }  # fmt: skip
    for path, item in described["paths"].items():
        for operation in item.values():
            keyless = path in ("/healthz", "/readyz") or not token
            assert bool(operation.get("security")) is not keyless


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_is_loaded_from_another_host(served: tuple[str, str], path: str) -> None:
    address, token = served
    assert httpx.get(f"{address}{path}", headers=headers(token)).status_code == 404
    assert "http" not in str(document(address, token).get("servers", ""))


@pytest.fixture(scope="module")
def generated(served: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes of the document, as it is."""
    folder = tmp_path_factory.mktemp("generated")
    written = folder / "openapi.json"
    written.write_bytes(httpx.get(f"{served[0]}/openapi.json", headers=headers(served[1]), timeout=30).content)
    target = folder / "perennial_api"
    made = tool(
        "openapi-python-client", "generate", "--path", str(written), "--output-path", str(target), "--meta", "none", cwd=folder
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "warning" not in (made.stdout + made.stderr).lower(), made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("perennial_api")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "perennial_api"]:
            del sys.modules[name]


def of(package: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name}")


def test_a_generated_client_predicts_and_posts_feedback(served: tuple[str, str], generated: ModuleType) -> None:
    address, token = served
    models = of(generated, "models")
    api = {name: of(generated, f"api.default.{name}") for name in ("predict", "post_feedback", "feedback_fate", "champion")}
    of_client: Any = generated
    client = of_client.AuthenticatedClient(base_url=address, token=token) if token else of_client.Client(base_url=address)

    answered = api["predict"].sync(TASK, client=client, body=models.PredictRequest(texts=[TEXT, "nothing"]))
    assert answered.version == api["champion"].sync(TASK, client=client).version == f"{TASK}/v1"
    first, second = answered.predictions
    assert [(span.start, span.end, span.label) for span in first.spans] == [(4, 11, "V1")]
    assert (second.spans, first.truncated) == ([], False)

    said = models.Feedback(
        task=TASK, user_id="desk-7", verdict=models.FeedbackVerdict.CORRECTION, prediction_id=first.prediction_id,
        target=models.FeedbackTarget.from_dict({"spans": [{"start": 4, "end": 11, "label": "ORG"}]}),
    )  # fmt: skip
    accepted = api["post_feedback"].sync(client=client, body=said)
    assert accepted.event_id.startswith("fb-")
    assert api["feedback_fate"].sync(accepted.event_id, client=client).status == "queued"

    refused = api["predict"].sync_detailed(TOPICS, client=client, body=models.PredictRequest(text=TEXT))
    assert (refused.status_code, refused.parsed.error.code) == (409, "no_champion")
    client.get_httpx_client().close()
