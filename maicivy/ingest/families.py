"""The tables of browser, system and device families: what to look for, and what it is called.

The first needle found in the lower-case User-Agent wins, so whoever pretends to be somebody else
(every browser says Safari, most say Chrome) stands before the one it imitates. Families only: a
version would help to tell one visitor from another, and no report asks for it. Why there is no
library here is told in docs/decisions/0003-user-agent-table.md.
"""

from __future__ import annotations

import re

UNKNOWN = "unknown"

DESKTOP = "desktop"
MOBILE = "mobile"
TABLET = "tablet"
TV = "tv"
CONSOLE = "console"
HEADSET = "headset"
DEVICES = frozenset({DESKTOP, MOBILE, TABLET, TV, CONSOLE, HEADSET, UNKNOWN})

Table = tuple[tuple[str, str], ...]

BROWSERS: Table = (
    # in-app browsers
    ("instagram", "Instagram"),
    ("barcelona ", "Threads"),
    ("fban/messenger", "Messenger"),
    ("fb_iab/messenger", "Messenger"),
    ("fb_iab", "Facebook"),
    ("fban/", "Facebook"),
    ("fbav/", "Facebook"),
    ("metaiab", "Facebook"),
    ("musical_ly", "TikTok"),
    ("bytedancewebview", "TikTok"),
    ("tiktok", "TikTok"),
    ("snapchat", "Snapchat"),
    ("pinterest/", "Pinterest"),
    ("[pinterest", "Pinterest"),
    ("linkedinapp", "LinkedIn"),
    ("twitter for ", "X"),
    ("micromessenger", "WeChat"),
    (" line/", "LINE"),
    ("kakaotalk", "KakaoTalk"),
    ("gsa/", "Google App"),
    # consoles, televisions, glasses
    ("playstation", "PlayStation"),
    ("nintendobrowser", "Nintendo"),
    ("nintendo ", "Nintendo"),
    ("oculusbrowser", "Meta Quest Browser"),
    # browsers built upon Chromium
    ("edg/", "Edge"),
    ("edga/", "Edge"),
    ("edgios/", "Edge"),
    ("edge/", "Edge"),
    ("opera mini", "Opera Mini"),
    ("opr/", "Opera"),
    ("opt/", "Opera"),
    ("opx/", "Opera"),
    ("opios/", "Opera"),
    ("opera", "Opera"),
    ("samsungbrowser", "Samsung Internet"),
    ("brave", "Brave"),
    ("vivaldi", "Vivaldi"),
    ("yabrowser", "Yandex Browser"),
    ("yowser", "Yandex Browser"),
    ("duckduckgo/", "DuckDuckGo"),
    ("ddg/", "DuckDuckGo"),
    ("ecosia", "Ecosia"),
    ("whale/", "Whale"),
    ("ucbrowser", "UC Browser"),
    ("ucweb", "UC Browser"),
    ("mqqbrowser", "QQ Browser"),
    ("qqbrowser", "QQ Browser"),
    ("miuibrowser", "MIUI Browser"),
    ("huaweibrowser", "Huawei Browser"),
    ("heytapbrowser", "HeyTap Browser"),
    ("vivobrowser", "Vivo Browser"),
    ("baiduboxapp", "Baidu"),
    ("bidubrowser", "Baidu"),
    ("sogou", "Sogou"),
    ("metasr", "Sogou"),
    ("coc_coc_browser", "Coc Coc"),
    ("puffin/", "Puffin"),
    ("maxthon", "Maxthon"),
    ("silk/", "Silk"),
    ("qtwebengine", "QtWebEngine"),
    ("electron/", "Electron"),
    # Firefox and its relatives
    ("focus/", "Firefox Focus"),
    ("klar/", "Firefox Focus"),
    ("palemoon", "Pale Moon"),
    ("waterfox", "Waterfox"),
    ("seamonkey", "SeaMonkey"),
    ("kaios", "KaiOS Browser"),
    ("firefox", "Firefox"),
    ("fxios/", "Firefox"),
    # the imitated
    ("crios/", "Chrome"),
    ("chromium", "Chromium"),
    ("; wv)", "Android WebView"),
    ("chrome/", "Chrome"),
    ("konqueror", "Konqueror"),
    ("epiphany", "GNOME Web"),
    ("blackberry", "BlackBerry"),
    ("bb10", "BlackBerry"),
    ("iemobile", "Internet Explorer"),
    ("msie ", "Internet Explorer"),
    ("trident/", "Internet Explorer"),
    ("android", "Android Browser"),
    ("safari/", "Safari"),
    ("applewebkit", "WebKit"),
    ("gecko/", "Gecko"),
    # browsers without Mozilla's name
    ("lynx/", "Lynx"),
    ("elinks", "ELinks"),
    ("links (", "Links"),
    ("w3m/", "w3m"),
    ("dillo/", "Dillo"),
    ("netsurf", "NetSurf"),
)

