from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from thinc.api import Adam

from config.errors import RunFailedError
from config.settings import SHIPPED_TASKS_DIR
from config.task_files.sections.training import Training
from config.tasks import TaskSpec, load_task
from perennial_artifact.pieces import pieces
from perennial_artifact.spacy.entities import borders_of
from tests.support.ner_rows import example, examples
from tests.support.opening import opened
from trainers.compare.metrics.entities import entity_scores
from trainers.hardware import Hardware
from trainers.learners.entities.alignment import Tokens, as_compared
from trainers.learners.protocols import Example, Refresher, TrainingPlan, TrainingStep
from trainers.learners.spacy import training as spacy_training
from trainers.learners.spacy.ner import SpacyNerLearner
from trainers.learners.spacy.rows import TokenRow, lay_on_tokens, learnable_types
from trainers.learners.spacy.schedule import batches_of, epochs_of
from trainers.learners.tried import Tried

pytestmark = pytest.mark.slow

CPU = Hardware("cpu", "fp32", 1)


def spec_with(**training: Any) -> TaskSpec:
    shipped = load_task(SHIPPED_TASKS_DIR / "news-entities.yaml")
    values = shipped.model_dump() | {"labels": "open", "label_names": (), "new_label_min_examples": 3}
    values |= {key: training.pop(key) for key in list(training) if key in values}
    values["training"] = values["training"] | training
    return TaskSpec.model_validate(values)


def learn(
    output: Path,
    rows: Sequence[Example],
    *,
    spec: TaskSpec | None = None,
    warm_start: Path | None = None,
    seed: int = 20,
    steps: list[TrainingStep] | None = None,
    tried: list[Tried] | None = None,
    learner: Refresher | None = None,
) -> Path:
    plan = TrainingPlan(
        spec=spec or spec_with(full_epochs=10, epochs=8, full_learning_rate=4e-3, learning_rate=2e-3),
        rows=rows,
        full=warm_start is None,
        warm_start=warm_start,
        seed=seed,
        hardware=CPU,
        batch_size=4,
        work_dir=output.parent,
        report=(steps if steps is not None else []).append,
        score=lambda gold, answers: entity_scores(gold, answers).overall.f1,
        note_tried=(tried if tried is not None else []).append,
    )
    (learner or SpacyNerLearner()).train(plan, output)
    return output


def spans_of(text: str, *triples: tuple[int, int, str]) -> Example:
    return Example("e", text, {"spans": [{"start": start, "end": end, "label": label} for start, end, label in triples]})


