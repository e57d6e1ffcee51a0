"""Task files that change while the service answers: new slots, dropped ones, changed labels, and mistakes that change nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from daemon.serving.service import Service
from perennial_artifact.formats import Opened
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu

PREDICT = f"/v1/tasks/{TASK}/predict"
NEW = "more-entities"


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path)
    made.champion()
    return made


@pytest.fixture
def service(data: ServedData) -> Iterator[Service]:
    with Service.open(data.settings, load=load_on_cpu) as opened:
        eventually(lambda: opened.slots[TASK].status().serving)
        yield opened


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with listening(service) as address, httpx.Client(base_url=address, timeout=30) as opened:
        yield opened


def file(data: ServedData, name: str) -> Path:
    return data.folder / "tasks" / f"{name}.yaml"


def add_task(data: ServedData) -> None:
    file(data, NEW).write_text(file(data, TASK).read_text().replace(f"name: {TASK}", f"name: {NEW}"))


def tasks_shown(client: httpx.Client) -> list[str]:
    return [task["name"] for task in client.get("/v1/tasks").json()["tasks"]]


def samples(service: Service, task: str) -> list[str]:
    """Names of the series about a task; counters of requests that were answered stay."""
    counted = ("perennial_predictions", "perennial_batch_texts", "perennial_feedback")
    found = (sample for family in service.metrics.registry.collect() for sample in family.samples)
    return [sample.name for sample in found if sample.labels.get("task") == task and not sample.name.startswith(counted)]


def test_a_new_task_gets_a_slot_and_a_removed_one_is_gone(service: Service, client: httpx.Client, data: ServedData) -> None:
    add_task(data)
    with capture_logs() as lines:
        service.reload()
    assert lines[0] == {
        "event": "tasks.reloaded", "log_level": "info", "added": [NEW], "removed": [], "changed": [],
    }  # fmt: skip
    assert tasks_shown(client) == [TASK, NEW, TOPICS]
    eventually(lambda: service.slots[NEW].status().looked)
    assert "has no champion yet" in client.post(f"/v1/tasks/{NEW}/predict", json={"text": TEXT}).text
    assert "perennial_task_ready" in samples(service, NEW)

    file(data, NEW).unlink()
    service.reload()
    assert tasks_shown(client) == [TASK, TOPICS]
    assert client.post(f"/v1/tasks/{NEW}/predict", json={"text": TEXT}).status_code == 404
    assert samples(service, NEW) == []
    assert client.post(PREDICT, json={"text": TEXT}).status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [("kind: [ner", "cannot be read as YAML"), ("name: entities\nkindd: ner\n", "unknown key `kindd`")],
)
def test_a_wrong_file_leaves_every_task_as_it_was(
    service: Service, client: httpx.Client, data: ServedData, content: str, said: str
) -> None:
    add_task(data)
    file(data, TASK).write_text(content)
    with capture_logs() as lines:
        service.reload()
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("tasks.not_reloaded", "error")
    assert said in line["reason"]
    assert str(file(data, TASK)) in line["reason"]
    assert "stay in use" in line["next"]
    assert tasks_shown(client) == [TASK, TOPICS], "not even the good files count"
    assert client.post(PREDICT, json={"text": TEXT}).status_code == 200


def test_a_new_label_of_a_closed_task_is_taken_at_once(service: Service, client: httpx.Client, data: ServedData) -> None:
    feedback = {"task": TOPICS, "user_id": "u", "verdict": "correction", "text": TEXT, "target": {"label": "weather"}}
    assert client.post("/v1/feedback", json=feedback).status_code == 422
    file(data, TOPICS).write_text(file(data, TOPICS).read_text().replace("[sports, politics]", "[sports, politics, weather]"))
    service.reload()
    assert client.post("/v1/feedback", json=feedback).status_code == 202
    assert client.get("/v1/tasks").json()["tasks"][1]["label_names"] == ["sports", "politics", "weather"]
    assert service.tasks[TOPICS].label_names[-1] == "weather"


def test_no_request_fails_while_tasks_come_and_go(service: Service, client: httpx.Client, data: ServedData) -> None:
    over = threading.Event()
    answers: list[int | str] = []

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, timeout=30) as mine:
            while not over.is_set():
                try:
                    answers.append(mine.post(PREDICT, json={"text": TEXT}).status_code)
                    answers.append(mine.get("/readyz").status_code)
                    answers.append(mine.get("/v1/models").status_code)
                except httpx.HTTPError as error:
                    answers.append(repr(error))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for _ in range(20):
        add_task(data)
        service.reload()
        file(data, NEW).unlink()
        service.reload()
    over.set()
    for asker in askers:
        asker.join(30)
    assert len(answers) > 20
    assert set(answers) == {200}


def test_a_dropped_task_answers_what_it_has_taken(service: Service, client: httpx.Client, data: ServedData) -> None:
    entered, free = threading.Event(), threading.Event()
    predictor = service.slots[TASK]._live.batcher._predictor
    predict = predictor.predict

    def slow(texts: list[str]) -> object:
        entered.set()
        free.wait(20)
        return predict(texts)

    predictor.predict = slow
    outcomes: list[int] = []
    asker = threading.Thread(target=lambda: outcomes.append(client.post(PREDICT, json={"text": TEXT}).status_code))
    asker.start()
    assert entered.wait(20)
    file(data, TASK).unlink()
    reloading = threading.Thread(target=service.reload)
    reloading.start()
    with httpx.Client(base_url=client.base_url, timeout=30) as other:
        eventually(lambda: other.post(PREDICT, json={"text": TEXT}).status_code == 404)
    free.set()
    asker.join(30)
    reloading.join(30)
    assert outcomes == [200]


def test_a_model_that_is_still_loading_when_its_task_is_dropped_is_let_go(data: ServedData) -> None:
    entered, free = threading.Event(), threading.Event()

    def slow(folder: Path, before: Opened | None) -> Opened:
        entered.set()
        free.wait(20)
        return load_on_cpu(folder, before)

    with Service.open(data.settings, load=slow) as service:
        assert entered.wait(20)
        slot = service.slots[TASK]
        file(data, TASK).unlink()
        service.reload()
        free.set()
        eventually(
            lambda: not [thread for thread in threading.enumerate() if thread.name in (f"slot-{TASK}", f"predict-{TASK}/v1")]
        )
        assert slot.status().serving is None
        assert samples(service, TASK) == []


def test_fates_are_told_by_the_new_files_too(service: Service, data: ServedData) -> None:
    add_task(data)
    service.fates.of("nobody")
    service.reload()
    assert service.fates._tasks is service.tasks
    assert NEW in service.desk._tasks
