"""Labels of a simulated language model: oracle, student, people's labels and a cheap baseline, each against the truth.

AG News. The oracle answers as a language model does: through the program's own asking, ledger and reading of answers, with an
endpoint in this process that knows the truth and errs. A stated share of its answers is wrong, by the classes that are confused
(structured noise), and it states a confidence that is too high, a little lower where it is wrong. The student is a head on
`minilm`'s embeddings of the texts that the oracle labelled, by what such a label weighs: 1, the stated confidence, or this times
what people's labels of 80 texts say of it. The baseline is TF-IDF and scikit-learn's logistic regression on the same labels. What
200 labels of people give alone, and the truth of all texts, stand beside. All are tested on the same texts with true labels.
"""

from __future__ import annotations

import csv
import json
import lzma
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from benchmarks import report
from config.settings import load_settings
from config.tasks import TaskSpec
from consumers.enrichment.embedding import Encoder
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.asking import Oracle, Text
from consumers.labelling.oracle.belief import belief, weight_of
from consumers.labelling.oracle.endpoint import Reply
from consumers.labelling.oracle.ledger import Cap, Ledger, Price
from perennial_artifact.sentence.head import Matrix
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.heads.validation.forward import Choice, choose, solved

_NAMES = ("world", "sport", "business", "technology")
_CONFUSED = ((0.0, 0.1, 0.5, 0.4), (0.7, 0.0, 0.15, 0.15), (0.35, 0.05, 0.0, 0.6), (0.25, 0.05, 0.7, 0.0))
_WRONG = (0.1, 0.3)
_TRAIN, _TEST, _SEEDS = 2_000, 2_000, 3
_PEOPLE, _CALIBRATING = 200, 80
_CHOICE = Choice(half_life_days=None, prior_days=None)
_ARTICLE = re.compile(r"<<<article [0-9a-f]+>>>\n(.*)\n<<<end [0-9a-f]+>>>", re.DOTALL)
_TASK = TaskSpec.model_validate(
    {
        "name": "simulated", "kind": "classification", "backend": "transformer", "base_model": "minilm", "labels": "closed",
        "label_names": list(_NAMES), "promotion": {"metric": "macro_f1"}, "oracle": {"rubric": "What is the article about?"},
    }
)  # fmt: skip


class Noisy:
    """An endpoint that knows the truth and errs."""

    def __init__(self, truth: dict[str, int], wrong: float, seed: int) -> None:
        self._truth, self._wrong, self._seed = truth, wrong, seed

    def ask(self, messages: list[dict[str, str]]) -> Reply:
        """Answer; the same article gets the same answer."""
        found = _ARTICLE.search(messages[1]["content"])
        assert found is not None
        chance = np.random.default_rng([self._seed, *sha256(found[1].encode()).digest()[:8]])
        right = self._truth[found[1]]
        errs = chance.random() < self._wrong
        label = int(chance.choice(4, p=_CONFUSED[right])) if errs else right
        confidence = float(chance.beta(9, 2) if errs else chance.beta(24, 2))
        return Reply(json.dumps({"label": _NAMES[label], "confidence": round(confidence, 2)}), (100, 10))


