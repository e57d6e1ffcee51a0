"""Events of every type that follow their schema and hold what strangers send: hostile texts, ids, times, labels and answers."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

from consumers.events.schemas import EVENT_TYPES

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
TYPES = tuple(EVENT_TYPES)
Value = TypeVar("Value")
_LONG_CHARS = 200_000
_WORDS = [
    *(
        "Rates",
        "rise",
        "the",
        "ECB",
        "acted",
        "on",
        "Thursday",
        "inflation",
        "falls",
        "Riksdag",
        "budget",
        "vote",
        "coach",
        "wins",
    ),
    *(
        "market",
        "shares",
        "oil",
        "gas",
        "court",
        "law",
        "Åre",
        "Straße",
        "東京",
        "москва",
        "مصر",
        "हिन्दी",
        "ไทย",
        "서울",
        "İstanbul",
    ),
    *("ﬁnance", "naïve", "e\u0301tude"),
]
# One run of any of these is a text that some tokeniser, expression or font has stumbled over.
_RUNS = (
    "$", "(", ")", "!", "?", ".", ",", "-", "_", "#", "*", "/", "\\", "'", '"', "`", "|", "~", "^", "<", "{", "[", "%", "&",
    ";", "…",
    "—", "。", "、", "a", "A", "é", "0", "9", "ﷺ", "字", "ไ", "\u0301", "\u0300\u0316", "\u200d", "\u200b", "\u202e", "\ufeff",
    "\ufffd",
    "👩\u200d👧", "🏳️", "\U0010fffd", "\t", "\u00a0", "\u2028", "\x00", "\x1b[31m", "\r\n", "&amp;", "<a ", "</script>",
    "{ a:", "var   x",
    "http://", "http://a.b/", "www.", "it's ", "U.S.", "1,000.", "don’t-", "a-", "Ã©", "â€", "function (", "@user ", "[bold]",
)  # fmt: skip
_LABELS = (
    "economy", "sport", "politics", "ORG", "PER", "LOC", "Ärger", "経済", "a" * 200, "a->b", "(any)", "(unknown)", "(nothing)",
    "%", "_",
    "it's", 'say "x"', "back\\slash", "[red]x[/]", "None", "nan", "0", "é", "e\u0301", "label,with=all:of;it", "x -> y -> z",
)  # fmt: skip
_IDS = (
    "null", "None", "nan", "0", "-1", "it's", "'; DROP TABLE articles; --", "%", "a_b", "a\\", "https://site/?p=123&q=%20",
    "auth0|x",
    "tag:example.org,2024:7", "a+b@c.org", "åsa", "字", "../../etc/passwd", "[bold]x[/]", "A" * 200, "a b", "{}", '"',
    "\x1b[2J", "x\x00y",
)  # fmt: skip


class Strangers:
    """Makes one event after the other, the same for the same seed; later ones speak of what earlier ones named."""

    def __init__(self, seed: int, tasks: Mapping[str, str]) -> None:
        """`tasks`: the kind of each task by its name."""
        self._random = random.Random(seed)
        self._tasks = dict(tasks)
        self._made = 0
        self._known: dict[str, list[str]] = {name: [] for name in ("article", "prediction", "answer", "user", "text", "change")}
        self._makers: Mapping[str, Callable[[], dict[str, Any]]] = {
            "article": self._article, "label": self._label, "feedback": self._feedback, "prediction": self._prediction,
            "task_schema": self._task_schema, "retrain": self._retrain, "feedback_review": self._review,
            "label_correction": self._label_correction, "erase": self._erase, "import_undo": self._import_undo,
            "weak_labels_withdrawn": self._weak_labels_withdrawn,
        }  # fmt: skip

    def event(self, kind: str) -> bytes:
        """Return the bytes of the next event of a type."""
        self._made += 1
        event = {"type": kind, "occurred_at": self._time(), **self._makers[kind]()}
        event.setdefault("event_id", self._id(kind[0]))
        if self._chance(0.1):
            event["source"] = self._pick(["crawler", "key:app", "", "x" * 200, "[red]", self._text(40)[:200]])
        # Half a surrogate pair is written as a careless sender writes it: escaped.
        return json.dumps(event, ensure_ascii=self._chance(0.5)).encode("utf-8", "replace")

    def text(self) -> str:
        """Return a text as a caller of serving might send it."""
        return self._text()

    def _article(self) -> dict[str, Any]:
        article_id = self._again("article", 0.2) or self._named("article", self._id("a"))
        return {"article_id": article_id, "title": self._text(200), "body": self._text()} | (
            {"url": self._pick(_IDS), "publisher": self._pick(_LABELS)} if self._chance(0.3) else {}
        )

    def _label(self) -> dict[str, Any]:
        return self._answer() | {"origin": self._pick(["gold", "import", "audit"]), "anchor": self._chance(0.03)}

    def _feedback(self) -> dict[str, Any]:
        event = self._answer() | {
            "user_id": self._again("user", 0.9) or self._named("user", self._id("u")),
            "verdict": self._pick(["correction", "confirmation"]),
        }
        if self._chance(0.5):
            event["prediction_id"] = self._again("prediction", 0.9) or self._id("p")
            if self._chance(0.7):
                event.pop("text", None)
        return event

    def _answer(self) -> dict[str, Any]:
        task = self._pick(list(self._tasks))
        event: dict[str, Any] = {"task": task, "event_id": self._named("answer", self._id("l"))}
        if self._chance(0.75):
            event["text"] = self._again("text", 0.3) or self._named("text", self._text())
        if "text" not in event or self._chance(0.1):
            event["article_id"] = self._again("article", 0.9) or self._id("a")
        event["target"] = self._target(self._tasks[task], event.get("text", ""))
        return event

    def _target(self, kind: str, text: str) -> dict[str, Any]:
        if kind == "ner":
            return {"spans": self._spans(text), "partial": self._chance(0.2)}
        return {"label": self._pick(_LABELS)}

    def _spans(self, text: str) -> list[dict[str, Any]]:
        spans, at = [], 0
        for _ in range(10_000 if self._chance(0.001) else self._random.randrange(6)):
            start = at + self._random.randrange(4)
            at = start + 1 + self._random.randrange(12)
            if at > len(text):
                break
            spans.append({"start": start, "end": at, "label": self._pick(["ORG", "PER", "LOC", *_LABELS])})
        return spans

    def _prediction(self) -> dict[str, Any]:
        task = self._pick(list(self._tasks))
        prediction_id = self._named("prediction", self._id("p"))
        text = self._named("text", self._text())
        return {
            "prediction_id": prediction_id, "event_id": prediction_id, "task": task, "model_version": f"{task}/v1",
            "text": text,
            "answer": self._model_answer(self._tasks[task], text),
        }  # fmt: skip

    def _model_answer(self, kind: str, text: str) -> dict[str, Any]:
        if self._chance(0.2):
            # What no model of the task gives.
            return self._pick([
                {}, {"label": None}, {"label": 7}, {"spans": None}, {"spans": [{}]}, {"label": "x", "scores": {"x": "high"}},
                {"label": ["x"], "scores": []}, {"spans": [{"start": -1, "end": 10**9, "label": 3}]}, {"x": [[[]]]},
                {"spans": {"start": 0}}, {"label": "x", "scores": {"x": 1e300}}, {"text": text[:100]},
            ])  # fmt: skip
        if kind == "ner":
            return {"spans": self._spans(text)}
        label = self._pick(_LABELS)
        return {"label": label, "scores": {label: self._random.random(), "other": self._random.random()}}

    def _task_schema(self) -> dict[str, Any]:
        names = self._random.choices(_LABELS, k=2 * self._random.randrange(1, 4))
        changes: list[dict[str, Any]] = [
            {"renames": dict(zip(names[::2], names[1::2], strict=True))}, {"splits": {names[0]: names}}, {"retired": names},
            {"added": names}, {"undoes": self._again("change", 0.9) or self._id("t")},
        ]  # fmt: skip
        event_id = self._named("change", self._id("t"))
        return {"task": self._pick(list(self._tasks)), "event_id": event_id, **self._pick(changes)}

    def _import_undo(self) -> dict[str, Any]:
        # Of imports that were never made: the rest of the events must still be there.
        return {"import_id": f"{self._random.getrandbits(64):016x}", "reason": self._text(400)[:500].strip() or "x"}

    def _weak_labels_withdrawn(self) -> dict[str, Any]:
        event_ids = [self._again("answer", 0.9) or self._id("w") for _ in range(self._random.randrange(1, 9))]
        return {"task": self._pick(list(self._tasks)), "event_ids": event_ids, "reason": self._text(400)[:500].strip() or "x"}

    def _retrain(self) -> dict[str, Any]:
        return {
            "task": self._pick(list(self._tasks)), "full": self._chance(0.5), "promote": self._chance(0.9),
            "reason": self._text(400)[:500].strip() or "x",
        }  # fmt: skip

    def _review(self) -> dict[str, Any]:
        about = self._random.randrange(3)
        chosen: dict[str, Any] = {
            "event_ids": [self._again("answer", 0.9) or self._id("f") for _ in range(self._random.randrange(1, 9))]
        }
        if about == 1:
            chosen = {"user_id": self._again("user", 0.9) or self._id("u")}
        if about == 2:
            move = f"{self._pick(_LABELS)} -> {self._pick(_LABELS)}"
            chosen = {"task": self._pick(list(self._tasks)), "alarm": self._pick([move, self._text(100)[:900].strip() or "x"])}
        return {"decision": self._pick(["accept", "reject"]), **chosen}

    def _label_correction(self) -> dict[str, Any]:
        task = self._pick(list(self._tasks))
        return {
            "task": task, "label_id": self._again("answer", 0.9) or self._id("l"), "annotator": self._pick(["anna", "[red]"]),
            "target": self._target(self._tasks[task], self._text(200)),
        }  # fmt: skip

    def _erase(self) -> dict[str, Any]:
        # Of few: what is erased is refused from then on, and the rest of the events must still arrive.
        return {"user_id": self._id("gone")} if self._chance(0.5) else {"article_id": self._id("gone")}

    def _text(self, limit: int = 0) -> str:
        longest = limit or (_LONG_CHARS if self._chance(0.0005) else int(10 ** self._random.uniform(0.3, 4.0)))
        pieces: list[str] = []
        length = 0
        while length < longest:
            piece = self._piece(longest - length)
            pieces.append(piece)
            length += len(piece)
        return "".join(pieces)[:longest]

    def _piece(self, room: int) -> str:
        way = self._random.random()
        if way < 0.6:
            return " ".join(self._random.choices(_WORDS, k=self._random.randrange(1, 40))) + self._pick(
                [" ", ". ", "\n", "\n\n", ""]
            )
        if way < 0.9:
            run = self._pick(_RUNS)
            most = max(1, min(room, 20_000) // len(run))
            return run * (1 + int(most ** self._random.random()))
        if way < 0.98:
            return "".join(self._random.choices(string.printable, k=self._random.randrange(1, 80)))
        if way < 0.995:
            return "".join(chr(self._random.randrange(1, 0x2FFFF)) for _ in range(self._random.randrange(1, 40)))
        return self._pick(["\ud800", "\udfff", "a\ud83d"])

    def _id(self, prefix: str) -> str:
        if self._chance(0.9):
            return f"{prefix}-{self._made}-{self._random.randrange(10**6)}"
        return f"{self._pick(_IDS)}{self._made if self._chance(0.8) else ''}"

    def _time(self) -> Any:  # noqa: ANN401 - senders write times in many ways
        way = self._random.random()
        if way < 0.75:
            return (NOW - timedelta(seconds=self._random.uniform(0, 60 * 86_400))).isoformat()
        if way < 0.95:
            zone = timezone(timedelta(minutes=self._random.randrange(-12 * 60, 14 * 60)))
            return (NOW - timedelta(days=self._random.uniform(0, 45_000))).astimezone(zone).isoformat()
        return self._pick([
            "1900-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:60Z", "2024-05-01T12:04:59.999999Z", "2024-05-01", 20240501, 1714560000, -1e18, "yesterday",
            None, "",
        ])  # fmt: skip

    def _named(self, sort: str, value: str) -> str:
        known = self._known[sort]
        known.append(value)
        if len(known) > 1_000:
            del known[:500]
        return value

    def _again(self, sort: str, share: float) -> str | None:
        known = self._known[sort]
        return self._pick(known) if known and self._chance(share) else None

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _pick(self, values: Sequence[Value]) -> Value:
        return values[self._random.randrange(len(values))]