def f1(folder: Path, rows: Sequence[Example]) -> dict[str, float]:
    answers = opened(folder).predict([row.text for row in rows])
    scores = entity_scores([row.target for row in rows], answers)
    return {label: counts.f1 for label, counts in scores.per_type.items()}


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows people and places."""
    return learn(tmp_path_factory.mktemp("champion") / "model", examples(60, types=("PERSON", "GPE")))


def test_custom_types_are_learnt_from_a_blank_pipeline(tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    model = learn(tmp_path / "model", examples(60), steps=steps)

    assert all(score > 0.9 for score in f1(model, examples(40, seed=1)).values())
    assert opened(model).labels == ("GPE", "NEWS_ORG", "PERSON")  # type: ignore[attr-defined]  # spaCy's own
    assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))
    assert steps[-1].epoch == pytest.approx(10)
    assert steps[-1].loss < steps[0].loss / 5
    assert steps[-1].examples_per_s > 0


def test_a_warm_start_keeps_the_old_types_and_adds_the_new_one(champion: Path, tmp_path: Path) -> None:
    assert f1(champion, examples(40, seed=1, types=("PERSON", "GPE")))["GPE"] > 0.9

    model = learn(tmp_path / "model", examples(40, seed=2), warm_start=champion)

    scores = f1(model, examples(40, seed=3))
    assert set(scores) == {"PERSON", "GPE", "NEWS_ORG"}
    assert min(scores.values()) > 0.85


def test_a_small_run_on_many_older_rows_says_what_it_tried(champion: Path, tmp_path: Path) -> None:
    older = [replace(row, example_id=f"old-{at}", is_new=False) for at, row in enumerate(examples(500, types=("PERSON", "GPE")))]
    newer = [replace(row, example_id=f"new-{at}") for at, row in enumerate(examples(20, seed=2))]
    tried: list[Tried] = []
    spec = spec_with(epochs=4, replay_epochs=1, learning_rate=2e-3)
    learn(tmp_path / "model", [*older, *newer], spec=spec, warm_start=champion, tried=tried)

    assert [one.name for one in tried][:2] == ["champion", "candidate"]
    assert len(tried) == 5
    assert sum(one.chosen for one in tried) == 1
    assert all(set(one.scores) == {"older"} for one in tried)
    assert tried[1].cpu_s > tried[2].cpu_s > 0
    assert min(f1(tmp_path / "model", examples(40, seed=3, types=("PERSON", "GPE"))).values()) > 0.8


def test_a_partial_target_does_not_teach_that_the_rest_is_no_entity(champion: Path, tmp_path: Path) -> None:
    whole = examples(40, seed=4, types=("NEWS_ORG",))
    partial = [Example(row.example_id, row.text, {**row.target, "partial": True}, row.weight) for row in whole]
    replayed, test = examples(10, seed=6), examples(40, seed=5)

    from_partial = f1(learn(tmp_path / "partial", [*partial, *replayed], warm_start=champion), test)
    from_whole = f1(learn(tmp_path / "whole", [*whole, *replayed], warm_start=champion), test)

    # Rows that say "this and nothing else" unlearn people and places; rows that say "this, the rest is unknown" do not.
    assert min(from_partial.values()) > 0.85
    assert from_whole["PERSON"] < from_partial["PERSON"] - 0.1
    assert from_whole["GPE"] < from_partial["GPE"] - 0.1


def test_tokens_a_partial_target_does_not_speak_of_are_missing_not_outside() -> None:
    nlp = spacy.blank("en")
    row = example("Ada Lovelace reads the Evening Post", ("Evening Post", "NEWS_ORG"), partial=True)
    (laid,), _report = lay_on_tokens(nlp, [row], ("NEWS_ORG",))
    _entities, tags = laid.example(nlp).get_aligned_ents_and_ner()
    assert tags == [None, None, None, None, "B-NEWS_ORG", "L-NEWS_ORG"]


def test_the_same_seed_gives_the_same_answers_and_bytes(tmp_path: Path) -> None:
    rows = examples(20)
    spec = spec_with(full_epochs=3)
    first, second = (learn(tmp_path / name, rows, spec=spec) for name in ("first", "second"))
    other = learn(tmp_path / "other", rows, spec=spec, seed=21)
    assert (first / "ner" / "model").read_bytes() == (second / "ner" / "model").read_bytes()
    assert (first / "ner" / "model").read_bytes() != (other / "ner" / "model").read_bytes()


def test_batches_that_are_accumulated_make_one_step_and_the_last_one_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Adam] = []
    monkeypatch.setattr(spacy_training, "Adam", lambda *values, **options: made.append(Adam(*values, **options)) or made[-1])
    steps: list[TrainingStep] = []
    spec = spec_with(full_epochs=4, full_learning_rate=4e-3, gradient_accumulation=5)
    learn(tmp_path / "model", examples(60), spec=spec, steps=steps)
    batches = steps[-1].steps
    assert batches > 6
    assert batches % 5, "the last step has fewer batches"
    assert max(made[0].nr_update.values()) == math.ceil(batches / 5)


def test_offsets_are_code_points(champion: Path) -> None:
    text = "😀😀 Ada Lovelace arrived in Paris on Monday ."
    (answer,) = opened(champion).predict([text])
    assert [text[span["start"] : span["end"]] for span in answer["spans"]] == ["Ada Lovelace", "Paris"]


def test_odd_texts_are_answered(champion: Path) -> None:
    answers = opened(champion).predict(["", "   \n", "\ud800 broken \udfff", "Ada Lovelace arrived in Paris ."])
    assert len(answers) == 4
    assert answers[0] == answers[1] == {"spans": []}
    assert [span["label"] for span in answers[3]["spans"]] == ["PERSON", "GPE"]


def test_a_very_long_text_is_answered_in_pieces_with_offsets_of_the_whole(champion: Path) -> None:
    sentence = "Ada Lovelace arrived in Paris on Monday .\n"
    text = sentence * 1_500
    (answer,) = opened(champion).predict([text])
    found = {text[span["start"] : span["end"]] for span in answer["spans"]}
    assert len(answer["spans"]) == 3_000
    assert found == {"Ada Lovelace", "Paris"}


def test_a_long_row_is_learnt_in_pieces_that_cut_no_span() -> None:
    text = "word " * 1_999 + "Ada Lovelace " + "word " * 3_000
    where = text.index("Ada Lovelace")
    row = spans_of(text, (where, where + len("Ada Lovelace"), "PERSON"))

    laid, report = lay_on_tokens(spacy.blank("en"), [row], ("PERSON",))

    assert "".join(part.text for part in laid) == text
    assert max(len(part.text) for part in laid) <= 10_000
    assert (report.exact, report.skipped) == (1, 0)
    assert [len(part.entities) for part in laid].count(1) == 1


@pytest.mark.parametrize("text", ["", "short", "a" * 45, "one two " * 10, "first\n\nsecond third fourth\nfifth sixth " * 4])
def test_pieces_cover_the_text_and_stay_short(text: str) -> None:
    parts = list(pieces(text, longest=20))
    assert "".join(text[start:end] for start, end in parts) == text
    assert all(end - start <= 20 for start, end in parts)


def test_a_service_keeps_no_word_it_has_seen(champion: Path) -> None:
    predictor = opened(champion)
    nlp = predictor._nlp  # type: ignore[attr-defined]  # what spaCy would keep is in here
    predictor.predict(["Ada Lovelace arrived ."])
    before = len(nlp.vocab.strings)
    predictor.predict([f"unseen{number}word here" for number in range(200)])
    assert len(nlp.vocab.strings) == before


def test_spans_that_fit_no_token_are_widened_or_left_unknown_and_counted() -> None:
    rows = [
        example("Londoners met Turing today", ("London", "GPE"), ("Turing", "PERSON")),  # begins in a token
        example("He saw Ada Lovelace there", ("Ada", "PERSON"), (" Lovelace ", "PERSON")),  # white space around it
        example("The\n\nend", ("\n\n", "GPE")),
        spans_of("Parisian", (0, 5, "GPE"), (5, 8, "GPE")),  # both in one token: the first has it
    ]

    laid, report = lay_on_tokens(spacy.blank("en"), [*rows, example("")], ("GPE", "PERSON"))

    assert [row.entities for row in laid] == [
        ((0, 1, "GPE"), (2, 3, "PERSON")),
        ((2, 3, "PERSON"), (3, 4, "PERSON")),
        (),
        ((0, 1, "GPE"),),
    ]
    assert (report.exact, report.expanded, report.skipped, report.empty_rows) == (3, 2, 2, 1)
    assert str(report) == (
        "2 spans widened to token borders; 2 spans skipped (no token of their own); 1 rows without a word skipped"
    )


def test_a_skipped_span_leaves_its_tokens_out_of_the_loss() -> None:
    nlp = spacy.blank("en")
    (laid,), report = lay_on_tokens(nlp, [spans_of("abcd efgh ijkl", (0, 2, "GPE"), (2, 9, "GPE"))], ("GPE",))
    _entities, tags = laid.example(nlp).get_aligned_ents_and_ner()
    assert report.skipped == 1
    assert tags == ["U-GPE", None, "O"]


def test_alignment_counts_reach_the_history(tmp_path: Path) -> None:
    rows = [*examples(10), example("Londoners met Turing today", ("London", "GPE"))]
    steps: list[TrainingStep] = []
    learn(tmp_path / "model", rows, spec=spec_with(full_epochs=1), steps=steps)
    assert steps[0].message == "1 spans widened to token borders"


def test_a_new_type_joins_once_enough_rows_carry_it() -> None:
    rows = [example("A b", ("A", "RARE")), example("A b", ("A", "RARE")), *[example("C d", ("C", "COMMON"))] * 3]
    three, two = spec_with(new_label_min_examples=3), spec_with(new_label_min_examples=2)
    assert learnable_types(three, rows, known=()) == ["COMMON"]
    assert learnable_types(two, rows, known=("OLD",)) == ["COMMON", "OLD", "RARE"]
    assert learnable_types(spec_with(labels="closed", label_names=("OLD",)), rows, known=("OLD",)) == ["OLD"]
    assert learnable_types(two, rows, known=("OLD",), waiting={"COMMON", "OLD"}) == ["OLD", "RARE"], "learnt stays learnt"
    assert learnable_types(spec_with(new_label_min_examples=2, max_labels=2), rows, known=("OLD",)) == ["COMMON", "OLD"]

    laid, report = lay_on_tokens(spacy.blank("en"), rows, ("COMMON",))
    assert report.not_yet_learnt == 2
    assert laid[0].unknown == ((0, 1),)


def test_rows_without_a_type_to_learn_fail_the_run_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="a type joins when 3 rows carry it"):
        learn(tmp_path / "model", [example("Paris is big", ("Paris", "GPE"))])
    assert not (tmp_path / "model").exists()


def test_a_light_row_is_seen_in_a_share_of_the_epochs() -> None:
    nlp = spacy.blank("en")
    light = [Example(row.example_id, row.text, row.target, 0.3) for row in examples(50)]
    laid, _report = lay_on_tokens(nlp, [*light, *examples(50)], ("PERSON",))
    seen = [row for drawn in epochs_of(laid, Training(full_epochs=20), full=True, seed=1) for row in drawn]
    assert sum(row.weight == 1.0 for row in seen) == 50 * 20
    assert sum(row.weight < 1.0 for row in seen) == pytest.approx(50 * 20 * 0.3, rel=0.15)


@pytest.mark.parametrize(("count", "first_words"), [(20, 64), (700, 126), (3_000, 300)])
def test_the_first_batches_are_small_where_rows_are_few(count: int, first_words: int) -> None:
    (row,), _report = lay_on_tokens(spacy.blank("en"), [Example("e", "w " * 8 + "w", {"spans": []})], ())
    _epoch, batch = next(batches_of([[row] * count], 32))
    assert sum(each.words for each in batch) == pytest.approx(first_words, rel=0.3)


def passes(rows: Sequence[TokenRow], **training: Any) -> list[int]:
    """How often an incremental run sees each row."""
    drawn = epochs_of(rows, Training(**training), full=False, seed=3)
    assert len(drawn) == Training(**training).epochs
    return [sum(each is row for epoch in drawn for each in epoch) for row in rows]


def test_older_rows_have_their_own_number_of_passes_and_rare_types_more() -> None:
    common = [example("Ada is here", ("Ada", "PERSON")) for _ in range(400)]
    rare = [example("Oslo is here", ("Oslo", "GPE")) for _ in range(30)]
    older = [replace(row, is_new=False) for row in (*common, *rare)]
    rows, _report = lay_on_tokens(spacy.blank("en"), [*older, *common[:5]], ("PERSON", "GPE"))

    found = passes(rows, epochs=8, replay_epochs=2)
    assert set(found[:400]) == {2}
    assert set(found[400:430]) == {8}, "30 entities are fewer than enough, however often they come"
    assert set(found[430:]) == {8}
    assert set(passes(rows, epochs=4)) == {4}, "without replay_epochs all rows are seen alike"


def test_the_passes_of_older_rows_are_spread_over_the_run() -> None:
    rows, _report = lay_on_tokens(spacy.blank("en"), [replace(row, is_new=False) for row in examples(200)], ())
    drawn = epochs_of(rows, Training(epochs=5, replay_epochs=1), full=False, seed=0)
    assert sum(map(len, drawn)) == 200
    assert all(20 < len(epoch) < 60 for epoch in drawn)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline as spaCy ships them: one tok2vec that a tagger and the recogniser listen to, and a rule-based pipe."""
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "*"}
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}}).add_label("NN")
    nlp.add_pipe("ner", config={"model": {"tok2vec": listener}}).add_label("CARDINAL")
    nlp.add_pipe("sentencizer")
    nlp.initialize()
    folder = tmp_path_factory.mktemp("installed") / "pipeline"
    nlp.to_disk(folder)
    return folder


