import json
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, f1_score

from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from tests.support.scored import compared, labelled, table, topics
from trainers.compare import scoring
from trainers.compare.answers import Answers
from trainers.compare.comparison import Comparison
from trainers.compare.improvement import required_gain
from trainers.compare.metrics.f1 import ACCURACY, MACRO_F1
from trainers.compare.parts.slices import MAX_LABEL_SLICES
from trainers.job.spec import JobResult


def entities() -> TaskSpec:
    return TaskSpec(
        name="news-entities", kind="ner", backend="spacy", base_model="blank:en", labels="open", promotion={"metric": "entity_f1"}
    )


def some_labels(rows: int = 300, classes: str = "abcd") -> tuple[list[str], list[str], list[str]]:
    rng = np.random.default_rng(2)
    gold = rng.choice(list(classes), rows)
    candidate = np.where(rng.random(rows) < 0.8, gold, rng.choice(list(classes), rows))
    opponent = np.where(rng.random(rows) < 0.6, gold, rng.choice([*classes, "never in gold"], rows))
    return [str(each) for each in gold], [str(each) for each in candidate], [str(each) for each in opponent]


def test_macro_f1_is_over_the_labels_in_gold_or_in_either_models_answers() -> None:
    gold, candidate, opponent = some_labels()
    seen = compared(topics(), labelled(gold, candidate, opponent))
    labels = sorted({*gold, *candidate, *opponent})
    assert "never in gold" in labels
    assert seen.candidate_score == pytest.approx(f1_score(gold, candidate, average="macro", labels=labels, zero_division=0))
    assert seen.champion_score == pytest.approx(f1_score(gold, opponent, average="macro", labels=labels, zero_division=0))
    assert seen.gain == pytest.approx(seen.candidate_score - seen.champion_score)
    assert seen.required_gain == pytest.approx(0.05 * seen.champion_score)


def test_accuracy_and_discordance() -> None:
    gold, candidate, opponent = some_labels()
    seen = compared(topics(metric="accuracy"), labelled(gold, candidate, opponent))
    assert seen.candidate_score == pytest.approx(accuracy_score(gold, candidate))
    right = [(g == c) != (g == o) for g, c, o in zip(gold, candidate, opponent, strict=True)]
    assert seen.discordant == pytest.approx(sum(right) / len(right))


def test_entity_f1_is_micro_over_spans() -> None:
    def spans(*found: tuple[int, int, str]) -> dict[str, object]:
        return {"spans": [{"start": start, "end": end, "label": label} for start, end, label in found]}

    gold = [spans((0, 4, "ORG"), (10, 14, "GPE")), spans((0, 3, "PERSON")), spans()]
    candidate = [spans((0, 4, "ORG"), (10, 14, "ORG")), spans((0, 3, "PERSON")), spans((5, 6, "DATE"))]
    opponent = [spans(), spans(), spans()]
    seen = compared(entities(), table(gold, candidate, opponent))
    assert seen.candidate_score == pytest.approx(2 * 2 / (3 + 4))
    assert seen.champion_score == 0.0
    assert seen.discordant == pytest.approx(2 / 3)


def test_only_test_rows_decide_and_the_others_are_slices() -> None:
    gold, candidate, opponent = some_labels(100)
    deciding = labelled(gold, candidate, opponent)
    anchor = labelled(gold[:40], gold[:40], opponent[:40], role="anchor")
    corrections = labelled(gold[:20], gold[:20], ["wrong"] * 20, role="corrections")
    seen = compared(topics(), pa.concat_tables([corrections, deciding, anchor]))
    alone = compared(topics(), deciding)
    assert (seen.rows, seen.gain, seen.lower_bound) == (100, alone.gain, alone.lower_bound)
    assert seen.anchor is not None
    # Right everywhere; the label that only the opponent answers is a class of both.
    assert (seen.anchor.rows, seen.anchor.candidate_score) == (40, pytest.approx(4 / 5))
    by_name = {part.name: part for part in seen.slices}
    assert by_name["corrections"].champion_score == 0.0
    assert by_name["corrections"].gain == pytest.approx(4 / 5)


