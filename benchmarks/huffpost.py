"""The HuffPost set as a dated stream of labels, sampled evenly per month."""

from __future__ import annotations

import json
import lzma
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks import report
from consumers.events.schemas import Article, Label, article_text

TASK = "news-topics"


@dataclass(frozen=True, slots=True)
class Row:
    """One headline with its section."""

    identifier: str
    text: str
    label: str
    at: datetime

    def event(self) -> Label:
        """Return the row as an imported label."""
        return Label(
            event_id=f"huffpost:{self.identifier}", occurred_at=self.at, source="huffpost", task=TASK, text=self.text,
            origin="import", target={"label": self.label},
        )  # fmt: skip

    def article(self) -> Article:
        """Return the row as a crawled article, of which nobody knows the section."""
        return Article(
            event_id=f"huffpost-article:{self.identifier}", occurred_at=self.at, source="huffpost",
            article_id=f"huffpost:{self.identifier}", body=self.text,
        )  # fmt: skip


def by_month() -> dict[str, list[Row]]:
    """Return every row that has a text, keyed by month (`2014-04`), in order of date."""
    months: dict[str, list[Row]] = defaultdict(list)
    seen: set[str] = set()
    with lzma.open(report.data("huffpost/huffpost.jsonl.xz"), "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            found = json.loads(line)
            text = article_text(found["headline"].strip(), found["short_description"].strip())
            if not text or text in seen:
                continue
            seen.add(text)
            # The set has days only; the order within a day is that of the file.
            at = datetime.fromisoformat(found["date"]).replace(tzinfo=UTC) + timedelta(milliseconds=number)
            months[found["date"][:7]].append(Row(str(number), text, found["category"], at))
    return dict(months)


def sample(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Return `count` rows drawn without replacement, in order of date (all of them when there are fewer)."""
    drawn = random.Random(seed).sample(list(rows), min(count, len(rows)))
    return sorted(drawn, key=lambda row: row.at)
