"""Who and what the made-up news are about: names per entity type, before the drift and the new ones after it.

None of the new names occurs in an earlier text. Surnames, companies and papers are made-up words that could be any of the three,
so that a model has to know them or read the sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle


@dataclass(frozen=True, slots=True)
class Names:
    """Pools of names for the types whose names differ before and after the drift."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    org: tuple[str, ...]
    org_kind: tuple[str, ...]
    gpe: tuple[str, ...]
    product: tuple[str, ...]
    news_org: tuple[str, ...]
    event: tuple[str, ...]
    policy: tuple[str, ...]
    metric: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _cross(starts: Iterable[str], ends: Iterable[str], glue: str = " ") -> tuple[str, ...]:
    """Return every start with every end."""
    return tuple(f"{start}{glue}{end}" for start in starts for end in ends)


def _named(made_up: Sequence[str], **others: tuple[str, ...]) -> Names:
    """Deal the made-up words out to people, companies and papers, so that the look of a word tells nothing of its type."""
    papers = made_up[2::3]
    return Names(
        last=tuple(made_up[0::3]),
        org=tuple(made_up[1::3]),
        news_org=(*papers, *(f"The {name} {kind}" for name, kind in zip(papers, cycle(others.pop("papers")), strict=False))),
        **others,
    )


BEFORE = _named(
    _cross(
        _words("Nor Hal Kes Mar Vel Bran Cas Dun Fen Gar Lin Sol Tor Wex Ash Bel Cor Elm Hart Lock Pen Red Stel Whit"),
        _words("vale den trel low wick burn mere ström ford by hurst ton quist sen"),
        glue="",
    ),
    papers=_words("Courier Ledger Times Post Gazette"),
    first=_words(
        "Anna Luis Mira Tomas Elena Victor Grace Samuel Irina Peter Nadia Oscar Helen Karim Julia Martin Rosa David Ingrid "
        "Felix Clara Hugo Amina Jonas Sofia Erik Laila Daniel Petra Marcus Ruth Adrian Leonie Paul Zoë René"
    ),
    org_kind=_words("Group Holdings Bank Motors Foods Energy Institute Partners Airlines Studios University"),
    gpe=_words(
        "Lisbon Oslo Kenya Toronto Chile Vienna Bristol Ghana Osaka Norway Marseille Denver Peru Dublin Jakarta Poland Leeds "
        "Porto Hamburg Vietnam Boston Morocco Geneva Quito Finland Adelaide Krakow Senegal Málaga Ottawa Uruguay Antwerp Lagos "
        "Bergen Texas Catalonia Brazil Utrecht Tunisia Glasgow"
    ),
    product=_cross(
        _words("Aurora Nimbus Pulse Skylane Cardiolen Paxovir Trail Quickleaf Homeloop"), _words("7 Pad X2 Band Plus Go 300")
    ),
    event=_cross(
        _words("Harbour Alpine Lakeside Copper Northern Coastal Autumn Winter"), _words("Cup Open Festival Games Forum Fair")
    ),
    policy=_cross(
        (
            "Clean Rivers",
            "Housing Relief",
            "School Meals",
            "Fair Wages",
            "Rural Roads",
            "Open Records",
            "Patient Rights",
            "Small Firms",
        ),
        _words("Act Bill Programme Plan Scheme"),
    ),
    metric=(
        *_cross(_words("core headline producer"), _words("inflation prices")),
        *_cross(_words("operating gross net"), _words("margin debt income")),
        *("earnings per share", "gross domestic product", "consumer confidence", "free cash flow", "unemployment rate"),
    ),
)

