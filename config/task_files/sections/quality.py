"""The section `quality` of a task file: which texts the task does not learn from, rule by rule."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.task_files.sections.section import Section

Finding = Literal[
    "boilerplate", "capitals", "digits", "encoding", "links", "markup", "menu", "paywall", "repetition", "short"
]  # fmt: skip
"""What enrichment finds in a text (`consumers/text/quality.py`)."""
_MOST_SOURCES = 1_000

Source = Annotated[str, Field(min_length=1, max_length=200)]
Sources = Annotated[tuple[Source, ...], Field(max_length=_MOST_SOURCES)]


class Quality(Section):
    """Texts that break a rule are stored and not learnt from; once the rule is gone they train again. Test rows stay."""

    min_score: Annotated[
        float, Field(ge=0, le=1, description="Texts with a lower quality score are left out, beside `enrich.min_quality`.")
    ] = 0.0
    min_words: Annotated[int, Field(ge=0, description="Texts with fewer words are left out.")] = 0
    max_words: Annotated[int | None, Field(gt=0, description="Texts with more words are left out; null: none is.")] = None
    languages: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z]{2}$")], ...],
        Field(max_length=100, description="Texts in other languages (ISO 639-1) are left out; one too short to tell stays."),
    ] = ()
    refuse: Annotated[
        tuple[Finding, ...],
        Field(
            description="Texts in which this was found are left out: `boilerplate`, `capitals`, `digits`, `encoding`, `links`, "
            "`markup`, `menu`, `paywall`, `repetition`, `short`."
        ),
    ] = ()
    allow_sources: Annotated[Sources, Field(description="Texts of other sources are left out; none: all may stay.")] = ()
    deny_sources: Annotated[Sources, Field(description="Texts of these sources are left out.")] = ()

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.max_words is not None and self.min_words > self.max_words:
            message = f"min_words ({self.min_words}) is above max_words ({self.max_words}), which leaves no text; change one"
            raise ValueError(message)
        if both := sorted({*self.allow_sources} & {*self.deny_sources}):
            message = f"source {both[0]!r} is both allowed and denied; remove it from one of them"
            raise ValueError(message)
        return self

    @property
    def rules(self) -> tuple[str, ...]:
        """The keys that leave anything out, in their order."""
        return tuple(name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default)

    def told(self, rule: str) -> str:
        """Return a rule as a sentence has it: `quality.min_words is 5`."""
        value = getattr(self, rule)
        return f"quality.{rule} is {', '.join(value) if isinstance(value, tuple) else f'{value:g}'}"
