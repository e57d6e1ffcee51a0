from __future__ import annotations

import pytest

from consumers.text.words import letters, words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The state's well-known plan", 4),
        ("மத்திய வங்கி வட்டி விகிதத்தைக் குறைத்தது", 5),
        ("सरकार ने किसानों के लिए योजना शुरू की", 8),
        ("央行宣布下调基准利率", 5),
        ("ธนาคารกลางลดอัตราดอกเบี้ย", 5),
        ("iPhone 15 เปิดตัว", 2),
        ("البنك المركزي يخفض سعر الفائدة", 5),
        ("12 + 3", 0),
    ],
)
def test_words_are_whole_in_every_script(text: str, count: int) -> None:
    found = words(text)
    assert abs(len(found) - count) <= 1, found


def test_nothing_of_a_word_is_lost() -> None:
    for text in ("東京で大雨", "ฝนตกหนักน้ำท่วม", "Ünïcode", "naïve café", "கிரிக்கெட்"):
        assert "".join(words(text)) == text.replace(" ", "")


def test_an_ideograph_says_as_much_as_two_letters() -> None:
    assert letters("USA 12") == 3
    assert letters("地震") == 4
    assert letters("कर") == 2
