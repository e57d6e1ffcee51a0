"""Near copies: precision and recall of TF-IDF and of embeddings, on finance articles and on syndicated headlines.

Yahoo finance: two articles are copies where their titles say the same (case, punctuation and the publisher's name apart); judged
are their bodies alone, each different body once, so that a title tells what the methods do not see. A reprint under another title
counts as an error, so precision is a lower bound. Headlines: two headlines of different publishers, first seen within three days,
are copies where the sets of their words share at least 80 %; of this reference the words know more than the embeddings.
"""

from __future__ import annotations

import csv
import json
import lzma
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any

from benchmarks import report
from consumers.enrichment.embedding import Encoder
from consumers.text import near_copies
from consumers.text.near_copies import Pair
from consumers.text.words import words

_BY_WORDS, _BY_EMBEDDING = (0.4, 0.5, 0.6, 0.7, 0.8), (0.85, 0.9, 0.93, 0.95, 0.97)
_SHARED = 0.8
_LEAST_WORDS = 5
_DAYS = 3.0
_PUBLISHER = re.compile(r"\s+[-|–]\s+[^-|–]{2,40}$")


def main() -> None:
    """Read the arguments, measure, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    most = 1_000 if arguments.quick else 4_000
    encoder = Encoder("minilm")
    results: dict[str, Any] = {}
    for name, (texts, copies) in (("finance", _finance(most)), ("headlines", _headlines(most))):
        began = time.process_time()
        features = encoder.encode([text[: near_copies.READ_CHARS] for text in texts])
        embedded_s = time.process_time() - began
        results[name] = {"texts": len(texts), "pairs in the reference": len(copies), "embedding_cpu_s": round(embedded_s, 1)}
        for method, thresholds in (("words", _BY_WORDS), ("embedding", _BY_EMBEDDING)):
            began = time.process_time()
            pairs = _within(name, method, texts, features, thresholds[0])
            results[name][f"{method}: cpu_s"] = round(time.process_time() - began, 1)
            for least in thresholds:
                results[name][f"{method} {least:g}"] = _scored({key for key, alike in pairs.items() if alike >= least}, copies)
    report.write("near_copies", arguments, results, arguments.json)


def _within(name: str, method: str, texts: Sequence[str], features: Any, least: float) -> dict[tuple[int, int], float]:  # noqa: ANN401 - an array
    found: Iterator[Pair]
    found = near_copies.by_words(texts, least=least) if method == "words" else near_copies.by_embedding(features, least=least)
    near = _near_in_time if name == "headlines" else _always
    return {(pair.one, pair.other): pair.alike for pair in found if near(pair)}


_TIMES: list[datetime] = []
_PUBLISHERS: list[str] = []


def _near_in_time(pair: Pair) -> bool:
    apart = abs((_TIMES[pair.one] - _TIMES[pair.other]).total_seconds())
    return apart <= _DAYS * 86_400 and _PUBLISHERS[pair.one] != _PUBLISHERS[pair.other]


def _always(_pair: Pair) -> bool:
    return True


def _scored(found: set[tuple[int, int]], copies: set[tuple[int, int]]) -> dict[str, float]:
    hits = len(found & copies)
    return {
        "pairs": len(found), "precision": round(hits / len(found), 4) if found else 0.0,
        "recall": round(hits / len(copies), 4) if copies else 0.0,
    }  # fmt: skip


def _finance(most: int) -> tuple[list[str], set[tuple[int, int]]]:
    folder = report.data("yahoo_finance/2017_processed.json.xz").parent
    bodies: dict[str, str] = {}
    for path in sorted(folder.glob("*.json.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for row in json.load(lines):
                body, title = (row.get("maintext") or "").strip(), (row.get("title") or "").strip()
                if body and title:
                    bodies.setdefault(body, title)
    texts = list(bodies)[:most]
    return texts, _same([_named(bodies[text]) for text in texts])


def _named(title: str) -> str:
    return " ".join(word.lower() for word in words(_PUBLISHER.sub("", title)))


def _same(names: Sequence[str]) -> set[tuple[int, int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        members[name].append(at)
    return {pair for places in members.values() for pair in combinations(places, 2)}


def _headlines(most: int) -> tuple[list[str], set[tuple[int, int]]]:
    with lzma.open(report.data("google_headlines/en.tsv.xz"), "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))[:most]
    texts = [row["headline"] for row in rows]
    _TIMES[:] = [datetime.fromisoformat(row["first_seen"]) for row in rows]
    _PUBLISHERS[:] = [row["publisher"] for row in rows]
    sets = [frozenset(word.lower() for word in words(text)) for text in texts]
    by_word: dict[str, list[int]] = defaultdict(list)
    for at, some in enumerate(sets):
        for word in some:
            by_word[word].append(at)
    copies: set[tuple[int, int]] = set()
    for at, some in enumerate(sets):
        if len(some) < _LEAST_WORDS:
            continue
        # Of words that are shared by 80 %, one of the rarest fifth and one more is shared.
        rare = sorted(some, key=lambda word: len(by_word[word]))[: int(len(some) * (1 - _SHARED)) + 1]
        for other in {one for word in rare for one in by_word[word] if one > at}:
            shared = len(some & sets[other]) / len(some | sets[other])
            if shared >= _SHARED and _near_in_time(Pair(at, other, shared)):
                copies.add((at, other))
    return texts, copies


if __name__ == "__main__":
    main()
