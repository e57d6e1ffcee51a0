"""An installation worth looking at: what `inhabited` has, and what runs leave behind for the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from config.settings import Settings
from consumers.training_set.snapshot import ROWS_FILE
from daemon.serving.service import Service
from registry.store import Registry
from tests.support import inhabited
from tests.support.cycles import NAME
from tests.support.inhabited import STRANGE
from tests.support.served import as_opened, eventually, listening
from trainers.job import spec as job_spec

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
RTL = "خبر عاجل من القاهرة"
LONG = "unbroken" * 60
TEXTS = (MARKUP, RTL, LONG, STRANGE)


class Echo:
    """A model that need not be loaded."""

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        return [{"label": "A", "scores": {"A": 1.0}} for _ in texts]


def build(folder: Path) -> Settings:
    """Fill `folder` and return the settings that lead there; nothing runs in it."""
    settings = inhabited.build(folder)
    with Registry.open(settings.registry_url) as registry:
        for run in registry.runs.list(NAME):
            _leave(settings.runs_dir / run.run_id)
    return settings


def _leave(folder: Path) -> None:
    """Leave in a run's folder what a training child does: losses, a log, and both models' answers to the test rows."""
    rows = pq.read_table(folder / job_spec.TRAINING_SET_FOLDER / ROWS_FILE)
    ids = rows["example_id"].to_pylist()
    test = [number for number, role in enumerate(rows["role"].to_pylist()) if role == "test"]
    strange = {number: TEXTS[place % len(TEXTS)] for place, number in enumerate(test)}
    texts = [strange.get(number, text) for number, text in enumerate(rows["text"].to_pylist())]
    rows = rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))
    pq.write_table(rows, folder / job_spec.TRAINING_SET_FOLDER / ROWS_FILE)
    gold = [json.loads(target) for target in rows["target"].to_pylist()]
    other = {"A": "B", "B": MARKUP}
    said = {
        "gold": [gold[number] for number in test],
        "candidate": [gold[n] if at % 3 else {"label": other[gold[n]["label"]]} for at, n in enumerate(test)],
        "opponent": [gold[n] if at % 2 else {"label": other[gold[n]["label"]]} for at, n in enumerate(test)],
    }
    columns = {name: pa.array([json.dumps(one) for one in answers]) for name, answers in said.items()}
    scores = pa.table({"example_id": [ids[n] for n in test], "role": ["test"] * len(test), **columns})
    pq.write_table(scores, folder / job_spec.SCORES_FILE)
    (folder / job_spec.LOG_FILE).write_text(f"the log began\n{MARKUP}\n{STRANGE}\nit ended\n", encoding="utf-8")
    began = datetime(2024, 5, 1, 12, tzinfo=UTC)
    lines = [
        {
            "run_id": folder.name, "at": (began + timedelta(seconds=step)).isoformat(), "phase": "training", "step": step,
            "steps": 40, "loss": 1.0 / step,
        }
        for step in range(1, 41)
    ]  # fmt: skip
    (folder / job_spec.HISTORY_FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


@contextmanager
def carried(settings: Settings, *, token: str = "") -> Iterator[tuple[str, Service]]:
    """Serve the installation with its page on a free port; yield the address and the service."""
    serving = {"port": 0, "refresh_interval_s": 0.05, "token": SecretStr(token)}
    served = settings.model_copy(update={"serving": settings.serving.model_copy(update=serving)})
    with Service.open(served, load=lambda _folder, _before: as_opened(Echo())) as service, listening(service) as address:
        eventually(lambda: service.slots[NAME].status().serving)
        yield address, service
