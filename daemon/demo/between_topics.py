"""What belongs to no single topic: subjects that two desks cover, and sentences of none."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.demo.topics import Topic, lines

DESKS: Mapping[str, tuple[str, str]] = {
    "the price of a new cancer drug": ("health", "business"),
    "the financing of the new stadium": ("sport", "business"),
    "a law on hospital closures": ("politics", "health"),
    "patient records in the cloud": ("health", "technology"),
    "a film studio's takeover": ("culture", "business"),
    "flood insurance": ("weather", "business"),
    "a climate model's forecast": ("science", "weather"),
    "the team doctor's lawsuit": ("sport", "health"),
    "subsidies for theatres": ("culture", "politics"),
    "a robot that plays the violin": ("technology", "culture"),
    "a state fund for chip makers": ("politics", "technology"),
    "the gene therapy patent": ("science", "health"),
    "a boycott of the games": ("sport", "politics"),
    "disaster relief money": ("politics", "weather"),
    "a telescope's budget": ("science", "politics"),
    "ticket bots": ("technology", "culture"),
    "a lab's spin-off company": ("science", "business"),
    "video replays by algorithm": ("sport", "technology"),
}
"""Subjects of two desks: either may have filed the story, and its sentences say little about which."""
BORDER = Topic(
    "border",
    tuple(DESKS),
    lines(
        """Questions remain over {subject}
        {GPE} waits for word on {subject}
        {PERSON} speaks out on {subject}
        What happens next with {subject}
        {NEWS_ORG}: doubts about {subject}
        No end in sight for {subject}"""
    ),
    lines(
        """{PERSON} said on {DATE} that {subject} would keep {GPE} busy for a while.
        In {GPE}, {subject} caused a stir on {DATE}.
        {NEWS_ORG} reported on {DATE} that {subject} had been discussed behind closed doors.
        A decision on {subject} is expected on {DATE}.
        {PERSON} and {PERSON2} hold opposite views of {subject}.
        About {PERCENT} of people in {GPE} have an opinion on {subject}, a survey found."""
    ),
    (),
)

NEUTRAL = lines(
    """{PERSON~} declined to comment.
    {ORG~} declined to comment.
    {NEWS_ORG} declined to comment.
    {PERSON2~} welcomed the step.
    {ORG2~} welcomed the step.
    {NEWS_ORG} welcomed the step.
    A spokesman for {ORG2} spoke of a difficult season.
    According to {NEWS_ORG}, the budget was {MONEY}.
    According to {PERSON2~}, the results will be known by {DATE}.
    According to {ORG2~}, the results will be known by {DATE}.
    The report was first published by {NEWS_ORG}.
    For {PERSON~}, it was a record year.
    For {ORG~}, it was a record year.
    For {GPE2}, it was a record year.
    Nobody in {GPE2} had seen it coming.
    More is to be known on {DATE}.
    {PERSON2} called the news encouraging.
    Neighbours of {LOC} had mixed feelings.
    A similar case in {GPE2} ended well in {YEAR}.
    It is the second time since {YEAR}.
    The costs were put at {MONEY}, up {PERCENT}.
    {PERSON} and {ORG} have worked together since {YEAR}.
    {ORG} did not answer questions from {NEWS_ORG}.
    Critics, among them {PERSON2}, spoke of a lost chance."""
)
"""Sentences of no topic: the names in them tell their type to those who know them."""
