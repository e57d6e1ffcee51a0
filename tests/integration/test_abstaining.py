"""`abstain_below`: serving and a model in the app's process follow the task file, under a champion that stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from daemon.serving import client as asking
from daemon.serving.service import Service
from perennial_artifact.description import Description, Input
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.encoder import Pooled, save_encoder
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import FORMAT, sentence_modules
from perennial_client import Client, Model
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu
from tests.support.tiny_models import make_tiny_bert

LABELS = ("sports", "politics")
WIDTH = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ServedData:
    """Topics with a champion that gives every text sports with probability 0.6."""
    folder = tmp_path_factory.mktemp("abstaining")
    base, source = make_tiny_bert(folder / "base"), folder / "model"
    source.mkdir()
    pooled = Pooled(AutoModel.from_pretrained(base), sentence_modules(dimensions=WIDTH))
    save_encoder(pooled, AutoTokenizer.from_pretrained(base), source, max_tokens=16)
    bias = np.log([0.6, 0.4]).astype(np.float32)
    Head(np.zeros((2, WIDTH), np.float32), bias, LabelSet(LABELS, frozenset(LABELS))).write(source)
    Description(kind="classification", backend="transformer", format=FORMAT, base="minilm", labels=LABELS, input=Input(16)).write(
        source
    )
    made = ServedData(folder / "server")
    made.promote(made.publish_folder(TOPICS, source))
    made.champion()
    return made


@pytest.fixture(scope="module")
def service(data: ServedData) -> Iterator[Service]:
    with Service.open(data.settings, load=load_on_cpu) as opened:
        eventually(lambda: all(opened.slots[task].status().serving for task in (TASK, TOPICS)), within_s=120)
        yield opened


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    with listening(service) as found:
        yield found


def below(data: ServedData, service: Service, value: float | None) -> None:
    """Write the threshold into the task file (None: no line of it) and reload it."""
    path = data.folder / "tasks" / "topics.yaml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("abstain_below")]
    path.write_text("\n".join([*kept, *([] if value is None else [f"abstain_below: {value}"])]))
    service.reload()


def test_serving_follows_the_task_file_and_gives_label_and_scores_all_the_same(
    data: ServedData, service: Service, address: str
) -> None:
    with Client(address) as client:
        for value, abstained in ((None, False), (0.7, True), (0.55, False)):
            below(data, service, value)
            [prediction] = client.predict(TOPICS, [TEXT])
            assert (prediction.abstained, prediction.label) == (abstained, "sports"), value
            assert prediction.scores["sports"] == pytest.approx(0.6, abs=1e-4)
            assert "abstained" not in prediction.answer
        below(data, service, 0.7)
        [entities] = client.predict(TASK, [TEXT])
        assert not entities.abstained
        shown = {task["name"]: task["abstain_below"] for task in httpx.get(f"{address}/v1/tasks").json()["tasks"]}
        assert shown == {TASK: 0.0, TOPICS: 0.7}
        assert client.champion(TOPICS).abstain_below == 0.7


def test_a_model_in_process_follows_the_task_file_without_a_new_version(
    data: ServedData, service: Service, address: str, tmp_path: Path
) -> None:
    below(data, service, 0.7)
    with Client(address) as client, Model.follow(TOPICS, client=client, cache_dir=tmp_path, poll_s=3600, wait_s=60) as model:
        version = model.version
        [prediction] = model.predict([TEXT])
        assert (prediction.abstained, prediction.label, prediction.prediction_id) == (True, "sports", None)
        below(data, service, 0.5)
        assert model.refresh()
        assert not model.predict([TEXT])[0].abstained
        below(data, service, 0.8)
        assert model.refresh()
        assert model.predict([TEXT])[0].abstained
        assert model.version == version
    with (
        Client("http://127.0.0.1:9") as away,
        Model.follow(TOPICS, client=away, cache_dir=tmp_path, poll_s=3600, wait_s=1) as model,
    ):
        assert model.predict([TEXT])[0].abstained, "what was said last is kept beside the version"


def test_the_command_says_it_without_a_serving_process(data: ServedData, service: Service) -> None:
    below(data, service, 0.7)
    answered = asking.ask(data.settings, TOPICS, [TEXT])
    assert answered["by"].startswith("this process")
    assert answered["predictions"][0]["abstained"]
    assert " abstained" in asking.in_words(TEXT, answered["predictions"][0]).plain
    below(data, service, None)
    assert not asking.ask(data.settings, TOPICS, [TEXT])["predictions"][0]["abstained"]