def weights(pipe: Any) -> list[Any]:
    layers = list(pipe.model.walk())
    return [layer.get_param(name) for layer in layers for name in layer.param_names if layer.has_param(name)]


def test_an_installed_pipeline_keeps_its_other_pipes_untouched(installed: Path, tmp_path: Path) -> None:
    spec = spec_with(base_model=str(installed), full_epochs=10, full_learning_rate=4e-3)
    model = learn(tmp_path / "model", examples(60), spec=spec)

    before, after = spacy.load(installed), spacy.load(model)
    assert after.pipe_names == before.pipe_names
    for name in ("tok2vec", "tagger"):
        for left, right in zip(weights(before.get_pipe(name)), weights(after.get_pipe(name)), strict=True):
            np.testing.assert_array_equal(left, right)
    assert min(f1(model, examples(30, seed=1)).values()) > 0.8


def test_the_untouched_base_is_the_baseline_where_the_task_says_so(installed: Path) -> None:
    texts = ["Ada Lovelace arrived in Paris on Monday ."] * 2
    values = spec_with(base_model=str(installed)).model_dump()
    values["promotion"] = values["promotion"] | {"baseline": "base"}
    task = SpacyNerLearner()
    answers = task.baseline(TaskSpec.model_validate(values), []).predict(texts)
    assert [set(answer) for answer in answers] == [{"spans"}, {"spans"}]

    closed = TaskSpec.model_validate(values | {"labels": "closed", "label_names": ("PERSON",)})
    assert all(span["label"] == "PERSON" for answer in task.baseline(closed, []).predict(texts) for span in answer["spans"])
    assert task.baseline(spec_with(), []).predict(texts) == [{"spans": []}, {"spans": []}]


