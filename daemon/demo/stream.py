"""A seeded stream of made-up news with its truth: what the demo plays, and what its answers are measured against.

At the drift new names appear and a new topic, `spaceflight`. Everything follows from the seed; nothing is read from a network.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from config.kinds.ner.models import Span
from consumers.events.schemas import Article, Feedback, Label, article_text
from daemon.demo import between_topics, topics
from daemon.demo.grammar import Cast, join, realise

TaskName = Literal["news-topics", "news-entities"]
TOPICS_TASK: Final = "news-topics"
ENTITIES_TASK: Final = "news-entities"

_BORDER_SHARE = 0.16
"""Stories that two desks might have filed: no model can know which did."""
_NEW_TOPIC_SHARE = 0.3
_NEW_NAMES_SHARE = 0.85
_BORROWED_SHARE = 0.25
"""Stories with a sentence of another topic in them."""
MIN_WORDS = 25
MAX_WORDS = 60
_WRONG_USERS = 0.05
"""Users who correct or confirm wrongly; the desk's gold labels are right."""
_USERS = 40


@dataclass(frozen=True, slots=True)
class Story:
    """One made-up article and the truth about it."""

    article_id: str
    at: datetime
    title: str
    body: str
    topic: str
    spans: tuple[Span, ...]
    """Into `text`, in order, of the types of `news-entities`."""

    @property
    def text(self) -> str:
        """Title, blank line, body."""
        return article_text(self.title, self.body)

    def target(self, task: TaskName) -> dict[str, Any]:
        """Return the true target for a task, in wire form."""
        return {"label": self.topic} if task == TOPICS_TASK else {"spans": [span.model_dump() for span in self.spans]}


class NewsStream:
    """Stories in order of time; the same seed and calls give the same stories, byte for byte."""

    def __init__(self, *, seed: int = 20, start: datetime, every: timedelta = timedelta(minutes=20)) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - made-up news, no secret
        self._seed = seed
        self._next_at = start
        self._every = every
        self._told = 0
        self._decks: dict[str, list[str]] = {}

    def phase_one(self, count: int) -> list[Story]:
        """Return the next `count` stories as the world was before the drift."""
        return [self._story(drifted=False) for _ in range(count)]

    def phase_two(self, count: int) -> list[Story]:
        """Return the next `count` stories after the drift: new names, and about a third of the stories of a new topic."""
        return [self._story(drifted=True) for _ in range(count)]

    def article(self, story: Story) -> Article:
        """Return the event of a crawled article."""
        return Article(
            event_id=f"{story.article_id}:crawled",
            occurred_at=story.at,
            source="demo",
            article_id=story.article_id,
            title=story.title,
            body=story.body,
            publisher="demo",
        )

    def gold(self, story: Story, task: TaskName, *, anchor: bool = False) -> Label:
        """Return the label that the desk gives without looking at a model's answer; it is always right."""
        return Label(
            event_id=f"{story.article_id}:gold:{task}",
            occurred_at=story.at,
            source="demo-desk",
            task=task,
            article_id=story.article_id,
            text=story.text,
            target=story.target(task),
            anchor=anchor,
        )

    def feedback(
        self, story: Story, task: TaskName, answer: Mapping[str, Any], *, prediction_id: str, model_version: str, at: datetime
    ) -> Feedback:
        """Return what a reader says of an answer: a correction where it is wrong, else a confirmation; a few readers err."""
        # Follows from the story alone, so that answers arriving in another order change nothing.
        rng = random.Random(f"{self._seed}:{story.article_id}:{task}")  # noqa: S311 - made-up readers, no secret
        truth = story.target(task)
        believed = self._mistaken(story, task, rng) if rng.random() < _WRONG_USERS else truth
        right = same_answer(task, answer, believed)
        return Feedback(
            event_id=f"{prediction_id}:feedback",
            occurred_at=at,
            source="demo-readers",
            task=task,
            prediction_id=prediction_id,
            model_version=model_version,
            user_id=f"reader-{rng.randrange(_USERS)}",
            verdict="confirmation" if right else "correction",
            target=believed,
        )

    def _mistaken(self, story: Story, task: TaskName, rng: random.Random) -> dict[str, Any]:
        if task == TOPICS_TASK:
            others = [topic.name for topic in topics.BEFORE_DRIFT if topic.name != story.topic]
            return {"label": rng.choice(others)}
        kept = [span.model_dump() for span in story.spans]
        kept.pop(rng.randrange(len(kept)))
        return {"spans": kept}

    def _story(self, *, drifted: bool) -> Story:
        topic, subject, frame = self._plot(drifted=drifted)
        while True:
            title, body, spans = self._write(subject, frame, _NEW_NAMES_SHARE if drifted else 0.0)
            if MIN_WORDS <= len(title.split()) + len(body.split()) <= MAX_WORDS:
                break
        self._told += 1
        at, self._next_at = self._next_at, self._next_at + self._every
        return Story(f"demo-{self._seed}-{self._told:05d}", at, title, body, topic.name, spans)

    def _plot(self, *, drifted: bool) -> tuple[topics.Topic, str, topics.Topic]:
        """Return a story's topic, its subject and whose sentences tell it: the topic's, or the border's."""
        rng = self._rng
        if drifted and rng.random() < _NEW_TOPIC_SHARE:
            return topics.NEW, self._deal(topics.NEW), topics.NEW
        if rng.random() < _BORDER_SHARE:
            subject = self._deal(between_topics.BORDER)
            return _BY_NAME[rng.choice(between_topics.DESKS[subject])], subject, between_topics.BORDER
        topic = rng.choice(topics.BEFORE_DRIFT)
        return topic, self._deal(topic), topic

    def _write(self, subject: str, frame: topics.Topic, new_names: float) -> tuple[str, str, tuple[Span, ...]]:
        cast = Cast(self._rng, subject, new_names)
        title, title_spans = join(*realise([self._rng.choice(frame.titles)], cast), " ")
        sentences = [self._rng.choice(frame.leads), *self._followers(frame)]
        body, body_spans = join(*realise(sentences, cast), " ", len(title) + len("\n\n"))
        return title, body, (*title_spans, *body_spans)

    def _followers(self, frame: topics.Topic) -> list[str]:
        """Return what follows the lead: details of the topic, sentences of none, now and then one borrowed from another."""
        rng = self._rng
        details = rng.sample(frame.details, rng.choice((0, 1, 1))) if frame.details else []
        sentences = details + rng.sample(between_topics.NEUTRAL, rng.choice((1, 2)))
        if rng.random() < _BORROWED_SHARE:
            sentences.append(rng.choice(rng.choice(topics.BEFORE_DRIFT).details))
        rng.shuffle(sentences)
        return sentences

    def _deal(self, topic: topics.Topic) -> str:
        """Return the topic's next subject, as from a shuffled deck: none comes again before all others have come."""
        deck = self._decks.setdefault(topic.name, [])
        if not deck:
            deck.extend(self._rng.sample(topic.subjects, len(topic.subjects)))
        return deck.pop()


_BY_NAME = {topic.name: topic for topic in topics.BEFORE_DRIFT}


def same_answer(task: TaskName, answer: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    """Return whether a model's answer says the same as a target."""
    if task == TOPICS_TASK:
        return bool(answer["label"] == target["label"])
    return _spans(answer) == _spans(target)


def _spans(target: Mapping[str, Any]) -> set[tuple[int, int, str]]:
    return {(span["start"], span["end"], span["label"]) for span in target["spans"]}
