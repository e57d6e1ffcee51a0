"""Labels by a language model: judges its prompt on samples, and hands the labels of a judged prompt over to the daemon."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from config.errors import UserError
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.asking import Oracle, Text, prompt_of
from consumers.labelling.oracle.batches import jobs
from consumers.labelling.oracle.batches.batching import Batching, Told, give_up
from consumers.labelling.oracle.belief import NOTHING_KNOWN, Belief, belief
from consumers.labelling.oracle.calibration import samples, verdict
from consumers.labelling.oracle.calibration.samples import ByStratum, Drawn
from consumers.labelling.oracle.calibration.verdict import Judgement
from consumers.labelling.oracle.endpoint import Endpoint
from consumers.labelling.oracle.ledger import Cap, Ledger, Price, Sample, SampleName, Spent
from consumers.labelling.oracle.problems import Problem
from consumers.labelling.weak.labelling import find
from consumers.labelling.weak.stored import StoredLabel
from consumers.labelling.weak.texts import Texts, WeakText
from consumers.log.open import open_event_log
from daemon.operations.oracle.handing_over import Handover
from daemon.training.due import asking
from daemon.views import opening

Progress = Callable[[int, int], None]
"""Receives how many texts are done, of how many."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One judged sample."""

    name: SampleName
    seed: int
    sorted_by: str
    judgement: Judgement
    excerpts: Mapping[str, str] = field(default_factory=dict)
    """How the texts of its examples begin, by SHA-256. They are shown, and not kept."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What both samples say of the prompt in force."""

    task: str
    prompt: str
    may_label: bool
    samples: Sequence[Calibrated]
    fresh_before: Sample | None
    """The fresh sample, where this prompt was judged on one already: it is judged on no second one."""
    spent: Spent
    """On this task, ever."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a batch made."""

    task: str
    prompt: str
    forced: bool
    labelled: int
    cached: int
    """Of these the ones that had been answered, and paid, before."""
    refused: Mapping[str, int]
    """Texts without a label, by what was wrong with the answers."""
    stopped: str
    """Why texts were left over; empty where none were."""
    spent: Spent
    """On this task, ever."""
    withdrawn: int = 0
    """Labels of other prompts that left for these."""
    others: int = 0
    """Labels of other prompts that stand."""
    batch: Told | None = None
    """What batches brought, where they were asked for."""
    belief: Belief = NOTHING_KNOWN
    """How far the stated confidence was believed."""


def task_with_rubric(settings: Settings, name: str) -> TaskSpec:
    """Return a task whose file has a rubric. Raises `UserError` for an unknown one, and for one that has none."""
    asking.refuse_unknown(settings, name)
    task = load_tasks(settings.tasks_folder)[name]
    if not task.oracle.rubric:
        message = f"the file of task {name!r} has no rubric; write one under `oracle: {{rubric: ...}}` (docs/oracle.md shows how)"
        raise UserError(message)
    if not settings.oracle.max_cost and not settings.oracle.max_tokens:
        message = (
            "nothing limits what the language model may cost; set oracle.max_cost (with oracle.price_per_million_in and _out) or "
            "oracle.max_tokens"
        )
        raise UserError(message)
    if settings.oracle.max_cost and not settings.oracle.price_per_million_in + settings.oracle.price_per_million_out:
        message = (
            "oracle.max_cost limits nothing while tokens cost nothing; set oracle.price_per_million_in and _out, or "
            "oracle.max_tokens"
        )
        raise UserError(message)
    return task


def calibrate(settings: Settings, name: str, progress: Progress = lambda _done, _of: None) -> Calibration:
    """Judge the prompt of a task on the first sample and, where that passes, on a fresh one that nobody has seen.

    Raises `UserError` where the task has no rubric, no text, or the endpoint or the budget ends before the sample does.
    """
    task = task_with_rubric(settings, name)
    with opening.buffer(settings) as buffer:
        # A changed prompt is judged on what an earlier one has labelled, too.
        prompt = prompt_of(task, settings.oracle)
        texts = buffer.weak_texts(task, task.training.max_rows, answers=True, but_of=prompt, clustered=True)
    there = samples.sort(task, find(task, texts))
    with opened(settings) as (ledger, endpoint):
        _refuse_under_way(ledger, name)
        judge = _Judge(task, ledger, there, lambda: Oracle(task, settings.oracle, ledger, endpoint), progress)
        prompt = prompt_of(task, settings.oracle)
        fresh = ledger.sample(name, prompt, "fresh")
        found = [judge.of("first", task.oracle.calibration.seed)]
        passed = found[0].judgement.verdict == "PASS"
        if passed and fresh is None:
            found.append(judge.of("fresh", int(prompt[:8], 16)))
        last = found[-1].judgement.verdict if len(found) > 1 else fresh.verdict if fresh else ""
        return Calibration(name, prompt, passed and last == "PASS", found, fresh, ledger.spent(name))


