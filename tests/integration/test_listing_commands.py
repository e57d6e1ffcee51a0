"""What every command that lists prints: plain in a pipe, whole ids everywhere, data as JSON; and HTTP tells the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
import typer
from pydantic import SecretStr
from rich.cells import cell_len
from rich.text import Text
from typer.testing import CliRunner

from config.settings import Settings, environment_of
from consumers.log.kafka import topics
from consumers.log.kafka.topics import TopicState
from daemon.cli import output
from daemon.cli.main import app
from daemon.cli.models import versions as models
from daemon.serving.service import Service
from tests.support import inhabited
from tests.support.cycles import NAME
from tests.support.inhabited import FEEDBACK, IDS, STRANGE
from tests.support.served import as_opened, eventually, listening

LISTING = [
    "status", "runs", "history", "tasks", "tasks kinds", "config", "doctor", "erasures", "models list",
    f"models show {NAME}/v2", f"models history {NAME}", f"models history {NAME} --at 2030-01-01",
    f"models diff {NAME}/v1 {NAME}/v2", "keys list", "dlq list", "dlq show 1", "dlq set-aside", "feedback quarantine",
    "feedback users", "feedback corrections", f"feedback show {FEEDBACK}", "topics list", f"verify {NAME}/v2",
    f"data report {NAME}", f"data policy {NAME}", f"data suspicious {NAME}",
    f"explain {NAME}", f"labels {NAME}", f"lineage version {NAME}/v2", "lineage row test-1", f"lineage correction {FEEDBACK}",
    "anchor list", f"anchor list {NAME}", f"oracle prompts {NAME}",
]  # fmt: skip
QUIET = {
    "schema",
    "run",
    "serve",
    "demo",
    "init",
    "import",
    "weak",
    "bootstrap",
    "predict",
    "evaluate",
    "compare",
    "train",
    "report",
    "erase",
    "backup",
    "restore",
    "review",
    "publish",
    "simulate",
}
"""Commands of one word that list nothing."""
COLUMNS = 80
TOKEN = "s3cret"
_A_REPR = re.compile(r" object at 0x|^datetime\.|^b['\"]|Path\(['\"]|^<\w|^[A-Z]\w+\(\w+=|^(?:frozen)?set\(|^\{'|^\('")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return inhabited.build(tmp_path_factory.mktemp("inhabited"))


@pytest.fixture(autouse=True)
def here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    # Whoever pipes into a file need not know how wide the terminal is.
    monkeypatch.setenv("COLUMNS", "40")
    state = TopicState("perennial.articles", created=False, partitions=1, replicas=1, differs=("retention.ms is 1", STRANGE))
    monkeypatch.setattr(topics, "describe", lambda _settings: [state])


def told(command: str, *more: str) -> str:
    done = CliRunner().invoke(app, [*command.split(), *more])
    assert done.exit_code in ((0, 1) if command == "doctor" else (0,)), done.output
    return done.stdout


def listing() -> set[str]:
    return {" ".join(command.split()[:words]) for command in LISTING for words in (1, 2)}


def every_command(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{name} ")
        else:
            yield f"{path}{name}", command


def test_every_command_that_takes_json_without_doing_anything_is_listed_here() -> None:
    acting = {
        "create",
        "calibrate",
        "check",
        "label",
        "revoke",
        "withdraw",
        "gc",
        "test",
        "export",
        "publish",
        "rss",
        "sitemap",
        "gdelt",
        "jsonl",
        "import",
    }
    for name, command in every_command(typer.main.get_command(app)):
        takes_json = any("--json" in parameter.opts for parameter in command.params)
        if takes_json and name not in QUIET and name.split()[-1] not in acting:
            assert name in listing(), f"`perennial {name}` is not held to what this file says"


@pytest.mark.parametrize("command", LISTING)
def test_in_a_pipe_it_is_plain_and_folds_nothing(command: str) -> None:
    shown = told(command)
    assert shown.strip()
    assert _unprintable(shown) == set()
    _assert_whole(shown)


@pytest.mark.parametrize("command", LISTING)
def test_on_a_terminal_it_fits_and_nothing_that_strangers_wrote_acts(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = output.Console(highlight=False, force_terminal=True, width=COLUMNS, color_system="standard")
    for module in (output, models):
        monkeypatch.setattr(module, "console", screen)
    written = told(command)
    assert "\x9b" not in written
    assert "\x1b[2J" not in written
    shown = Text.from_ansi(written).plain
    assert _unprintable(shown) == set()
    assert [line for line in shown.splitlines() if cell_len(line) > COLUMNS] == []
    _assert_whole(shown)


@pytest.mark.parametrize("command", LISTING)
def test_as_json_it_is_data(command: str) -> None:
    written = told(command, "--json")
    assert _unprintable(written) == set()
    assert [text for text in _texts(json.loads(written)) if _A_REPR.search(text)] == []


def test_what_strangers_wrote_comes_back_from_json_as_they_wrote_it() -> None:
    assert json.loads(told("dlq list --json"))[0]["reason"].endswith(STRANGE)
    assert json.loads(told("tasks --json"))[0]["description"].endswith(STRANGE)
    assert json.loads(told("dlq show 1 --json"))["key"] == "\x1bkey\\xff"


class Echo:
    """A model that need not be loaded."""

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        return [{"label": "A", "scores": {"A": 1.0}} for _ in texts]


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx.Client]:
    # The key that was made here has serving ask everybody for one, or for the token.
    serving = {"port": 0, "refresh_interval_s": 0.05, "token": SecretStr(TOKEN)}
    served = settings.model_copy(update={"serving": settings.serving.model_copy(update=serving)})
    with (
        Service.open(served, load=lambda _folder, _before: as_opened(Echo())) as service,
        listening(service) as address,
        httpx.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}) as client,
    ):
        eventually(lambda: service.slots[NAME].status().serving)
        yield client


def test_versions_are_told_alike(http: httpx.Client) -> None:
    over_http = _told(http, "/v1/models")["models"]
    listed = {one["name"]: one for one in json.loads(told("models list --json"))}
    assert [one["name"] for one in over_http] == [f"{NAME}/v2", f"{NAME}/v1"]
    for one in over_http:
        assert one.pop("serving") == one["champion"]
        assert {name: listed[one["name"]][name] for name in one} == one
    assert (over_http[0]["verdict"], over_http[0]["alias"], over_http[0]["pinned"]) == ("promote", "champion", True)


def test_explanations_are_told_alike(http: httpx.Client) -> None:
    over_http, listed = _told(http, f"/v1/tasks/{NAME}/explain"), json.loads(told(f"explain {NAME} --json"))
    assert over_http.keys() == listed.keys()
    for told_by in (over_http, listed):
        # Each is asked at its own moment.
        told_by.pop("at")
        told_by["retraining"].pop("expected")
    assert over_http == listed
    assert over_http["promoting"]["version"] == f"{NAME}/v2"
    assert any("pinned" in hold for hold in over_http["holds"])


def test_tasks_are_told_alike(http: httpx.Client) -> None:
    [over_http] = _told(http, "/v1/tasks")["tasks"]
    [listed] = json.loads(told("tasks --json"))
    # What only a serving process knows.
    of_serving = {"serving", "ready", "problem", "computes_by", "passed_over"}
    shared = {name: value for name, value in over_http.items() if name not in of_serving}
    assert shared == {name: listed[name] for name in shared}
    assert shared["champion"] == f"{NAME}/v2"


def test_a_fate_is_told_alike(http: httpx.Client) -> None:
    over_http = _told(http, f"/v1/feedback/{FEEDBACK}")
    assert over_http == json.loads(told(f"feedback show {FEEDBACK} --json"))
    assert over_http["status"] == "quarantined"


def _told(http: httpx.Client, path: str) -> Any:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _unprintable(text: str) -> set[str]:
    return {one for one in text if not one.isprintable() and one != "\n"}


def _assert_whole(shown: str) -> None:
    """Each id that stands there stands there in one piece."""
    joined = "".join(shown.split())
    for one in IDS:
        if one in joined:
            assert one in shown, f"{one} is broken"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)
