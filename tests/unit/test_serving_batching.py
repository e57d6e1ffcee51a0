"""Micro-batching: order, grouping, isolation of failures, bounds, draining."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import pytest

from daemon.serving.models import batching, pace
from daemon.serving.models.batching import Batcher, ClosedError, OverloadedError, OverTimeError
from perennial_artifact.portions import MAX_TEXTS
from perennial_artifact.predictor import Answer

LIMIT_S = 10


class Echo:
    """Answers each text with itself; can be held, and notes every call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        self.calls.append(list(texts))
        self.busy.set()
        assert self.go.wait(LIMIT_S)
        if "poison" in texts:
            message = "this text breaks the model"
            raise ValueError(message)
        return [{"label": text} for text in texts]


@pytest.fixture
def model() -> Echo:
    return Echo()


@pytest.fixture
def batcher(model: Echo) -> Iterator[Batcher]:
    made = Batcher(model, name="test")
    yield made
    model.go.set()
    made.close()
    assert made.join(LIMIT_S)


def hold(model: Echo, batcher: Batcher) -> Future[list[Answer]]:
    """Keep the model busy with one text, so that what follows waits."""
    model.go.clear()
    future = batcher.submit(["first"])
    assert model.busy.wait(LIMIT_S)
    return future


def test_an_idle_model_answers_a_request_by_itself_and_in_order(model: Echo, batcher: Batcher) -> None:
    answers = batcher.submit(["a", "b", "c"]).result(LIMIT_S)
    assert [answer["label"] for answer in answers] == ["a", "b", "c"]
    assert model.calls == [["a", "b", "c"]]


def test_what_waits_while_the_model_is_busy_goes_in_one_call(model: Echo, batcher: Batcher) -> None:
    first = hold(model, batcher)
    others = [batcher.submit([f"text {number}"]) for number in range(8)]
    assert batcher.waiting_texts == 8
    model.go.set()
    assert first.result(LIMIT_S)
    assert [future.result(LIMIT_S)[0]["label"] for future in others] == [f"text {number}" for number in range(8)]
    assert [len(call) for call in model.calls] == [1, 8]


def test_a_large_request_lets_small_ones_pass_between_its_parts(model: Echo, batcher: Batcher) -> None:
    hold(model, batcher)
    large = batcher.submit([f"large {number}" for number in range(80)])
    small = batcher.submit(["small"])
    model.go.set()
    assert [answer["label"] for answer in large.result(LIMIT_S)] == [f"large {number}" for number in range(80)]
    assert small.result(LIMIT_S) == [{"label": "small"}]
    assert max(len(call) for call in model.calls) == MAX_TEXTS
    position = next(number for number, call in enumerate(model.calls) if "small" in call)
    assert position < len(model.calls) - 1, "the small request waited for the whole large one"