AFTER = _named(
    _cross(_words("Zeph Xan Vyr Oct Quor Thal Ryd Galb Peri Ulm"), _words("yrine arix ell olan ander ova ski gee aro"), glue=""),
    papers=_words("Dispatch Newswire Review"),
    first=_words("Thandiwe Bogdan Xiomara Kaito Freya Tariq Ilse Mateus Noor Sindri Yelena Caio Wanjiru Dmitri Aoife Björn"),
    org_kind=_words("Aerospace Dynamics Orbital Collective Robotics Ventures"),
    gpe=_words("Windhoek Tromsø Guyana Kourou Bergamo Mongolia Darwin Reykjavik Botswana Tallinn Perth Nairobi"),
    product=_cross(_words("Heron Zephyr Starlattice Meteora"), _words("Heavy Tug Lens Nine")),
    event=_cross(_words("Equinox Polar Island"), _words("Relay Congress Jubilee")),
    policy=_cross(("Orbital Debris", "Night Trains", "Data Dividend", "Heat Shelter"), _words("Accord Subsidy Charter")),
    metric=("launch backlog", "free float", "order intake", "capacity utilisation", "book value"),
)

LOC = (
    "the Danube",
    "Lake Constance",
    "the Andes",
    "the North Sea",
    "Mount Elbrus",
    "the Amazon basin",
    "the Baltic",
    "the Sahel",
    "the Rhine valley",
    "the Pacific coast",
)
ROLE = (
    *_cross(_words("prime finance health foreign interior transport"), _words("minister secretary")),
    *("governor", "mayor", "deputy speaker", "president"),
)
_MONTHS = _words("January February March April June July August September October November December")
_DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_PAST = ("last month", "last week", "last spring", "last year", "last autumn")


def _person(names: Names, rng: random.Random) -> str:
    return f"{rng.choice(names.first)} {rng.choice(names.last)}"


def _organisation(names: Names, rng: random.Random) -> str:
    return f"{rng.choice(names.org)} {rng.choice(names.org_kind)}"


def _date(_names: Names, rng: random.Random) -> str:
    return rng.choice((rng.choice(_DAYS), f"{rng.randint(1, 28)} {rng.choice(_MONTHS)}"))


def _year(_names: Names, rng: random.Random) -> str:
    return rng.choice((str(rng.randint(2008, 2031)), rng.choice(_MONTHS), "the first quarter", "the third quarter"))


def _money(_names: Names, rng: random.Random) -> str:
    amount = rng.choice((str(rng.randint(2, 950)), f"{rng.randint(1, 99)}.{rng.randint(1, 9)}"))
    return f"{rng.choice('$€£')}{amount} {rng.choice(('million', 'billion'))}"


def _percent(_names: Names, rng: random.Random) -> str:
    amount = rng.choice((str(rng.randint(2, 95)), f"{rng.randint(0, 30)}.{rng.randint(1, 9)}"))
    return f"{amount}{rng.choice((' percent', '%', ' %'))}"


MAKERS: Mapping[str, Callable[[Names, random.Random], str]] = {
    "PERSON": _person,
    "ORG": _organisation,
    "GPE": lambda names, rng: rng.choice(names.gpe),
    "LOC": lambda _names, rng: rng.choice(LOC),
    "DATE": _date,
    "YEAR": _year,
    "PAST": lambda _names, rng: rng.choice(_PAST),
    "MONEY": _money,
    "PERCENT": _percent,
    "EVENT": lambda names, rng: rng.choice(names.event),
    "PRODUCT": lambda names, rng: rng.choice(names.product),
    "NEWS_ORG": lambda names, rng: rng.choice(names.news_org),
    "POLICY_TERM": lambda names, rng: rng.choice(names.policy),
    "FINANCIAL_METRIC": lambda names, rng: rng.choice(names.metric),
    "POLITICAL_ROLE": lambda _names, rng: rng.choice(ROLE),
}
"""How the name in a slot is made; the slots are the types of the task `news-entities`, and two more kinds of DATE."""
TYPES: Mapping[str, str] = {slot: {"YEAR": "DATE", "PAST": "DATE"}.get(slot, slot) for slot in MAKERS}
"""The entity type of each slot."""


def short_form(label: str, name: str) -> str:
    """Return how a text calls it the second time: a person by surname, a company by its first word, others unchanged."""
    return {"PERSON": name.split(" ", 1)[-1], "ORG": name.split(" ", 1)[0]}.get(label, name)