def test_a_closed_task_answers_only_with_its_own_types_and_goes_on_so(installed: Path, tmp_path: Path) -> None:
    spec = spec_with(base_model=str(installed), labels="closed", label_names=("PERSON", "GPE"), full_epochs=4, epochs=1)
    model = learn(tmp_path / "first", examples(40), spec=spec)
    for folder in (model, learn(tmp_path / "second", examples(10), spec=spec, warm_start=model)):
        predictor = opened(folder)
        assert predictor.labels == ("GPE", "PERSON")  # type: ignore[attr-defined]  # spaCy's own
        spans = [span for answer in predictor.predict([row.text for row in examples(30)]) for span in answer["spans"]]
        assert {span["label"] for span in spans} <= {"GPE", "PERSON"}


@pytest.mark.parametrize("base", ["blank:nolanguage", "no_such_pipeline"])
def test_a_base_that_is_not_there_fails_the_run_and_says_what_to_do(base: str, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"blank:en|check that it is installed"):
        learn(tmp_path / "model", examples(10), spec=spec_with(base_model=base))


def test_a_damaged_model_folder_is_named(champion: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in champion.rglob("*"):
        if path.is_file():
            (broken / path.relative_to(champion)).parent.mkdir(parents=True, exist_ok=True)
            (broken / path.relative_to(champion)).write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunFailedError, match=str(broken)):
        opened(broken)