def main() -> None:
    """Read the arguments, measure, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    train, test, seeds, shares = (600, 500, 3, (0.3,)) if arguments.quick else (_TRAIN, _TEST, _SEEDS, _WRONG)
    texts, truth = _read("ag_news/train_30k.csv.xz", train * seeds)
    test_texts, gold = _read("ag_news/test.csv.xz", test)
    encoder, began = Encoder("minilm"), time.process_time()
    features, tested = encoder.encode(texts), encoder.encode(test_texts)
    embedding_s = time.process_time() - began
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in range(seeds):
        part = slice(seed * train, (seed + 1) * train)
        here = _Here(texts[part], truth[part], features[part], test_texts, gold, tested)
        for wrong in shares:
            for name, scored in here.measured(wrong, seed):
                found[f"{wrong:.0%} wrong: {name}"].append(scored)
        for name, scored in here.of_truth():
            found[name].append(scored)
    about = {
        "texts": train, "tested": test, "seeds": seeds, "people": _PEOPLE, "calibrating": _CALIBRATING,
        "embedding_cpu_s": round(embedding_s, 1),
    }  # fmt: skip
    results = {name: _summary(runs) for name, runs in found.items()}
    report.write("oracle_sim", arguments, {**about, "results": results}, arguments.json)


@dataclass(frozen=True, slots=True)
class _Here:
    """The texts of one seed, and the texts that test."""

    texts: Sequence[str]
    truth: Ids
    features: Matrix
    test_texts: Sequence[str]
    gold: Ids
    tested: Matrix

    def measured(self, wrong: float, seed: int) -> list[tuple[str, dict[str, float]]]:
        """Return what oracle, students and baseline are worth."""
        began = time.process_time()
        said, of_test = self._asked(wrong, seed)
        asking_s = time.process_time() - began
        labels, answers = (np.array([_NAMES.index(one.target["label"]) for one in some]) for some in (said, of_test))
        checked = [(one, {"label": _NAMES[label]}) for one, label in zip(said, self.truth, strict=True)][:_CALIBRATING]
        trusted = belief(_TASK, checked)
        stated = np.array([one.confidence for one in said])
        weighed = np.array([weight_of(_TASK, one, trusted) for one in said])
        found = [("oracle", {**self._scored(answers), "cpu_s": asking_s})]
        for name, weights in (("1", np.ones(len(said))), ("stated confidence", stated), ("as the program weighs", weighed)):
            found.append((f"student, weight {name}", self._student(labels, weights)))
        # Beside people's labels a label weighs less than theirs, and only there does its absolute weight matter.
        both, weights = labels.copy(), weighed.copy()
        both[:_PEOPLE], weights[:_PEOPLE] = self.truth[:_PEOPLE], 1.0
        people = np.arange(len(both)) < _PEOPLE
        found.append((f"student, weighed, with {_PEOPLE} of people", self._student(both, weights, people=people)))
        found.append((f"student, weight 1, with {_PEOPLE} of people", self._student(both, np.ones(len(both)), people=people)))
        found.append(("TF-IDF baseline", self._baseline(labels)))
        return found

    def of_truth(self) -> list[tuple[str, dict[str, float]]]:
        """Return what people's few labels, and the truth of all texts, give."""
        few, every = slice(0, _PEOPLE), np.ones(len(self.truth), dtype=bool)
        return [
            (f"{_PEOPLE} of people: student", self._student(self.truth[few], np.ones(_PEOPLE), few, people=every[few])),
            (f"{_PEOPLE} of people: TF-IDF baseline", self._baseline(self.truth[few], few)),
            ("truth: student", self._student(self.truth, np.ones(len(self.truth)), people=every)),
            ("truth: TF-IDF baseline", self._baseline(self.truth)),
        ]

    def _asked(self, wrong: float, seed: int) -> tuple[list[Said], list[Said]]:
        truth = dict(zip([*self.texts, *self.test_texts], [*self.truth.tolist(), *self.gold.tolist()], strict=True))
        settings = load_settings(oracle={"model": "simulated", "concurrency": 1}).oracle
        with TemporaryDirectory() as folder, closing(Ledger(Path(folder), Price(0, 0), Cap(0, 10**12))) as ledger:
            oracle = Oracle(_TASK, settings, ledger, Noisy(truth, wrong, seed))
            found = {one.text.text_sha256: one.answer for one in oracle.ask_all(Text(_sha(text), text) for text in truth)}
        told = [found[_sha(text)] for text in [*self.texts, *self.test_texts]]
        said = [one for one in told if isinstance(one, Said)]
        assert len(said) == len(told), "every answer of this endpoint fits"
        return said[: len(self.texts)], said[len(self.texts) :]

    def _student(
        self, labels: Ids, weights: Floats, part: slice = slice(None), *, people: npt.NDArray[np.bool_] | None = None
    ) -> dict[str, float]:  # fmt: skip
        """Return what a head is worth; as in a run, rows that `people` labelled alone choose how it is solved. None: no row."""
        began, count = time.process_time(), len(labels)
        judging = np.zeros(count, dtype=bool) if people is None else people
        # The set has no dates: the order drawn is the order of time, and rows of people come among the others.
        days = np.random.default_rng(0).permutation(np.linspace(0.0, 365.0, count))
        rows = HeadRows(self.features[part], labels, weights, days, np.arange(count, dtype=np.intp), judging)
        head, _shares = solved(rows, choose(rows, _CHOICE, lambda _one: None))
        answers = head.labels[head.scores(self.tested).argmax(axis=1)]
        return {**self._scored(answers), "cpu_s": time.process_time() - began}

    def _baseline(self, labels: Ids, part: slice = slice(None)) -> dict[str, float]:
        began = time.process_time()
        words = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))
        model = LogisticRegression(max_iter=400).fit(words.fit_transform(self.texts[part]), labels)
        answers = model.predict(words.transform(self.test_texts))
        return {**self._scored(answers), "cpu_s": time.process_time() - began}

    def _scored(self, answers: Ids) -> dict[str, float]:
        return {
            "accuracy": float(accuracy_score(self.gold, answers)),
            "macro_f1": float(f1_score(self.gold, answers, average="macro")),
        }


def _summary(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    means = {name: round(statistics.mean(run[name] for run in runs), 4) for name in runs[0]}
    return means | {"accuracy by seed": [round(run["accuracy"], 4) for run in runs]}


def _read(name: str, most: int) -> tuple[list[str], Ids]:
    """Return texts, each once, and their labels from 0."""
    with lzma.open(report.data(name), "rt", encoding="utf-8") as lines:
        rows = {f"{title}\n\n{body}": int(label) - 1 for label, title, body in csv.reader(lines)}
    chosen = np.random.default_rng(7).permutation(len(rows))[:most]
    texts = list(rows)
    return [texts[place] for place in chosen], np.array([rows[texts[place]] for place in chosen], dtype=np.intp)


def _sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
