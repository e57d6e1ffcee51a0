"""Whatever follows the schema of its event, does it get through every stage behind parse without ending or stalling one?

100,000 hostile events of each type (see `fuzz_events`) go through ingest, the buffer, joining, enrichment, judging, counting, the
trigger, freezing and the reading of training rows; hostile texts and bodies go through serving with a real spaCy model.
Counted are inputs, dead letters, rows set aside and faults; the slowest text of each stage is timed. It ends with an error when
anything was raised, a row was set aside, or an event is neither stored nor a dead letter.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import numpy.typing as npt
import structlog
from structlog.testing import capture_logs

from benchmarks import report
from benchmarks.fuzz_events import NOW, TYPES, Strangers
from config.sections import IngestSettings
from config.settings import SHIPPED_TASKS_DIR, Settings, load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.buffer.open import open_writer
from consumers.dead_letters.store import DeadLetters
from consumers.enrichment import enrich as enrich_module
from consumers.enrichment.enrich import Enricher
from consumers.enrichment.vectors import TextEncoder
from consumers.erasure.requests import Erasures
from consumers.events.schemas import TOPIC_OF_TYPE
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from consumers.text import language, quality
from daemon.training.due import evidence, triggers
from registry.store import Registry

_ROUND = 5_000
"""Events of each type between two looks of enrichment, as while a backlog is worked off."""
_PORTION = 500
Value = TypeVar("Value")


class HashEncoder:
    """A vector from the text's hash: enrichment's own code at the speed of hashing."""

    encoder_id = "hash@1"
    dimensions = 16

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one vector of length 1 per text: float32, shape (texts, 16)."""
        seeds = [hash(text) & 0xFFFFFFFF for text in texts]
        vectors = np.array([np.random.default_rng(seed).standard_normal(16) for seed in seeds], np.float32).reshape(-1, 16)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return vectors

    def readable_shares(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return per text the share that can be read; every third text goes the way of scripts that cannot be."""
        return np.array([len(text) % 3 > 0 for text in texts], np.float64)


@dataclass
class Findings:
    """What happened to all that was sent."""

    inputs: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Per stage, the longest that one text took, and how it begins."""
    set_aside: list[str] = field(default_factory=list)

    def timed(self, stage: str, text: str, work: Callable[[], Value]) -> Value:
        """Do `work` and note how long it took for this text."""
        began = time.perf_counter()
        try:
            return work()
        finally:
            took = time.perf_counter() - began
            if took > self.slowest_s.get(stage, (0.0, ""))[0]:
                self.slowest_s[stage] = (took, f"{len(text)} characters: {text[:30]!r}")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note what is raised here instead of letting it end the run: in the daemon it would have ended a thread."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            structlog.get_logger(__name__).exception("fuzz.fault", stage=name)
            self.faults.append(f"{name}: {type(error).__name__}: {error}"[:300])

    def as_results(self) -> dict[str, Any]:
        """Return what is reported."""
        slowest = {f"slowest text in {name} (s)": round(took, 3) for name, (took, _) in sorted(self.slowest_s.items())}
        which = {f"which in {name}": what for name, (_, what) in sorted(self.slowest_s.items())}
        return {
            "inputs": sum(self.inputs.values()), **{f"inputs: {kind}": count for kind, count in sorted(self.inputs.items())},
            **dict(sorted(self.outcomes.items())), "rows set aside": len(self.set_aside), "faults": len(self.faults),
            **{f"fault {number}": fault for number, fault in enumerate(self.faults[:10])},
            **{f"set aside {number}": what for number, what in enumerate(self.set_aside[:10])}, **slowest, **which,
        }  # fmt: skip


def main() -> None:
    """Read the arguments, fuzz, report; exit with an error when something was raised, set aside or lost."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--per-type", type=int, help="events of each type (default 100,000; quick 300)")
    parser.add_argument("--seed", type=int, default=1, help="other events for another number")
    arguments = parser.parse_args()
    per_type = arguments.per_type or (300 if arguments.quick else 100_000)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(Path(folder), per_type=per_type, seed=arguments.seed)
        serve(Path(folder) / "serving", found, requests=per_type, seed=arguments.seed)
    report.write("fuzz", arguments, found.as_results(), arguments.json)
    if found.faults or found.set_aside:
        message = f"{len(found.faults)} faults, {len(found.set_aside)} rows set aside"
        raise SystemExit(message)


def fuzz(folder: Path, *, per_type: int, seed: int, real_texts: int | None = None) -> Findings:
    """Send `per_type` events of each type through every stage up to the training rows.

    `real_texts`: the texts of the last so many events of each type are embedded by the real encoder (None: of a hundredth).
    """
    found = Findings()
    # Loaded once, before the first text is timed.
    language.identify("The central bank raised its main rate.")
    tasks = load_tasks(SHIPPED_TASKS_DIR)
    settings = load_settings(data_dir=folder)
    strangers = Strangers(seed, {name: task.kind for name, task in tasks.items()})
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(enrich_module, "quality", _Timed(found, quality, "quality", "assess")))
        stack.enter_context(mock.patch.object(enrich_module, "language", _Timed(found, language, "language", "identify")))
        bench = stack.enter_context(closing(_Bench(folder, settings, tasks)))
        real = max(1, per_type // 100) if real_texts is None else real_texts
        rounds = [min(_ROUND, per_type - real - start) for start in range(0, per_type - real, _ROUND)]
        for count, encoder in (*((count, HashEncoder()) for count in rounds), (real, None)):
            if count:
                bench.publish([(kind, strangers.event(kind)) for _ in range(count) for kind in TYPES], found)
                bench.work_off(found, encoder)
        bench.freeze(found, folder / "sets")
        kept = sum(found.outcomes[what] for what in ("stored", "known already", "dead letters", "erased"))
        if kept != sum(found.inputs.values()):
            found.faults.append(f"of {sum(found.inputs.values())} events {kept} are accounted for")
        found.set_aside += [f"{one.table} {one.row_id}: {one.reason}" for one in bench.buffer.put_aside(1_000)]
    return found


class _Timed:
    """A module of which one function is timed per text."""

    def __init__(self, found: Findings, module: Any, stage: str, name: str) -> None:  # noqa: ANN401 - any module
        self._module, self._found, self._stage, self._name = module, found, stage, name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        value = getattr(self._module, name)
        if name != self._name:
            return value
        return lambda text, *more: self._found.timed(self._stage, text, lambda: value(text, *more))


class _Bench:
    """The daemon's stages over one folder, without its threads."""

    def __init__(self, folder: Path, settings: Settings, tasks: Mapping[str, TaskSpec]) -> None:
        self._settings, self._tasks = settings, tasks
        self._stack = ExitStack()
        self._log = self._stack.enter_context(closing(EmbeddedLog(folder / "events.db", retention=timedelta(days=36_500))))
        self._sink = self._stack.enter_context(closing(self._log.sink()))
        self._dead = self._stack.enter_context(closing(DeadLetters(folder / "dead.db")))
        self._erasures = self._stack.enter_context(closing(Erasures(folder)))
        self.buffer = self._stack.enter_context(
            closing(open_writer(folder / "buffer", settings.buffer, tasks=tasks, erasures=self._erasures, clock=lambda: NOW))
        )
        self._registry = self._stack.enter_context(closing(Registry.open(settings.registry_url)))
        ingest = IngestSettings.model_validate(settings.ingest.model_dump() | {"min_free_disk_mib": 0, "poll_timeout_s": 0.01})
        self._ingests = []
        for topic in sorted(set(TOPIC_OF_TYPE.values())):
            source = self._stack.enter_context(closing(self._log.source("ingest", [topic])))
            self._ingests.append(
                Ingest(
                    source, self.buffer, self._dead, erasures=self._erasures, tasks=lambda: self._tasks, settings=ingest,
                    data_dir=folder, clock=lambda: NOW,
                )
            )  # fmt: skip

    def publish(self, batch: Sequence[tuple[str, bytes]], found: Findings) -> None:
        """Put events into the log."""
        for start in range(0, len(batch), _PORTION):
            for kind, value in batch[start : start + _PORTION]:
                found.inputs[kind] += 1
                self._sink.publish(TOPIC_OF_TYPE[kind], value)
            self._sink.flush(60.0)

    def work_off(self, found: Findings, encoder: TextEncoder | None) -> None:
        """Ingest what waits, join, enrich and judge it, and ask whether a run is due."""
        for ingest in self._ingests:
            with found.stage("ingest"), capture_logs() as lines:
                while (step := ingest.step()).polled:
                    counts = {
                        "stored": step.inserted,
                        "known already": step.duplicates,
                        "dead letters": step.dead,
                        "erased": step.erased,
                    }
                    found.outcomes.update(counts)
            found.faults += [f"ingest: {line['position']}" for line in lines if line["event"] == "ingest.failed_on_an_event"]
        enricher = Enricher(self.buffer, self._settings.enrich, self._settings.feedback, encoder=encoder, clock=lambda: NOW)
        with found.stage("enrichment and judging"):
            while (done := enricher.step()).articles or done.examples or done.resolved or done.judged:
                found.outcomes.update({"enriched": done.articles + done.examples, "judged": done.judged})
        for name, task in self._tasks.items():
            with found.stage("counting and trigger"):
                seen = evidence.gather(name, self._registry, self.buffer)
                triggers.evaluate(task, seen, self._settings.schedule, NOW)
                self.buffer.users(name, self._settings.feedback)
        with found.stage("views"):
            self.buffer.quarantined(limit=1_000)
            self.buffer.requests()
            self.buffer.table_counts()

    def freeze(self, found: Findings, folder: Path) -> None:
        """Freeze each task's training set and read its rows as a training child does."""
        from trainers.job.rows.examples import examples_of

        for name, task in self._tasks.items():
            with found.stage(f"freezing and training rows of {name}"):
                frozen = self.buffer.freeze(task, run_id="fuzz", folder=folder / name, learnt=frozenset(), max_rows=1_000_000)
                for role in ("train", "test", "anchor", "corrections"):
                    rows = examples_of(frozen.rows(role))
                    found.outcomes[f"training rows: {role}"] += len(rows)
                    if task.backend == "spacy":
                        _lay_on_tokens(task, rows, found)
        ids = self.buffer._tables.scan("feedback", ["event_id"])["event_id"].to_pylist()[-300:]  # noqa: SLF001 - no list of them is public
        with found.stage("fates"):
            for event_id in ids:
                fate = self.buffer.feedback_fate(event_id)
                if fate is not None:
                    self.buffer.explain(fate)

    def close(self) -> None:
        """Release everything."""
        self._stack.close()


def _lay_on_tokens(task: TaskSpec, rows: Sequence[Any], found: Findings) -> None:
    import spacy

    from perennial_artifact.spacy.tokens import make_linear
    from trainers.learners.spacy.rows import lay_on_tokens

    # As a training child and a loaded model do.
    nlp = make_linear(spacy.blank("en"))
    types = sorted({span["label"] for row in rows for span in row.target["spans"]})
    for row in rows:
        with found.stage(f"laying a row of {task.name} on tokens"):
            found.timed("spaCy's rows", row.text, partial(lay_on_tokens, nlp, [row], types))


def serve(folder: Path, found: Findings, *, requests: int, seed: int) -> None:
    """Post hostile texts and bodies to serving's handlers, in this process, with a real spaCy pipeline."""
    import asyncio

    import httpx

    from daemon.serving.http.api import create_app
    from daemon.serving.service import Service
    from tests.support.served import TASK, ServedData, eventually, load_on_cpu

    data = ServedData(folder)
    data.champion()
    settings = data.settings_with(texts_per_s=0, requests_per_s=0)
    strangers = Strangers(seed, {TASK: "ner"})

    async def post(client: httpx.AsyncClient) -> None:
        for number in range(requests):
            if number % 2:
                text = strangers.text()
                path, body = f"/v1/tasks/{TASK}/predict", {"text": text}
            else:
                event = json.loads(strangers.event("feedback"))
                text = str(event.get("text", ""))
                path, body = "/v1/feedback", event
            began = time.perf_counter()
            with found.stage("serving"):
                answer = await client.post(path, content=json.dumps(body))
                found.outcomes[f"serving: {answer.status_code}"] += 1
                if answer.status_code >= 500:
                    found.faults.append(f"serving: {answer.status_code} {answer.text[:200]}")
            took = time.perf_counter() - began
            if took > found.slowest_s.get("serving", (0.0, ""))[0]:
                found.slowest_s["serving"] = (took, f"{len(text)} characters: {text[:30]!r}")

    async def run() -> None:
        transport = httpx.ASGITransport(app=create_app(service), raise_app_exceptions=False)
        headers = {"Content-Type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=600) as client:
            await post(client)

    found.inputs["requests"] += requests
    with Service.open(settings, load=load_on_cpu) as service:
        eventually(lambda: service.slots[TASK].status().serving)
        asyncio.run(run())


if __name__ == "__main__":
    main()
