"""The page over HTTP: who may look and act, what a write must carry, and that every page shows what the read models hold."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from config.errors import RetryError
from config.settings import Settings, environment_of
from consumers.dead_letters.store import DeadLetters
from consumers.events.correcting import LabelCorrection
from consumers.events.schemas import TOPIC_OF_TYPE, content_sha256
from consumers.log.open import open_event_log
from consumers.log.protocols import Position, RawEvent
from daemon.dashboard.app import PAGES, WRITES
from daemon.dashboard.rendering import POLICY
from daemon.labelling import answering
from daemon.labelling import label_changes as label_operations
from daemon.serving.access.callers import Access
from daemon.serving.access.key_ring import KeyRing
from daemon.serving.access.sessions import LIFE_S, Sessions
from daemon.serving.access.visitors import Asked, Visitors
from daemon.serving.http.errors import ApiError
from daemon.serving.service import Service
from daemon.views import history
from daemon.views.installation.status import StatusReader
from registry import promotion
from registry.database import schema
from registry.store import Registry
from tests.support import looked_at
from tests.support.cycles import NAME
from tests.support.inhabited import FEEDBACK
from tests.support.registries import add_version

TOKEN = "s3cret-token-of-the-page"
VIEW = ["/ui", f"/ui/tasks/{NAME}", "/ui/runs", "/ui/versions", f"/ui/versions/{NAME}/1", "/ui/history", "/ui/ingest"]
VIEW.append(f"/ui/tasks/{NAME}/labels")
REVIEW = [
    f"/ui/tasks/{NAME}/data",
    "/ui/desk",
    "/ui/feedback",
    "/ui/label",
    "/ui/label?id=test-1",
    "/ui/dead-letters",
    "/ui/dead-letters/1",
]
ADMIN = ["/ui/system"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return looked_at.build(tmp_path_factory.mktemp("looked_at"))


@pytest.fixture(scope="module")
def keys(settings: Settings) -> dict[str, str]:
    """A key of each scope, by the scope."""
    with Registry.open(settings.registry_url) as registry:
        return {
            scope: registry.api_keys.create(f"k-{scope}", [scope])[1] for scope in ("predict", "feedback", "correct", "admin")
        }


@pytest.fixture(scope="module")
def carried(settings: Settings, keys: dict[str, str]) -> Iterator[tuple[str, Service]]:
    with looked_at.carried(settings, token=TOKEN) as found:
        yield found


@pytest.fixture
def client(carried: tuple[str, Service]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=carried[0], timeout=60) as opened:
        yield opened


def csrf(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None, page.text[:500]
    return found[1]


def sign_in(client: httpx.Client, credential: str) -> httpx.Response:
    form = {"csrf": csrf(client.get("/ui/sign-in")), "credential": credential, "next": "/ui/runs"}
    return client.post("/ui/sign-in", data=form, headers={"Origin": str(client.base_url)})


@pytest.fixture
def operator(client: httpx.Client) -> httpx.Client:
    answer = sign_in(client, TOKEN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/runs")
    return client


def test_whoever_is_not_signed_in_is_led_to_where_one_signs_in(client: httpx.Client) -> None:
    assert (client.get("/ui").status_code, client.get("/ui").headers["location"]) == (303, "/ui/sign-in")
    assert client.get("/ui/runs").headers["location"] == "/ui/sign-in?next=/ui/runs"
    asked = "/ui/feedback?event=%2Fapp%7C1%262&task=a..b"
    led = client.get(asked).headers["location"]
    assert parse_qs(urlsplit(led).query) == {"next": [asked]}
    form = {"csrf": csrf(client.get("/ui/sign-in")), "credential": TOKEN, "next": asked}
    onward = client.post("/ui/sign-in", data=form, headers={"Origin": str(client.base_url)})
    assert onward.headers["location"] == asked
    client.cookies.clear()
    ended = client.post(f"/ui/tasks/{NAME}/pin", data={"reason": "x"}, headers={"Origin": str(client.base_url)})
    assert (ended.status_code, 'href="/ui/sign-in"' in ended.text) == (401, True)
    assert client.get("/ui/live").status_code == 401
    assert client.get(f"/ui/tasks/{NAME}/scores.json").status_code == 401
    assert client.get("/ui/static/page.css").status_code == 200
    assert client.get("/").status_code == 303


def test_a_session_cookie_is_out_of_reach_of_scripts_and_of_other_sites(client: httpx.Client) -> None:
    cookie = sign_in(client, TOKEN).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie, "the address has no TLS, and a browser would not send it back"


@pytest.mark.parametrize("credential", ["", "wrong", "prn_000000000000_" + "0" * 64, "\udcff"])
def test_a_wrong_key_opens_nothing_and_the_form_says_so(client: httpx.Client, credential: str) -> None:
    answer = sign_in(client, credential.encode("utf-8", "replace").decode())
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


def test_signing_in_leads_to_no_other_site(client: httpx.Client) -> None:
    for onward in (
        "https://evil.example/",
        "//evil.example",
        "/ui/../../x",
        "/v1/models",
        "/ui/\\evil",
        "/ui//evil.example",
        "//evil.example/ui/?",
    ):
        form = {"csrf": csrf(client.get("/ui/sign-in")), "credential": TOKEN, "next": onward}
        answer = client.post("/ui/sign-in", data=form, headers={"Origin": str(client.base_url)})
        assert answer.headers["location"] == "/ui"


def test_signing_out_ends_the_session(operator: httpx.Client) -> None:
    page = operator.get("/ui")
    before = dict(operator.cookies)
    operator.post("/ui/sign-out", data={"csrf": csrf(page)}, headers={"Origin": str(operator.base_url)})
    operator.cookies.update(before)
    assert operator.get("/ui").status_code == 303


@pytest.mark.parametrize("path", [*VIEW, *REVIEW, *ADMIN])
def test_every_page_is_there_and_allows_nothing_inline(operator: httpx.Client, path: str) -> None:
    page = operator.get(path)
    assert page.status_code == 200, page.text
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert looked_at.MARKUP not in page.text
    assert not set(page.text) & set("\x1b\x9b\u202e")
    assert page.elapsed.total_seconds() < 10


def test_the_report_of_a_tasks_data_is_a_file_in_which_nothing_acts(operator: httpx.Client) -> None:
    page = operator.get(f"/ui/tasks/{NAME}/data.html?save")
    assert page.status_code == 200, page.text
    assert page.headers["content-security-policy"].startswith("sandbox;")
    assert page.headers["content-disposition"] == f'attachment; filename="{NAME}-data.html"'
    assert "<script" not in page.text
    assert looked_at.MARKUP not in page.text


@pytest.mark.parametrize(
    ("scope", "opens", "refuses"),
    [
        ("predict", VIEW, [*REVIEW, *ADMIN]),
        ("correct", [*VIEW, *REVIEW], ADMIN),
        ("admin", [*VIEW, *REVIEW, *ADMIN], []),
    ],
)
def test_the_scope_of_a_key_says_which_pages_it_opens(
    client: httpx.Client, keys: dict[str, str], scope: str, opens: list[str], refuses: list[str]
) -> None:
    assert sign_in(client, keys[scope]).status_code == 303
    assert {path: client.get(path).status_code for path in (*opens, *refuses)} == {
        **dict.fromkeys(opens, 200), **dict.fromkeys(refuses, 403)
    }  # fmt: skip
    if scope != "admin":
        page = client.get(f"/ui/tasks/{NAME}")
        assert "Change something" not in page.text
        form = {"csrf": csrf(page), "reason": "because"}
        refused = client.post(f"/ui/tasks/{NAME}/pin", data=form, headers={"Origin": str(client.base_url)})
        assert refused.status_code == 403


def test_a_key_for_feedback_alone_opens_no_page(client: httpx.Client, keys: dict[str, str]) -> None:
    assert sign_in(client, keys["feedback"]).status_code == 403


def test_a_bearer_token_reads_pages_too(client: httpx.Client) -> None:
    assert client.get("/ui/runs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_texts_of_rows_are_for_who_may_review(client: httpx.Client, keys: dict[str, str], settings: Settings) -> None:
    with Registry.open(settings.registry_url) as registry:
        run = next(run for run in registry.runs.list(NAME) if run.state == "decided")
    sign_in(client, keys["predict"])
    hidden = client.get(f"/ui/runs/{run.run_id}").text
    sign_in(client, keys["correct"])
    shown = client.get(f"/ui/runs/{run.run_id}").text
    # What was measured and what decided it is for everybody who looks, wherever the run is shown.
    assert all('class="told"' in page for page in (hidden, client.get(f"/ui/tasks/{NAME}").text))
    assert "the log began" not in hidden
    assert "the log began" in shown
    assert looked_at.RTL not in hidden
    assert looked_at.RTL in shown
    # Counts are for everybody who looks, what users and desks wrote is not.
    assert ("What it learnt anew" in hidden, "/ui/feedback?event=" in hidden) == (True, False)
    assert "/ui/feedback?event=train-" in shown
    assert "12 labels" in shown


def write(client: httpx.Client, path: str, *, origin: str | None = None, **form: str) -> httpx.Response:
    found = csrf(client.get(f"/ui/tasks/{NAME}"))
    headers = {"Origin": origin if origin is not None else str(client.base_url)}
    return client.post(path, data={"csrf": found, **form}, headers={name: value for name, value in headers.items() if value})


def test_a_write_needs_our_form_our_origin_and_a_reason(operator: httpx.Client, settings: Settings) -> None:
    path = f"/ui/tasks/{NAME}/unpin"
    ours = {"Origin": str(operator.base_url)}
    assert operator.post(path, data={"reason": "x"}, headers=ours).status_code == 403
    assert operator.post(path, data={"reason": "x", "csrf": "0" * 64}, headers=ours).status_code == 403
    assert write(operator, path, origin="https://evil.example", reason="x").status_code == 403
    assert write(operator, path, origin="null", reason="x").status_code == 403
    assert write(operator, path, origin="http://[", reason="x").status_code == 403, "no address at all"
    assert write(operator, path, origin="", reason="x").status_code == 403
    assert write(operator, path, reason="  ").status_code == 409
    with Registry.open(settings.registry_url) as registry:
        alias = registry.versions.champion(NAME)
    assert alias is not None
    assert alias.pinned


def test_a_paused_task_says_who_paused_it_and_asks_for_no_run(operator: httpx.Client, settings: Settings) -> None:
    assert write(operator, f"/ui/tasks/{NAME}/pause", reason="elections").status_code == 303
    page = operator.get(f"/ui/tasks/{NAME}")
    assert 'id="paused"' in page.text
    assert "by token, on the page (elections)" in page.text
    assert ("/resume" in page.text, "/train" in page.text) == (True, False)
    refused = write(operator, f"/ui/tasks/{NAME}/train", reason="all the same", kind="full")
    assert (refused.status_code, "perennial resume" in refused.text) == (409, True)
    with closing(StatusReader(settings)) as reader:
        (toy,) = reader.read().tasks
    assert toy.paused is not None
    assert (toy.paused.reason, toy.due) == ("elections", False)
    assert write(operator, f"/ui/tasks/{NAME}/resume", reason="they are over").status_code == 303
    assert 'id="paused"' not in operator.get(f"/ui/tasks/{NAME}").text


def test_a_second_click_on_roll_back_changes_nothing(operator: httpx.Client, settings: Settings) -> None:
    assert write(operator, f"/ui/tasks/{NAME}/unpin", reason="the election is over").status_code == 303
    shown = f'<input type="hidden" name="expected" value="{NAME}/v2">'
    assert shown in operator.get(f"/ui/tasks/{NAME}").text
    click = {"reason": "too many mistakes", "to": "", "expected": f"{NAME}/v2"}
    answers = [write(operator, f"/ui/tasks/{NAME}/rollback", **click).status_code for _click in range(2)]
    with Registry.open(settings.registry_url) as registry:
        assert registry.versions.champion(NAME).version == f"{NAME}/v1"
        promotion.promote_by_hand(registry, f"{NAME}/v2", actor="ann", reason="as it was")
        promotion.pin(registry, NAME, actor="ann", reason="as it was")
    assert answers == [303, 409]


def test_every_button_does_what_its_command_does_and_history_tells_of_it(operator: httpx.Client, settings: Settings) -> None:
    for path, form in (
        (f"/ui/tasks/{NAME}/unpin", {"reason": "the election is over"}),
        (f"/ui/tasks/{NAME}/rollback", {"reason": "too many mistakes", "to": ""}),
        (f"/ui/versions/{NAME}/2/promote", {"reason": "it was better after all"}),
        (f"/ui/tasks/{NAME}/pin", {"reason": "hold it"}),
        (f"/ui/tasks/{NAME}/train", {"reason": "a new desk", "kind": "full", "promote": "no"}),
        (f"/ui/tasks/{NAME}/pause", {"reason": "elections"}),
        (f"/ui/tasks/{NAME}/resume", {"reason": "they are over"}),
    ):
        answer = write(operator, path, **form)
        assert answer.status_code == 303, answer.text
        done = operator.get(answer.headers["location"])
        assert 'role="status"' in done.text
    with Registry.open(settings.registry_url) as registry:
        told = history.entries(registry, None, NAME, 6)
    assert [(one.what, one.by, one.why) for one in told] == [
        ("resume", "token, on the page", "they are over"),
        ("pause", "token, on the page", "elections"),
        ("pin", "token, on the page", "hold it"),
        ("promote", "token, on the page", "it was better after all"),
        ("rollback", "token, on the page", "too many mistakes"),
        ("unpin", "token, on the page", "the election is over"),
    ]
    with closing(StatusReader(settings)) as reader:
        waiting = reader.read().lag["perennial.feedback"]
    assert waiting >= 2, "the request for a run is in the log"
    assert {path for path, _right, _page in WRITES} == {
        "/ui/desk/{task}/{lane}",
        "/ui/tasks/{task}/unpin", "/ui/tasks/{task}/rollback", "/ui/versions/{task}/{number}/promote", "/ui/tasks/{task}/pin",
        "/ui/tasks/{task}/train", "/ui/tasks/{task}/pause", "/ui/tasks/{task}/resume", "/ui/dead-letters/{number}/replay",
        "/ui/dead-letters/{number}/mend", "/ui/dead-letters/{number}/drop",
        "/ui/label/correct", "/ui/tasks/{task}/labels",
    }  # fmt: skip


def test_labels_change_by_the_page_as_by_the_command(operator: httpx.Client, settings: Settings) -> None:
    path = f"/ui/tasks/{NAME}/labels"
    page = operator.get(path)
    names = [one.name for one in label_operations.look(settings, NAME).labels]
    assert all(f'value="{name}"' in page.text for name in names)

    def send(**form: str | list[str]) -> httpx.Response:
        fields = {"csrf": csrf(page), "reason": "as the desk is called", **form}
        return operator.post(path, data=fields, headers={"Origin": str(operator.base_url)})

    with closing(open_event_log(settings)) as log:
        source = log.source("labels-test", [TOPIC_OF_TYPE["task_schema"]])
        with closing(source):
            sent = []
            for form in (
                {"what": "rename", "label": names[0], "into": "renamed"},
                {"what": "merge", "label": names[:2], "into": names[0]},
                {"what": "split", "label": names[0], "into": "one half\r\nother half\r\n"},
                {"what": "retire", "label": names[1]},
                {"what": "add", "into": "brand new"},
            ):
                answer = send(**form)
                assert answer.status_code == 303, answer.text[:2000]
                assert operator.get(answer.headers["location"]).status_code == 200
                sent.append(answer.headers["location"].rpartition("=")[2])
            events = [json.loads(one.value or b"") for one in source.poll(timeout_s=0.0, max_events=10_000)]
    found = {one["event_id"]: one for one in events if one["event_id"] in sent}
    assert [found[one].get("renames") for one in sent[:2]] == [{names[0]: "renamed"}, {names[1]: names[0]}]
    assert found[sent[2]]["splits"] == {names[0]: ["one half", "other half"]}
    assert (found[sent[3]]["retired"], found[sent[4]]["added"]) == ([names[1]], ["brand new"])
    assert all(one["reason"] == "as the desk is called" and one["source"].endswith("on the page") for one in found.values())

    for refused in (
        {"what": "rename", "label": "nobody has it", "into": "x"},
        {"what": "merge", "label": names[0], "into": "x"},
        {"what": "undo", "id": "labels-000000000000"},
        {"what": "explode"},
        {"what": "add", "into": " "},
        {"what": "retire", "label": names[0], "reason": " "},
    ):
        assert send(**refused).status_code == 409, refused
    again = send(what="split", label=names[0], into="one half\r\n\u202e")
    assert (again.status_code, "one half" in again.text, 'value="as the desk is called"' in again.text) == (409, True, True)
    assert f'<option value="{names[0]}" selected>' in again.text
    assert 'value="quite new"' in send(what="add", into="quite new", reason=" ").text
    assert operator.post(path, data={"what": "retire", "label": names[0], "reason": "x"}).status_code == 403


def test_a_dead_letter_is_mended_once_it_is_valid_and_dropped_with_a_reason(operator: httpx.Client, settings: Settings) -> None:
    with closing(DeadLetters(settings.dead_letter_file)) as letters:
        position = Position("perennial.articles", 0, 70)
        cut = b'{"type": "article", "event_id": "a-70", "title": "turned \\u202e around", "body": 7}'
        letters.add(RawEvent(position, cut, None, (), datetime.now(UTC)), "cut short")
        letters.add(RawEvent(position, b"\xff\x00", None, (), datetime.now(UTC)), "not UTF-8")
        binary, mended = (letter.id for letter in letters.list(limit=2))
    page = operator.get(f"/ui/dead-letters/{mended}")
    assert "turned \\u202e around" in page.text
    right = {"type": "article", "event_id": "a-70", "article_id": "a", "occurred_at": "2024-05-01T12:00:00Z", "body": "whole"}
    wrong = json.dumps({key: value for key, value in right.items() if key != "article_id"} | {"body": 7})
    refused = write(operator, f"/ui/dead-letters/{mended}/mend", text=wrong, reason="the crawler cut it")
    assert refused.status_code == 422
    assert all(f"<code>{field}</code>" in refused.text for field in ("article_id", "body")), refused.text
    assert ("aria-invalid" in refused.text, "the crawler cut it" in refused.text) == (True, True)
    no_reason = write(operator, f"/ui/dead-letters/{mended}/mend", text='{"kept": 1}', reason="  ")
    assert (no_reason.status_code, "{&#34;kept&#34;: 1}" in no_reason.text) == (409, True)
    assert write(operator, f"/ui/dead-letters/{binary}/mend", text="{}", reason="x").status_code == 409
    assert "cannot be mended" in operator.get(f"/ui/dead-letters/{binary}").text
    assert write(operator, f"/ui/dead-letters/{mended}/mend", text=json.dumps(right), reason="cut").status_code == 303
    assert write(operator, f"/ui/dead-letters/{binary}/drop", reason="nobody knows what it is").status_code == 303
    listed = operator.get("/ui/dead-letters").text
    assert f'/ui/dead-letters/{mended}"' not in listed
    assert f'/ui/dead-letters/{binary}"' not in listed
    with closing(DeadLetters(settings.dead_letter_file)) as letters:
        assert (letters.get(mended).value, letters.get(binary).value) == (cut, b"\xff\x00"), "they stay as they came"
    with closing(open_event_log(settings)) as log, closing(log.source("test", ["perennial.articles"])) as source:
        sent = [event.value for event in source.poll(timeout_s=1, max_events=100)]
    assert json.dumps(right).encode() in sent
    with Registry.open(settings.registry_url) as registry:
        told = history.entries(registry, None, None, 2)
    assert [(one.what, one.subject, one.why) for one in told] == [
        ("dead_letter.drop", f"dead letter {binary}", "nobody knows what it is"),
        ("dead_letter.mend", f"dead letter {mended}", "cut"),
    ]


def test_who_may_read_texts_cannot_mend(client: httpx.Client, keys: dict[str, str]) -> None:
    sign_in(client, keys["correct"])
    page = client.get("/ui/dead-letters/1")
    assert (page.status_code, "<textarea" in page.text) == (200, False)
    assert write(client, "/ui/dead-letters/1/drop", reason="x").status_code == 403


def test_what_cannot_be_done_is_said_and_changes_nothing(operator: httpx.Client) -> None:
    assert "no earlier champion" in write(operator, "/ui/tasks/nothing/rollback", reason="x").text
    assert write(operator, f"/ui/versions/{NAME}/99/promote", reason="x").status_code == 409
    assert operator.get(f"/ui/versions/{NAME}/99").status_code == 404
    assert operator.get("/ui/runs/nothing").status_code == 404
    assert operator.get("/ui/nothing").status_code == 404
    assert operator.get("/ui/tasks/<script>").status_code == 404
    assert operator.get("/ui/runs?page=abc&task=x").status_code == 200


def test_the_flow_is_sent_whole_to_who_connects(operator: httpx.Client) -> None:
    with operator.stream("GET", "/ui/live") as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        received = ""
        for piece in live.iter_text():
            received += piece
            if "event: tasks" in received and received.endswith("\n\n"):
                break
    assert {line.removeprefix("event: ") for line in received.splitlines() if line.startswith("event: ")} == {
        "head", "alerts", "loop", "tasks"
    }  # fmt: skip
    assert NAME in received
    assert operator.head("/ui/live").status_code == 200


def test_the_plots_have_the_figures_of_the_read_models(operator: httpx.Client, settings: Settings) -> None:
    course = operator.get(f"/ui/tasks/{NAME}/scores.json").json()
    with Registry.open(settings.registry_url) as registry:
        decided = [run for run in registry.runs.list(NAME) if run.state == "decided"]
    compared = [run.comparison for run in reversed(decided) if run.comparison is not None]
    assert len(compared) == 2
    assert course["y"] == [[one[name] for one in compared] for name in ("candidate_score", "champion_score")]
    assert [mark["kind"] for mark in course["marks"]][:2] == ["promote", "promote"]
    run = decided[0]
    curve = operator.get(f"/ui/runs/{run.run_id}/curve.json").json()
    assert (len(curve["x"]), curve["y"][0][0]) == (40, 1.0)


def test_a_fate_is_told(operator: httpx.Client) -> None:
    assert "quarantined" in operator.get(f"/ui/feedback?event={FEEDBACK}").text
    assert "No feedback with this event id" in operator.get("/ui/feedback?event=nothing").text


def test_an_answer_that_the_log_does_not_take_is_shown_again(operator: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_given: object) -> None:
        raise RetryError

    monkeypatch.setattr(answering, "publish", away)
    form = {"item": content_sha256("held out text 1"), "annotator": "anna", "label": "A", "note": "typed with care"}
    answer = write(operator, f"/ui/desk/{NAME}/test", **form)
    assert (answer.status_code, 'value="typed with care"' in answer.text) == (503, True)


@pytest.mark.parametrize("path", ["/ui", f"/ui/tasks/{NAME}", "/ui/desk", "/ui/feedback", f"/ui/feedback?event={FEEDBACK}"])
def test_a_task_file_that_is_half_written_hides_nothing(settings: Settings, path: str) -> None:
    with looked_at.carried(settings, token=TOKEN) as (address, _service):
        broken = settings.tasks_folder / "half-written.yaml"
        broken.write_text("name: [", encoding="utf-8")
        try:
            answer = httpx.get(address + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
        finally:
            broken.unlink()
    assert answer.status_code == 200
    assert NAME in answer.text


def test_a_label_is_corrected_on_its_page_as_by_its_command(
    operator: httpx.Client, settings: Settings, keys: dict[str, str]
) -> None:
    page = operator.get("/ui/label?id=test-1")
    assert "held out text 1" in page.text
    assert f"/ui/versions/{NAME}/1" in page.text, "the verdict that it took part in"
    whole = {"id": "test-1", "label": "A", "annotator": "anna", "reason": "read the rest"}
    path, ours = "/ui/label/correct", {"Origin": str(operator.base_url)}
    assert operator.post(path, data=whole, headers=ours).status_code == 403
    for wrong, words in (
        ({"label": "B"}, "says that already"), ({"reason": " "}, "reason is missing"), ({"annotator": ""}, 'role="alert"'),
        ({"label": ""}, "what is right is missing"), ({"label": "", "target": "[" * 5_000}, "what is right is missing"),
    ):  # fmt: skip
        refused = write(operator, path, **(whole | wrong))
        assert refused.status_code == 409
        assert words in refused.text
        assert 'value="anna"' in refused.text or "annotator" in wrong, "what was filled in stays"
    assert write(operator, path, **(whole | {"id": "nothing"})).status_code == 409
    assert sent_corrections(settings) == []
    done = write(operator, path, **whole)
    assert done.status_code == 303
    assert "correction is sent" in operator.get(done.headers["location"]).text
    (event,) = sent_corrections(settings)
    assert (event["label_id"], event["target"], event["annotator"], event["note"]) == (
        "test-1", {"label": "A"}, "anna", "read the rest",
    )  # fmt: skip
    assert event["source"].endswith("on the page")


def sent_corrections(settings: Settings) -> list[dict[str, Any]]:
    with closing(open_event_log(settings)) as log, closing(log.source("look", sorted(set(TOPIC_OF_TYPE.values())))) as source:
        events = [json.loads(event.value or b"{}") for event in source.poll(timeout_s=1, max_events=1_000)]
    return [event for event in events if event.get("type") == LabelCorrection.model_fields["type"].default]


def test_other_names_of_this_machine_are_refused(client: httpx.Client) -> None:
    refused = client.get("/ui/sign-in", headers={"Host": "evil.example"})
    assert refused.status_code == 421


@pytest.fixture
def visitors(settings: Settings, keys: dict[str, str]) -> Iterator[tuple[Visitors, Registry, Callable[[float], None]]]:
    now = [0.0]
    with Registry.open(settings.registry_url) as registry:
        serving = settings.serving.model_copy(update={"token": SecretStr(TOKEN), "requests_per_s": 1.0, "burst_s": 3.0})
        ring = KeyRing(registry.api_keys, clock=registry.clock)
        access = Access(serving, ring, loopback=True, clock=registry.clock, elapsed=lambda: now[0])

        def wait(seconds: float) -> None:
            now[0] += seconds
            ring.refresh()

        yield Visitors(access, sessions=Sessions(elapsed=lambda: now[0])), registry, wait


def asked(cookie: str = "", path: str = "/ui", method: str = "GET", scheme: str = "http") -> Asked:
    headers = {"host": "127.0.0.1:8310", "cookie": cookie, "origin": "http://127.0.0.1:8310"}
    return Asked(method, path, "127.0.0.1", scheme, 8310, headers)


def cookie_of(header: str) -> str:
    return header.partition(";")[0]


def test_a_revoked_key_ends_its_sessions(visitors: tuple[Visitors, Registry, Callable[[float], None]]) -> None:
    admits, registry, wait = visitors
    _key, secret = registry.api_keys.create("to-be-revoked", ["predict"])
    wait(1)
    cookie = cookie_of(admits.sign_in(asked(), secret))
    assert admits.admit(asked(cookie)).name == "key:to-be-revoked"
    registry.api_keys.revoke("to-be-revoked")
    wait(1)
    with pytest.raises(ApiError) as refused:
        admits.admit(asked(cookie))
    assert refused.value.status == 401


def test_a_session_ends_after_its_time(visitors: tuple[Visitors, Registry, Callable[[float], None]]) -> None:
    admits, _registry, wait = visitors
    cookie = cookie_of(admits.sign_in(asked(), TOKEN))
    wait(LIFE_S - 1)
    assert admits.admit(asked(cookie)).rights
    wait(2)
    with pytest.raises(ApiError):
        admits.admit(asked(cookie))


def test_pages_count_for_the_rate_limit(visitors: tuple[Visitors, Registry, Callable[[float], None]]) -> None:
    admits, _registry, wait = visitors
    cookie = cookie_of(admits.sign_in(asked(), TOKEN))
    for _request in range(3):
        admits.admit(asked(cookie))
    with pytest.raises(ApiError) as refused:
        admits.admit(asked(cookie))
    assert refused.value.status == 429
    wait(1)
    admits.admit(asked(cookie))


def test_with_tls_the_cookie_is_for_tls_alone(visitors: tuple[Visitors, Registry, Callable[[float], None]]) -> None:
    admits, _registry, _wait = visitors
    assert "; Secure" in admits.sign_in(asked(scheme="https"), TOKEN)


def test_forms_of_one_session_are_not_those_of_another(visitors: tuple[Visitors, Registry, Callable[[float], None]]) -> None:
    admits, _registry, wait = visitors
    first, second = (admits.admit(asked(cookie_of(admits.sign_in(asked(), TOKEN)))) for _person in range(2))
    assert first.csrf != second.csrf
    wait(3)
    assert admits.admit(asked(path="/ui/sign-in")).csrf not in (first.csrf, second.csrf)


def test_every_page_names_the_right_that_it_needs() -> None:
    assert {path for path, right, _page in PAGES if right == "view"} >= {"/ui", "/ui/tasks/{task}", "/ui/runs"}
    assert {right for path, right, _page in PAGES if "feedback" in path or "dead" in path} == {"review"}
    assert {right for _path, right, _page in WRITES} == {"operate", "review"}


def test_the_page_by_itself_shows_all_and_changes_nothing(settings: Settings) -> None:
    secret = {"serving": settings.serving.model_copy(update={"token": SecretStr(TOKEN)})}
    environment = os.environ | environment_of(settings.model_copy(update=secret))
    command = [sys.executable, "-P", "-m", "daemon", "dashboard", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"].removesuffix("/ui")
        with httpx.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            page = client.get(f"/ui/tasks/{NAME}")
            assert page.status_code == 200
            assert "read-only" in page.text
            assert "Change something" not in page.text
            assert "see the page of serving" in client.get("/ui").text or "not running" in client.get("/ui").text
            form = {"csrf": csrf(client.get("/ui/sign-in")), "reason": "x"}
            for _path, _right, write_page in WRITES:
                path = f"/ui/tasks/{NAME}/{write_page.__name__}"
                assert client.post(path, data=form, headers={"Origin": address}).status_code == 404
            assert httpx.get(f"{address}/ui", timeout=60).status_code == 303
            with client.stream("GET", "/ui/live") as live:
                next(live.iter_text())
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0


MANY_RUNS, MANY_LABELS = 10_000, 200
LONGEST_PAGE = 300_000


def _many_runs(registry: Registry) -> None:
    """Record runs enough for years, the newest of them with comparisons of many labels."""
    labels = [{"name": f"label:l{n}", "rows": 20, "champion_score": 0.5, "candidate_score": 0.6} for n in range(MANY_LABELS)]
    compared = {
        "metric": "macro_f1", "opponent": f"{NAME}/v2", "rows": 4_000, "champion_score": 0.5, "candidate_score": 0.6, "gain": 0.1,
        "lower_bound": 0.05, "upper_bound": 0.15, "required_gain": 0.02, "confidence": 0.95, "looks": 1,
    }  # fmt: skip
    now = registry.clock()
    rows = [
        {
            "run_id": f"many-{n:05}", "task": NAME, "trigger_key": f"many:{n}", "reason": "many", "full": False, "promote": True,
            "state": "decided", "attempt": 1, "created_at": now, "started_at": now, "finished_at": now, "verdict": "keep",
            "reasons": ["not better"], "max_seq": 0,
            "comparison": {**compared, "slices": labels} if n > MANY_RUNS - 150 else compared,
        }
        for n in range(MANY_RUNS)
    ]  # fmt: skip
    with registry.database.write() as connection:
        connection.execute(sa.insert(schema.runs), rows)


def test_ten_thousand_runs_and_hundreds_of_labels_make_no_page_long(operator: httpx.Client, settings: Settings) -> None:
    with Registry.open(settings.registry_url) as registry:
        _many_runs(registry)
    paths = ["/ui", f"/ui/tasks/{NAME}", f"/ui/tasks/{NAME}/scores.json", "/ui/runs", "/ui/runs?page=200", "/ui/runs/many-09999"]
    answers = {path: operator.get(path) for path in paths}
    assert {path for path, answer in answers.items() if answer.status_code != 200} == set()
    # How long each takes is measured by benchmarks.page.
    assert {path: len(answer.content) for path, answer in answers.items() if len(answer.content) > LONGEST_PAGE} == {}
    assert "page 200" in operator.get("/ui/runs?page=200").text


def test_a_roll_back_is_offered_however_many_versions_came_since(operator: httpx.Client, settings: Settings) -> None:
    with Registry.open(settings.registry_url) as registry:
        before = registry.versions.previous(NAME)
        for _ in range(25):
            add_version(registry, NAME)
    assert before is not None
    assert f'action="/ui/tasks/{NAME}/rollback"' in operator.get(f"/ui/tasks/{NAME}").text