def label(
    settings: Settings, name: str, most: int, *, force: bool = False, again: bool = False,
    batch: bool = False, give_up_batch: bool = False, progress: Progress = lambda _done, _of: None,
) -> Made:  # fmt: skip
    """Label up to `most` of the newest articles of the train side that neither people nor an oracle have labelled.

    `again`: also those that it labelled by another prompt, whose labels are withdrawn for the new ones. `batch`: ask by the
    endpoint's batch API, and one by one only about what a completed batch has left. `give_up_batch`: wait for no batch that was
    sent before. The leading daemon stores the labels, or the next one that leads. Stopped at any point, the same call goes on:
    what has been answered is not asked again. Raises `UserError` where the prompt has not passed both samples and `force` is not
    given.
    """
    task = task_with_rubric(settings, name)
    with opened(settings) as (ledger, endpoint):
        oracle = Oracle(task, settings.oracle, ledger, endpoint)
        reason = why_not(ledger, name, oracle.prompt)
        if reason and not force:
            message = (
                f"the prompt of task {name!r} may not label: {reason}. Run `perennial oracle calibrate {name}`, or add --force"
            )
            raise UserError(message)
        with opening.buffer(settings) as buffer:
            texts = buffer.weak_texts(task, task.training.max_rows, but_of=oracle.prompt if again else None)
            stored = buffer.oracle_labels(name)
        trusted = _belief(ledger, oracle, texts)
        chosen = [one for one in texts.unlabelled if samples.can_be_shown(task, one.text)][:most]
        if give_up_batch:
            give_up(ledger, endpoint, name)
        if not batch:
            _refuse_under_way(ledger, name)
        # Before the first question: a batch that is cut off was forced all the same.
        ledger.note_batch(name, oracle.prompt, most, forced=bool(reason), why=reason)
        known = {one.text_sha256 for one in chosen if _is_known(ledger, oracle.prompt, one)}
        told = None
        if batch:
            there = [*_of_others(settings, task, oracle, ledger), *texts.unlabelled]
            every = {one.text_sha256: Text(one.text_sha256, one.text) for one in there}
            batching = Batching(task, settings.oracle, ledger, endpoint, prompt=oracle.prompt, texts=every, sleep=time.sleep)
            told = batching.fill([every[one.text_sha256] for one in chosen], progress)
            if told.stopped:
                chosen = [one for one in chosen if _is_known(ledger, oracle.prompt, one)]
        handover, refused = _label(settings, oracle, chosen, stored, trusted, progress)
        return Made(
            name, oracle.prompt, bool(reason), handover.labelled, len(handover.texts & known), refused,
            (told.stopped if told else "") or oracle.why, ledger.spent(name), handover.withdrawn, handover.others, told, trusted,
        )  # fmt: skip


def _refuse_under_way(ledger: Ledger, name: str) -> None:
    """Raise `UserError` where a batch is under way: asked one by one, its texts would be paid twice."""
    if jobs.open_jobs(ledger, name):
        message = (
            f"a batch of task {name!r} may be under way at the endpoint, and texts of it would be paid twice; go on with "
            f"`perennial oracle label {name} --most N --batch`, or give its answers up with --give-up-batch"
        )
        raise UserError(message)


def _of_others(settings: Settings, task: TaskSpec, oracle: Oracle, ledger: Ledger) -> Sequence[WeakText]:
    """Return also texts that other prompts labelled, where a batch is under way: it may be of a command with `again`."""
    if not jobs.open_jobs(ledger, task.name):
        return ()
    with opening.buffer(settings) as buffer:
        return buffer.weak_texts(task, task.training.max_rows, but_of=oracle.prompt).unlabelled


def _is_known(ledger: Ledger, prompt: str, text: WeakText) -> bool:
    known = ledger.answer(prompt, text.text_sha256)
    return known is not None and known.is_final


