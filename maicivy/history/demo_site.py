"""The site of the demonstration and who visits it: tables only, in the proportions of a real CV."""

from __future__ import annotations

from typing import NamedTuple


class Spot(NamedTuple):
    """Where people click: `across` is a share of the content's width, `down` pixels on the page."""

    name: str
    across: float
    down: int
    weight: float


class Page(NamedTuple):
    """A page: how many seconds it holds half of its readers, what is clicked, what comes next."""

    path: str
    seconds: float
    spots: tuple[Spot, ...]
    links: tuple[tuple[str, float], ...]


class Source(NamedTuple):
    """Where visits come from: a referrer, a query that their first page has, and that page."""

    referrer: str | None
    query: str
    weight: float
    entries: tuple[tuple[str, float], ...]


class Agent(NamedTuple):
    """A browser: its User-Agent and the widths of its windows, in CSS pixels."""

    user_agent: str
    widths: tuple[int, ...]
    weight: float


_NAV = (
    Spot("nav-cv", 0.62, 38, 4),
    Spot("nav-projects", 0.72, 38, 3),
    Spot("nav-blog", 0.81, 38, 2),
    Spot("nav-letters", 0.90, 38, 2),
    Spot("nav-contact", 0.97, 38, 1),
)
_CV = (("/cv", 4.0),)
_ELSEWHERE = (
    ("/", 1.0), ("/cv", 3.0), ("/projects", 2.0), ("/blog", 1.0), ("/letters", 1.0),
    ("/contact", 0.8),
)  # fmt: skip
SPIKE_PAGE = "/blog/one-timestamp-per-event"
PROJECTS = (
    "/projects/atlas", "/projects/beacon", "/projects/cinder", "/projects/delta",
    "/projects/ember", "/projects/fjord", "/projects/garnet", "/projects/harbor",
)  # fmt: skip
POSTS = (
    SPIKE_PAGE, "/blog/redis-is-a-copy", "/blog/counting-without-cookies", "/blog/group-commit",
    "/blog/partitions-that-leave", "/blog/a-test-that-can-fail", "/blog/slow-clients",
    "/blog/what-a-201-means", "/blog/small-dashboards", "/blog/letters-from-a-machine",
)  # fmt: skip
THEMES = (("backend", 5.0), ("fullstack", 3.0), ("devops", 2.0), ("frontend", 1.6), ("data", 1.0))


def _falling(paths: tuple[str, ...], total: float) -> tuple[tuple[str, float], ...]:
    """Return weights that fall as one over the rank, as those of a site's pages do."""
    sum_of_all = sum(1 / rank for rank in range(1, len(paths) + 1))
    return tuple((path, total / rank / sum_of_all) for rank, path in enumerate(paths, start=1))


def _pages() -> dict[str, Page]:
    pages = [
        Page(
            "/",
            22,
            (
                *_NAV,
                Spot("hero-cv", 0.16, 420, 8),
                Spot("hero-projects", 0.36, 420, 4),
                Spot("portrait", 0.78, 330, 2),
            ),
            _ELSEWHERE,
        ),
        Page(
            "/cv",
            70,
            (
                *_NAV,
                Spot("theme-backend", 0.10, 246, 6),
                Spot("theme-fullstack", 0.24, 246, 4),
                Spot("theme-devops", 0.38, 246, 3),
                Spot("cv-download", 0.88, 180, 7),
                Spot("experience", 0.30, 760, 3),
                Spot("skills", 0.70, 1240, 2),
            ),
            (
                ("/letters", 2.0),
                ("/projects", 2.5),
                ("/contact", 1.5),
                ("/", 0.6),
                *_falling(PROJECTS, 1.5),
            ),
        ),
        Page(
            "/letters",
            45,
            (
                *_NAV,
                Spot("letter-company", 0.34, 300, 4),
                Spot("letter-write", 0.50, 380, 9),
                Spot("letter-copy", 0.62, 720, 3),
            ),
            (*_CV, ("/contact", 1.5), ("/", 0.5)),
        ),
        Page(
            "/contact",
            30,
            (
                *_NAV,
                Spot("contact-name", 0.40, 280, 2),
                Spot("contact-text", 0.40, 420, 3),
                Spot("contact-send", 0.28, 610, 6),
            ),
            (("/", 1.0), ("/cv", 1.0)),
        ),
        Page(
            "/projects",
            28,
            (
                *_NAV,
                Spot("project-1", 0.18, 360, 6),
                Spot("project-2", 0.50, 360, 4),
                Spot("project-3", 0.82, 360, 3),
                Spot("project-4", 0.18, 680, 2),
            ),
            (*_falling(PROJECTS, 6.0), *_CV),
        ),
        Page(
            "/blog",
            20,
            (
                *_NAV,
                Spot("post-1", 0.30, 260, 6),
                Spot("post-2", 0.30, 390, 4),
                Spot("post-3", 0.30, 520, 3),
            ),
            (*_falling(POSTS, 6.0), ("/", 0.5)),
        ),
    ]
    pages += [
        Page(
            path,
            40,
            (
                *_NAV,
                Spot("source", 0.20, 540, 6),
                Spot("demo", 0.38, 540, 4),
                Spot("picture", 0.50, 900, 2),
            ),
            (("/projects", 3.0), *_CV, *_falling(PROJECTS, 2.0)),
        )
        for path in PROJECTS
    ]
    pages += [
        Page(
            path,
            120,
            (
                *_NAV,
                Spot("figure", 0.45, 1100, 3),
                Spot("share", 0.12, 2300, 3),
                Spot("next-post", 0.80, 2420, 4),
            ),
            (("/blog", 2.0), ("/", 1.0), ("/cv", 1.6), *_falling(POSTS, 2.5)),
        )
        for path in POSTS
    ]
    return {page.path: page for page in pages}


