"""SIGHUP to the real `perennial run`: the daemon and its serving reload the task files, and no request fails over it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from daemon.demo.installation import Installation
from daemon.process import presence
from tests.support.daemons import (
    ENTITIES,
    LIMIT_S,
    TOPICS,
    installation,
    labels,
    logged,
    wait_for_decision,
)

pytestmark = pytest.mark.slow
TEXT = "goal in the match today"
NEW = "desk-topics"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("reload"), models, serve=True) as made:
        yield made


@pytest.fixture
def client(daemon: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=presence.read(daemon.settings.data_dir).address, timeout=30) as opened:
        yield opened


def file(daemon: Installation, task: str) -> Path:
    return daemon.settings.tasks_folder / f"{task}.yaml"


def rewrite(daemon: Installation, task: str, **changes: object) -> None:
    content = yaml.safe_load(file(daemon, task).read_text())
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        content[section][key] = value
    file(daemon, task).write_text(yaml.safe_dump(content))


def reload(daemon: Installation, event: str) -> list[dict[str, object]]:
    """Send SIGHUP; return what daemon and serving say about it."""
    before = len(logged(daemon, event))
    os.kill(daemon.pid, signal.SIGHUP)
    # Of wrong files the daemon does not tell serving, which goes on as it is.
    expected = 2 if event == "tasks.reloaded" else 1
    daemon.wait_until(lambda: len(logged(daemon, event)) >= before + expected, limit_s=LIMIT_S, what=event)
    return logged(daemon, event)[before:]


def tasks_served(client: httpx.Client) -> list[str]:
    return [task["name"] for task in client.get("/v1/tasks").json()["tasks"]]


def test_a_changed_policy_starts_a_run_by_itself_and_its_model_answers(daemon: Installation, client: httpx.Client) -> None:
    daemon.publish(labels(200))
    daemon.wait_until(daemon.is_quiet, limit_s=LIMIT_S, what="enrichment")
    assert daemon.task(TOPICS).last_run is None
    rewrite(daemon, TOPICS, trigger__min_new_examples=50)
    for line in reload(daemon, "tasks.reloaded"):
        assert (line["added"], line["removed"], line["changed"]) == ([], [], [TOPICS])
    wait_for_decision(daemon, TOPICS)
    assert daemon.task(TOPICS).last_run.verdict == "promote"
    daemon.wait_until(
        lambda: client.post(f"/v1/tasks/{TOPICS}/predict", json={"text": TEXT}).status_code == 200,
        limit_s=LIMIT_S, what="the champion to answer",
    )  # fmt: skip


def test_tasks_come_and_go_and_a_wrong_file_changes_nothing_while_requests_run(
    daemon: Installation, client: httpx.Client
) -> None:
    over, outcomes = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            try:
                outcomes.append(client.post(f"/v1/tasks/{TOPICS}/predict", json={"text": TEXT}).status_code)
            except httpx.HTTPError as error:
                outcomes.append(repr(error))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        file(daemon, NEW).write_text(file(daemon, TOPICS).read_text().replace(f"name: {TOPICS}", f"name: {NEW}"))
        assert [line["added"] for line in reload(daemon, "tasks.reloaded")] == [[NEW], [NEW]]
        daemon.wait_until(lambda: NEW in tasks_served(client), limit_s=LIMIT_S, what="the new task to be served")

        good = file(daemon, ENTITIES).read_text()
        file(daemon, ENTITIES).write_text(good.replace("min_improvement", "min_improvment"))
        file(daemon, NEW).unlink()
        (line,) = reload(daemon, "tasks.not_reloaded")
        assert line["level"] == "error"
        assert str(file(daemon, ENTITIES)) in line["reason"]
        assert "`promotion.min_improvment`" in line["reason"]
        assert tasks_served(client) == sorted([NEW, ENTITIES, TOPICS]), "not even the good files count"

        file(daemon, ENTITIES).write_text(good)
        assert [line["removed"] for line in reload(daemon, "tasks.reloaded")] == [[NEW], [NEW]]
        daemon.wait_until(lambda: NEW not in tasks_served(client), limit_s=LIMIT_S, what="the removed task to be dropped")
        assert client.post(f"/v1/tasks/{NEW}/predict", json={"text": TEXT}).status_code == 404
    finally:
        over.set()
        asker.join(60)
    assert set(outcomes) == {200}
    assert psutil.Process(daemon.pid).is_running()
    assert daemon.status().leader is not None
