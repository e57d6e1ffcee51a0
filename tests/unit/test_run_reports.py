"""The report of a run: what its sections tell, that nothing in it acts, that it stays small, and that texts go when they must."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.reports import cards
from registry.reports.run import charts, kept
from registry.reports.run import left as of_left
from registry.reports.run.blocks import Examples, Picture, Standing
from registry.reports.run.html import html
from registry.reports.run.kept import Reports
from registry.reports.run.markdown import markdown
from registry.reports.run.sections import SECTIONS, sections_of
from registry.reports.run.told import told
from registry.reports.run.word import word
from registry.reports.standing import fit_in_words
from registry.runs import Run
from registry.store import Registry
from registry.versions import Lineage
from tests.support.looked_at import LONG, MARKUP, RTL
from tests.support.registries import TASK
from tests.unit.test_registry_views import SURE
from trainers.compare.metrics import catalog
from trainers.compare.parts.slices import Slice
from trainers.compare.readiness import Readiness, judge
from trainers.job import files
from trainers.job.scoring.fit import Fit

POLICY = {"metric": "macro_f1", "overfitting_from": 0.2}
STRANGE = ("Acme $x^2$ \\frac", MARKUP, RTL, f"\x1b[2J \u202e {LONG}")
LABELS = ("A", "B", f"<b>{MARKUP}</b>", "$\\alpha$ `x` | **y**")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as opened:
        yield opened


NEVER = datetime(9999, 1, 1, tzinfo=UTC)


def decided(registry: Registry, **metrics: Any) -> Run:
    """A run with a version, compared and decided."""
    run = registry.runs.create(TASK, "key-1", f"132 new examples {MARKUP}", full=True)
    assert run is not None
    number = registry.versions.next_number(TASK)
    judged = judge({"macro_f1": 0.68}, {"macro_f1": _limit()})
    seen = SURE.model_copy(update={"readiness": Readiness(level="REVIEW", limits=judged)})
    version = registry.versions.add(
        TASK, number, run_id=run.run_id, artifact_id=f"{TASK}/v{number}-x", manifest_sha256="0" * 64, size_bytes=5, parent=None,
        lineage=Lineage(
            training_set_sha256="1" * 64, seed=20, settings={"task": {"promotion": POLICY}}, code="perennial", counts={"train": 9}
        ),
        metrics={
            "comparison": seen.model_dump(mode="json"), "train_s": 90.0, "cpu_s": 100.0, "hardware": "cpu, bf16",
            "fit": Fit(metric="macro_f1", rows=300, score=0.98, held_out=640, held_out_score=0.68).model_dump(),
            "tried": [
                {"name": "tuned for 1 of 2, on 60 rows kept back", "scores": {"loss": 0.7}, "cpu_s": 0.0, "chosen": False},
                {"name": "tuned for 2 of 2, on 60 rows kept back", "scores": {"loss": 0.5}, "cpu_s": 0.0, "chosen": True},
            ],
            **metrics,
        },
        learnt=["train-1"],
    )  # fmt: skip
    return registry.runs.update(
        run.run_id, state="decided", verdict="keep", reasons=[f"Label {LABELS[2]} got worse; `perennial models promote x`"],
        version=version.name, comparison=seen.model_dump(mode="json"), cpu_s=360.0, started_at=registry.clock(),
    )  # fmt: skip


def _limit() -> Any:
    from config.task_files.sections.limits import Limit  # noqa: PLC0415 - only this needs it

    return Limit(deploy=0.7, review=0.6)


def leave(folder: Path, rows: int = 12, *, loss: float = 0.4) -> None:
    """What a training child leaves in the folder of a run."""
    (folder / files.TRAINING_SET_FOLDER).mkdir(parents=True)
    ids = [f"test-{number}" for number in range(rows)]
    texts = [f"{STRANGE[number % 4]} {number}" for number in range(rows)]
    said = {
        "gold": [LABELS[number % 4] for number in range(rows)],
        "candidate": [LABELS[number % 4] if number % 3 else "B" for number in range(rows)],
        "opponent": [LABELS[number % 4] if number % 2 else "A" for number in range(rows)],
    }
    answers = {side: [json.dumps({"label": label}) for label in labels] for side, labels in said.items()}
    pq.write_table(pa.table({"example_id": ids, "role": ["test"] * rows, **answers}), folder / files.SCORES_FILE)
    pq.write_table(pa.table({"example_id": ids, "text": texts}), folder / files.TRAINING_SET_FOLDER / "rows.parquet")
    lines = [
        {
            "run_id": "r",
            "at": "2026-01-01T00:00:00Z",
            "phase": "training",
            "step": step,
            "steps": 1000,
            "epoch": step / 500,
            "loss": loss,
        }
        for step in range(1, 1001)
    ]
    (folder / files.HISTORY_FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def reports(folder: Path) -> Reports:
    return Reports(folder / "reports", folder / "runs", watts_per_core=10.0)


def test_every_part_of_the_issue_has_a_section_and_a_chart_where_one_helps(registry: Registry, tmp_path: Path) -> None:
    run = decided(registry)
    leave(tmp_path / "runs" / run.run_id)
    found = told(registry, run, of_left.of_folder(tmp_path / "runs" / run.run_id), watts_per_core=10.0)
    sections = {section.title: section.blocks for section in sections_of(found)}
    assert list(sections) == [
        "Verdict", "Limits", "Comparison", "Probabilities", "Confusion", "Rows where the models differ", "Learning curve",
        "Over-fitting", "What forward validation tried", "Cost", "Lineage", "Training", "Settings", "Files",
    ]  # fmt: skip
    assert isinstance(sections["Verdict"][0], Standing)
    assert sections["Verdict"][0].level == "REVIEW"
    drawn = [title for title, blocks in sections.items() if any(isinstance(block, Picture) for block in blocks)]
    assert drawn == ["Comparison", "Probabilities", "Confusion", "Learning curve"]
    sides = [block.side for block in sections["Rows where the models differ"] if isinstance(block, Examples)]
    assert sides == ["worse", "better", "otherwise"]
    text = markdown(found, sections_of(found))
    assert "about 1 Wh" in text, "360 CPU seconds at 10 W"
    assert "estimate" in text
    assert "30.0 points ahead" in text
    assert "Over-fitted" in text
    assert len(found.left.curve) == 334
    assert found.left.curve[-1].step == 1000
    assert len({make.__name__ for make in SECTIONS}) == len(SECTIONS)


def test_a_later_verdict_keeps_what_the_run_left_once_its_folder_is_gone(registry: Registry, tmp_path: Path) -> None:
    run, kept = decided(registry), reports(tmp_path)
    folder = tmp_path / "runs" / run.run_id
    leave(folder)
    kept.write(registry, run)
    whole = of_left.read(tmp_path / "reports" / run.run_id)
    assert whole is not None
    assert whole.example_ids
    assert kept.forget_older(registry, NEVER) == 1
    kept.write(registry, run)
    bare = of_left.read(tmp_path / "reports" / run.run_id)
    assert bare is not None
    assert (bare.example_ids, bare.curve) == (frozenset(), whole.curve), "texts that were taken out do not come again"
    shutil.rmtree(folder)
    kept.write(registry, run)
    assert of_left.read(tmp_path / "reports" / run.run_id) == bare


def test_nothing_that_strangers_wrote_acts_and_nothing_is_loaded(registry: Registry, tmp_path: Path) -> None:
    run = decided(registry)
    leave(tmp_path / "runs" / run.run_id)
    page, text = (reports(tmp_path).render(registry, run, form).decode() for form in ("html", "md"))  # type: ignore[arg-type]
    tags = set(re.findall(r"<([a-zA-Z!?][\w:]*)", page))
    assert not tags & {"script", "img", "b", "iframe", "link", "object", "form", "base", "image"}
    assert not re.search(r"<[^>]+\son\w+=", page)
    assert not re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", page)
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page
    assert not set(page + text) & set("\x1b\u202e\x9b")
    assert "<" not in re.sub(r"`[^`]*`", "", text)
    assert "&lt;script&gt;" in page
    assert RTL in page
    assert 'dir="auto"' in page


def test_a_chart_takes_the_colours_of_its_page_and_a_dollar_begins_no_formula(registry: Registry, tmp_path: Path) -> None:
    seen = SURE.model_copy(update={"slices": tuple(_slice(f"label:$\\oops{{ {n}") for n in range(200)), "gain": math.nan})
    drawn = charts.svg(lambda: charts.gain(seen))
    assert drawn.startswith("<svg")
    assert drawn.endswith("</svg>")
    assert "var(--ink)" in drawn
    assert not re.search(r"#22303c|#8a97a3|DejaVu|<\?xml|<metadata|<g id", drawn)
    assert "$\\oops{ 3" in drawn
    assert len(drawn) < 100_000, "200 labels draw no more than 40"
    assert charts.png(lambda: charts.gain(seen)).startswith(b"\x89PNG")


def _slice(name: str) -> Slice:
    return Slice(name=name, rows=40, champion_score=0.5, candidate_score=0.6)


def test_a_report_of_many_rows_and_labels_stays_small_and_figures_that_are_no_numbers_fail_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    run = decided(registry, fit=Fit(metric="macro_f1", rows=3, score=math.nan, held_out=640, held_out_score=0.5).model_dump())
    many = SURE.model_copy(update={"slices": tuple(_slice(f"label:{n} {LONG}") for n in range(200)), "lower_bound": math.nan})
    run = registry.runs.update(run.run_id, comparison=many.model_dump(mode="json"))
    leave(tmp_path / "runs" / run.run_id, rows=10_000, loss=math.nan)
    reports(tmp_path).write(registry, run)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "reports" / run.run_id).iterdir()}
    assert sizes.keys() == {"kept.json", "report.html", "report.md"}
    assert max(sizes.values()) < 500_000
    again = of_left.read(tmp_path / "reports" / run.run_id)
    assert again is not None
    assert again.answers is not None
    assert (again.answers.rows, len(again.curve)) == (10_000, 334)


def test_a_run_that_failed_or_is_under_way_has_a_report_of_what_is_known(registry: Registry, tmp_path: Path) -> None:
    run = registry.runs.create(TASK, "key-1", "132 new examples", full=True)
    assert run is not None
    leave(tmp_path / "runs" / run.run_id)
    (tmp_path / "runs" / run.run_id / files.SCORES_FILE).unlink()
    live = reports(tmp_path).render(registry, run, "html").decode()
    assert "The run is not over (queued)" in live
    assert "Training loss over steps" in live, "the curve is drawn while the run goes on"
    failed = registry.runs.update(run.run_id, state="failed", error=f"the loss is {MARKUP}")
    told_of = reports(tmp_path).render(registry, failed, "md").decode()
    assert "**FAIL.**" in told_of
    assert "&lt;img" in told_of
    assert kept.run_of(registry, run.run_id) == failed


def test_a_word_document_has_the_same_sections_with_their_charts(registry: Registry, tmp_path: Path) -> None:
    run = decided(registry)
    leave(tmp_path / "runs" / run.run_id)
    found = told(registry, run, of_left.of_folder(tmp_path / "runs" / run.run_id), watts_per_core=0.0)
    document = docx.Document(io.BytesIO(word(found, sections_of(found))))
    heads = [one.text for one in document.paragraphs if one.style is not None and one.style.name == "Heading 1"]
    assert heads == [section.title for section in sections_of(found)]
    assert len(document.inline_shapes) == 4
    written = "\n".join(one.text for one in document.paragraphs)
    assert MARKUP in written
    assert "\x1b" not in written
    assert "estimate" not in written, "without watts nothing is estimated"
    assert any("macro F1" in cell.text for table in document.tables for cell in table.rows[1].cells)


def test_texts_that_were_erased_leave_the_report_and_the_rest_stays(registry: Registry, tmp_path: Path) -> None:
    run = decided(registry)
    leave(tmp_path / "runs" / run.run_id)
    written = reports(tmp_path)
    written.write(registry, run)
    folder = tmp_path / "reports" / run.run_id
    everyone = frozenset(f"test-{number}" for number in range(12))
    assert written.forget_absent(registry, everyone) == 0
    assert any(RTL in path.read_text() for path in folder.iterdir())
    assert written.forget_absent(registry, everyone - {"test-0"}) == 1
    for path in folder.iterdir():
        # Names of labels are kept, and one of them is markup here.
        for text in (STRANGE[0], RTL, LONG):
            assert text not in path.read_text(), path
    text = (folder / "report.md").read_text()
    assert "Their texts were removed" in text
    assert "## Confusion" in text
    assert written.forget_absent(registry, frozenset()) == 0, "it shows no texts any more"


def test_texts_go_with_their_time_and_what_cannot_be_read_goes_whole(registry: Registry, tmp_path: Path) -> None:
    run = decided(registry)
    leave(tmp_path / "runs" / run.run_id)
    written = reports(tmp_path)
    written.write(registry, run)
    assert run.finished_at is not None
    assert written.forget_older(registry, run.finished_at) == 0
    assert written.forget_older(registry, run.finished_at + timedelta(seconds=1)) == 1
    (tmp_path / "reports" / run.run_id / of_left.KEPT_FILE).write_text("{")
    assert written.forget_absent(registry, frozenset()) == 0
    assert written.file(run.run_id, kept.HTML_FILE) is None


def test_a_report_stays_as_long_as_the_files_of_its_version_or_the_folder_of_its_run(registry: Registry, tmp_path: Path) -> None:
    run = decided(registry)
    leave(folder := tmp_path / "runs" / run.run_id)
    written = reports(tmp_path)
    written.write(registry, run)
    folder.rename(tmp_path / "gone")
    assert written.prune(registry) == 0
    unrecorded = tmp_path / "reports" / "nobodys"
    unrecorded.mkdir()
    assert written.prune(registry) == 1
    assert written.file(run.run_id, kept.HTML_FILE) is not None
    from registry.artifacts.local import LocalArtifacts  # noqa: PLC0415 - only this needs it
    from registry.removal import collection  # noqa: PLC0415 - only this needs it

    collection.collect(registry, LocalArtifacts(tmp_path / "artifacts"), keep=0)
    assert written.prune(registry) == 1
    assert written.file(run.run_id, kept.HTML_FILE) is None


@pytest.mark.parametrize(
    ("metric", "learnt", "held_out", "begins"),
    [
        ("macro_f1", 0.95, 0.80, "Not over-fitted"),
        ("macro_f1", 0.95, 0.70, "Over-fitted"),
        ("mae", 0.9, 1.0, "Not over-fitted"),
        ("mae", 0.5, 1.0, "Over-fitted"),
        ("mae", 0.0, 0.0, "Not over-fitted"),
        ("mae", math.nan, 1.0, "Over-fitting cannot be told"),
    ],
)
def test_overfitting_is_points_of_a_bounded_metric_and_a_share_of_an_error(
    metric: str, learnt: float, held_out: float, begins: str
) -> None:
    found = Fit(metric=metric, rows=300, score=learnt, held_out=300, held_out_score=held_out)
    assert fit_in_words(found, catalog.find(metric).scale, 0.2).startswith(begins)


def test_the_card_tells_limits_and_level_too(registry: Registry) -> None:
    run = decided(registry)
    assert run.version is not None
    text = cards.card(registry, run.version)
    assert "**REVIEW.**" in text
    assert "| macro F1 | 0.68 | above 0.7 | at least 0.6 | **REVIEW** |" in text
    assert "## Over-fitting" in text
    assert "<b>" not in text.split("## Comparison")[1]
    before = replace(run, comparison=None)
    assert before.readiness is None
    assert html(told(registry, before, of_left.Left(), watts_per_core=0.0), []).count("<section") == 0
