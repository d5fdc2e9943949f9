"""One visit of the demonstration: what is done, when, and how the tracker would tell. Pure.

All chance comes from the `random.Random` that is given.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from maicivy.history.demo_site import (
    AGENTS,
    LANGUAGES,
    PAGES,
    SOURCES,
    SPIKE,
    THEMES,
    Agent,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

T = TypeVar("T")

MAX_PAGES = 15
BOUNCES, SPIKE_BOUNCES, GOES_ON = 0.42, 0.68, 0.7
CONTENT_WIDTH = 1100
PHONE_WIDTH = 600


class Step(NamedTuple):
    """Something a visitor does, `seconds` after their visit began: the body of a POST."""

    seconds: float
    body: dict[str, Any]


class Person(NamedTuple):
    """Whoever visits: their browser, its window and the language they prefer."""

    agent: Agent
    width: int
    language: str


def choose(random: Random, weighted: Sequence[tuple[T, float]]) -> T:
    """Return one of the values, as likely as its weight."""
    values, weights = [value for value, _ in weighted], [weight for _, weight in weighted]
    return random.choices(values, weights)[0]


def new_person(random: Random) -> Person:
    """Return somebody."""
    agent = random.choices(AGENTS, [agent.weight for agent in AGENTS])[0]
    return Person(agent, random.choice(agent.widths), choose(random, LANGUAGES))


def new_source(random: Random, *, spike: bool) -> Source:
    """Return where a visit comes from."""
    if spike and random.random() < 0.75:
        return SPIKE
    return random.choices(SOURCES, [source.weight for source in SOURCES])[0]


def visit(random: Random, person: Person, source: Source) -> list[Step]:
    """Return what is done in a visit, in the order of time."""
    return _Visit(random, person).steps(source)


class _Visit:
    def __init__(self, random: Random, person: Person) -> None:
        self._random = random
        self._person = person
        self._now = 0.0
        self._url = ""
        self._steps: list[Step] = []

    def steps(self, source: Source) -> list[Step]:
        random, path = self._random, choose(self._random, source.entries)
        bounces = SPIKE_BOUNCES if source is SPIKE else BOUNCES
        pages = 1 if random.random() < bounces else 2
        while 1 < pages < MAX_PAGES and random.random() < GOES_ON:
            pages += 1
        url = path + (f"?{source.query}" if source.query else "")
        if path == "/cv" and not source.query and random.random() < 0.35:
            url = f"/cv?theme={choose(random, THEMES)}"
        for number in range(pages):
            self._read(url, source.referrer if number == 0 else None, is_lone=pages == 1)
            url = choose(random, PAGES[path].links)
            path = url
        return sorted(self._steps, key=lambda step: step.seconds)

    def _read(self, url: str, referrer: str | None, *, is_lone: bool) -> None:
        """Open a page, do what is done on it, leave it."""
        self._url, page, began = url, PAGES[url.partition("?")[0]], self._now
        self._tell("page_view", 0, {"width": self._person.width}, referrer=referrer)
        spread = self._random.gauss(0, 0.8) - (0.6 if is_lone else 0)
        stay = min(600.0, max(2.0, page.seconds * math.exp(spread)))
        if not is_lone:
            self._act(page.path, stay)
        for _ in range(self._clicks(is_lone=is_lone)):
            self._click(page.path, self._random.uniform(0.1, 0.95) * stay)
        if self._random.random() < 0.93:
            engaged = max(1, round(stay * self._random.uniform(0.6, 1.0)))
            self._tell("page_leave", stay, None, session_duration=engaged)
        self._now = began + stay + self._random.uniform(0.2, 2)

    def _clicks(self, *, is_lone: bool) -> int:
        return 0 if is_lone else self._random.choices((0, 1, 2, 3), (3, 4, 2, 1))[0]

    def _click(self, path: str, after: float) -> None:
        random, width = self._random, self._person.width
        spots = PAGES[path].spots
        spot = random.choices(spots, [spot.weight for spot in spots])[0]
        content = min(width - 32, CONTENT_WIDTH)
        # on a phone what stands side by side stands one below the other
        down = spot.down * (1.6 if width < PHONE_WIDTH and spot.down > 60 else 1)
        x = (width - content) / 2 + spot.across * content + random.gauss(0, 9)
        data = {
            "x": round(min(width - 1, max(0, x))),
            "y": max(0, round(down + random.gauss(0, 6))),
            "width": width,
            "target": spot.name,
        }
        self._tell("click", after, data)

    def _act(self, path: str, stay: float) -> None:
        """Do what the page is for, now and then."""
        random = self._random
        chance, at = random.random(), random.uniform(0.2, 0.9) * stay
        if path == "/cv":
            if chance < 0.24:
                self._tell("cv_theme_change", at, {"theme": choose(random, THEMES)})
            elif chance < 0.36:
                self._tell("pdf_download", at, {"href": "/assets/cv.pdf"})
        elif path == "/letters" and chance < 0.42:
            kind = "motivation" if random.random() < 0.76 else "anti_motivation"
            self._tell("letter_generate", at, {"letter_type": kind})
        elif path == "/contact" and chance < 0.3:
            self._tell("form_submit", at, {"form": "contact"})
        elif path.startswith("/projects/") and chance < 0.35:
            name = path.rpartition("/")[2]
            href = f"https://github.com/example/{name}"
            self._tell("link_click", at, {"href": href, "kind": "outbound"})
        elif path.startswith("/blog/") and chance < 0.16:
            self._post(at, chance)
        elif path == "/" and chance < 0.03:
            self._tell("video_play", at, {"title": "introduction", "seconds": round(stay)})

    def _post(self, at: float, chance: float) -> None:
        if chance < 0.05:
            self._tell("newsletter_signup", at, {"place": "post", "plan": "monthly"})
        else:
            network = choose(self._random, (("linkedin", 3.0), ("mastodon", 2.0), ("mail", 1.0)))
            self._tell("share", at, {"network": network})

    def _tell(
        self, event_type: str, after: float, data: dict[str, Any] | None, **more: Any
    ) -> None:
        body = {"event_type": event_type, "page_url": self._url, "event_data": data, **more}
        told = {name: value for name, value in body.items() if value is not None}
        self._steps.append(Step(self._now + after, told))