def test_slices_are_the_newest_quarter_languages_and_labels_with_ten_rows() -> None:
    gold = ["common"] * 88 + ["rare"] * 12
    languages = ["en"] * 80 + ["sv"] * 15 + ["de"] * 5
    shuffled = labelled(gold, gold, ["common"] * 100, languages=languages).take(
        pa.array(np.random.default_rng(0).permutation(100))
    )
    by_name = {part.name: part for part in compared(topics(), shuffled).slices}
    assert set(by_name) == {"newest", "language:en", "language:sv", "label:common", "label:rare"}
    assert (by_name["newest"].rows, by_name["newest"].champion_score) == (25, pytest.approx(0.5 * (2 * 13 / (25 + 13))))
    assert (by_name["label:rare"].rows, by_name["label:rare"].champion_score, by_name["label:rare"].candidate_score) == (
        12,
        0.0,
        1.0,
    )
    assert by_name["label:common"].champion_score == pytest.approx(f1_score(gold, ["common"] * 100, pos_label="common"))


def test_stories_are_counted_and_a_row_without_one_stands_alone() -> None:
    gold, candidate, opponent = some_labels(6)
    seen = compared(topics(), labelled(gold, candidate, opponent, stories=["s1", "s1", "s2", "s2", None, None]))
    assert (seen.rows, seen.stories) == (6, 4)


def test_rows_of_one_document_are_one_cluster_and_stories_join_documents() -> None:
    gold, candidate, opponent = some_labels(8)
    documents = ["d1", "d1", "d2", "d3", "d3", None, None, "d4"]
    stories = ["s1", "s2", "s2", "s3", "s4", "s4", "s5", "s6"]
    # d1 and d2 share s2, d3 and a row of its own share s4.
    seen = compared(topics(), labelled(gold, candidate, opponent, stories=stories, documents=documents))
    assert (seen.rows, seen.stories) == (8, 4)


def test_sentences_of_few_documents_are_weak_evidence() -> None:
    gold = ["a", "b"] * 100
    candidate = gold
    opponent = ["a" if at % 40 < 12 else label for at, label in enumerate(gold)]
    documents = [f"d{at // 20}" for at in range(200)]
    alone = compared(topics(metric="accuracy"), labelled(gold, candidate, opponent))
    together = compared(topics(metric="accuracy"), labelled(gold, candidate, opponent, documents=documents))
    assert (alone.gain, alone.stories, together.stories) == (together.gain, 200, 10)
    assert together.standard_error > 1.5 * alone.standard_error
    assert together.p_equal > 10 * alone.p_equal


def test_no_test_rows_at_all() -> None:
    gold, candidate, opponent = some_labels(20)
    seen = compared(topics(), labelled(gold, candidate, opponent, role="corrections"))
    assert (seen.rows, seen.stories, seen.gain, seen.p_equal, seen.required_rows) == (0, 0, 0.0, 1.0, 0)


def test_a_first_model_has_no_minimum() -> None:
    gold, candidate, opponent = some_labels()
    assert compared(topics(), labelled(gold, candidate, opponent), champion=None).required_gain == 0.0


@pytest.mark.parametrize(
    ("improvement", "champion", "points"),
    [("relative", 0.8, 0.04), ("absolute", 0.8, 0.05), ("error_reduction", 0.8, 0.01), ("relative", 0.0, 0.0),
     ("relative", 0.96, math.inf), ("absolute", 0.951, math.inf), ("error_reduction", 0.999, 0.00005)],
)  # fmt: skip
def test_required_gain_in_points(improvement: str, champion: float, points: float) -> None:
    policy = Promotion.model_validate({"metric": "accuracy", "min_improvement": 0.05, "improvement": improvement})
    assert required_gain(policy, champion, ACCURACY.scale) == pytest.approx(points)


