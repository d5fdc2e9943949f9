"""What reports should say, counted in plain Python from the events themselves."""

from __future__ import annotations

import collections
import copy
import datetime as dt
import json
import random
import statistics
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maicivy.ingest.event import Event, Fields, make_event
from maicivy.ingest.visitor import Visitor
from maicivy.periods import Moment, day_start

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

PATHS = ("/", "/cv", "/letters", "/blog/a", "/blog/b", "https://other.example/x")
REFERRERS = {
    None: "(direct)",
    "https://www.google.fr/": "Google",
    "https://news.ycombinator.com/item": "Hacker News",
    "https://out.reddit.com/r/cv": "Reddit",
    "https://small.example/page": "small.example",
    "https://other.example/y": "other.example",
}
SCREENS = {390: "under 576", 800: "576 to 991", 1280: "992 to 1439", 1920: "1440 and more"}
QUIET = ("page_view", "page_leave", "click")


@dataclass
class Visit:
    """One visit and its events, oldest first."""

    events: list[Event]

    @property
    def first(self) -> Event:
        return self.events[0]

    @property
    def visitor(self) -> str:
        return self.first.visitor.id

    @property
    def day(self) -> dt.date:
        return self.first.moment.day

    @property
    def pages(self) -> list[str]:
        return [path_of(e) for e in self.events if e.event_type == "page_view" and path_of(e)]

    @property
    def bounced(self) -> bool:
        views = [e for e in self.events if e.event_type == "page_view"]
        return len(views) == 1 and all(e.event_type in QUIET for e in self.events)

    @property
    def seconds(self) -> int:
        took = self.events[-1].moment.instant - self.first.moment.instant
        return round_half_up(took.total_seconds())

    def value(self, dimension: str) -> str | None:
        if dimension == "source":
            url, referrer = self.first.page_url or "", self.first.referrer
            if "utm_source=" in url:
                return "Campaign"
            same = url.startswith("https://other.example/") and "other.example" in (referrer or "")
            return "(direct)" if same else REFERRERS[referrer]
        if dimension == "utm_source":
            return "Campaign" if "utm_source=" in (self.first.page_url or "") else None
        if dimension == "screen":
            widths = (json.loads(event.data or "{}").get("width") for event in self.events)
            return next((SCREENS[width] for width in widths if width), None)
        return str(getattr(self.first.visitor, dimension))


def round_half_up(seconds: float) -> int:
    return int(seconds + 0.5)


def path_of(event: Event) -> str:
    return (event.page_url or "").partition("?")[0]