SYSTEMS: Table = (
    ("windows phone", "Windows Phone"),
    ("xbox", "Xbox"),
    ("playstation", "PlayStation"),
    ("nintendo", "Nintendo"),
    ("windows", "Windows"),
    ("win64", "Windows"),
    ("apple tv", "tvOS"),
    ("appletv", "tvOS"),
    ("tvos", "tvOS"),
    ("ipad", "iPadOS"),
    ("iphone", "iOS"),
    ("ipod", "iOS"),
    ("kaios", "KaiOS"),
    ("tizen", "Tizen"),
    ("web0s", "webOS"),
    ("webos", "webOS"),
    ("netcast", "NetCast"),
    ("roku", "Roku OS"),
    ("harmonyos", "HarmonyOS"),
    ("openharmony", "HarmonyOS"),
    ("android", "Android"),
    (" adr ", "Android"),
    ("silk-accelerated", "Android"),
    ("cros ", "ChromeOS"),
    ("crkey", "Cast"),
    ("bb10", "BlackBerry"),
    ("blackberry", "BlackBerry"),
    ("macintosh", "macOS"),
    ("mac os x", "macOS"),
    ("mac_powerpc", "macOS"),
    ("freebsd", "BSD"),
    ("openbsd", "BSD"),
    ("netbsd", "BSD"),
    ("dragonfly", "BSD"),
    ("symbian", "Symbian"),
    ("series60", "Symbian"),
    ("linux", "Linux"),
    ("x11", "Linux"),
)

DESKTOP_SYSTEMS = frozenset({"Windows", "macOS", "Linux", "ChromeOS", "BSD"})

_TELEVISION = (
    r"smart-?tv|smart_tv|google ?tv|android ?tv|apple ?tv|hbbtv|netcast|web0s|webos\.tv|roku"
    r"|crkey|tvos|bravia|viera|philipstv|opera tv|large screen|dlnadoc|mitv|mibox|shield android"
    r"|\baft[a-z0-9]{1,4}\b|[ ;(]tv[ ;)/]|\btv safari|\b4k uhd"
)
_DEVICE_PATTERNS = (
    (CONSOLE, r"playstation|xbox|nintendo|valve steam gameoverlay"),
    (HEADSET, r"oculusbrowser|\bquest \d|pico neo|vr safari"),
    (TV, _TELEVISION),
    (TABLET, r"ipad|tablet(?! pc)|playbook|kindle|silk(?!.{0,200}mobile)|\bsm-[tx]\d|\bxoom\b"),
    (
        MOBILE,
        r"mobi|iphone|ipod|windows phone|opera mini|blackberry|bb10|kaios|symbian|series60|midp",
    ),
    (TABLET, r"android"),
)
DEVICE = tuple((name, re.compile(pattern)) for name, pattern in _DEVICE_PATTERNS)


def find(table: Table, text: str) -> str:
    """Name the first entry whose needle is in the lower-case text; "unknown" if there is none."""
    for needle, name in table:
        if needle in text:
            return name
    return UNKNOWN
