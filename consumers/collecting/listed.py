"""The file that lists sources for the daemon: which, and how often each is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import UserError

Kind = Literal["rss", "sitemap", "jsonl", "gdelt"]


class GdeltQuery(BaseModel):
    """What GDELT is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str = ""
    country: str | None = None
    theme: str | None = None
    language: str | None = None
    hours: Annotated[float, Field(gt=0, le=2_160)] = 24.0

    @model_validator(mode="after")
    def _asks(self) -> GdeltQuery:
        if not (self.words or self.country or self.theme or self.language):
            message = "ask for something: words, country, theme or language"
            raise ValueError(message)
        return self


class Listed(BaseModel):
    """Some sources with the same pace; exactly one kind of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rss: tuple[str, ...] = ()
    sitemap: tuple[str, ...] = ()
    jsonl: tuple[str, ...] = ()
    gdelt: GdeltQuery | None = None
    every_minutes: Annotated[float, Field(ge=1, le=10_080)] = 15.0
    articles: Annotated[int | None, Field(ge=1)] = None
    """At most so many each time."""

    @model_validator(mode="after")
    def _one_kind(self) -> Listed:
        if sum(map(bool, (self.rss, self.sitemap, self.jsonl, self.gdelt))) != 1:
            message = "give exactly one of rss, sitemap, jsonl and gdelt"
            raise ValueError(message)
        return self


class Source(BaseModel):
    """One source."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    place: str
    """Its address or folder; of GDELT its query in words."""
    gdelt: GdeltQuery | None = None
    every_minutes: float
    articles: int | None


def read(path: Path) -> list[Source]:
    """Return the sources of a file, one by one. Raises `UserError` naming what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} (collect.file) cannot be read: {error}"
        raise UserError(message) from None
    if not isinstance(content, list):
        message = f"{path} (collect.file) must be a list such as `- {{rss: [https://city.example/rss], every_minutes: 15}}`"
        raise UserError(message)
    found: list[Source] = []
    for number, entry in enumerate(content, start=1):
        try:
            found += _sources(Listed.model_validate(entry))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "the entry"
            message = f"{path} (collect.file), entry {number}: {key}: {first['msg'].removeprefix('Value error, ')}"
            raise UserError(message) from None
    return found


def _sources(listed: Listed) -> Iterator[Source]:
    pace = {"every_minutes": listed.every_minutes, "articles": listed.articles}
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (("rss", listed.rss), ("sitemap", listed.sitemap), ("jsonl", listed.jsonl))
    for kind, places in kinds:
        for place in places:
            yield Source.model_validate({"kind": kind, "place": place, **pace})
    if listed.gdelt is not None:
        yield Source.model_validate({"kind": "gdelt", "place": listed.gdelt.model_dump_json(), "gdelt": listed.gdelt, **pace})