@dataclass
class World:
    """Visitors who come again and again, and everything they do; the same for the same seed."""

    zone: ZoneInfo
    first_day: dt.date
    days: int
    seed: int = 1
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance, self._widths = random.Random(self.seed), random.Random(self.seed)
        for number in range(60):
            who = self._visitor(chance, number)
            for _ in range(chance.choice((1, 1, 2, 4))):
                self._visit(chance, who)
        self.events.sort(key=lambda event: (event.moment.instant, event.id))

    def _visitor(self, chance: random.Random, number: int) -> Visitor:
        identity = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        device = chance.choice(("desktop", "mobile"))
        browser = chance.choice(("Chrome", "Firefox", "Safari"))
        system = chance.choice(("Windows", "Android", "iOS"))
        return Visitor(identity, identity, f"{number:064}", browser, system, device, "fr")

    def _visit(self, chance: random.Random, who: Visitor) -> None:
        start = day_start(self.first_day, self.zone)
        at = start + dt.timedelta(seconds=chance.uniform(0, self.days * 86_400 - 9_000))
        referrer = chance.choice(list(REFERRERS))
        for n in range(chance.choice((1, 1, 2, 3, 6, 9))):
            kind = "page_view" if n == 0 else chance.choice(
                ("page_view", "page_view", "page_leave", "click", "signup", "letter_generate")
            )  # fmt: skip
            self._happen(chance, who, kind, referrer if n == 0 else None, at)
            at += dt.timedelta(seconds=chance.choice((0.25, 7, 61, 500, 1799, 1801, 2400)))

    def _happen(
        self, chance: random.Random, who: Visitor, kind: str, referrer: str | None, at: dt.datetime
    ) -> None:
        page, letter = chance.choice(PATHS), None
        data: dict[str, Any] = {}
        if kind == "page_view" and chance.random() < 0.1:
            page += "?utm_source=Campaign&utm_medium=mail%20box"
        if kind == "letter_generate":
            letter = "motivation"
            data["letter_type"] = letter
        if kind == "signup":
            data["plan"] = chance.choice(("free", "paid"))
        if kind != "signup" and self._widths.random() < 0.5:
            data["width"] = self._widths.choice(tuple(SCREENS))
        seconds = chance.randrange(90) if kind == "page_leave" else 0
        theme = None
        if kind == "page_view" and path_of_text(page) == "/cv" and chance.random() < 0.5:
            theme = data["theme"] = chance.choice(("backend", "frontend"))
        fields = Fields(
            kind, data or None, page, referrer, seconds, letter_type=letter, theme=theme
        )
        self.events.append(make_event(fields, who, Moment.of(at, self.zone)))

    def until(self, instant: dt.datetime) -> World:
        """Return the same world as it was at `instant`."""
        earlier = copy.copy(self)
        earlier.events = [event for event in self.events if event.moment.instant < instant]
        return earlier

    def without(self, visitor: str) -> World:
        """Return the same world as if `visitor` had never come."""
        rest = copy.copy(self)
        rest.events = [event for event in self.events if event.visitor.id != visitor]
        return rest

    def visits(self) -> list[Visit]:
        """Return all visits: apart by 30 minutes of silence, and by midnight."""
        by_visitor: dict[str, list[Event]] = collections.defaultdict(list)
        for event in self.events:
            by_visitor[event.visitor.id].append(event)
        found = []
        for events in by_visitor.values():
            current = [events[0]]
            for event in events[1:]:
                silence = event.moment.instant - current[-1].moment.instant
                if silence > dt.timedelta(minutes=30) or event.moment.day != current[0].moment.day:
                    found.append(Visit(current))
                    current = []
                current.append(event)
            found.append(Visit(current))
        return found

    def kept(
        self, first: dt.date, last: dt.date, filters: dict[str, str]
    ) -> list[tuple[Visit, list[Event]]]:
        """Return the visits of these days that match, each with its events that match."""
        found = []
        for visit in self.visits():
            if not first <= visit.day <= last:
                continue
            if any(
                visit.value(name) != value
                for name, value in filters.items()
                if name in ("source", "browser", "os", "device")
            ):
                continue
            events = [event for event in visit.events if _matches(event, filters)]
            if events:
                found.append((visit, events))
        return found

    def summary(self, first: dt.date, last: dt.date, filters: dict[str, str]) -> dict[str, Any]:
        """Return the headline numbers."""
        kept = self.kept(first, last, filters)
        events = [event for _, some in kept for event in some]
        visits = [visit for visit, _ in kept]
        visitors = {visit.visitor for visit in visits}
        since = {
            visitor: min(v.day for v in self.visits() if v.visitor == visitor)
            for visitor in visitors
        }
        views = sum(event.event_type == "page_view" for event in events)
        letters = sum(event.event_type == "letter_generate" for event in events)
        took = [visit.seconds for visit in visits]
        median = _coarse(statistics.median_low(took), filters) if took else None
        return {
            "visitors": len(visitors),
            "visits": len(visits),
            "events": len(events),
            "page_views": views,
            "letters": letters,
            "conversion_rate": _ratio(letters, len(visitors), 4) or 0.0,
            "bounce_rate": _ratio(sum(visit.bounced for visit in visits), len(visits), 4),
            "mean_duration_seconds": _ratio(sum(took), len(took), 1),
            "median_duration_seconds": median,
            "pages_per_visit": _ratio(views, len(visits), 2),
            "new_visitors": sum(first <= day for day in since.values()),
            "returning_visitors": sum(first > day for day in since.values()),
        }

    def pages(self, first: dt.date, last: dt.date, filters: dict[str, str]) -> list[dict[str, Any]]:
        """Return the list of pages."""
        kept = self.kept(first, last, filters)
        views: dict[str, list[tuple[Visit, Event]]] = collections.defaultdict(list)
        seconds: collections.Counter[str] = collections.Counter()
        for visit, events in kept:
            for event in events:
                seconds[path_of(event)] += event.session_duration
                if event.event_type == filters.get("event_type", "page_view"):
                    views[path_of(event)].append((visit, event))
        rows = []
        for path, seen in views.items():
            entered = [visit for visit, _ in kept if visit.pages and visit.pages[0] == path]
            rows.append({
                "path": path,
                "visitors": len({visit.visitor for visit, _ in seen}),
                "views": len(seen),
                "entries": len(entered),
                "exits": sum(bool(v.pages) and v.pages[-1] == path for v, _ in kept),
                "bounce_rate": round(sum(v.bounced for v in entered) / len(entered), 4)
                if entered
                else None,
                "mean_seconds": round(seconds[path] / len(seen), 1) if seconds[path] else None,
            })  # fmt: skip
        return sorted(rows, key=lambda row: (-row["visitors"], row["path"]))

    def by_visit(
        self, dimension: str, first: dt.date, last: dt.date, filters: dict[str, str]
    ) -> list[dict[str, Any]]:
        """Return the list of a dimension of visits."""
        groups: dict[str, list[Visit]] = collections.defaultdict(list)
        for visit, _ in self.kept(first, last, filters):
            if (value := visit.value(dimension)) is not None:
                groups[value].append(visit)
        rows = [
            {
                "name": name,
                "visitors": len({visit.visitor for visit in visits}),
                "visits": len(visits),
                "bounce_rate": round(sum(v.bounced for v in visits) / len(visits), 4),
                "mean_duration_seconds": round(sum(v.seconds for v in visits) / len(visits), 1),
            }
            for name, visits in groups.items()
        ]
        return sorted(rows, key=lambda row: (-row["visitors"], row["name"]))

    def by_event(
        self, first: dt.date, last: dt.date, filters: dict[str, str]
    ) -> list[dict[str, Any]]:
        """Return the list of event types."""
        groups: dict[str, list[Event]] = collections.defaultdict(list)
        for _, events in self.kept(first, last, filters):
            for event in events:
                groups[event.event_type].append(event)
        rows = [
            {
                "name": name,
                "visitors": len({event.visitor.id for event in events}),
                "events": len(events),
            }
            for name, events in groups.items()
        ]
        return sorted(rows, key=lambda row: (-row["visitors"], row["name"]))

    def properties(
        self, name: str | None, first: dt.date, last: dt.date, filters: dict[str, str]
    ) -> list[dict[str, Any]]:
        """Return the properties of sign-ups, or the values of one."""
        groups: dict[str, list[Event]] = collections.defaultdict(list)
        for _, events in self.kept(first, last, filters):
            for event in events:
                if event.event_type == "signup":
                    for key, value in json.loads(event.data or "{}").items():
                        if name in (None, key):
                            groups[value if name else key].append(event)
        title = "value" if name else "property"
        rows = [
            {title: value, "visitors": len({e.visitor.id for e in some}), "events": len(some)}
            for value, some in groups.items()
        ]
        return sorted(rows, key=lambda row: (-row["visitors"], row[title]))

    def themes(
        self, first: dt.date, last: dt.date, filters: dict[str, str]
    ) -> list[dict[str, Any]]:
        """Return the list of themes."""
        groups: dict[str, list[Event]] = collections.defaultdict(list)
        for _, events in self.kept(first, last, filters):
            for event in events:
                if event.theme:
                    groups[event.theme].append(event)
        rows = [
            {"theme": name, "views": len(seen), "visitors": len({e.visitor.id for e in seen})}
            for name, seen in groups.items()
        ]
        return sorted(rows, key=lambda row: (-row["visitors"], row["theme"]))


def _ratio(part: int, whole: int, digits: int) -> float | None:
    return round(part / whole, digits) if whole else None


def path_of_text(page: str) -> str:
    return page.partition("?")[0]


def _matches(event: Event, filters: dict[str, str]) -> bool:
    told = {"path": path_of(event), "event_type": event.event_type, "theme": event.theme}
    return all(told[name] == value for name, value in filters.items() if name in told)


def _coarse(seconds: int, filters: dict[str, str]) -> int:
    """Return a duration as the rollups know it: by the minute beyond ten minutes."""
    return seconds if filters or seconds < 600 else seconds // 60 * 60
