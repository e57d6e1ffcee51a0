"""What waits for a model: the texts of one request, in parts that are answered in one go."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from config.text_budget import budget_s
from perennial_artifact.portions import WHOLE_CHARS
from perennial_artifact.predictor import Answer, Divides


class OverTimeError(Exception):
    """One text of a request took more time than it may."""

    def __init__(self, text: int, spent_s: float, limit_s: float) -> None:
        super().__init__(
            f"text number {text} took {spent_s:.1f} s of the model's time and is not done; it may take {limit_s:.1f} s"
        )
        self.text = text


@dataclass(frozen=True, slots=True)
class Part:
    """What is answered in one go: characters `start` to `end` of the request's text `number`, counted as `cost` characters."""

    number: int
    start: int
    end: int
    cost: int


class Request:
    """The texts of one request, and what is known of their answers."""

    __slots__ = ("_answers", "_divider", "_handed_out", "_spent_s", "chars", "cost", "future", "parts", "texts")

    def __init__(self, texts: Sequence[str], divider: Divides | None = None) -> None:
        """`divider` cuts texts into parts and joins their answers; without one a text is one part."""
        self.texts = list(texts)
        self.chars = sum(map(len, texts))
        self._divider = divider
        self.parts = [part for number, text in enumerate(texts) for part in _parts(number, text, divider)]
        self.cost = sum(part.cost for part in self.parts)
        self._handed_out = 0
        self._answers: list[Answer] = []
        self._spent_s = [0.0] * len(texts)
        self.future: Future[list[Answer]] = Future()

    def rest(self) -> list[Part]:
        """Return the parts that have not had a turn."""
        return self.parts[self._handed_out :]

    def turn(self, room: int, chars: int) -> list[Part]:
        """Return the next parts, at least one, up to both limits."""
        taken: list[Part] = []
        for part in self.parts[self._handed_out : self._handed_out + max(room, 1)]:
            if taken and part.cost > chars:
                break
            taken.append(part)
            chars -= part.cost
        self._handed_out += len(taken)
        return taken

    def charge(self, parts: Sequence[Part], s_per_char: float, text_time_s: float) -> None:
        """Count the time of answered parts. Fails the request when a text has further parts and no time left for them."""
        for part in parts:
            self._spent_s[part.number] += s_per_char * part.cost
        last = parts[-1]
        spent_s, chars = self._spent_s[last.number], len(self.texts[last.number])
        if last.end < chars and spent_s > (limit_s := budget_s(text_time_s, chars)):
            self.fail(OverTimeError(last.number, spent_s, limit_s))

    def extend(self, answers: Sequence[Answer]) -> None:
        """Take the answers to the parts of a turn; with the last one the future is done."""
        self._answers.extend(answers)
        if len(self._answers) == len(self.parts) and self.future.set_running_or_notify_cancel():
            self.future.set_result(self._answers if self._divider is None else self._joined(self._divider))

    def fail(self, error: Exception) -> None:
        """Fail the future, where it is not done."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def _joined(self, divider: Divides) -> list[Answer]:
        starts: list[list[int]] = [[] for _text in self.texts]
        found: list[list[Answer]] = [[] for _text in self.texts]
        for part, answer in zip(self.parts, self._answers, strict=True):
            starts[part.number].append(part.start)
            found[part.number].append(answer)
        return [divider.join(*each) if len(each[0]) > 1 else each[1][0] for each in zip(starts, found, strict=True)]


def _parts(number: int, text: str, divider: Divides | None) -> list[Part]:
    if divider is None:
        return [Part(number, 0, len(text), min(len(text), WHOLE_CHARS))]
    return [Part(number, start, end, end - start) for start, end in divider.divide(text)]
