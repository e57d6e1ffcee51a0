"""Every check of `perennial doctor` has a test that breaks it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from config.clock import utc_now
from config.settings import load_settings
from consumers.dead_letters.store import DeadLetters
from consumers.events.schemas import Article, content_sha256
from consumers.log.protocols import Position, RawEvent
from consumers.rows.arriving.event_rows import Stored, revision_id
from consumers.rows.enrichment_rows import Enrichment
from consumers.text import ngrams
from daemon.operations.doctor import machine
from daemon.operations.doctor.examine import examine
from daemon.operations.doctor.finding import Finding
from registry.store import Registry
from tests.support.buffers import opened
from tests.support.certificates import expired, self_signed
from tests.support.served import ServedData

SetEnv = Callable[..., None]


@pytest.fixture(autouse=True)
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PERENNIAL_SERVING__PORT", "0")
    return tmp_path


def found(check: str) -> Finding:
    findings = {finding.check: finding for finding in examine()}
    assert check in findings, f"no finding {check!r} among {sorted(findings)}"
    return findings[check]


def assert_problem(check: str, *, says: str, remedy: str) -> None:
    finding = found(check)
    assert finding.level == "problem"
    assert says in finding.found
    assert remedy in finding.remedy


def test_a_fresh_installation_is_well() -> None:
    findings = examine()
    assert [finding for finding in findings if finding.level != "ok"] == []
    assert len(findings) >= 15


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_OLDEST_PYTHON", (3, 99))
    assert_problem("python", says="3.", remedy="install Python 3.11, 3.12 or 3.13")


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = machine.metadata.requires
    monkeypatch.setattr(machine.metadata, "requires", lambda name: [*(real(name) or []), "no-such-library>=1"])
    assert_problem("libraries", says="no-such-library", remedy="make setup")


def test_settings_that_cannot_be_read(installation: Path) -> None:
    (installation / "perennial.toml").write_text("[serving]\nprot = 1\n")
    assert_problem("settings", says="serving.prot", remedy="fix perennial.toml")


def test_a_wrong_task_file(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installation / "tasks").mkdir()
    (installation / "tasks" / "mine.yaml").write_text("name: mine\n")
    monkeypatch.setenv("PERENNIAL_TASKS_DIR", "tasks")
    assert_problem("task files", says="`kind` is missing", remedy="fix the file in tasks")


def test_a_data_folder_that_cannot_be_written(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installation / "occupied").write_text("a file, not a folder")
    monkeypatch.setenv("PERENNIAL_DATA_DIR", str(installation / "occupied" / "data"))
    assert_problem("data folder", says="occupied", remedy="set data_dir")


def test_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_INGEST__MIN_FREE_DISK_MIB", str(2**40))
    assert_problem("disk", says="ingest pauses below", remedy="free some space")


@pytest.mark.parametrize(
    ("check", "name", "remedy"),
    [
        ("event log", "events.db", "restore"),
        ("registry", "registry.db", "restore"),
        ("dead letters", "dead_letters.db", "restore"),
    ],
)
def test_a_database_file_that_is_none(installation: Path, check: str, name: str, remedy: str) -> None:
    (installation / "data").mkdir()
    (installation / "data" / name).write_bytes(b"this is no database" * 100)
    assert_problem(check, says="", remedy=remedy)


def test_a_buffer_of_a_newer_version(installation: Path) -> None:
    (installation / "data" / "buffer").mkdir(parents=True)
    (installation / "data" / "buffer" / "format_version").write_text("99\n")
    assert_problem("buffer", says="format '99'", remedy="restore a backup")


def test_an_open_address_while_the_registry_cannot_be_read(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING__HOST", "0.0.0.0")  # noqa: S104 - what is tested
    (installation / "data").mkdir()
    (installation / "data" / "registry.db").write_bytes(b"this is no database" * 100)
    assert_problem("serving address", says="is not known", remedy="fix the registry")


def test_a_champion_whose_files_were_changed(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = ServedData(installation)
    version = served.publish()
    served.promote(version)
    monkeypatch.setenv("PERENNIAL_TASKS_DIR", str(installation / "tasks"))
    assert found("champions").level == "ok"
    artifact = served.registry.versions.get(version).artifact_id
    victim = next(path for path in served.artifacts.folder(artifact).rglob("*") if path.name == "patterns.jsonl")
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    assert_problem("champions", says="patterns.jsonl", remedy="perennial models rollback")


def test_a_base_model_and_an_encoder_that_are_not_here(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installation / "tasks").mkdir()
    (installation / "tasks" / "mine.yaml").write_text(
        "name: mine\nkind: classification\nbackend: transformer\nbase_model: nobody/nothing\nlabels: open\n"
        "promotion: {metric: accuracy}\n"
    )
    monkeypatch.setenv("PERENNIAL_TASKS_DIR", "tasks")
    monkeypatch.setenv("PERENNIAL_ENRICH__ENCODER", "nobody/nothing")
    for check in ("base models", "encoder"):
        finding = found(check)
        assert finding.level == "warning"
        assert "nobody/nothing" in finding.found
        assert "minilm" in finding.remedy


@pytest.mark.parametrize(
    ("kind", "base_model"),
    [
        ("kind: ner\nbackend: spacy\npromotion: {metric: entity_f1}", "./no.where/model"),
        ("kind: ner\nbackend: spacy\npromotion: {metric: entity_f1}", "no.where"),
        ("kind: ner\nbackend: spacy\npromotion: {metric: entity_f1}", "blank:no.where"),
        ("kind: classification\nbackend: transformer\npromotion: {metric: accuracy}", "no/where/model"),
    ],
)
def test_a_base_model_whose_path_is_missing(
    installation: Path, monkeypatch: pytest.MonkeyPatch, kind: str, base_model: str
) -> None:
    (installation / "tasks").mkdir()
    (installation / "tasks" / "mine.yaml").write_text(f"name: mine\n{kind}\nbase_model: '{base_model}'\nlabels: open\n")
    monkeypatch.setenv("PERENNIAL_TASKS_DIR", "tasks")
    finding = found("base models")
    assert finding.level == "warning"
    assert base_model in finding.found


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for the GPU that this machine must not have")
def test_hardware_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_TRAINING__DEVICE", "cuda")
    assert_problem("hardware", says="cuda", remedy="auto")


def test_a_wide_bind_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING__HOST", "0.0.0.0")  # noqa: S104 - the mistake under test
    assert_problem("serving address", says="token", remedy="set serving.token")
    monkeypatch.setenv("PERENNIAL_SERVING__TOKEN", "s3cret")
    assert found("serving address").level == "ok"


def test_a_wide_bind_with_a_key(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING__HOST", "0.0.0.0")  # noqa: S104 - what is tested
    with Registry.open(f"sqlite:///{installation / 'data' / 'registry.db'}") as registry:
        registry.api_keys.create("desk", ["predict"])
    assert found("serving address").level == "ok"


@pytest.mark.process
def test_tls(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("TLS").level == "ok"
    monkeypatch.setenv("PERENNIAL_SERVING__HOST", "0.0.0.0")  # noqa: S104 - what is tested
    without = found("TLS")
    assert (without.level, "served without TLS" in without.found) == ("warning", True)
    monkeypatch.setenv("PERENNIAL_SERVING__TLS_KEY", "nowhere.pem")
    assert_problem("TLS", says="tls_certificate is not", remedy="PEM files")
    monkeypatch.setenv("PERENNIAL_SERVING__TLS_CERTIFICATE", "nowhere.pem")
    assert_problem("TLS", says="nowhere.pem cannot be read", remedy="PEM files")
    for pair, level, said in (
        (self_signed(installation), "ok", "good until"),
        (self_signed(installation, "short", days=3), "warning", "good until"),
        (expired(installation), "problem", "certificate has expired"),
    ):
        monkeypatch.setenv("PERENNIAL_SERVING__TLS_CERTIFICATE", str(pair.certificate))
        monkeypatch.setenv("PERENNIAL_SERVING__TLS_KEY", str(pair.key))
        finding = found("TLS")
        assert (finding.level, said in finding.found) == (level, True)


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        monkeypatch.setenv("PERENNIAL_SERVING__PORT", str(taken.getsockname()[1]))
        assert_problem("serving", says="another program uses port", remedy="set serving.port")


def test_a_port_of_the_other_protocol_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING__HOST", "::1")
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        monkeypatch.setenv("PERENNIAL_SERVING__PORT", "9")
        assert found("serving").level == "ok", "without IPv6 nothing listens there"
        return
    with contextlib.closing(taken):
        monkeypatch.setenv("PERENNIAL_SERVING__PORT", str(taken.getsockname()[1]))
        assert_problem("serving", says="another program uses port", remedy="set serving.port")


def test_dead_letters_are_pointed_at(installation: Path) -> None:
    (installation / "data").mkdir()
    with contextlib.closing(DeadLetters(installation / "data" / "dead_letters.db")) as letters:
        letters.add(RawEvent(Position("perennial.articles", 0, 7), b"{", None, (), datetime.now(UTC)), "not JSON")
    finding = found("dead letters")
    assert (finding.level, finding.remedy) == ("warning", "`perennial dlq list` says why")


def test_a_script_that_the_encoder_cannot_read(installation: Path) -> None:
    texts = {"th": "ธนาคารกลางลดอัตราดอกเบี้ย", "en": "The central bank cut its main rate"}
    encoder_ids = {"th": ngrams.ENCODER_ID, "en": "minilm@1"}
    with opened(load_settings().buffer_dir, clock=utc_now) as buffer:
        events = [
            Article(event_id=f"e-{name}", article_id=name, occurred_at=datetime.now(UTC), title=text)
            for name, text in texts.items()
        ]
        buffer.insert([Stored(event, Position("t", 0, number)) for number, event in enumerate(events)])
        buffer.apply_enrichment(
            "articles",
            [
                Enrichment(
                    row_id=revision_id(event, content_sha256(event.text)), language=event.article_id, quality=1.0,
                    quality_reasons=(), embedding=[1.0, 0.0],
                    encoder_id=encoder_ids[event.article_id], story_id=f"s-{event.article_id}", split="train",
                )
                for event in events
            ],
        )  # fmt: skip
    finding = found("encoder")
    assert finding.level == "warning"
    assert "1 of the 2 newest texts (th 1)" in finding.found
    assert "multilingual" in finding.remedy
