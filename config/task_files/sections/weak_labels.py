"""Rules of a task file that label texts nobody has labelled: words, phrases, regular expressions, and what their labels weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

import regex
from pydantic import Field, field_validator, model_validator

from config.foreign.labels import LabelName
from config.kinds.signals.categories import Language, label_of
from config.task_files.sections.section import Section
from config.words import named
from perennial_artifact.keywords import NOTHING, Keywords
from perennial_artifact.keywords import Rule as Listed
from perennial_artifact.keywords import wrong as wrong_phrase

if TYPE_CHECKING:
    from config.tasks import TaskSpec

KINDS = ("classification", "multilabel", "signals", "ner")
"""Those whose texts can be labelled by rules."""
ANSWERED_KINDS = ("classification", "multilabel")
"""Those whose rules' words answer while there is no champion; signals have keywords of their own."""
MOST_RULES, MOST_PATTERNS, MOST_PHRASES = 1_000, 50, 20_000
_MOST_PATTERN_CHARS = 500
_ROUNDING = 1e-6

Place = Literal["title", "body", "url", "publisher", "source", "section"]
TEXT: tuple[Place, ...] = ("title", "body")
Phrases = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
_Pattern = Annotated[str, Field(min_length=1, max_length=_MOST_PATTERN_CHARS)]