def test_an_infinite_required_gain_survives_json() -> None:
    gold = ["a", "b"] * 100
    seen = compared(topics(), labelled(gold, gold, gold))
    assert seen.required_gain == math.inf
    result = JobResult(run_id="run-1", status="done", comparison=seen)
    assert JobResult.model_validate_json(result.model_dump_json()) == result
    stored = json.loads(json.dumps(seen.model_dump(mode="json"), allow_nan=False))
    assert Comparison.model_validate(stored) == seen


def test_however_many_labels_gold_has_the_tallies_grow_with_what_the_models_answer() -> None:
    gold = [f"tag-{number}" for number in range(300) for _ in range(12)] + ["a"] * 30
    candidate, opponent = ["a"] * len(gold), ["b"] * len(gold)
    scores = labelled(gold, candidate, opponent)
    answers = Answers.read(scores).columns
    assert MACRO_F1.pair(*answers).shared.shape == (len(gold), 2)
    assert len(MACRO_F1.label_detail(*answers).by_label) == 302
    seen = compared(topics(slices=[{"slice": "label:tag-99", "max_drop": 0.1, "min_rows": 5}]), scores)
    labels = sorted({*gold, "b"})
    assert seen.candidate_score == pytest.approx(f1_score(gold, candidate, average="macro", labels=labels, zero_division=0))
    named = [part.name for part in seen.slices if part.name.startswith("label:")]
    assert len(named) == MAX_LABEL_SLICES + 1
    assert {"label:a", "label:tag-99"} <= set(named), "the one with most rows, and the one that a guard names"


def test_of_very_many_scores_the_highest_are_kept() -> None:
    class Knows:
        def predict(self, texts: Sequence[str]) -> list[dict[str, object]]:
            return [{"label": "tag-0", "scores": {f"tag-{n}": 1 / (n + 1) for n in range(5_000)}} for _ in texts]

    rows = (
        labelled(["tag-0"] * 3, ["a"] * 3, ["a"] * 3).drop_columns(["candidate", "opponent"]).rename_columns({"gold": "target"})
    )
    rows = rows.append_column("text", pa.array(["x", "y", "z"]))
    rows = rows.append_column("scope", pa.nulls(3, pa.list_(pa.string())))
    scored = scoring.score(Knows(), Knows(), rows, align=lambda _text, targets: targets)
    kept = json.loads(scored["candidate"][0].as_py())
    assert list(kept["scores"])[:2] == ["tag-0", "tag-1"]
    assert len(kept["scores"]) < 50


def test_of_texts_with_several_labels_every_probability_is_kept_for_calibration() -> None:
    class Knows:
        def predict(self, texts: Sequence[str]) -> list[dict[str, object]]:
            return [{"labels": ["tag-0"], "scores": {f"tag-{n}": 1 / (n + 1) for n in range(60)}} for _ in texts]

    rows = labelled(["tag-0"] * 3, ["a"] * 3, ["a"] * 3).drop_columns(["candidate", "opponent", "gold"])
    rows = rows.append_column("target", pa.array([json.dumps({"labels": ["tag-0"]})] * 3))
    rows = rows.append_column("text", pa.array(["x", "y", "z"]))
    rows = rows.append_column("scope", pa.nulls(3, pa.list_(pa.string())))
    scored = scoring.score(Knows(), Knows(), rows, align=lambda _text, targets: targets)
    assert len(json.loads(scored["candidate"][0].as_py())["scores"]) == 60


@pytest.mark.parametrize(
    ("opponent", "words"),
    [("desk/v3", "desk/v3"), ("baseline: untouched blank:en", "the baseline (untouched blank:en)")],
)
def test_an_opponent_has_a_name_in_sentences(opponent: str, words: str) -> None:
    seen = compared(topics(), labelled(*some_labels())).model_copy(update={"opponent": opponent})
    assert seen.opponent_in_words == words
