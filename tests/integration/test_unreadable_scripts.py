"""The packaged encoder beside scripts that it cannot read: unrelated headlines are stories of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from consumers.enrichment.embedding import Encoder
from consumers.enrichment.stories import NewText, Placement, StoryIndex
from consumers.enrichment.vectors import vectors_of
from consumers.text import ngrams
from consumers.text.outlines import outline

START = datetime(2026, 5, 1, tzinfo=UTC)
UNREADABLE = {
    "Thai": ["ธนาคารกลางลดอัตราดอกเบี้ย", "ทีมชาติแพ้ในนัดชิงชนะเลิศ", "ฝนตกหนักน้ำท่วมถนนในกรุงเทพ", "ศาลสั่งจำคุกอดีตรัฐมนตรี"],
    "Hindi": [
        "भारत ने क्रिकेट मैच में ऑस्ट्रेलिया को हराया",
        "शेयर बाजार में भारी गिरावट दर्ज की गई",
        "सीमा पर गोलीबारी में दो जवान घायल",
        "सोने की कीमत रिकॉर्ड पर",
    ],
    "Tamil": ["மத்திய வங்கி வட்டி விகிதத்தைக் குறைத்தது", "இறுதிப் போட்டியில் அணி தோல்வியடைந்தது", "கனமழையால் சாலைகள் மூழ்கின"],
    "Bengali": ["কেন্দ্রীয় ব্যাংক সুদের হার কমিয়েছে", "ফাইনালে দল হেরে গেছে", "ভারী বৃষ্টিতে রাস্তা ডুবে গেছে"],
    "Korean": ["중앙은행이 기준금리를 인하했다", "대표팀이 결승전에서 졌다", "폭우로 도로가 침수됐다"],
    "Georgian": ["ცენტრალურმა ბანკმა განაკვეთი შეამცირა", "ნაკრებმა ფინალი წააგო", "ძლიერმა წვიმამ ქუჩები დატბორა"],
    "Greek": ["Η κεντρική τράπεζα μείωσε τα επιτόκια", "Η εθνική ομάδα έχασε στον τελικό", "Η βροχή πλημμύρισε τους δρόμους"],
}
READABLE = [
    "The central bank cut its main rate by a quarter point", "Zentralbank senkt den Leitzins",
    "Regeringen föreslår sänkt skatt på el",
    "Úřad práce hlásí nejnižší nezaměstnanost", "COVID-19", "U S A",
]  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder("minilm")


def placed(encoder: Encoder, texts: list[str]) -> list[Placement]:
    index = StoryIndex(
        similarity=0.8, window=timedelta(days=30), test_fraction=0.2, dimensions=encoder.dimensions, load=lambda _start, _end: ()
    )
    return index.place(
        [
            NewText(f"row {number}", text, START + timedelta(hours=number), vector.vector, outline=outline(text))
            for number, (text, vector) in enumerate(zip(texts, vectors_of(encoder, texts), strict=True))
        ]
    )


def test_every_unrelated_headline_is_a_story_of_its_own(encoder: Encoder) -> None:
    texts = [text for headlines in UNREADABLE.values() for text in headlines]
    assert len({placement.story_id for placement in placed(encoder, texts)}) == len(texts)


@pytest.mark.parametrize("script", UNREADABLE)
def test_a_script_without_words_in_the_vocabulary_is_compared_by_its_letters(encoder: Encoder, script: str) -> None:
    found = vectors_of(encoder, UNREADABLE[script])
    assert {vector.encoder_id for vector in found} == {ngrams.ENCODER_ID}
    assert {vector.vector.shape for vector in found} == {(encoder.dimensions,)}
    assert np.allclose([np.linalg.norm(vector.vector) for vector in found], 1, atol=1e-5)


def test_near_copies_in_such_a_script_still_share_a_story(encoder: Encoder) -> None:
    for headlines in UNREADABLE.values():
        text = headlines[0] + " " + headlines[1]
        first, copy = placed(encoder, [text, f"{text} (2)"])
        assert first.story_id == copy.story_id


def test_what_the_encoder_reads_is_left_to_it(encoder: Encoder) -> None:
    assert {vector.encoder_id for vector in vectors_of(encoder, READABLE)} == {encoder.encoder_id}


def test_listings_that_differ_in_names_and_numbers_stay_apart_and_syndicated_copies_do_not(encoder: Encoder) -> None:
    places = ["Brno", "Prague", "Ostrava", "Plzen", "Liberec", "Olomouc"]
    listings = [f"Flat for rent in {place}, {size} m2, {size * 190} a month" for size, place in enumerate(places, start=40)]
    assert len({placement.story_id for placement in placed(encoder, listings)}) == len(listings)
    copies = [
        "Powerful earthquake in central Philippines kills at least 69, officials say",
        "Powerful earthquake in central Philippines kills at least 72, officials say - Daily News",
    ]
    assert len({placement.story_id for placement in placed(encoder, copies)}) == 1


def test_nothing_and_hostile_texts_have_vectors_too(encoder: Encoder) -> None:
    found = vectors_of(encoder, ["?", "\u0e01" * 100_000, "1234", "\u0301\u0301"])
    assert len(found) == 4
    assert all(np.isfinite(vector.vector).all() for vector in found)