def _belief(ledger: Ledger, oracle: Oracle, texts: Texts) -> Belief:
    """Return how far the confidence of a prompt is to be believed, from what it was asked of texts that people labelled."""
    told = [(ledger.answer(oracle.prompt, one.text.text_sha256), one.target) for one in texts.gold]
    return belief(
        oracle.task,
        [(one.said, gold) for one, gold in told if one is not None and one.said is not None and not gold.get("partial")],
    )


def _label(  # noqa: PLR0917 - each is one thing that labelling needs
    settings: Settings, oracle: Oracle, chosen: Sequence[WeakText], stored: Sequence[StoredLabel], trusted: Belief,
    progress: Progress,
) -> tuple[Handover, Counter[str]]:  # fmt: skip
    whole = {one.text_sha256: one for one in chosen}
    refused: Counter[str] = Counter()
    with closing(open_event_log(settings)) as event_log, closing(event_log.sink()) as sink:
        handover = Handover(oracle.task, oracle.prompt, stored, sink, trusted)
        try:
            for number, one in enumerate(oracle.ask_all(Text(text.text_sha256, text.text) for text in chosen), start=1):
                if isinstance(one.answer, Said):
                    handover.label(whole[one.text.text_sha256], one.answer)
                elif isinstance(one.answer, Problem):
                    refused[one.answer.what] += 1
                progress(number, len(chosen))
        finally:
            handover.flush()
    return handover, refused


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges one prompt on the texts of its task."""

    task: TaskSpec
    ledger: Ledger
    there: ByStratum
    oracle: Callable[[], Oracle]
    """A new one: after a sample that stopped nothing more is asked."""
    progress: Progress

    def of(self, name: SampleName, seed: int) -> Calibrated:
        """Ask about a sample, judge it and note that."""
        seen = self.ledger.sampled(self.task.name) if name == "fresh" else ()
        drawn = {one.text.text_sha256: one for one in samples.draw(self.task, self.there, seed, seen)}
        if not drawn:
            further = "further " if seen else ""
            message = (
                f"there is no {further}text to judge the prompt of task {self.task.name!r} on; import articles, without --task"
            )
            raise UserError(message)
        oracle = self.oracle()
        found = verdict.judge(self.task, self._answers(oracle, name, drawn))
        first = self.ledger.sample(self.task.name, oracle.prompt, "first")
        if name == "fresh" and first is not None:
            found = verdict.with_reasons(found, verdict.worse(first.report, found))
        self.ledger.note_sample(self.task.name, oracle.prompt, Sample(name, seed, found.verdict, found.plain()), list(drawn))
        excerpts = {one.text_sha256: drawn[one.text_sha256].text.text[:200] for one in found.examples}
        return Calibrated(name, seed, self.there.by, found, excerpts)

    def _answers(self, oracle: Oracle, name: str, drawn: Mapping[str, Drawn]) -> list[verdict.Answered]:
        found: list[verdict.Answered] = []
        for one in oracle.ask_all(Text(sha, drawn_.text.text) for sha, drawn_ in drawn.items()):
            if one.answer is not None:
                found.append((drawn[one.text.text_sha256], one.answer))
                self.progress(len(found), len(drawn))
        if (left := len(drawn) - len(found)) > 0:
            message = (
                f"{left} of {len(drawn)} texts of the {name} sample have no answer: {oracle.why or 'it was stopped'}. Nothing "
                "was judged; what was answered is kept, and the same command goes on there"
            )
            raise UserError(message)
        return sorted(found, key=lambda pair: pair[0].text.text_sha256)


def why_not(ledger: Ledger, task: str, prompt: str) -> str:
    """Return why a prompt may not label; empty where it may."""
    names: tuple[SampleName, ...] = ("first", "fresh")
    for name in names:
        sample = ledger.sample(task, prompt, name)
        if sample is None:
            return f"it was not judged on a {name} sample since it was changed"
        if sample.verdict != "PASS":
            return f"its {name} sample is {sample.verdict}"
    return ""


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Ledger, Endpoint]]:
    """Open ledger and endpoint; one process at a time asks."""
    said = settings.oracle
    price, cap = Price(said.price_per_million_in, said.price_per_million_out), Cap(said.max_cost, said.max_tokens)
    with closing(Endpoint(said)) as endpoint, closing(Ledger(settings.data_dir, price, cap)) as ledger:
        yield ledger, endpoint
