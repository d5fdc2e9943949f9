"""Who a User-Agent belongs to, and what is kept of it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maicivy.ingest import client, crawlers, families
from maicivy.ingest.client import ClientFacts, ClientKind, client_facts, language

AOSP = "AppleWebKit/537.36 (KHTML, like Gecko)"
IOS = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {AOSP} Chrome/126.0.0.0 Safari/537.36"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {AOSP} Chrome/126.0.0.0 Safari/537.36"
LINUX = f"Mozilla/5.0 (X11; Linux x86_64) {AOSP} Chrome/126.0.0.0 Safari/537.36"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {IOS}"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) {IOS}"


def _android(device: str, chrome: str = "Chrome/126.0.0.0 Mobile") -> str:
    return f"Mozilla/5.0 (Linux; Android 14; {device}) {AOSP} {chrome} Safari/537.36"


def _webview(device: str, app: str) -> str:
    return f"{_android(f'{device}; wv', 'Version/4.0 Chrome/126.0.0.0 Mobile')} {app}"


# By system and device: the User-Agent and its browser.
PEOPLE = {
    ("Windows", "desktop"): [
        (WINDOWS, "Chrome"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Firefox",
        ),
        (f"{WINDOWS} Edg/126.0.0.0", "Edge"),
        (f"{WINDOWS} OPR/112.0.0.0", "Opera"),
        ("Opera/9.80 (Windows NT 6.1; U; en) Presto/2.12 Version/12.18", "Opera"),
        (f"{WINDOWS} Vivaldi/6.8.3381.46", "Vivaldi"),
        (f"{WINDOWS} YaBrowser/24.6.0.0 Yowser/2.5", "Yandex Browser"),
        (f"{WINDOWS} Whale/3.27.254.15", "Whale"),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "Internet Explorer",
        ),
        (
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)",
            "Internet Explorer",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; rv:102.0) Goanna/6.7 Firefox/102.0 PaleMoon/33",
            "Pale Moon",
        ),
        (
            (
                f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {AOSP} Slack/4.39 Chrome/126.0.0.0 "
                "Electron/31.1.0 Safari/537.36"
            ),
            "Electron",
        ),
    ],
    ("macOS", "desktop"): [
        (MAC, "Chrome"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Firefox",
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {IOS} Version/17.5 Safari/605.1.15",
            "Safari",
        ),
        (f"{MAC} Edg/126.0.0.0", "Edge"),
        (f"{MAC} Ddg/17.5", "DuckDuckGo"),
        (
            (
                "Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10_5_6; en-us) AppleWebKit/528.16 "
                "(KHTML, like Gecko) Fluid/0.9.6 Safari/528.16"
            ),
            "Safari",
        ),
    ],
    ("Linux", "desktop"): [
        (LINUX, "Chrome"),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Firefox",
        ),
        (f"{LINUX} Brave/126", "Brave"),
        (
            (
                f"Mozilla/5.0 (X11; Linux x86_64) {AOSP} Chromium/126.0.0.0 Chrome/126.0.0.0 "
                "Safari/537.36"
            ),
            "Chromium",
        ),
    ],
    ("ChromeOS", "desktop"): [
        (
            f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {AOSP} Chrome/126.0.0.0 Safari/537.36",
            "Chrome",
        ),
    ],
    ("BSD", "desktop"): [
        ("Mozilla/5.0 (X11; FreeBSD amd64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox"),
    ],
    ("unknown", "unknown"): [
        ("Lynx/2.9.0 libwww-FM/2.14 SSL-MM/1.4.1", "Lynx"),
    ],
    ("Android", "mobile"): [
        (_android("K"), "Chrome"),
        (_android("Pixel 8 Pro"), "Chrome"),
        (_android("SM-S918B", "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile"), "Samsung Internet"),
        (f"{_android('K')} EdgA/126.0.0.0", "Edge"),
        (f"{_android('K')} OPR/82.0.0.0", "Opera"),
        (f"{_android('K')} Brave/126", "Brave"),
        (_android("K", "Version/4.0 Chrome/126.0 Mobile DuckDuckGo/5"), "DuckDuckGo"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0", "Firefox"),
        (
            _android("M2102J20SG", "Chrome/112.0 Mobile") + " XiaoMi/MiuiBrowser/14.9",
            "MIUI Browser",
        ),
        (_android("U; zh-CN; V2055A", "UCBrowser/15.5 Mobile"), "UC Browser"),
        # makers who call their phones what crawlers are called
        (_android("CUBOT X30"), "Chrome"),
        (
            "UCWEB/2.0 (MIDP-2.0; U; Adr 4.4.2; en-US; CUBOT_P9) U2/1.0.0 UCBrowser/9.4 Mobile",
            "UC Browser",
        ),
        (_android("CUBOT_NOTE_20 Build/QP1A.190711.020"), "Chrome"),
        (_android("HTC Butterfly s Build/LRX22G"), "Chrome"),
        (_android("AYN Odin; Odin Build/RKQ1"), "Chrome"),
        (_android("Splunk Crawler Spider robot"), "Chrome"),
        (_android("CPH2557 Build/AP3A.240617.008"), "Chrome"),
        (
            _webview(
                "CUBOT_X19", "Instagram 300.0.0.0 Android (28/9; 480dpi; CUBOT; CUBOT_X19; mt6)"
            ),
            "Instagram",
        ),
        (
            _webview(
                "X18 Plus", "[FBAN/FB4A;FBAV/440.0;FBMF/CUBOT;FBBD/CUBOT;FBDV/CUBOT X18;FBOP/1]"
            ),
            "Facebook",
        ),
        (_webview("SM-A546B", "[FB_IAB/FB4A;FBAV/470.0.0.0;IABMV/1;]"), "Facebook"),
        (_webview("Pixel 10 Pro XL", "MetaIAB Facebook"), "Facebook"),
        (_webview("SM-A546B", "[FB_IAB/MESSENGER;FBAV/440.0.0.0;]"), "Messenger"),
        (_webview("V2055A", "MicroMessenger/8.0.49"), "WeChat"),
        (_webview("SM-A546B", "Line/14.10.0/IAB"), "LINE"),
        (_webview("SM-A546B", "Notion/2.3 PayPal/8.1 Viber"), "Android WebView"),
    ],
    ("iOS", "mobile"): [
        (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", "Safari"),
        (f"{IPHONE} CriOS/126.0.6478.153 Mobile/15E148 Safari/604.1", "Chrome"),
        (f"{IPHONE} FxiOS/128.0 Mobile/15E148 Safari/605.1.15", "Firefox"),
        (f"{IPHONE} Version/17.0 EdgiOS/126.0 Mobile/15E148 Safari/605.1.15", "Edge"),
        (f"{IPHONE} Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", "DuckDuckGo"),
        (f"{IPHONE} GSA/323.0.647 Mobile/15E148 Safari/604.1", "Google App"),
        (f"{IPHONE} Version/17.4 Mobile/15E148 Safari/604.1 (Ecosia ios@9.2.3.1367)", "Ecosia"),
        (
            "Opera/9.80 (J2ME/MIDP; Opera Mini/9 (Compatible; iPhone; BlackBerry9700) Presto",
            "Opera Mini",
        ),
        (f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/470.0;FBDV/iPhone14,5]", "Facebook"),
        (f"{IPHONE} Mobile/15E148 Instagram 338.0.3 (iPhone14,5; iOS 17_5)", "Instagram"),
        (f"{IPHONE} Mobile/15E148 musical_ly_35.0 BytedanceWebview/d8a21c6", "TikTok"),
        (f"{IPHONE} Mobile/15E148 Snapchat/12.93.0.38 (like Safari/8618)", "Snapchat"),
        (f"{IPHONE} Mobile/15E148 [LinkedInApp]/9.30", "LinkedIn"),
        (f"{IPHONE} Mobile/15E148 [Pinterest/iOS]", "Pinterest"),
        (f"{IPHONE} Mobile/15E148 Twitter for iPhone/10.48", "X"),
    ],
    ("KaiOS", "mobile"): [
        (
            "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
            "KaiOS Browser",
        ),
    ],
    ("Windows Phone", "mobile"): [
        (
            (
                "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) "
                f"{AOSP} Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063"
            ),
            "Edge",
        ),
    ],
    ("HarmonyOS", "mobile"): [
        (_android("HarmonyOS; ALN-AL00", "HuaweiBrowser/14.0 Mobile"), "Huawei Browser"),
    ],
    ("iPadOS", "tablet"): [
        (f"{IPAD} Version/16.6 Mobile/15E148 Safari/604.1", "Safari"),
        (f"{IPAD} CriOS/126.0.6478.153 Mobile/15E148 Safari/604.1", "Chrome"),
    ],
    ("Android", "tablet"): [
        (_android("SM-X910", "Chrome/126.0.0.0"), "Chrome"),
        (_android("SM-T870", "SamsungBrowser/25.0 Chrome/121.0.0.0"), "Samsung Internet"),
        (_android("KFTRWI", "Silk/126.2.1 like Chrome/126.0.0.0"), "Silk"),
        ("Mozilla/5.0 (Android 14; Tablet; rv:128.0) Gecko/128.0 Firefox/128.0", "Firefox"),
    ],
    ("Tizen", "tv"): [
        (f"Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) {AOSP} Version/7.0 TV Safari/537.36", "Safari"),
    ],
    ("webOS", "tv"): [
        (
            f"Mozilla/5.0 (Web0S; Linux/SmartTV) {AOSP} Chrome/108.0.0.0 Safari/537.36",
            "Chrome",
        ),
    ],
    ("Android", "tv"): [
        (_android("BRAVIA 4K VH2", "Chrome/126.0.0.0"), "Chrome"),
        (_android("AFTMM Build/NS6265; wv", "Version/4.0 Chrome/108.0.0.0"), "Android WebView"),
    ],
    ("Cast", "tv"): [
        (
            f"Mozilla/5.0 (X11; Linux armv7l) {AOSP} Chrome/90.0.4430.225 Safari/537.36 CrKey/1.56",
            "Chrome",
        ),
    ],
    ("PlayStation", "console"): [
        (
            f"Mozilla/5.0 (PlayStation; PlayStation 5/8.20) {IOS} Version/16.4 Safari/605.1.15",
            "PlayStation",
        ),
    ],
    ("Xbox", "console"): [
        (
            (
                f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) {AOSP} Chrome/126.0 "
                "Safari/537.36 Edg/126.0.0.0"
            ),
            "Edge",
        ),
    ],
    ("Nintendo", "console"): [
        (
            (
                f"Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) {AOSP} "
                "NF/6.0.3.25.0 NintendoBrowser/5.1.0.33199"
            ),
            "Nintendo",
        ),
    ],
    ("Android", "headset"): [
        (_android("Quest 3", "OculusBrowser/33.0 Chrome/126.0.0.0 VR"), "Meta Quest Browser"),
    ],
}

TOOLS = [
    "",
    "   ",
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.3",
    "Python/3.12 aiohttp/3.14.4",
    "python-httpx/0.27.0",
    "Python-urllib/3.12",
    "Go-http-client/1.1",
    "okhttp/4.12.0",
    "axios/1.7.2",
    "node",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "undici",
    "got (https://github.com/sindresorhus/got)",
    "Deno/1.44.4",
    "Bun/1.1.17",
    "k6/0.52.0 (https://k6.io/)",
    "PostmanRuntime/7.39.0",
    "insomnia/2023.5.8",
    "HTTPie/3.2.2",
    "xh/0.22.2",
    "Java/17.0.2",
    "Java-http-client/21.0.3",
    "Apache-HttpClient/4.5.14 (Java/17.0.2)",
    "libwww-perl/6.77",
    "GuzzleHttp/7",
    "Ruby",
    "reqwest/0.12.5",
    "hey/0.0.1",
    "ApacheBench/2.3",
    "wrk/4.2.0",
    "Artillery (https://artillery.io)",
    "AHC/2.1",
    "PHP-Curl-Class/9.0.0 PHP/8.2",
    "Dart/3.4 (dart:io)",
    "Symfony HttpClient/Curl",
    "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)",
    "MyShop/3.2 (Android 14) okhttp/4.12.0",
    "MyShop/3.2 CFNetwork/1496.0.7 Darwin/23.5.0",
    "Mozilla/3.0 (compatible; Indy Library)",
    "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4522",
    "Mozilla/5.0",
    "something nobody has ever heard of",
]

BOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    _android("Nexus 5X Build/MMB29P").replace("14", "6.0.1")
    + " (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    (
        "Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0) "
        "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/81.0.4044.138 Mobile Safari/537.36"
    ),
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
    "WhatsApp/2.24.12.78 A",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    f"Mozilla/5.0 {AOSP}; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    f"Mozilla/5.0 {AOSP}; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    LINUX.replace("Chrome/", "HeadlessChrome/"),
    f"Mozilla/5.0 (Unknown; Linux x86_64) {AOSP} PhantomJS/2.1.1 Safari/538.1",
    f"{LINUX} Puppeteer",
    "Playwright/1.45 (x64; ubuntu 22.04) node/20.15",
    f"{LINUX} Chrome-Lighthouse",
    f"{LINUX} Cypress/13.13.0 Electron/27",
    "Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/24.1.0",
    "Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "Better Uptime Bot Mozilla/5.0 (Macintosh)",
    "kube-probe/1.30",
    "ELB-HealthChecker/2.0",
    "GoogleHC/1.0",
    "Prometheus/2.53.0",
    "Nagios check_http/2.3.3",
    "Mozilla/5.0 (compatible; NobodyKnowsBot/0.1)",
    "NewCrawler 1.0",
    "acme-scraper",
]


@pytest.mark.parametrize(
    ("user_agent", "browser", "system", "device"),
    [(*case, *group) for group, cases in PEOPLE.items() for case in cases],
)
def test_a_person(user_agent: str, browser: str, system: str, device: str) -> None:
    assert client_facts(user_agent) == ClientFacts(ClientKind.PERSON, browser, system, device)


@pytest.mark.parametrize("user_agent", TOOLS)
def test_a_tool(user_agent: str) -> None:
    assert client_facts(user_agent).kind is ClientKind.TOOL


@pytest.mark.parametrize("user_agent", BOTS)
def test_a_bot(user_agent: str) -> None:
    assert client_facts(user_agent).kind is ClientKind.BOT


def test_enough_people_are_asked() -> None:
    assert len({case[0] for cases in PEOPLE.values() for case in cases}) >= 60


def test_an_ipad_in_desktop_mode_cannot_be_told_from_a_mac() -> None:
    desktop_mode = (
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {IOS} Version/17.5 Safari/605.1.15"
    )
    assert client_facts(desktop_mode) == ClientFacts(
        ClientKind.PERSON, "Safari", "macOS", "desktop"
    )


def test_nothing_is_said_of_the_browser_of_a_bot() -> None:
    facts = client_facts(BOTS[0])
    assert (facts.browser, facts.device) == ("unknown", "unknown")


LISTED = [
    (entry["pattern"], instance)
    for entry in json.loads(crawlers.LIST.read_text(encoding="utf-8"))
    for instance in entry["instances"]
]


def test_every_example_of_the_list_is_no_person() -> None:
    people = {
        pattern for pattern, instance in LISTED if client_facts(instance).kind is ClientKind.PERSON
    }
    told_by_their_spiders = {"Sogou"}
    assert people == crawlers.NOT_CRAWLERS - told_by_their_spiders


def test_a_library_in_the_list_is_a_tool() -> None:
    wrong = [
        instance
        for pattern, instance in LISTED
        if pattern in crawlers.LIBRARIES and client_facts(instance).kind is not ClientKind.TOOL
    ]
    assert wrong == []


def test_our_exceptions_are_still_in_the_list() -> None:
    patterns = {entry["pattern"] for entry in json.loads(crawlers.LIST.read_text("utf-8"))}
    assert patterns >= crawlers.LIBRARIES | crawlers.NOT_CRAWLERS | crawlers.APPS


@given(st.text(max_size=700))
def test_anything_is_answered_with_known_words(user_agent: str) -> None:
    facts = client_facts(user_agent)
    assert facts.browser in {name for _, name in families.BROWSERS} | {"unknown"}
    assert facts.os in {name for _, name in families.SYSTEMS} | {"unknown"}
    assert facts.device in families.DEVICES


def test_only_the_beginning_is_read() -> None:
    assert client_facts(WINDOWS + " " * 512 + "Googlebot/2.1") == client_facts(WINDOWS)


def test_the_memory_of_answers_is_bounded() -> None:
    client._facts.cache_clear()
    for number in range(5000):
        client_facts(f"curl/{number}")
    assert client._facts.cache_info().currsize == 4096


def _seconds(user_agent: str) -> float:
    best = 1.0
    for _ in range(7):
        client._facts.cache_clear()
        start = time.perf_counter()
        client_facts(user_agent)
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.parametrize("length", [512, 1_000_000])
@pytest.mark.parametrize(
    "piece", ["Android ", "(", "[FB", "Spider ", "a", "Mozilla/5.0 (", "\u0130"]
)
def test_no_user_agent_costs_much_more_than_an_ordinary_one(piece: str, length: int) -> None:
    assert _seconds((piece * length)[:length]) < 30 * _seconds(WINDOWS)


@pytest.mark.parametrize(
    ("accept_language", "expected"),
    [
        ("fr-FR,fr;q=0.9,en-US;q=0.8", "fr"),
        ("en", "en"),
        ("EN-gb", "en"),
        (" de-CH ; q=1", "de"),
        ("zh-Hans-CN", "zh"),
        ("fil-PH", "fil"),
        ("sr_RS", "sr"),
        ("", ""),
        ("*", ""),
        ("*,fr", ""),
        (",fr", ""),
        ("f", ""),
        ("12-FR", ""),
        ("jean.dupont@example.com", ""),
        ("jeandupont", ""),
        ("fr FR", ""),
        ("é-fr", ""),
        ("fr\u0000", ""),
        ("a" * 100_000, ""),
    ],
)
def test_language(accept_language: str, expected: str) -> None:
    assert language(accept_language) == expected


@given(st.text())
def test_a_language_is_short_or_nothing(accept_language: str) -> None:
    answer = language(accept_language)
    assert answer == "" or (answer.isascii() and answer.islower() and 2 <= len(answer) <= 3)