def aligned(text: str, *marks: tuple[int, int], nlp: spacy.Language | None = None) -> list[str]:
    """Return the slices that marks of one type become before they are compared."""
    gold = {"spans": [{"start": start, "end": end, "label": "ORG"} for start, end in marks]}
    compared = as_compared(text, gold, Tokens.of(borders_of(nlp or spacy.blank("en"), text)))
    return [text[span["start"] : span["end"]] for span in compared["spans"]]


@pytest.mark.parametrize(
    ("text", "mark", "compared"),
    [
        ("Acme Corp met.", (0, 10), "Acme Corp"),  # a space too much behind
        ("At Acme Bank.", (2, 12), "Acme Bank"),  # and before
        ("At  Acme\u00a0 here", (2, 10), "Acme"),  # several, one of them unbreakable
        ("At\nAcme\r\nhere", (2, 9), "Acme"),
        ("Acme Corporation met.", (0, 9), "Acme Corporation"),  # half a word
        ("The Acme's plant", (4, 8), "Acme"),  # the clitic is a token of its own
        ("(Acme) met", (0, 6), "(Acme)"),  # as marked, tokens they are
        ("U.K.-based Acme", (0, 4), "U.K.-based"),
        ("x" * 9_999 + " Acme met", (10_000, 10_005), "Acme"),  # behind the border of a piece
    ],
)
def test_gold_is_laid_on_tokens_before_it_is_compared(text: str, mark: tuple[int, int], compared: str) -> None:
    assert aligned(text, mark) == [compared]


