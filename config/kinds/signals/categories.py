"""What a task of signals tells apart: its categories, their tags, and the keywords that answer before there is a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from config.foreign.labels import LabelName
from config.kinds.values import at_most
from perennial_artifact.keywords import NOTHING, Keywords, Rule
from perennial_artifact.keywords import wrong as wrong_phrase

MAX_CATEGORIES = 100
MAX_TAGS = 200
"""Of one category."""
MAX_PHRASES = 20_000
"""Of all categories together: an app that answers by itself is sent them in one piece."""
SIGNALS = "signals"
"""The key of targets and answers, and of the categories in a task file; and the column of an import that holds all of a row."""
TAG_COLUMN = "_tag"
"""What the column of a category's tag is called behind the category."""
_OTHER_COLUMNS = frozenset({"text", "title", "body", "time", "id", "group", SIGNALS})

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", description="Such as `en` or `sv`.")]


class Tag(BaseModel):
    """One thing that a category may be about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[LabelName, Field(description="Any label but `none`, which every category has.")]
    score: Annotated[
        float, Field(ge=-1, le=1, allow_inf_nan=False, description="What its keywords answer with, from -1 to 1.")
    ] = 1.0
    keywords: Annotated[
        dict[Language, tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]],
        Field(description="By language: words and phrases; a star at one end of a word stands for further letters."),
    ] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_not_nothing(cls, name: str) -> str:
        if name == NOTHING:
            message = (
                f"a tag cannot be called {NOTHING}: every category has that one, for texts that say nothing of it; remove it"
            )
            raise ValueError(message)
        return name

    @model_validator(mode="after")
    def _of_words(self) -> Self:
        for phrases in self.keywords.values():
            for phrase in phrases:
                if (problem := wrong_phrase(phrase)) is not None:
                    message = f"keyword of tag {self.name}: {problem}"
                    raise ValueError(message)
        return self


class Category(BaseModel):
    """One signal: a score from -1 to 1, and a tag."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str, Field(pattern=r"^[^\W\d][\w-]{0,99}$", description="Letters, digits, `_` and `-`; begins with a letter.")
    ]
    tags: Annotated[tuple[Tag, ...], Field(min_length=1, max_length=MAX_TAGS, description="What it may be about, beside `none`.")]

    _not_too_many = field_validator("tags", mode="before")(at_most(MAX_TAGS, "; leave some out"))

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.name in _OTHER_COLUMNS or self.name.endswith(TAG_COLUMN):
            message = f"a category cannot be called {self.name}: imports have a column of that name; give it another one"
            raise ValueError(message)
        if twice := _twice([tag.name for tag in self.tags]):
            message = f"category {self.name} names tag {twice} twice; remove one"
            raise ValueError(message)
        return self

    @property
    def tag_names(self) -> tuple[str, ...]:
        """The tags, and last the one of texts that say nothing of the category."""
        return (*(tag.name for tag in self.tags), NOTHING)


def wrong(categories: Sequence[Category]) -> str | None:
    """Return, in words, what is wrong with the categories of a task; None where nothing is."""
    if twice := _twice([category.name for category in categories]):
        return f"signals names {twice} twice; remove one"
    count = sum(len(phrases) for one in categories for tag in one.tags for phrases in tag.keywords.values())
    return f"signals has {count} keywords; at most {MAX_PHRASES} are allowed; leave some out" if count > MAX_PHRASES else None


def keywords_of(categories: Sequence[Category]) -> Keywords | None:
    """Return what answers by the keywords of the categories; None where these have none."""
    rules = [
        Rule(
            one.name, tag.name, tag.score, tuple(dict.fromkeys(phrase for phrases in tag.keywords.values() for phrase in phrases))
        )
        for one in categories
        for tag in one.tags
    ]
    return Keywords(SIGNALS, rules) if any(rule.phrases for rule in rules) else None


def label_of(category: str, tag: str) -> str:
    """Return how reports name a tag of a category."""
    return f"{category}:{tag}"


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
