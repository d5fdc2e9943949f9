"""Which User-Agents are crawlers, monitors or headless browsers, by a maintained list.

The list is data (`data/crawler-user-agents.json`, see the README beside it): some 1,500 patterns,
nearly all of them plain words. Trying them one by one costs a millisecond, so each word is filed
under one of its three-letter pieces, and a User-Agent asks only for the pieces it contains.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

LIST = Path(__file__).parent / "data" / "crawler-user-agents.json"

# HTTP libraries: not people, but not crawlers either. `client.py` knows them by name.
LIBRARIES = frozenset(
    {
        "[wW]get",
        "Python-urllib",
        "python-requests",
        "aiohttp",
        "httpx",
        "libwww-perl",
        "lwp-trivial",
        "Go-http-client",
        "okhttp",
        r"AHC\/",
        "^Apache-HttpClient",
        "Jetty",
        "http_get",
        "axios",
        "HttpUrlConnection",
        "AnyEvent",
        "^curl",
        "^PHP-Curl-Class",
        "node-fetch",
        r"sindresorhus\/got",
        "CustomAsyncHttpClient",
        r"^HTTPie\/",
        "Indy Library",
        "[mM]echanize",
    }
)

# People's browsers, whatever the list says.
NOT_CRAWLERS = frozenset(
    {
        r"AP3A\.240617\.008",  # the Android 15 build that millions of phones run
        "MetaIAB Facebook",  # Facebook's in-app browser
        "Fluid",  # a Mac browser that turns one site into an application
        "Sogou",  # also a mobile browser; its spiders say "spider"
    }
)

# Fetchers that share their name with an application or a common word. Inside the User-Agent of a
# browser such a name is an in-app browser; a fetcher comes alone or says "compatible".
APPS = frozenset(
    {
        "Adventurer",
        "Blackboard",
        "Butterfly",
        "Charlotte",
        "Disqus",
        "Feedly",
        "Fever",
        "Friendica",
        "Goodreads",
        "Lemmy",
        "Magellan",
        "Mastodon",
        "NewsBlur",
        "NextCloud",
        "Sonic",
        "Synapse",
        "Trove",
        "Viber",
        "WhatsApp",
        "Yeti",
        "ds9",
        "fluffy",
        "inoreader",
        "linko",
        "speedy",
        "yanga",
        r"Asana\/",
        r"Bluesky\/",
        r"Grammarly\/",
        r"Instapaper\/",
        r"Klaviyo\/",
        r"Make\/",
        r"Notion\/",
        r"Overcast\/",
        r"PayPal\/",
        r"PocketCasts\/",
        r"RED\/",
        r"Salesforce\.com",
        r"Tumblr\/",
        r"upday\/",
    }
)

# What crawlers, monitors and automation call themselves when the list does not know them.
SELF_DECLARED = re.compile(
    r"(?<!cu)bots?(?![a-z])|crawl|spider(?![a-z])|scrap(?:er|y|ing)|https?://|headless"
    r"|phantomjs|slimerjs|htmlunit|jsdom|happydom|puppeteer|playwright|selenium|webdriver"
    r"|cypress/|testcafe|webpagetest|lighthouse|gtmetrix|speed insights|rendertron|prerender"
    r"|kube-probe|health-?_?check|googlehc/|envoy/hc|prometheus/|nagios|monitoring|monitor/"
    r"|uptime|statuscake|statuspage|pingdom|checkly|synthetic|nuclei|gobuster|ffuf|wpscan"
)

# The name of a phone is chosen by its maker (CUBOT, HTC Butterfly, AYN Odin): nothing in it counts.
_DEVICE_NAME = re.compile(
    r"\bAndroid\b(?![^)]{0,300}(?:compatible|-Google))[^)]{0,300}\)|\[FB[^\]]{0,500}\]?"
)

_PLAIN = re.compile(r"(?:[^\\.^$*+?{}\[\]|()]|\\[^\w\s])+")
_PIECE = 3
# Pieces of these are in every browser's User-Agent, so nothing is filed under them.
_EVERYDAY = (
    "Mozilla/5.0 (compatible; Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0 "
    "(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Version/17.5 "
    "(iPhone; CPU iPhone OS 17_5 like Mac OS X) Chrome/126.0.0.0 Mobile/15E148 Safari/604.1 Edg/ "
    "(X11; Linux x86_64) (Linux; Android 14; K) SamsungBrowser/25.0 Googlebot spider crawler Bot/"
)


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(len(text) - _PIECE + 1)]


def _file(words: list[str]) -> dict[str, tuple[str, ...]]:
    """File each word under its piece that the fewest words share."""
    crowd: dict[str, int] = {}
    for word in words:
        for piece in set(_pieces(word)):
            crowd[piece] = crowd.get(piece, 0) + 1
    filed: dict[str, tuple[str, ...]] = {}
    for word in words:
        key = min(_pieces(word), key=lambda piece: (piece in _EVERYDAY, crowd[piece]))
        filed[key] = (*filed.get(key, ()), word)
    return filed


def _read() -> tuple[dict[str, tuple[str, ...]], re.Pattern[str], frozenset[str]]:
    patterns = [entry["pattern"] for entry in json.loads(LIST.read_text(encoding="utf-8"))]
    believed = [p for p in patterns if p not in LIBRARIES and p not in NOT_CRAWLERS]
    plain = {p: re.sub(r"\\(.)", r"\1", p) for p in believed if _PLAIN.fullmatch(p)}
    short = [p for p, word in plain.items() if len(word) < _PIECE]
    rest = "|".join([p for p in believed if p not in plain] + short)
    words = [word for p, word in plain.items() if p not in short]
    return _file(words), re.compile(rest), frozenset(plain[p] for p in APPS if p in plain)


_WORDS, _REST, _APP_WORDS = _read()


def is_crawler(user_agent: str) -> bool:
    """Whether the list knows this User-Agent; at most a few hundred characters are expected."""
    text = _DEVICE_NAME.sub(")", user_agent)
    in_browser = text.startswith("Mozilla/") and "compatible" not in text
    for piece in _pieces(text):
        for word in _WORDS.get(piece, ()):
            if word in text and not (in_browser and word in _APP_WORDS):
                return True
    return _REST.search(text) is not None


def declares_itself(user_agent: str) -> bool:
    """Whether a client that is on no list says of itself that it is no person's browser."""
    return SELF_DECLARED.search(_DEVICE_NAME.sub(")", user_agent).lower()) is not None