def test_languages_without_spaces_are_compared_on_the_tokens_that_were_learnt() -> None:
    text = "东京大学在东京。"
    # Character by character in blank:zh, one token in blank:xx; gold and answers meet on either.
    assert aligned(text, (0, 4), nlp=spacy.blank("zh")) == ["东京大学"]
    whole = aligned(text, (0, 4), nlp=spacy.blank("xx"))
    assert whole == aligned(text, (0, 2), nlp=spacy.blank("xx")) == aligned(text, (0, 6), nlp=spacy.blank("xx"))


def test_a_span_that_shares_a_token_is_unknown_before_scoring_as_before_training() -> None:
    nlp = spacy.blank("en")
    row = spans_of("AcmeCorp met Vigo", (0, 4, "ORG"), (4, 12, "ORG"))
    (laid,), report = lay_on_tokens(nlp, [row], ("ORG",))
    compared = as_compared(row.text, row.target, Tokens.of(borders_of(nlp, row.text)))
    assert (laid.entities, laid.unknown, report.skipped) == (((0, 1, "ORG"),), ((1, 2),), 1)
    assert compared["spans"] == [{"start": 0, "end": 8, "label": "ORG"}]
    assert compared["unknown"] == [[9, 12]]
    assert entity_scores([compared], [{"spans": [{"start": 9, "end": 12, "label": "ORG"}]}]).overall.false_positive == 0


def test_careless_marks_train_and_score_like_clean_ones(tmp_path: Path) -> None:
    def careless(row: Example, at: int) -> Example:
        # In turns a space behind, a space before, both; where there is none the mark stays.
        before, behind = (at % 3 != 0), (at % 3 != 1)
        spans = [
            dict(
                span,
                start=span["start"] - (before and row.text[span["start"] - 1 : span["start"]] == " "),
                end=span["end"] + (behind and row.text[span["end"] : span["end"] + 1] == " "),
            )
            for span in row.target["spans"]
        ]
        return Example(row.example_id, row.text, {"spans": spans}, row.weight)

    clean = examples(60, types=("PERSON", "GPE"))
    marked = [careless(row, at) for at, row in enumerate(clean)]
    assert sum(one.target != other.target for one, other in zip(clean, marked, strict=True)) > 40
    spec = spec_with(full_epochs=6, full_learning_rate=4e-3)
    scores = []
    for name, rows in (("clean", clean), ("marked", marked)):
        task = SpacyNerLearner()
        model = opened(learn(tmp_path / name, rows, spec=spec))
        answers = model.predict([row.text for row in rows])
        align = task.aligner(model)
        pairs = [align(row.text, [row.target, answer]) for row, answer in zip(rows, answers, strict=True)]
        scores.append(entity_scores([gold for gold, _ in pairs], [answer for _, answer in pairs]))
    assert scores[0] == scores[1]
    assert scores[0].overall.f1 > 0.9


def test_answers_never_begin_or_end_with_white_space(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ORG", "pattern": [{"IS_SPACE": True}, {"TEXT": "Acme"}, {"IS_SPACE": True}]}])  # type: ignore[attr-defined]  # of the ruler
    ruler.add_patterns([{"label": "GPE", "pattern": [{"TEXT": "Vigo"}, {"IS_SPACE": True}, {"IS_SPACE": True}]}])  # type: ignore[attr-defined]
    ruler.add_patterns([{"label": "GPE", "pattern": [{"TEXT": "\n\n"}]}])  # type: ignore[attr-defined]
    nlp.to_disk(tmp_path / "model")
    texts = ["At  Acme  today", "In\n\nBrno", "At\u00a0 Acme \u2003", "plain"]
    answers = opened(tmp_path / "model").predict(texts)
    found = [[text[span["start"] : span["end"]] for span in answer["spans"]] for text, answer in zip(texts, answers, strict=True)]
    assert all(part == part.strip() != "" for parts in found for part in parts)
    assert found[0] == ["Acme"]
    assert found[1] == found[3] == []
