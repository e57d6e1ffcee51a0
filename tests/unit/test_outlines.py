from __future__ import annotations

import pytest

from consumers.text.outlines import READ_WORDS, fills_the_same_template, outline

TEMPLATES = [
    ["Flat for rent in Brno, 2 rooms, 54 m2, 9,900 a month", "Flat for rent in Prague, 3 rooms, 71 m2, 14,500 a month"],
    ["Apple (AAPL) closes at 182.30, up 1.2 %", "Microsoft (MSFT) closes at 402.11, down 0.4 %"],
    ["Apple Stock Closes at $182.30, Up 1.2 %", "Microsoft Stock Closes at $402.11, Down 0.4 %"],
    ["Leeds beat Hull 3-1 at Elland Road", "Derby beat Stoke 2-0 at Pride Park"],
    ["Lottery results: 4, 8, 15, 16, 23, 42", "Lottery results: 1, 9, 17, 22, 30, 44"],
    ["Magnitude 5.1 earthquake strikes near Hualien, Taiwan", "Magnitude 6.3 earthquake strikes near Valdivia, Chile"],
    ["台北今日气温 18 度，降雨概率 70%", "高雄今日气温 27 度，降雨概率 10%"],
    ["दिल्ली में सोना 58200 रुपये", "मुंबई में सोना 57900 रुपये"],
]
SAME_STORY = [
    ["At least 5 killed in attack at Jerusalem bus stop", "At least 6 killed in attack at Jerusalem bus stop, police say"],
    [
        "Israel committing genocide in Gaza, say rights groups",
        "Two Israeli rights groups say their country is committing genocide",
    ],
    ["3 killed in 2nd strike on alleged drug boat, Trump says", "US strike on alleged drug boat kills 3, Trump says"],
    ["CA passes ICE mask ban in closing days of session", "California passes ICE mask ban in closing days of session"],
    ["The central bank raised its rate", "The central bank raised its rate again"],
    ["ธนาคารกลางลดอัตราดอกเบี้ย", "ธนาคารกลางลดอัตราดอกเบี้ยแล้ว"],
    ["", "Anything"],
]


@pytest.mark.parametrize(("one", "other"), TEMPLATES)
def test_two_fillings_of_a_template_are_told_apart(one: str, other: str) -> None:
    assert fills_the_same_template(outline(one), outline(other))
    assert fills_the_same_template(outline(other), outline(one))


@pytest.mark.parametrize(("one", "other"), SAME_STORY)
def test_reports_of_one_event_are_not(one: str, other: str) -> None:
    assert not fills_the_same_template(outline(one), outline(other))
    assert not fills_the_same_template(outline(one), outline(one))


def test_an_outline_is_short_and_fits_its_column() -> None:
    found = outline("Word upon word, 12 times. " * 1_000)
    assert len(found) <= READ_WORDS
    assert all(0 <= number < 2**31 for number in found)
