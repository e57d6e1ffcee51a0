"""No secret can be read in a log line, however it got there."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from hypothesis import assume, example, given
from hypothesis import strategies as st

from config.errors import UserError
from config.logging import configure_logging
from config.secrets import MASK, masked_message, masker, secrets_of
from config.sections import LogSettings
from config.settings import load_settings

ROOT = Path(__file__).parents[2]
KEY = "prn_0123456789ab_" + "c0ffee" * 10 + "0000"
TOKEN = 'tok"en\\ åäö <&> 4711'
PASSWORD = "p:w/1"


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def fail(message: str) -> NoReturn:
    raise ValueError(message)


def test_the_secrets_of_the_settings_are_found() -> None:
    settings = load_settings(serving={"token": "hush-hush"}, registry={"url": "postgresql://me:p%3Aw@db/news?password=in-query"})
    assert secrets_of(settings) == {"hush-hush", "p%3Aw", "in-query"}
    assert secrets_of(load_settings()) == frozenset()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_log_shows_none_of_them(form: str, restored: None) -> None:
    stream = io.StringIO()
    settings = load_settings(serving={"token": TOKEN}, registry={"url": "postgresql://me:p%3Aw%2F1@db/news"})
    configure_logging(LogSettings(format=form, level="info"), secrets=secrets_of(settings), stream=stream)  # type: ignore[arg-type]
    log = structlog.get_logger("test")
    log.info("asked", token=TOKEN, header=f"Bearer {TOKEN}", nested={"deep": [TOKEN, (PASSWORD,)]}, url=settings.registry.url)
    said = f"with the key {KEY}"
    log.info(said, headers={"authorization": f"Bearer {KEY}"}, raw=f"{TOKEN}".encode())
    logging.getLogger("somebody").warning("cannot connect to %s as %s", "https://user:unknown-to-us@host/x", TOKEN)
    try:
        fail(f"no such token {TOKEN!r} at postgresql://me:{PASSWORD.replace('/', '%2F')}@db")
    except ValueError:
        log.exception("failed")
        logging.getLogger("somebody").exception("failed")
    text = stream.getvalue()
    for secret in (TOKEN, 'tok"en', "4711", "p:w", "p%3Aw", "c0ffee", "unknown-to-us"):
        assert secret not in text
    for shown in ("asked", "prn_0123456789ab_", "postgresql://me:", "https://user:", "ValueError", MASK):
        assert shown in text
    if form == "json":
        assert [json.loads(line)["event"] for line in text.splitlines()][:2] == ["asked", f"with the key prn_0123456789ab_{MASK}"]


@example(secret="it's-mine", before='said "', after="")
@given(st.text(min_size=6, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_a_secret_of_any_characters_is_masked_in_every_spelling(secret: str, before: str, after: str) -> None:
    assume(secret not in MASK)
    mask = masker([secret])
    assert secret not in mask(before + secret + after)
    text = before + secret + after
    for spelled in (
        text,
        json.dumps(text),
        repr(text),
        repr(text.encode()),
        json.dumps(repr(text)),
        json.dumps([repr(text.encode())]),
    ):
        assert MASK in mask(spelled)


def test_a_short_secret_is_masked_as_a_word_and_eats_no_others() -> None:
    mask = masker(["ab"])
    assert mask("about cab ab, 'ab' =ab& crab") == f"about cab {MASK}, '{MASK}' ={MASK}& crab"


def test_a_secret_inside_another_does_not_leave_its_rest() -> None:
    assert masker(["secret", "secret-and-more"])("x secret-and-more y secret") == f"x {MASK} y {MASK}"


def test_a_password_in_an_address_is_masked_whatever_stands_before_it() -> None:
    mask = masker([])
    for before in ("", "url=", "x" * 100 + ".", "postgresql+psycopg"):
        assert mask(f"{before}postgresql://ann:hush@db:5432/x") == f"{before}postgresql://ann:{MASK}@db:5432/x"


def test_nothing_else_is_changed() -> None:
    mask = masker(["hush-hush"])
    for line in (
        "serving.up address=https://127.0.0.1:8310 pid=1",
        "sqlite:////var/lib/perennial/registry.db",
        "the bearer token is wrong",
        "user@example.org wrote to http://host:8310/v1/tasks",
        "prn_ is the prefix",
        '{"reason": "12 new examples"}',
    ):
        assert mask(line) == line


def test_the_log_of_a_process_without_settings_masks_what_looks_like_a_secret(tmp_path: Path, restored: None) -> None:
    with (tmp_path / "log").open("w") as stream:
        configure_logging(LogSettings(format="json", level="info"), stream=stream)
        structlog.get_logger().info(
            "asked", header=f"Bearer {KEY}", url="redis://:pw-of-redis@host", dsn="host=db password=hush-hush"
        )
    text = (tmp_path / "log").read_text()
    assert not any(secret in text for secret in ("c0ffee", "pw-of-redis", "hush-hush"))


@pytest.mark.process
def test_a_crash_tells_none_either() -> None:
    code = (
        "import threading; from config.logging import mask_crashes; mask_crashes(['hush-hush'])\n"
        "def fail(message): raise ValueError(message)\n"
        "for step in (lambda: fail('thread hush-hush'), lambda: exit('quiet')):\n"
        "    thread = threading.Thread(target=step); thread.start(); thread.join()\n"
        "fail('main hush-hush at postgresql://me:pw-of-the-url@host')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "hush-hush" not in done.stderr
    assert "pw-of-the-url" not in done.stderr
    assert done.stderr.count("Traceback") == 2
    assert f"ValueError: thread {MASK}" in done.stderr
    assert f"ValueError: main {MASK} at postgresql://me:{MASK}@host" in done.stderr


def test_the_message_a_command_ends_with_tells_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING__TOKEN", "hush-hush")
    assert masked_message(UserError("the token hush-hush is wrong")) == f"the token {MASK} is wrong"
    monkeypatch.setenv("PERENNIAL_SERVING__NOTHING", "x")
    assert masked_message(UserError(f"the key {KEY} is wrong")) == f"the key prn_0123456789ab_{MASK} is wrong"