class WeakRule(Section):
    """What words or patterns in a text stand for."""

    name: Annotated[str, Field(min_length=1, max_length=100, description="What reports call it.")]
    label: Annotated[LabelName, Field(description="What it says of a text; of signals `category:tag`.")]
    words: Annotated[
        Phrases | dict[Language, Phrases],
        Field(description="Words and phrases, also by language; a star at one end of a word stands for further letters."),
    ] = ()
    regex: Annotated[tuple[_Pattern, ...], Field(max_length=MOST_PATTERNS, description="Regular expressions.")] = ()
    fields: Annotated[
        tuple[Place, ...],
        Field(min_length=1, description="Where it looks: title, body, url, publisher, source, section."),
    ] = TEXT
    languages: Annotated[tuple[Language, ...], Field(description="Only in texts of these languages; empty: in all.")] = ()

    @property
    def phrases(self) -> Phrases:
        """The words and phrases of all languages, each once."""
        listed = [self.words] if isinstance(self.words, tuple) else self.words.values()
        return tuple(dict.fromkeys(phrase for phrases in listed for phrase in phrases))

    @field_validator("regex")
    @classmethod
    def _can_be_read(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                compiled = regex.compile(pattern)
            except regex.error as error:
                message = f"{pattern!r} is no regular expression: {error}"
                raise ValueError(message) from None
            except (OverflowError, MemoryError, RecursionError, ValueError) as error:
                message = f"{pattern!r} is too large a regular expression ({type(error).__name__}); write a simpler one"
                raise ValueError(message) from None
            if compiled.fullmatch("", timeout=1.0) is not None:
                message = f"{pattern!r} matches an empty text, so every text; ask for at least one character"
                raise ValueError(message)
        return patterns

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.phrases and not self.regex:
            message = f"rule {self.name!r} has neither words nor regex, so it could never say anything; give it some or remove it"
            raise ValueError(message)
        for phrase in self.phrases:
            if (problem := wrong_phrase(phrase)) is not None:
                message = f"words of rule {self.name!r}: {problem}"
                raise ValueError(message)
        return self


class WeakLabels(Section):
    """All rules of a task, and what becomes of the labels that they give."""

    rules: Annotated[tuple[WeakRule, ...], Field(max_length=MOST_RULES, description="What labels texts.")] = ()
    otherwise: Annotated[
        LabelName | None, Field(description="The label of texts in which no rule finds anything (classification); null: none.")
    ] = None
    weight: Annotated[
        float, Field(gt=0, le=1, description="What a weak label weighs beside a person's 1 where it is certain.")
    ] = 0.5
    min_probability: Annotated[
        float, Field(ge=0, le=1, description="A label that is less probable by the label model is not given.")
    ] = 0.5
    models: Annotated[
        bool, Field(description="Whether stored answers of the task's models take part, each version as a source of its own.")
    ] = False
    prior: Annotated[
        dict[LabelName, Annotated[float, Field(gt=0, le=1)]],
        Field(description="Share of the texts that have each label, where it is known (classification); else it is estimated."),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"two rules are called {twice[0]!r}; rename one"
            raise ValueError(message)
        if (count := sum(len(rule.phrases) for rule in self.rules)) > MOST_PHRASES:
            message = f"the rules have {count} words; at most {MOST_PHRASES} are read; leave some out"
            raise ValueError(message)
        return self

    @property
    def given(self) -> bool:
        """Whether the file says anything here."""
        return self != WeakLabels()


@dataclass(frozen=True, slots=True)
class RuleOf:
    """A rule of a task, wherever its file lists it."""

    name: str
    group: str
    """What is decided by itself: a category of signals; else empty."""
    label: str
    """Within the group."""
    score: float
    """Of signals what it says how strong it is."""
    phrases: Phrases
    patterns: tuple[str, ...] = ()
    fields: tuple[Place, ...] = TEXT
    languages: tuple[str, ...] = ()


def rules_of(task: TaskSpec) -> tuple[RuleOf, ...]:
    """Return all rules of a task: those of `weak_labels`, and of signals the keywords of each tag, under `category:tag`."""
    scores = {label_of(one.name, tag.name): tag.score for one in task.signals for tag in one.tags}
    listed = [
        RuleOf(
            label_of(one.name, tag.name), one.name, tag.name, tag.score,
            tuple(dict.fromkeys(phrase for phrases in tag.keywords.values() for phrase in phrases)),
        )
        for one in task.signals for tag in one.tags if any(tag.keywords.values())
    ]  # fmt: skip
    for rule in task.weak_labels.rules:
        group, _, tag = rule.label.rpartition(":") if task.kind == "signals" else ("", "", rule.label)
        listed.append(
            RuleOf(rule.name, group, tag, scores.get(rule.label, 0.0), rule.phrases, rule.regex, rule.fields, rule.languages)
        )
    return tuple(listed)


def keywords_of(task: TaskSpec) -> Keywords | None:
    """Return what answers by the words of a task's rules while it has no champion; None where they have none.

    Rules that look elsewhere than in the whole text, or in some languages only, and regular expressions do not answer: who asks
    gives a text alone, and an app has no bound for patterns.
    """
    if task.kind not in ANSWERED_KINDS:
        return None
    found = [
        Listed("", rule.label, 1.0, rule.phrases)
        for rule in task.weak_labels.rules
        if rule.phrases and {*rule.fields} >= {*TEXT} and not rule.languages
    ]
    if not found:
        return None
    # A rule without words never finds anything: it names what is answered then.
    return Keywords(
        task.kind, [*found, *([Listed("", task.weak_labels.otherwise, 1.0, ())] if task.weak_labels.otherwise else [])]
    )


def misfit(task: TaskSpec) -> str | None:
    """Return, in words, what of a task's rules does not fit it; None where all does."""
    given = task.weak_labels
    if not given.given:
        return None
    if task.kind not in KINDS:
        return f"weak_labels is not built for kind {task.kind}, but for {', '.join(KINDS)}; remove it"
    if task.kind != "classification" and (given.otherwise is not None or given.prior):
        what = "otherwise" if given.otherwise is not None else "prior"
        return f"weak_labels.{what} needs one label a text, and kind {task.kind} has others; remove it"
    if task.kind == "ner" and given.models:
        return "weak_labels.models is not built for kind ner; remove it"
    return _unfit_label(task) or _unfit_names(task)


def _unfit_label(task: TaskSpec) -> str | None:
    given = task.weak_labels
    for rule in given.rules:
        if (problem := _of_rule(rule, task)) is not None:
            return f"weak_labels: rule {rule.name!r} gives label {rule.label!r}, {problem}"
    for name in (*([given.otherwise] if given.otherwise else ()), *given.prior):
        if (problem := _of_label(name, task)) is not None:
            return f"weak_labels speaks of label {name!r}, {problem}"
    return None


def _unfit_names(task: TaskSpec) -> str | None:
    total = sum(task.weak_labels.prior.values())
    if total > 1.0 + _ROUNDING:
        return f"weak_labels.prior adds up to {total:g}; shares of the texts add up to 1 at most"
    names = [rule.name for rule in rules_of(task)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"weak_labels: a rule is called {twice[0]!r}, as the keywords of that tag are; rename it"
    return None


def _of_rule(rule: WeakRule, task: TaskSpec) -> str | None:
    if task.kind == "ner" and rule.fields != TEXT:
        return "and looks elsewhere than in the text, where an entity could not be marked; remove its fields"
    return _of_tag(rule.label, task) if task.kind == "signals" else _of_label(rule.label, task)


def _of_tag(name: str, task: TaskSpec) -> str | None:
    category, _, tag = name.rpartition(":")
    known = {one.name: one.tag_names for one in task.signals}
    if category not in known:
        return f"which is no `category:tag` of this task; its categories are {named(sorted(known), 20)}"
    if tag not in known[category] or tag == NOTHING:
        return f"and category {category} has no such tag; it has {named([one for one in known[category] if one != NOTHING], 20)}"
    return None


def _of_label(name: str, task: TaskSpec) -> str | None:
    if name in task.training.exclude_labels:
        return "which training.exclude_labels excludes; remove one of them"
    if name in task.gone:
        return "which is retired or split; remove one of them"
    if name in task.renames:
        return f"which renames calls {task.renames[name]!r} now; write that"
    if not task.accepts_label(name):
        return f"which label_names of this closed task lacks; it has {named(task.label_names, 20)}"
    return None


def shares(prior: Mapping[str, float], labels: Sequence[str]) -> list[float] | None:
    """Return the share of each label by the task file, those it does not name alike; None where it names none."""
    if not prior:
        return None
    unnamed = [name for name in labels if name not in prior]
    rest = max(0.0, 1.0 - sum(prior.values())) / len(unnamed) if unnamed else 0.0
    found = [prior.get(name, rest) + _ROUNDING for name in labels]
    return [share / sum(found) for share in found]
