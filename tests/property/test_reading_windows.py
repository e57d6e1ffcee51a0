"""Every tokenizer's tokens become words of the text, read once each however long the text is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial_artifact.errors import UnusableError
from perennial_artifact.tagging.windows import longest_window, read
from tests.support.tokenizers import FAMILIES

pytestmark = pytest.mark.slow

WORDS = st.sampled_from(
    ["Ada", "Oslo.", "café", "naïve", "$2.1", "U.S.", "😀", "東京は", "नमस्ते", "\n\n", "\u200b", "\ud800", "x" * 90, "e\u0301"]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=40).map(" ".join), st.text(max_size=60))


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]()


@given(texts=st.lists(TEXTS, max_size=3), max_tokens=st.integers(3, 40))
@settings(max_examples=60, deadline=None)
def test_windows_read_what_one_long_window_reads(tokenizer: Any, texts: list[str], max_tokens: int) -> None:
    whole = read(tokenizer, texts, max_tokens=100_000)
    for one, long, text in zip(read(tokenizer, texts, max_tokens=max_tokens), whole, texts, strict=True):
        assert one.words == long.words
        assert max(map(len, one.windows)) <= max_tokens
        tokens = [one.windows[window][place] for window, place in one.places]
        assert tokens == [long.windows[window][place] for window, place in long.places]
        ends = [0]
        for start, end in one.words:
            assert ends[-1] <= start < end <= len(text)
            assert not text[start].isspace()
            assert not text[end - 1].isspace()
            ends.append(end)


@given(
    text=st.lists(st.sampled_from(["Ada", "Oslo", "café"]), min_size=60, max_size=120).map(" ".join),
    max_tokens=st.integers(12, 40),
)
@settings(max_examples=40, deadline=None)
def test_a_word_is_read_where_it_has_tokens_on_both_sides(tokenizer: Any, text: str, max_tokens: int) -> None:
    [found] = read(tokenizer, [text], max_tokens=max_tokens)
    special = tokenizer.num_special_tokens_to_add()
    least = (max_tokens - special) // 4 // 2
    for window, place in found.places:
        before, after = place - special // 2, len(found.windows[window]) - special // 2 - place - 1
        assert before >= least or window == 0
        assert after >= least - 1 or window == len(found.windows) - 1


def words(tokenizer: Any, text: str) -> list[str]:
    [found] = read(tokenizer, [text], max_tokens=64)
    return [text[start:end] for start, end in found.words]


def test_words_are_told_by_the_text_and_not_by_the_tokenizer(tokenizer: Any) -> None:
    assert words(tokenizer, "Ada left Oslo. The café") == ["Ada", "left", "Oslo", ".", "The", "café"]


def test_a_combining_mark_belongs_to_its_letter(tokenizer: Any) -> None:
    assert words(tokenizer, "cafe\u0301 bar")[-1] == "bar"
    assert words(tokenizer, "cafe\u0301 bar")[0].startswith("cafe")


def test_a_script_without_spaces_is_read_in_tokens() -> None:
    assert words(FAMILIES["pieces"](), "東京は") == ["東", "京", "は"]


def test_a_window_that_special_tokens_fill_is_refused() -> None:
    with pytest.raises(UnusableError, match="holds no word"):
        longest_window(FAMILIES["pieces"](), 2)
