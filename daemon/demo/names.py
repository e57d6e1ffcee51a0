"""Who and what the made-up news are about: names per entity type, before the drift and the new ones after it.

None of the new names occurs in an earlier text. Many surnames, companies and papers are single made-up words that could be any
of the three, so that a model has to know them or read the sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass


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


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


BEFORE = Names(
    first=_words(
        "Anna Luis Mira Tomas Elena Victor Grace Samuel Irina Peter Nadia Oscar Helen Karim Julia Martin Rosa David "
        "Ingrid Felix Clara Hugo Amina Jonas Sofia Erik Laila Daniel Petra Marcus Ruth Adrian Leonie Paul Zoë René"
    ),
    last=_words(
        "Albrecht Halvorsen Castell Marlow Okafor Brandt Keller Lindqvist Moreau Pereira Novak Sandoval Whitaker Yilmaz "
        "Drummond Falk Grimaldi Hartley Ibarra Jansen Kovacs Laurent Meridian Norling Osei Pardo Quist Rahman Sterling "
        "Tanaka Ulrich Varga Winslow Ashford Belmont Corrigan Delacroix Eriksen Fontaine Garrick Hale Kessler Lockhart "
        "Müller Núñez"
    ),
    org=_words(
        "Norvale Castor Brightwater Halden Meridian Orbison Kestrel Lumen Sterling Vantage Tessera Corvus Belmont Arcadia "
        "Pinewood Solberg Ironbridge Marlow Fairmont Quantia Redmere Stellan Trident Umbra Veltis Wexford Ashford Dunmore "
        "Elara Fenwick"
    ),
    org_kind=(
        "Group",
        "Holdings",
        "Bank",
        "Motors",
        "Foods",
        "Energy",
        "Institute",
        "Partners",
        "Airlines",
        "Studios",
        "University",
    ),
    gpe=_words(
        "Lisbon Oslo Kenya Toronto Chile Vienna Bristol Ghana Osaka Norway Marseille Denver Peru Dublin Jakarta Poland "
        "Leeds Porto Hamburg Vietnam Boston Morocco Geneva Quito Finland Adelaide Krakow Senegal Málaga Ottawa Uruguay "
        "Antwerp Lagos Bergen Texas Catalonia Brazil Utrecht Tunisia Glasgow"
    ),
    product=_lines(
        """Aurora 7
        Nimbus Pad
        Kestrel X2
        HomeLoop
        Paxovir
        Cardiolen
        Meridian S
        TrailOne
        Pulse Band
        Skylane 300
        Veltis Go
        Quickleaf"""
    ),
    news_org=_lines(
        """The Northern Courier
        Harbour Radio
        Delta News Agency
        The Evening Ledger
        Channel Nine
        The Castor Times
        Halden Post
        The Sunday Mirror Weekly
        Capital Broadcasting
        The Marlow Gazette
        Meridian
        Continental Press"""
    ),
    event=_lines(
        """Harbour Cup
        Alpine Open
        Lakeside Film Festival
        Copper Summit
        Spring Book Fair
        Northern Games
        Autumn Design Week
        Coastal Marathon
        Global Finance Forum
        Winter Carnival"""
    ),
    policy=_lines(
        """Clean Rivers Act
        Housing Relief Bill
        School Meals Programme
        Fair Wages Act
        Rural Broadband Plan
        Open Records Bill
        Patient Rights Act
        Tourism Levy
        Coastal Protection Programme
        Small Firms Relief Scheme
        Stadium Safety Act
        Public Transport Pact"""
    ),
    metric=_lines(
        """core inflation
        earnings per share
        gross domestic product
        operating margin
        net debt
        consumer confidence
        free cash flow
        unemployment rate
        same-store sales
        producer prices"""
    ),
)

AFTER = Names(
    first=_words("Thandiwe Bogdan Xiomara Kaito Freya Tariq Ilse Mateus Noor Sindri Yelena Caio Wanjiru Dmitri Aoife Björn"),
    last=_words(
        "Adeyemi Zhurova Takahara Vossberg Mbeki-Lowe Ostrander Rydell Kincannon Quintero Salonen Thackeray Urquhart "
        "Wierzbicki Yamaguro Balthus Crane-Dufour Helion Ferncastle Galbrae Ortolan"
    ),
    org=_words(
        "Helion Zephyrine Polarix Galbrae Ortolan Nexterra Thornquist Vyrell Kairos Ostrava Bluefinch Cindral Perigee Solquest"
    ),
    org_kind=("Aerospace", "Launch Services", "Dynamics", "Orbital", "Collective", "Robotics", "Capital"),
    gpe=_words("Windhoek Tromsø Guyana Kourou Bergamo Mongolia Darwin Reykjavik Botswana Tallinn Perth Nairobi"),
    product=_lines(
        """Perigee Heavy
        Galbrae One
        Zephyr Tug
        StarLattice
        Ortolan Lens
        Vyrell Mini"""
    ),
    news_org=_lines(
        """The Orbit Dispatch
        Polar Newswire
        Thornquist Daily
        Kairos
        Radio Equator
        The Daybreak Review"""
    ),
    event=_lines(
        """Equinox Launch Forum
        Polar Relay
        Island Jazz Days
        Youth Robotics Final"""
    ),
    policy=_lines(
        """Orbital Debris Accord
        Night Trains Subsidy
        Data Dividend Act
        Spaceport Noise Rules
        Heat Shelter Programme"""
    ),
    metric=_lines(
        """launch backlog
        free float
        order intake
        capacity utilisation"""
    ),
)

LOC = _lines(
    """the Danube
    Lake Constance
    the Andes
    the North Sea
    Mount Elbrus
    the Amazon basin
    the Baltic
    the Sahel
    the Rhine valley
    the Pacific coast"""
)
ROLE = _lines(
    """prime minister
    finance secretary
    health minister
    governor
    mayor
    foreign minister
    interior secretary
    deputy speaker
    transport commissioner
    president"""
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