PAGES = _pages()

_SEARCHED = (("/", 3.0), ("/cv", 3.0), *_falling(POSTS, 4.0), *_falling(PROJECTS, 1.5))
_HIRING = (("/cv", 6.0), ("/", 2.0), ("/letters", 1.0))
SPIKE = Source("https://news.ycombinator.com/", "", 1.0, ((SPIKE_PAGE, 9.0), ("/", 1.0)))
SOURCES = (
    Source("https://www.google.com/", "", 27, _SEARCHED),
    Source(None, "", 23, (("/", 6.0), ("/cv", 4.0), ("/blog", 1.0), ("/letters", 1.0))),
    Source("https://www.linkedin.com/", "", 12, _HIRING),
    Source("https://github.com/", "", 10, (*_falling(PROJECTS, 8.0), ("/", 2.0))),
    Source(None, "utm_source=newsletter&utm_medium=email&utm_campaign=autumn-letter", 5,
           (("/blog", 2.0), *_falling(POSTS, 6.0))),
    Source(None, "utm_source=linkedin&utm_medium=social&utm_campaign=open-to-work", 4, _HIRING),
    Source(None, "utm_source=cv-pdf&utm_medium=print&utm_campaign=applications", 2, _HIRING),
    Source("https://www.bing.com/", "", 4, _SEARCHED),
    Source("https://duckduckgo.com/", "", 4, _SEARCHED),
    Source("https://t.co/", "", 2, (*_falling(POSTS, 6.0), ("/", 1.0))),
    Source("https://www.reddit.com/", "", 2, _falling(POSTS, 6.0)),
    Source("https://mastodon.social/", "", 1.5, _falling(POSTS, 6.0)),
    Source("https://dev.to/", "", 1.5, _falling(POSTS, 6.0)),
    Source("https://www.welcometothejungle.com/", "", 1.5, _HIRING),
    Source("https://jobs.example.com/", "", 1, _HIRING),
    SPIKE,
)  # fmt: skip

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
_GECKO = "Gecko/20100101 Firefox/144.0"
_WINDOWS, _MAC = "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7"
_IPHONE = "iPhone; CPU iPhone OS 18_6 like Mac OS X"
_IPAD = "iPad; CPU OS 18_6 like Mac OS X"
_ENGINES = (
    (_WINDOWS, f"{_CHROME} Safari/537.36", (1920, 1536, 1366, 2560), 26),
    ("Linux; Android 10; K", f"{_CHROME} Mobile Safari/537.36", (360, 393, 412), 17),
    (_IPHONE, f"{_WEBKIT} Mobile/15E148 Safari/604.1", (375, 390, 393, 430), 16),
    (_MAC, f"{_CHROME} Safari/537.36", (1440, 1512, 1728), 11),
    (_MAC, f"{_WEBKIT} Safari/605.1.15", (1440, 1280), 7),
    ("X11; Linux x86_64; rv:144.0", _GECKO, (1920, 1680), 6),
    (f"{_WINDOWS}; rv:144.0", _GECKO, (1920, 1366), 5),
    (_WINDOWS, f"{_CHROME} Safari/537.36 Edg/142.0.0.0", (1920, 1536), 5),
    ("X11; Linux x86_64", f"{_CHROME} Safari/537.36", (1920, 2560), 3),
    (
        "Linux; Android 14; SM-S911B",
        f"SamsungBrowser/28.0 {_CHROME} Mobile Safari/537.36",
        (360,),
        2,
    ),
    (_IPAD, f"{_WEBKIT} Mobile/15E148 Safari/604.1", (820, 834, 1024), 2),
)
AGENTS = tuple(
    Agent(f"Mozilla/5.0 ({system}) {engine}", widths, weight)
    for system, engine, widths, weight in _ENGINES
)
LANGUAGES = (
    ("en", 5.0),
    ("fr", 6.0),
    ("de", 1.5),
    ("es", 1.0),
    ("nl", 0.6),
    ("pt", 0.4),
    ("it", 0.4),
)

# How busy the hours of a day are, local time, and the days of a week from Monday on.
HOURS = (
    0.7, 0.4, 0.25, 0.2, 0.2, 0.3, 0.6, 1.4, 2.6, 3.6, 4.0, 3.9,
    3.2, 3.4, 4.0, 4.1, 3.9, 3.5, 2.9, 2.6, 2.7, 2.6, 2.0, 1.3,
)  # fmt: skip
WEEKDAYS = (1.05, 1.15, 1.12, 1.08, 0.92, 0.52, 0.6)