def test_long_texts_go_in_smaller_calls(model: Echo, batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MAX_CHARS", 100)
    texts = ["a" * 60, "b" * 60, "c" * 500, "d" * 10, "e" * 10]
    assert [answer["label"] for answer in batcher.submit(texts).result(LIMIT_S)] == texts
    assert [len(call) for call in model.calls] == [1, 1, 1, 2], "two of 60 are more than the 100 of a call"


def test_one_request_that_breaks_the_model_does_not_fail_its_neighbours(model: Echo, batcher: Batcher) -> None:
    hold(model, batcher)
    good, bad, also_good = (batcher.submit([text]) for text in ("good", "poison", "also good"))
    model.go.set()
    assert good.result(LIMIT_S) == [{"label": "good"}]
    assert also_good.result(LIMIT_S) == [{"label": "also good"}]
    with pytest.raises(ValueError, match="breaks the model"):
        bad.result(LIMIT_S)


def test_a_model_that_answers_too_little_fails_the_request_and_not_the_worker(
    batcher: Batcher, model: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "predict", lambda _texts: [])
    with pytest.raises(ValueError, match="0 answers to 1 texts"):
        batcher.submit(["a"]).result(LIMIT_S)
    monkeypatch.undo()
    assert batcher.submit(["b"]).result(LIMIT_S) == [{"label": "b"}]


def test_a_cancelled_request_is_left_out(model: Echo, batcher: Batcher) -> None:
    hold(model, batcher)
    cancelled, kept = batcher.submit(["cancelled"]), batcher.submit(["kept"])
    assert cancelled.cancel()
    model.go.set()
    assert kept.result(LIMIT_S)
    assert all("cancelled" not in call for call in model.calls)
    assert batcher.waiting_texts == 0


def test_waiting_texts_are_bounded(model: Echo, batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_WAITING_TEXTS", 10)
    hold(model, batcher)
    kept = batcher.submit(["a"] * 10)
    with pytest.raises(OverloadedError):
        batcher.submit(["b"])
    model.go.set()
    assert len(kept.result(LIMIT_S)) == 10


def test_waiting_characters_are_bounded(model: Echo, batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_WAITING_CHARS", 100)
    hold(model, batcher)
    cancelled = batcher.submit(["c" * 60])
    with pytest.raises(OverloadedError):
        batcher.submit(["b" * 41])
    kept = batcher.submit(["a" * 20] * 2)
    cancelled.cancel()
    model.go.set()
    assert len(kept.result(LIMIT_S)) == 2
    # All that left the queue, answered or not, makes room again.
    assert batcher.waiting_chars == 0


def test_closing_answers_what_was_taken_refuses_more_and_releases_the_model(model: Echo) -> None:
    batcher = Batcher(model, name="test")
    first = hold(model, batcher)
    second = batcher.submit(["second"])
    batcher.close()
    with pytest.raises(ClosedError):
        batcher.submit(["third"])
    model.go.set()
    assert batcher.join(LIMIT_S)
    assert first.result(0)
    assert second.result(0) == [{"label": "second"}]
    assert batcher._predictor is None


class InWords(Echo):
    """Divides texts into their words; the answer to a text is the list of its words."""

    def divide(self, text: str) -> list[tuple[int, int]]:
        parts, start = [], 0
        for word in text.split(" "):
            parts.append((start, min(start + len(word) + 1, len(text))))
            start = parts[-1][1]
        return parts

    def join(self, starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
        return {"label": [(start, answer["label"]) for start, answer in zip(starts, answers, strict=True)]}


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[InWords, Batcher]]:
    """A batcher whose calls hold one word of a large text."""
    monkeypatch.setattr(pace, "MAX_CHARS", 4)
    model = InWords()
    made = Batcher(model, name="test")
    yield model, made
    model.go.set()
    made.close()
    assert made.join(LIMIT_S)


def test_a_giant_text_is_answered_in_parts_between_which_others_pass(words: tuple[InWords, Batcher]) -> None:
    model, batcher = words
    hold(model, batcher)
    giant = batcher.submit(["aaaa bbbb cccc dddd eeee ffff"])
    small = [batcher.submit([text]) for text in ("1", "2")]
    model.go.set()
    assert giant.result(LIMIT_S)[0]["label"][0] == (0, "aaaa ")
    assert giant.result(LIMIT_S)[0]["label"][-1] == (25, "ffff")
    assert [future.result(LIMIT_S) for future in small] == [[{"label": "1"}], [{"label": "2"}]]
    assert ["1", "2"] in model.calls[1:3], "who was new waited for more than one part"


def test_giant_texts_take_turns(words: tuple[InWords, Batcher]) -> None:
    model, batcher = words
    hold(model, batcher)
    giants = [batcher.submit([" ".join([letter * 4] * 3)]) for letter in "ab"]
    model.go.set()
    for giant in giants:
        assert giant.result(LIMIT_S)
    order = [part[0] for call in model.calls[1:] for part in call]
    assert order.index("b") < len(order) - 1 - order[::-1].index("a"), "one waited for the whole of the other"


def test_what_is_left_of_a_text_is_dropped_with_its_client(words: tuple[InWords, Batcher]) -> None:
    model, batcher = words
    hold(model, batcher)
    giant = batcher.submit(["aaaa bbbb cccc"])
    assert giant.cancel()
    model.go.set()
    assert batcher.submit(["next"]).result(LIMIT_S) == [{"label": "next"}]
    assert not [call for call in model.calls if "cccc" in call]
    assert (batcher.waiting_texts, batcher.waiting_chars) == (0, 0)


def test_a_text_that_takes_more_than_its_time_fails_and_its_neighbours_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MAX_CHARS", 1)
    now = [0.0]

    class Slow(InWords):
        def predict(self, texts: Sequence[str]) -> list[Answer]:
            now[0] += 3.0 if "slow " in texts else 0.1
            return super().predict(texts)

    model = Slow()
    batcher = Batcher(model, name="test", text_time_s=5.0, elapsed=lambda: now[0])
    hold(model, batcher)
    slow, good = batcher.submit(["fine", "slow slow slow slow"]), batcher.submit(["good good good good"])
    model.go.set()
    assert len(good.result(LIMIT_S)[0]["label"]) == 4
    with pytest.raises(OverTimeError) as error:
        slow.result(LIMIT_S)
    assert error.value.text == 1
    assert sum("slow " in call for call in model.calls) == 2
    # A short text has no further part: it was answered, however long it took.
    now[0] += 100
    assert batcher.submit(["late"]).result(LIMIT_S)
    batcher.close()
    assert batcher.join(LIMIT_S)
    assert (batcher.waiting_texts, batcher.waiting_chars) == (0, 0)


class InSteps(InWords):
    """Works on each text letter by letter, and pauses between two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = ""
        self.at: dict[str, Callable[[], object]] = {}
        """What happens before a letter."""

    def predict_pausing(self, texts: Sequence[str], pause: Callable[[], None]) -> list[Answer]:
        for text in texts:
            for number, letter in enumerate(text):
                if number:
                    pause()
                self.at.get(letter, str)()
                self.letters += letter
        return self.predict(texts)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[InSteps, Batcher]]:
    monkeypatch.setattr(pace, "MAX_CHARS", 4)
    model = InSteps()
    made = Batcher(model, name="test")
    yield model, made
    model.go.set()
    made.close()
    assert made.join(LIMIT_S)


def test_short_requests_are_answered_between_the_steps_of_one_part(steps: tuple[InSteps, Batcher]) -> None:
    model, batcher = steps
    short: list[Future[list[Answer]]] = []
    model.at["c"] = lambda: short.append(batcher.submit(["1"]))
    model.at["e"] = lambda: short.append(batcher.submit(["2"]))
    assert batcher.submit(["abcdefgh"]).result(LIMIT_S) == [{"label": "abcdefgh"}]
    assert [future.result(LIMIT_S) for future in short] == [[{"label": "1"}], [{"label": "2"}]]
    assert model.calls == [["1"], ["2"], ["abcdefgh"]]
    assert model.letters == "abcdefgh"


def test_a_short_request_that_fails_between_two_steps_fails_alone(steps: tuple[InSteps, Batcher]) -> None:
    model, batcher = steps
    short: list[Future[list[Answer]]] = []
    model.at["b"] = lambda: short.append(batcher.submit(["bad"]))
    broken = model.predict

    def predict(texts: Sequence[str]) -> list[Answer]:
        if "bad" in texts:
            message = "this text breaks the model"
            raise ValueError(message)
        return broken(texts)

    model.predict = predict  # type: ignore[method-assign]  # this one breaks
    assert batcher.submit(["abcdefgh"]).result(LIMIT_S) == [{"label": "abcdefgh"}]
    with pytest.raises(ValueError, match="breaks the model"):
        short[0].result(LIMIT_S)


def test_the_steps_that_are_left_are_dropped_with_the_client(steps: tuple[InSteps, Batcher]) -> None:
    model, batcher = steps
    asked: list[Future[list[Answer]]] = []
    begun = threading.Event()
    model.at["b"] = lambda: (begun.wait(LIMIT_S), asked[0].cancel())
    asked.append(batcher.submit(["abcdefgh"]))
    begun.set()
    assert batcher.submit(["1"]).result(LIMIT_S) == [{"label": "1"}]
    assert model.letters == "ab"
    assert model.calls == [["1"]]


def test_a_swapped_out_model_answers_the_whole_of_a_long_text(steps: tuple[InSteps, Batcher]) -> None:
    model, batcher = steps
    model.at["e"] = batcher.close
    future = batcher.submit(["abcd efgh ijkl"])
    assert [part for _start, part in future.result(LIMIT_S)[0]["label"]] == ["abcd ", "efgh ", "ijkl"]
    with pytest.raises(ClosedError):
        batcher.submit(["1"])
    assert batcher.join(LIMIT_S)
