"""Whatever a stranger sends: the exact status and code, one sentence, and nothing of it said back.

The real program is asked over a socket, byte by byte as written here, because an HTTP client would
repair most of it. `CANARY` stands where the input could be quoted.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from maicivy.config import Config
from maicivy.ingest.visitor import Keyring, Token
from maicivy.web.routes import BASE, routes
from tests.integration.test_cli import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import ClientFactory, Database

SECRET = "a secret of this test's own"
CANARY = b"canary"
EVENT = b'{"event_type":"x"}'
WS = b"/ws/analytics"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" + KEY
PATIENCE_SECONDS = 30

SITE_ORIGIN = b"https://cv.example"


class Row(NamedTuple):
    """One input, and the answer it has to get; `header` is a part of the answer's head."""

    name: str
    sent: bytes
    status: int
    code: str | None = None
    header: bytes = b""


class Answer(NamedTuple):
    """One answer as it came over the wire, and whatever followed it."""

    status: int
    head: bytes
    body: bytes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("<title>Home</title>")
    (folder / "secret.html").write_text("not to be served")
    server = Server(
        folder / "data",
        MAICIVY_EVENT_RATE_LIMIT="0",
        MAICIVY_SECRET_KEY=SECRET,
        MAICIVY_SITE_DIR=str(folder / "site"),
        MAICIVY_ALLOWED_ORIGINS=SITE_ORIGIN.decode(),
        MAICIVY_LOG_LEVEL="debug",
    )
    yield server
    assert server.stop() == 0
    log = server.log.read_text()
    assert "Traceback" not in log
    assert " error " not in log
    assert CANARY.decode() not in log.lower()
    assert "127.0.0.1" not in log.replace("http://127.0.0.1", "")


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)


def receive(stream: socket.socket, *, bodiless: bool = False) -> Answer:
    """Read one answer, its body by Content-Length; a `100 Continue` before it is skipped."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = stream.recv(65536)
        assert piece, f"the connection ended without an answer: {raw!r}"
        raw += piece
        if raw.startswith(b"HTTP/1.1 100 "):
            raw = raw.partition(b"\r\n\r\n")[2]
    head, _, body = raw.partition(b"\r\n\r\n")
    _, _, rest = head.lower().partition(b"content-length: ")
    length = int(rest.split()[0]) if rest and not bodiless else 0
    while len(body) < length:
        piece = stream.recv(65536)
        if not piece:
            break
        body += piece
    return Answer(int(head.split()[1]), head, body)


def ask(server: Server, sent: bytes) -> Answer:
    with connect(server) as stream:
        stream.sendall(sent)
        return receive(stream, bodiless=sent.startswith(b"HEAD "))


def check(server: Server, row: Row) -> None:
    """Send the row and hold the answer against it."""
    answer = ask(server, row.sent)
    assert answer.status == row.status, answer
    assert row.header.lower() in answer.head.lower()
    for header in (b"Server: maicivy", b"X-Content-Type-Options: nosniff"):
        assert row.status == 101 or header in answer.head
    if row.status >= 400 and not row.sent.startswith(b"HEAD "):
        assert b"Content-Type: application/json" in answer.head
        body = json.loads(answer.body)
        assert set(body) == {"success", "error", "code"}
        assert (body["success"], body["code"]) == (False, row.code)
        assert body["error"][0].isupper()
        assert body["error"].endswith(".")
        assert "\n" not in body["error"]
        assert CANARY not in answer.body.lower()
    assert CANARY not in answer.head.lower()


def request(
    target: bytes, headers: bytes = b"", *, method: bytes = b"GET", host: bytes = b"Host: h\r\n"
) -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + host + headers + b"\r\n"


def post(body: bytes = EVENT, headers: bytes = b"", host: bytes = b"Host: h\r\n") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return request(EVENT_PATH, length + headers, method=b"POST", host=host) + body


def chunked(body: bytes, headers: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    return request(EVENT_PATH, headers, method=b"POST") + body


EVENT_PATH = f"{BASE}/event".encode()
ME = f"{BASE}/me".encode()


def sized(length: int) -> bytes:
    """Return an event of that many bytes."""
    return b'{"event_type":"x","pad":"' + b"p" * (length - 27) + b'"}'


def nested(levels: int) -> bytes:
    """Return an event whose whole body is that many levels deep."""
    return (
        b'{"event_type":"x","event_data":' + b'{"a":' * (levels - 2) + b"{}" + b"}" * (levels - 1)
    )


def with_keys(number: int) -> bytes:
    keys = ",".join(f'"k{n}":{n}' for n in range(number))
    return b'{"event_type":"x","event_data":{' + keys.encode() + b"}}"


def data(value: bytes) -> bytes:
    return b'{"event_type":"x","event_data":{"a":' + value + b"}}"


def field(name: str, value: bytes) -> bytes:
    if name == "event_type":
        return b'{"event_type":' + value + b"}"
    return b'{"event_type":"x","' + name.encode() + b'":' + value + b"}"


# --- JSON -----------------------------------------------------------------------------------------

BROKEN_JSON = {
    "empty": b"",
    "white space": b" \t\r\n",
    "other white space": b"\x0c\xc2\xa0",
    "byte order mark": b"\xef\xbb\xbf" + EVENT,
    "byte order mark inside": b'{\xef\xbb\xbf"event_type":"x"}',
    "bad UTF-8": b'{"event_type":"canary\xff"}',
    "cut UTF-8": b'{"event_type":"x","a":"\xc3',
    "overlong UTF-8": b'{"event_type":"x","a":"\xc0\xaf"}',
    "overlong NUL": b'{"event_type":"x","a":"\xc0\x80"}',
    "raw surrogate": b'{"event_type":"x","a":"\xed\xa0\x80"}',
    "raw surrogate pair (CESU-8)": b'{"event_type":"x","a":"\xed\xa0\xbd\xed\xb8\x80"}',
    "beyond Unicode": b'{"event_type":"x","a":"\xf4\x90\x80\x80"}',
    "UTF-16": EVENT.decode().encode("utf-16"),
    "UTF-16 LE": EVENT.decode().encode("utf-16-le"),
    "UTF-16 BE": EVENT.decode().encode("utf-16-be"),
    "UTF-32": EVENT.decode().encode("utf-32"),
    "NaN": data(b"NaN"),
    "-NaN": data(b"-NaN"),
    "Infinity": data(b"Infinity"),
    "-Infinity": data(b"-Infinity"),
    "1e400": data(b"1e400"),
    "-1e400": data(b"-1e400"),
    "1e308": data(b"1e308"),
    "beyond 2^53": data(b"9007199254740993"),
    "beyond -2^53": data(b"-9007199254740993"),
    "beyond 2^53 as a float": data(b"9007199254740994.0"),
    "5,000 digits": data(b"9" * 5000),
    "-5,000 digits": data(b"-" + b"9" * 5000),
    "5,000 digits of an exponent": data(b"1e" + b"9" * 5000),
    "leading zero": data(b"01"),
    "plus sign": data(b"+1"),
    "bare point": data(b".5"),
    "trailing point": data(b"5."),
    "hexadecimal": data(b"0x10"),
    "Arabic digits": data("\N{ARABIC-INDIC DIGIT THREE}".encode()),
    "same key twice": b'{"event_type":"x","event_type":"canary"}',
    "same key twice, nested": data(b'{"b":1,"b":2}'),
    "same key twice, in a list": data(b'[{"b":1,"b":2}]'),
    "same key twice, once escaped": data(b'{"b":1,"\\u0062":2}'),
    "same key twice, both empty": data(b'{"":1,"":2}'),
    "depth 9": nested(9),
    "depth 9, in lists": data(b"[" * 7 + b"]" * 7),
    "depth 5,000": b'{"event_type":"x","a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "depth 8,000, never closed": b"[" * 8000,
    "51 keys": with_keys(51),
    "raw NUL": b'{"event_type":"x","a":"\x00"}',
    "NUL between": b'{"event_type":"x"\x00}',
    "NUL after": EVENT + b"\x00",
    "escaped NUL": b'{"event_type":"x","a":"\\u0000"}',
    "escaped NUL in a key": b'{"event_type":"x","\\u0000":1}',
    "escaped NUL, deep": data(b'[[{"b":["\\u0000"]}]]'),
    "escaped high surrogate": data(b'"\\ud800"'),
    "escaped low surrogate": data(b'"\\udc00"'),
    "escaped pair the wrong way round": data(b'"\\ude00\\ud83d"'),
    "escaped surrogate in a key": data(b'{"\\uDBFF":1}'),
    "escaped surrogate, raw letter after": data(b'"\\ud800a"'),
    "bad escape": data(b'"\\x41"'),
    "short escape": data(b'"\\u12"'),
    "raw line feed": data(b'"a\nb"'),
    "raw tab": data(b'"a\tb"'),
    "raw escape": data(b'"a\x1bb"'),
    "trailing garbage": EVENT + b"canary",
    "a second object": EVENT + EVENT,
    "trailing comma": b'{"event_type":"x",}',
    "leading comma": b'{,"event_type":"x"}',
    "no comma": b'{"event_type":"x" "a":1}',
    "no colon": b'{"event_type" "x"}',
    "single quotes": b"{'event_type':'canary'}",
    "bare key": b'{event_type:"canary"}',
    "line comment": b'{"event_type":"x"}//canary',
    "block comment": b'{/*canary*/"event_type":"x"}',
    "hash comment": b'#canary\n{"event_type":"x"}',
    "never closed": b'{"event_type":"canary"',
    "string never closed": b'{"event_type":"canary',
    "True": data(b"True"),
    "None": data(b"None"),
    "undefined": data(b"undefined"),
    "form": b"event_type=canary",
    "XML": b"<event>canary</event>",
    "callback": b'canary({"event_type":"x"})',
    "anti-hijacking prefix": b")]}',\n" + EVENT,
}
WRONG_ROOTS = {
    "list": b'["canary"]',
    "string": b'"canary"',
    "number": b"7",
    "zero": b"0",
    "true": b"true",
    "false": b"false",
    "null": b"null",
    "list of an event": b"[" + EVENT + b"]",
}
GOOD_JSON = {
    "depth 8": nested(8),
    "50 keys": with_keys(50),
    "2^53": data(b"9007199254740992"),
    "-2^53": data(b"-9007199254740992"),
    "-0": data(b"-0"),
    "1e-400": data(b"1e-400"),
    "escaped pair": data(b'"\\ud83d\\ude00"'),
    "emoji": data('"\N{GRINNING FACE}"'.encode()),
    "escaped backslash before u0000": data(b'"\\\\u0000"'),
    "escaped key": b'{"\\u0065vent_type":"x"}',
    "white space around": b"\r\n\t " + EVENT + b" \n",
    "empty key": data(b'{"":1}'),
    "__proto__": data(b'{"__proto__":{"admin":true},"constructor":{}}'),
    "U+FFFE and U+FFFF": data('"\ufffe\uffff"'.encode()),
    "right-to-left override": data('"\u202e"'.encode()),
}
JSON_ROWS = [
    *(Row(f"JSON: {name}", post(body), 400, "invalid_json") for name, body in BROKEN_JSON.items()),
    *(Row(f"root: {name}", post(body), 400, "invalid_body") for name, body in WRONG_ROOTS.items()),
    *(Row(f"good JSON: {name}", post(body), 201) for name, body in GOOD_JSON.items()),
]

# --- fields ---------------------------------------------------------------------------------------

NOT_TEXT = {
    "number": b"7",
    "float": b"1.5",
    "true": b"true",
    "false": b"false",
    "list": b'["/"]',
    "object": b'{"canary":1}',
}
WRONG_FIELDS: list[tuple[str, str, bytes]] = [
    *((name, kind, value) for name in ("event_type", "page_url", "referrer")
      for kind, value in NOT_TEXT.items()),
    *(("event_data", kind, value) for kind, value in NOT_TEXT.items() if kind != "object"),
    ("event_data", "text", b'"canary"'),
    ("event_data", "text of an object", b'"{}"'),
    ("event_type", "empty", b'""'),
    ("event_type", "51 characters", b'"' + b"x" * 51 + b'"'),
    ("event_type", "15,000 characters", b'"' + b"x" * 15_000 + b'"'),
    ("event_type", "digit first", b'"1canary"'),
    ("event_type", "point first", b'".canary"'),
    ("event_type", "space", b'"canary bird"'),
    ("event_type", "space after", b'"canary "'),
    ("event_type", "line feed after", b'"canary\\n"'),
    ("event_type", "slash", b'"canary/x"'),
    ("event_type", "letter with an accent", '"é"'.encode()),
    ("event_type", "Cyrillic a", '"\u0430"'.encode()),
    ("event_type", "fullwidth x", '"\uff58"'.encode()),
    ("event_type", "zero width joiner", '"x\u200d"'.encode()),
    ("event_type", "SQL", b'"canary\'; DROP TABLE visitors; --"'),
    ("event_type", "HTML", b'"<canary>"'),
    *((name, kind, b'"' + url + b'"') for name in ("page_url", "referrer") for kind, url in {
        "501 characters": b"/" + b"x" * 500,
        "15,000 characters": b"/" + b"x" * 15_000,
        "javascript": b"javascript:canary()",
        "JaVaScRiPt": b"JaVaScRiPt:canary()",
        "spaces before javascript": b"  javascript:canary()",
        "javascript with slashes": b"javascript://canary",
        "data": b"data:text/html,canary",
        "vbscript": b"vbscript:canary",
        "file": b"file:///canary",
        "blob": b"blob:https://canary.example/x",
        "mailto": b"mailto:canary@example.org",
        "ftp": b"ftp://canary.example/",
        "host only": b"//canary.example",
        "slash and backslash": b"/\\\\canary.example",
        "two backslashes": b"\\\\\\\\canary.example",
        "space and host": b" //canary.example",
        "one slash after http": b"http:/canary.example",
        "no slash after https": b"https:canary.example",
        "backslashes after http": b"http:\\\\\\\\canary.example",
        "escaped tab in javascript": b"java\\tscript:canary",
        "escaped line feed": b"/canary\\n",
        "escaped escape": b"/\\u001bcanary",
        "DEL": b"/\\u007f",
    }.items()),
    *(("event_id", kind, value) for kind, value in NOT_TEXT.items()),
    *(("event_id", kind, b'"' + value + b'"') for kind, value in {
        "empty": b"",
        "text": b"canary",
        "35 characters": b"0190a6f2-7b1c-7def-8a6b-0123456789a",
        "37 characters": b"0190a6f2-7b1c-7def-8a6b-0123456789abc",
        "braces": b"{0190a6f2-7b1c-7def-8a6b-0123456789ab}",
        "URN": b"urn:uuid:0190a6f2-7b1c-7def-8a6b-0123456789ab",
        "no hyphens": b"0190a6f27b1c7def8a6b0123456789ab",
        "hyphens elsewhere": b"0190a6f27-b1c-7def-8a6b-0123456789ab",
        "no hexadecimal digit": b"g190a6f2-7b1c-7def-8a6b-0123456789ab",
        "fullwidth digit": "\uff10190a6f2-7b1c-7def-8a6b-0123456789ab".encode(),
        "space after": b"0190a6f2-7b1c-7def-8a6b-0123456789ab ",
        "line feed after": b"0190a6f2-7b1c-7def-8a6b-0123456789ab\\n",
        "long": b"0" * 15_000,
    }.items()),
    *(("session_duration", kind, value) for kind, value in {
        "true": b"true",
        "false": b"false",
        "text": b'"5"',
        "-1": b"-1",
        "1.5": b"1.5",
        "2^31": b"2147483648",
        "2^53": b"9007199254740992",
        "1e10": b"1e10",
        "list": b"[]",
        "object": b"{}",
    }.items()),
]  # fmt: skip
LETTERS = {
    "none": b'{"event_type":"letter_generate"}',
    "null": b'{"event_type":"letter_generate","event_data":{"letter_type":null}}',
    "unknown": b'{"event_type":"letter_generate","event_data":{"letter_type":"canary"}}',
    "upper case": b'{"event_type":"letter_generate","event_data":{"letter_type":"Motivation"}}',
    "list": b'{"event_type":"letter_generated","event_data":{"letter_type":["motivation"]}}',
    "object": b'{"event_type":"letter_generate","event_data":{"type":{}}}',
    "true": b'{"event_type":"letter_generate","event_data":{"type":true}}',
}
GOOD_FIELDS = {
    "event_type: 50 characters": field("event_type", b'"' + b"x" * 50 + b'"'),
    "event_type: every character": field("event_type", b'"a.B_c:d-9"'),
    "page_url: 500 characters": field("page_url", b'"/' + b"x" * 499 + b'"'),
    "page_url: 500 characters beyond the BMP": field(
        "page_url", ('"/' + "\N{GRINNING FACE}" * 499 + '"').encode()
    ),
    "page_url: text without a slash": field("page_url", b'"cv"'),
    "page_url: null": field("page_url", b"null"),
    "page_url: broken brackets": field("page_url", b'"http://[canary/"'),
    "referrer: Android application": field("referrer", b'"android-app://com.example/"'),
    "session_duration: 0": field("session_duration", b"0"),
    "session_duration: 5.0": field("session_duration", b"5.0"),
    "session_duration: -0": field("session_duration", b"-0"),
    "session_duration: 2^31 - 1": field("session_duration", b"2147483647"),
    "event_id: null": field("event_id", b"null"),
    "event_id: zeros": field("event_id", b'"00000000-0000-0000-0000-000000000000"'),
    "event_id: ones": field("event_id", b'"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"'),
    "unknown field": field("canary", b'{"a":[1]}'),
}
FIELD_ROWS = [
    *(
        Row(f"{name}: {kind}", post(field(name, value)), 400, "invalid_field")
        for name, kind, value in WRONG_FIELDS
    ),
    Row("event_type: missing", post(b"{}"), 400, "missing_field"),
    Row("event_type: null", post(field("event_type", b"null")), 400, "missing_field"),
    Row("event_type: other case", post(b'{"Event_Type":"canary"}'), 400, "missing_field"),
    *(Row(f"letter: {name}", post(body), 400, "invalid_field") for name, body in LETTERS.items()),
    *(Row(name, post(body), 201) for name, body in GOOD_FIELDS.items()),
]

# --- the body's head and length -------------------------------------------------------------------

UNSUPPORTED = "unsupported_media_type"
CODINGS = (
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    "zstd",
    "compress",
    "canary",
    "GZIP",
    "identity, gzip",
)
HEADER_ROWS = [
    *(
        Row(f"type: {name}", post(headers=b"Content-Type: " + value + b"\r\n"), status, code)
        for name, value, status, code in (
            ("none", b"", 415, UNSUPPORTED),
            ("JSON", b"application/json", 201, None),
            ("JSON in upper case", b"APPLICATION/JSON", 201, None),
            ("text", b"text/plain; charset=UTF-8", 201, None),
            ("XML", b"application/xml", 415, UNSUPPORTED),
            ("HTML", b"text/html", 415, UNSUPPORTED),
            ("form", b"application/x-www-form-urlencoded", 415, UNSUPPORTED),
            ("multipart", b"multipart/form-data; boundary=canary", 415, UNSUPPORTED),
            ("multipart without a boundary", b"multipart/form-data", 415, UNSUPPORTED),
            ("JSON lines", b"application/jsonl", 415, UNSUPPORTED),
            ("a kind of JSON", b"application/vnd.canary+json", 415, UNSUPPORTED),
            ("two", b"application/json, text/html", 415, UNSUPPORTED),
            ("slash", b"/", 415, UNSUPPORTED),
            ("semicolon", b";", 415, UNSUPPORTED),
            ("no text", b"\xff\xfecanary", 415, UNSUPPORTED),
            ("long", b"x" * 5000 + b"/canary", 415, UNSUPPORTED),
            ("UTF-16", b"application/json; charset=utf-16", 415, "unsupported_charset"),
            ("Latin 1", b"application/json; charset=iso-8859-1", 415, "unsupported_charset"),
            ("UTF-7", b"text/plain; charset=utf-7", 415, "unsupported_charset"),
            ("made-up charset", b"text/plain; charset=canary", 415, "unsupported_charset"),
            ("broken charset", b'text/plain; charset="\xff', 415, "unsupported_charset"),
        )
    ),
    *(
        Row(
            f"coding: {coding}",
            post(headers=f"Content-Encoding: {coding}\r\n".encode()),
            415,
            "unsupported_coding",
        )
        for coding in CODINGS
    ),
    Row("coding: identity", post(headers=b"Content-Encoding: identity\r\n"), 201),
    Row(
        "coding: identity, then gzip in a second header",
        post(headers=b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"),
        415,
        "unsupported_coding",
    ),
    Row(
        "coding: a small bomb",
        post(b"\x1f\x8b\x08" + b"\x00" * 1000, b"Content-Encoding: gzip\r\n"),
        415,
        "unsupported_coding",
    ),
]

MALFORMED = "malformed_request"
BODY_ROWS = [
    Row("size: 16 KiB", post(sized(16_384)), 201),
    Row("size: 16 KiB and 1", post(sized(16_385)), 413, "body_too_large"),
    Row("size: 1 MiB", post(sized(1_048_576)), 413, "body_too_large"),
    Row("size: 16 KiB in a chunk", chunked(b"4000\r\n" + sized(16_384) + b"\r\n0\r\n\r\n"), 201),
    Row(
        "size: 16 KiB and 1 in a chunk",
        chunked(b"4001\r\n" + sized(16_385) + b"\r\n0\r\n\r\n"),
        413,
        "body_too_large",
    ),
    Row(
        "size: too many chunks",
        chunked((b"400\r\n" + b" " * 1024 + b"\r\n") * 17),
        413,
        "body_too_large",
    ),
    Row(
        "length: 1 GB announced",
        chunked(EVENT, b"Content-Length: 1000000000\r\n"),
        413,
        "body_too_large",
    ),
    Row("length: none", chunked(b"", b""), 400, "invalid_json"),
    Row("length: 0", chunked(b"", b"Content-Length: 0\r\n"), 400, "invalid_json"),
    Row(
        "length: more than comes",
        chunked(EVENT, b"Content-Length: 19\r\n"),
        408,
        "request_timeout",
        b"connection: close",
    ),
    *(
        Row(f"length: {name}", chunked(body, headers), 400, MALFORMED)
        for name, headers, body in (
            ("negative", b"Content-Length: -18\r\n", EVENT),
            ("with a plus", b"Content-Length: +18\r\n", EVENT),
            ("hexadecimal", b"Content-Length: 0x12\r\n", EVENT),
            ("float", b"Content-Length: 18.0\r\n", EVENT),
            ("text", b"Content-Length: canary\r\n", EVENT),
            ("empty", b"Content-Length:\r\n", EVENT),
            ("beyond 64 bits", b"Content-Length: 99999999999999999999\r\n", EVENT),
            ("Arabic digits", b"Content-Length: \xd9\xa1\xd9\xa8\r\n", EVENT),
            ("twice the same", b"Content-Length: 18\r\nContent-Length: 18\r\n", EVENT),
            ("twice", b"Content-Length: 18\r\nContent-Length: 19\r\n", EVENT),
            ("list", b"Content-Length: 18, 18\r\n", EVENT),
            ("and chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
            ("after chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
            ("and another coding", b"Content-Length: 5\r\nTransfer-Encoding: x\r\n", b"12345"),
        )
    ),
    *(
        Row(f"transfer coding: {name}", chunked(b"0\r\n\r\n", headers), 400, MALFORMED)
        for name, headers in (
            ("gzip", b"Transfer-Encoding: gzip\r\n"),
            ("chunked, then gzip", b"Transfer-Encoding: chunked, gzip\r\n"),
            ("identity", b"Transfer-Encoding: identity\r\n"),
            ("made up", b"Transfer-Encoding: canary\r\n"),
            ("chunked, misspelt", b"Transfer-Encoding: xchunked\r\n"),
            ("space before the colon", b"Transfer-Encoding : chunked\r\n"),
        )
    ),
    Row("chunks: one", chunked(b"12\r\n" + EVENT + b"\r\n0\r\n\r\n"), 201),
    Row("chunks: extension", chunked(b"12;a=canary\r\n" + EVENT + b"\r\n0\r\n\r\n"), 201),
    Row("chunks: trailer", chunked(b"12\r\n" + EVENT + b"\r\n0\r\nX: canary\r\n\r\n"), 201),
    *(
        Row(f"chunks: {name}", chunked(body), 400, MALFORMED)
        for name, body in (
            ("size is no number", b"canary\r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("size is empty", b"\r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("size is negative", b"-12\r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("size with a prefix", b"0x12\r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("size beyond 64 bits", b"fffffffffffffffff\r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("size and a space", b"12 \r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("size is too small", b"5\r\n" + EVENT + b"\r\n0\r\n\r\n"),
            ("line feeds only", b"12\n" + EVENT + b"\n0\n\n"),
        )
    ),
]

# --- Expect ---------------------------------------------------------------------------------------

EXPECT_ROWS = [
    Row("expect: 100-continue", post(headers=b"Expect: 100-continue\r\n"), 201),
    *(
        Row(f"expect: {name}", sent, 417, "expectation_failed")
        for name, sent in (
            ("made up", post(headers=b"Expect: canary\r\n")),
            ("200-ok", post(headers=b"Expect: 200-ok\r\n")),
            ("made up, to no route", request(b"/nothing", b"Expect: canary\r\n")),
            ("made up, to the feed", request(WS, UPGRADE + b"Expect: canary\r\n")),
        )
    ),
]

# --- query parameters -----------------------------------------------------------------------------


def get(query: bytes, headers: bytes = b"") -> bytes:
    return request(BASE.encode() + b"/" + query, headers)


NO_NUMBERS = {
    "empty": b"",
    "text": b"canary",
    "plus sign": b"%2B5",
    "plus for a space": b"+5",
    "space before": b"%205",
    "space after": b"5%20",
    "line feed after": b"5%0A",
    "float": b"5.0",
    "exponent": b"1e1",
    "hexadecimal": b"0x5",
    "underscore": b"1_0",
    "Arabic digit, encoded": b"%D9%A5",
    "fullwidth digit": b"%EF%BC%95",
    "superscript": b"%C2%B2",
    "NUL": b"%00",
    "NUL after": b"5%00",
    "no UTF-8": b"%FF",
    "long": b"1" * 5000,
    "minus": b"-",
    "-1": b"-1",
    "-0.0": b"-0.0",
    "list": b"5,6",
    "NaN": b"NaN",
    "SQL": b"5;canary--",
}
NUMBERS = {
    "themes?limit": (1, 20),
    "timeline?limit": (1, 100),
    "timeline?offset": (0, 100_000),
    "heatmap?page_url=/&hours": (1, 168),
}
INVALID = "invalid_parameter"


def number_rows() -> Iterator[Row]:
    for name, (lowest, highest) in NUMBERS.items():
        asked = name.encode() + b"="
        for value, status in (
            (lowest, 200), (highest, 200), (lowest - 1, 400), (highest + 1, 400),
            (2**31, 400), (2**63, 400), (10**17, 400), (-(2**63), 400),
        ):  # fmt: skip
            row = get(asked + str(value).encode())
            yield Row(f"{name}={value}", row, status, INVALID if status == 400 else None)
        for kind, text in NO_NUMBERS.items():
            yield Row(f"{name}: {kind}", get(asked + text), 400, INVALID)
        parameter = asked.rpartition(b"&")[2].rpartition(b"?")[2]
        yield Row(f"{name}: twice", get(asked + b"1&" + parameter + b"1"), 400, INVALID)
        yield Row(f"{name}: leading zeros", get(asked + b"0005"), 200)


PERIODS = {
    "unknown": b"canary",
    "upper case": b"DAY",
    "year": b"year",
    "space after": b"day%20",
    "line feed after": b"day%0A",
    "NUL after": b"day%00",
    "empty": b"",
    "long": b"day" * 1000,
    "number": b"1",
}
CURSORS = {
    "empty": b"",
    "text": b"canary",
    "not base64": b"%21%21",
    "base64 of nothing": b"AAAA",
    "no ASCII": b"%C3%A9",
    "NUL": b"%00",
    "long": b"A" * 7000,
    "no UTF-8": b"%FF%FE",
}
QUERY_ROWS = [
    *number_rows(),
    *(
        Row(f"{report}: period {name}", get(report.encode() + b"?period=" + text), 400, INVALID)
        for report in ("stats", "letters")
        for name, text in PERIODS.items()
    ),
    *(
        Row(f"{report}: {name}", get(report.encode() + query), 400, code)
        for report in ("stats", "letters")
        for name, query, code in (
            ("no period", b"", "missing_parameter"),
            ("period twice", b"?period=day&period=day", INVALID),
            ("period in a list", b"?period[]=day", "missing_parameter"),
            ("Period", b"?Period=day", "missing_parameter"),
        )
    ),
    *(
        Row(f"timeline: cursor {name}", get(b"timeline?cursor=" + text), 400, INVALID)
        for name, text in CURSORS.items()
    ),
    Row("timeline: cursor 32 zeros", get(b"timeline?cursor=" + b"A" * 32), 200),
    Row("timeline: cursor twice", get(b"timeline?cursor=a&cursor=a"), 400, INVALID),
    Row("timeline: cursor and offset", get(b"timeline?cursor=a&offset=1"), 400, INVALID),
    *(
        Row(f"heatmap: page_url {name}", get(b"heatmap?page_url=" + text), status, code)
        for name, text, status, code in (
            ("empty", b"", 400, INVALID),
            ("500 characters", b"/" + b"x" * 499, 200, None),
            ("501 characters", b"/" + b"x" * 500, 400, INVALID),
            ("NUL", b"/canary%00", 400, INVALID),
            ("line feed", b"/canary%0A", 400, INVALID),
            ("DEL", b"/%7F", 400, INVALID),
            ("surrogate", b"/%ED%A0%80", 200, None),
            ("header", b"%0D%0ASet-Cookie:%20canary=1", 400, INVALID),
            ("SQL wildcards", b"%25_%5C", 200, None),
        )
    ),
    Row("heatmap: page_url twice", get(b"heatmap?page_url=/a&page_url=/b"), 400, INVALID),
    Row("unknown parameter", get(b"realtime?canary=1"), 200),
    Row("1,000 parameters", get(b"realtime?" + b"&".join([b"a=1"] * 1000)), 200),
    Row("separators only", get(b"realtime?&&&===&;"), 200),
    Row("longer than a line may be", get(b"realtime?" + b"a" * 8190), 400, MALFORMED),
]

# --- methods --------------------------------------------------------------------------------------


# What stands for a part of a route's template, where not everything may.
PARTS = {"secret": "mcs_x", "metric": "visitors"}


def allowed_methods() -> dict[str, list[str]]:
    """Return the methods of every address that the program knows, as `Allow` lists them."""
    found: dict[str, set[str]] = {}
    for route in routes(Config(site_dir=Path())):
        path = str(route.path).replace("{path:.+}", "docs.js")  # type: ignore[attr-defined]
        path = re.sub(r"\{(\w+)(?::[^}]*)?\}", lambda part: PARTS.get(part[1], "events"), path)
        methods = found.setdefault(path, set())
        methods.add(route.method)  # type: ignore[attr-defined]
        if route.method == "GET" and path != WS.decode():  # type: ignore[attr-defined]
            methods.add("HEAD")
    return {path: sorted(methods) for path, methods in found.items()}


METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"),
    *("PROPFIND", "PURGE"),
)
NOT_ALLOWED = "method_not_allowed"
METHOD_ROWS = [
    *(
        Row(
            f"{method} {path}",
            request(path.encode(), UPGRADE if path == WS.decode() else b"", method=method.encode()),
            405,
            NOT_ALLOWED,
            f"\r\nAllow: {', '.join(allowed)}\r\n".encode(),
        )
        for path, allowed in allowed_methods().items()
        for method in METHODS
        if method not in allowed
    ),
    # what follows CONNECT is no path, so there is nothing at it
    Row("CONNECT a path", request(b"/health", method=b"CONNECT"), 404, "not_found"),
    Row("CONNECT a host", request(b"canary.example:443", method=b"CONNECT"), 404, "not_found"),
    Row("OPTIONS *", request(b"*", method=b"OPTIONS"), 404, "not_found"),
    *(
        Row(f"method: {name}", request(b"/health", method=method), 400, MALFORMED)
        for name, method in (
            ("made up", b"CANARY"),
            ("lower case", b"get"),
            ("no token", b"<CANARY>"),
            ("long", b"A" * 9000),
            ("with NUL", b"GE\x00T"),
        )
    ),
    Row("DELETE a page", request(b"/", method=b"DELETE"), 404, "not_found"),
    Row("POST to nothing", request(b"/nothing", method=b"POST"), 404, "not_found"),
]

# --- what is no HTTP ------------------------------------------------------------------------------

NO_HTTP_ROWS = [
    *(
        Row(f"no HTTP: {name}", sent, 400, MALFORMED)
        for name, sent in (
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary"),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("SSH", b"SSH-2.0-canary\r\n\r\n"),
            ("SMTP", b"EHLO canary\r\n\r\n"),
            ("Redis", b"*1\r\n$4\r\nPING\r\n\r\n"),
            ("NULs", b"\x00" * 100),
            ("letters", b"canary" * 2000),
            ("version 3", b"GET /health HTTP/3.0\r\n\r\n"),
            ("version is text", b"GET /health HTTP/canary\r\nHost: h\r\n\r\n"),
            ("line feeds only", b"GET /health HTTP/1.1\nHost: h\n\n"),
            ("space in the target", request(b"/hea lth")),
            ("tab in the target", request(b"/hea\tlth")),
            ("NUL in the target", request(b"/hea\x00lth")),
            ("no ASCII in the target", request(b"/hea\xfflth")),
            ("target without a slash", request(b"health")),
            ("star", request(b"*")),
            ("target is too long", request(b"/" + b"a" * 8190)),
            ("header without a colon", request(b"/health", b"canary\r\n")),
            ("header without a name", request(b"/health", b": canary\r\n")),
            ("space before a colon", request(b"/health", b"X : canary\r\n")),
            ("folded header", request(b"/health", b"X: y\r\n canary\r\n")),
            ("NUL in a header", request(b"/health", b"X: a\x00canary\r\n")),
            ("CR in a header", request(b"/health", b"X: a\rcanary\r\n")),
            ("header is too long", request(b"/health", b"X: " + b"a" * 8200 + b"\r\n")),
            ("header never ends", b"GET /health HTTP/1.1\r\nX: " + b"a" * 100_000),
            ("too many headers", request(b"/health", b"X: y\r\n" * 200)),
            ("two content types", post(headers=b"Content-Type: text/plain\r\n" * 2)),
        )
    ),
    Row("HTTP/1.0", b"GET /health HTTP/1.0\r\n\r\n", 200),
    Row("HTTP/0.9", b"GET /health\r\n\r\n", 200),
    Row("an upgrade nobody offers", request(b"/health", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"),
        200),
]  # fmt: skip

# --- Host and target ------------------------------------------------------------------------------

HOST_ROWS = [
    *(
        Row(f"host: {name}", post(host=b"Host: " + host + b"\r\n"), status, code)
        for name, host, status, code in (
            ("name", b"cv.example", 201, None),
            ("name and port", b"cv.example:8080", 201, None),
            ("IPv4", b"192.0.2.1", 201, None),
            ("IPv6", b"[2001:db8::1]:8080", 201, None),
            ("empty", b"", 400, "invalid_host"),
            ("userinfo", b"canary:pw@cv.example", 400, "invalid_host"),
            ("space", b"canary example", 400, "invalid_host"),
            ("two in one", b"canary.example, cv.example", 400, "invalid_host"),
            ("path", b"cv.example/canary", 400, "invalid_host"),
            ("backslash", b"cv.example\\canary", 400, "invalid_host"),
            ("open bracket", b"[::1", 400, "invalid_host"),
            ("port beyond five digits", b"cv.example:999999", 400, "invalid_host"),
            ("port is text", b"cv.example:canary", 400, "invalid_host"),
            ("quotes", b'"canary"', 400, "invalid_host"),
            ("HTML", b"<canary>", 400, "invalid_host"),
            ("no ASCII", b"canary\xff", 400, "invalid_host"),
            ("UTF-8", "caf\u00e9.example".encode(), 400, "invalid_host"),
            ("long", b"a" * 5000, 400, "invalid_host"),
        )
    ),
    Row("host: none", post(host=b""), 400, MALFORMED),
    Row("host: two", post(host=b"Host: a\r\nHost: b\r\n"), 400, MALFORMED),
    Row("host: wrong, for a page", request(b"/", host=b"Host: <canary>\r\n"), 400, "invalid_host"),
    Row("target: absolute", request(b"http://other.example/health"), 200),
    Row("target: absolute, unknown", request(b"http://other.example/canary"), 404, "not_found"),
    Row("target: absolute, userinfo", request(b"http://canary:pw@other.example/health"), 200),
    Row("target: broken brackets", request(b"http://[/health"), 400, MALFORMED),
    Row("target: impossible port", request(b"http://h:99999999/health"), 400, MALFORMED),
    Row("target: two slashes", request(b"//other.example/health"), 404, "not_found"),
]

# --- paths ----------------------------------------------------------------------------------------

PATHS = {
    "parent": b"../secret.html",
    "parent, encoded": b"%2e%2e/secret.html",
    "parent and slash, encoded": b"%2e%2e%2fsecret.html",
    "one dot encoded": b".%2e/secret.html",
    "backslash": b"..\\secret.html",
    "backslash, encoded": b"..%5csecret.html",
    "encoded twice": b"%252e%252e%252fsecret.html",
    "overlong UTF-8": b"%c0%ae%c0%ae/secret.html",
    "NUL": b"index.html%00",
    "NUL before": b"%00index.html",
    "parameter": b"..;/secret.html",
    "absolute": b"/etc/passwd",
    "absolute, encoded": b"%2fetc%2fpasswd",
    "drive": b"c:/windows/win.ini",
    "stream": b"index.html::$DATA",
    "hidden": b".env",
    "hidden, encoded": b"%2eenv",
    "no UTF-8": b"%ff%fe",
    "surrogate": b"%ed%a0%80",
    "percent": b"%",
    "bad percent": b"%zz",
    "long name": b"a" * 300,
    "deep": b"a/" * 3000,
    "line feed": b"%0d%0aSet-Cookie:canary=1",
    "tilde": b"~root",
}
PATH_ROWS = [
    Row(f"{place.decode()}: {name}", request(place + path), 404, "not_found")
    for place in (b"/", b"/static/")
    for name, path in PATHS.items()
]

# --- origins --------------------------------------------------------------------------------------

FOREIGN = {
    "another site": b"https://canary.example",
    "null": b"null",
    "empty": b"",
    "userinfo of ours": b"https://cv.example@canary.example",
    "ours as a user": b"https://canary.example:cv.example@canary.example",
    "ours with another port": b"https://cv.example:444",
    "ours with a trailing dot": b"https://cv.example.",
    "ours without a scheme": b"cv.example",
    "ours over http": b"http://cv.example",
    "ours with a path": b"https://cv.example/canary",
    "ours as a prefix": b"https://cv.example.canary.example",
    "ours as a suffix": b"https://canarycv.example",
    "two": b"https://cv.example https://canary.example",
    "space": b"https://cv.example canary",
    "file": b"file://",
    "extension": b"chrome-extension://canary",
    "javascript": b"javascript://cv.example",
    "host with another port": b"http://h:81",
    "loopback, while we are not": b"http://localhost",
    "broken brackets": b"http://[canary",
    "no ASCII": b"https://cv.example\xff",
    "long": b"https://" + b"a" * 5000,
}
OURS = {
    "ours": SITE_ORIGIN,
    "ours in upper case": b"HTTPS://CV.EXAMPLE",
    "the host itself": b"http://h",
    "the host itself over https": b"https://h",
}
ORIGIN_ROWS = [
    *(
        Row(f"{where} of {name}", sent, 403, "origin_not_allowed")
        for name, origin in FOREIGN.items()
        for where, sent in (
            ("event", post(headers=b"Origin: " + origin + b"\r\n")),
            ("erasure", request(ME, b"Origin: " + origin + b"\r\n", method=b"DELETE")),
            ("feed", request(WS, UPGRADE + b"Origin: " + origin + b"\r\n")),
        )
    ),
    *(
        Row(f"{where} of {name}", sent, status)
        for name, origin in OURS.items()
        for where, sent, status in (
            ("event", post(headers=b"Origin: " + origin + b"\r\n"), 201),
            ("feed", request(WS, UPGRADE + b"Origin: " + origin + b"\r\n"), 101),
        )
    ),
    Row("preflight of ours", request(EVENT_PATH, b"Origin: https://cv.example\r\n"
        b"Access-Control-Request-Method: POST\r\n", method=b"OPTIONS"), 204),
    Row("preflight of another site", request(EVENT_PATH, b"Origin: https://canary.example\r\n"
        b"Access-Control-Request-Method: POST\r\n", method=b"OPTIONS"), 405, NOT_ALLOWED),
]  # fmt: skip

# --- the handshake --------------------------------------------------------------------------------

HANDSHAKE_ROWS = [
    Row("handshake", request(WS, UPGRADE), 101),
    Row("handshake: no upgrade", request(WS), 426, "upgrade_required", b"upgrade: websocket"),
    Row(
        "handshake: another upgrade",
        request(WS, UPGRADE.replace(b"websocket", b"h2c")),
        426,
        "upgrade_required",
    ),
    Row(
        "handshake: HTTP/1.0",
        request(WS, UPGRADE).replace(b"HTTP/1.1", b"HTTP/1.0"),
        426,
        "upgrade_required",
    ),
    *(
        Row(f"handshake: {name}", request(WS, headers), 400, "bad_request")
        for name, headers in (
            ("no key", UPGRADE.replace(KEY, b"")),
            ("empty key", UPGRADE.replace(KEY, b"Sec-WebSocket-Key:\r\n")),
            ("key is text", UPGRADE.replace(KEY, b"Sec-WebSocket-Key: canary\r\n")),
            ("short key", UPGRADE.replace(KEY, b"Sec-WebSocket-Key: AAAA\r\n")),
            ("no connection", UPGRADE.replace(b"Connection: Upgrade\r\n", b"")),
            ("connection stays", UPGRADE.replace(b"n: Upgrade", b"n: keep-alive")),
        )
    ),
    *(
        Row(
            f"handshake: version {name}",
            request(WS, UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", header)),
            400,
            "invalid_handshake",
            b"sec-websocket-version: 13",
        )
        for name, header in (
            ("7", b"Sec-WebSocket-Version: 7\r\n"),
            ("8", b"Sec-WebSocket-Version: 8\r\n"),
            ("12", b"Sec-WebSocket-Version: 12\r\n"),
            ("is text", b"Sec-WebSocket-Version: canary\r\n"),
            ("missing", b""),
        )
    ),
    Row(
        "handshake: body",
        request(WS, UPGRADE + b"Content-Length: 5\r\n") + b"12345",
        400,
        "invalid_handshake",
    ),
    Row(
        "handshake: chunked body",
        request(WS, UPGRADE + b"Transfer-Encoding: chunked\r\n") + b"5\r\n12345\r\n0\r\n\r\n",
        400,
        "invalid_handshake",
    ),
    Row(
        "handshake: extensions and protocols",
        request(
            WS,
            UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate, canary\r\n"
            b"Sec-WebSocket-Protocol: canary\r\n",
        ),
        101,
    ),
]

# --- other headers --------------------------------------------------------------------------------

OTHER_ROWS = [
    Row(f"{name}: {kind}", post(headers=name.encode() + b": " + value + b"\r\n"), status, code)
    for name in (
        *("User-Agent", "Accept-Language", "Referer", "X-Forwarded-For", "X-Forwarded-Proto"),
        *("Sec-Fetch-Site", "DNT", "Cookie", "Accept", "X-HTTP-Method-Override", "Range"),
    )
    for kind, value, status, code in (
        ("empty", b"", 201, None),
        ("no UTF-8", b"\xff\xfecanary", 201, None),
        ("long", b"canary" * 1000, 201, None),
        ("control character", b"canary\x01\x1b[31m", 400, MALFORMED),
    )
]

ROWS = [
    *JSON_ROWS, *FIELD_ROWS, *HEADER_ROWS, *BODY_ROWS, *EXPECT_ROWS, *QUERY_ROWS, *METHOD_ROWS,
    *NO_HTTP_ROWS, *HOST_ROWS, *PATH_ROWS, *ORIGIN_ROWS, *HANDSHAKE_ROWS, *OTHER_ROWS,
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_an_answer_is_exact_and_says_nothing_back(server: Server, row: Row) -> None:
    check(server, row)


# --- cookies --------------------------------------------------------------------------------------

DAY_SECONDS = 86_400


def cookie(secret: str = SECRET, age_days: float = 0) -> bytes:
    """Return a cookie signed with `secret` that many days ago."""
    token = Token(b"0123456789abcdef", int(time.time() - age_days * DAY_SECONDS))
    return Keyring(secret).cookie(token).encode()


def flipped(value: bytes) -> bytes:
    return value[:10] + (b"A" if value[10:11] != b"A" else b"B") + value[11:]


COOKIES = {
    "empty": b"",
    "text": b"canary",
    "48 letters": b"A" * 48,
    "one letter changed": flipped(cookie()),
    "truncated": cookie()[:-1],
    "one letter more": cookie() + b"A",
    "oversized": b"A" * 6000,
    "padding": cookie()[:-2] + b"==",
    "other alphabet": b"+/" * 24,
    "no ASCII": b"\xff" * 48,
    "quoted": b'"' + cookie() + b'"x',
    "expired": cookie(age_days=31),
    "expired a second ago": cookie(age_days=30 + 1 / DAY_SECONDS),
    "from the future": cookie(age_days=-3),
    "of another installation": cookie("another installation's secret"),
    "SQL": b"canary' OR 1=1 --",
}


@pytest.mark.parametrize("value", COOKIES.values(), ids=COOKIES)
def test_a_cookie_that_is_not_ours_is_replaced(server: Server, value: bytes) -> None:
    answer = ask(server, post(headers=b"Cookie: maicivy_session=" + value + b"\r\n"))
    assert answer.status == 201
    _, _, given = answer.head.partition(b"Set-Cookie: maicivy_session=")
    assert len(given.partition(b";")[0]) == 48
    assert given.partition(b";")[0] != value
    assert CANARY not in answer.head


def test_a_cookie_of_ours_is_kept(server: Server) -> None:
    for age_days in (0, 29):
        header = b"Cookie: maicivy_session=" + cookie(age_days=age_days) + b"\r\n"
        answer = ask(server, post(headers=header))
        assert answer.status == 201
        assert b"Set-Cookie" not in answer.head


# --- frames ---------------------------------------------------------------------------------------

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    first: int = 0x80,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Return a frame; `first` holds its final and reserved bits, `length` may lie."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack(">BB", first | opcode, mask | size)
    elif size < 65536:
        head = struct.pack(">BBH", first | opcode, mask | 126, size)
    else:
        head = struct.pack(">BBQ", first | opcode, mask | 127, size)
    if masked:  # with zeros, which leave the payload as it is
        head += bytes(4)
    return head + payload


PIECE = 0x00
CLOSED = {
    "over 4 KiB": (frame(TEXT, b"x" * 4097), 1009),
    "binary over 4 KiB": (frame(BINARY, b"x" * 4097), 1009),
    "over 4 KiB in pieces": (frame(TEXT, b"x" * 3000, first=PIECE) + frame(0, b"x" * 3000), 1009),
    "2^62 bytes announced": (frame(TEXT, length=2**62), 1009),
    "2^63 bytes announced": (frame(TEXT, length=2**63), 1009),
    "no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "surrogate": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "overlong UTF-8": (frame(TEXT, b"\xc0\x80"), 1007),
    "not masked": (frame(TEXT, b'{"type":"ping"}', masked=False), 1002),
    "not masked ping": (frame(PING, masked=False), 1002),
    "not masked after a good one": (frame(PONG) + frame(TEXT, b"{}", masked=False), 1002),
    "not masked within a message": (
        frame(TEXT, b"{", first=PIECE) + frame(0, b"}", masked=False),
        1002,
    ),
    "reserved bit 1": (frame(TEXT, b"{}", first=0xC0), 1002),
    "reserved bit 2": (frame(TEXT, b"{}", first=0xA0), 1002),
    "reserved bit 3": (frame(TEXT, b"{}", first=0x90), 1002),
    "opcode 3": (frame(3, b"{}"), 1002),
    "opcode 7": (frame(7, b"{}"), 1002),
    "opcode 11": (frame(11), 1002),
    "opcode 15": (frame(15), 1002),
    "piece of nothing": (frame(0, b"{}"), 1002),
    "text within a text": (frame(TEXT, b"{", first=PIECE) + frame(TEXT, b"}"), 1002),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "ping in pieces": (frame(PING, first=PIECE), 1002),
    "65 pieces": (frame(TEXT, first=PIECE) + frame(0, first=PIECE) * 64, 1002),
    "100,000 pieces": (frame(TEXT, first=PIECE) + frame(0, first=PIECE) * 100_000, 1002),
    "close of one byte": (frame(CLOSE, b"x"), 1002),
    "close with 999": (frame(CLOSE, struct.pack(">H", 999)), 1002),
    "close without UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "close": (frame(CLOSE, b"\x03\xe8"), 1000),
    "flood of texts": (frame(TEXT, b'{"type":"ping"}') * 101, 1008),
    "flood of empty texts": (frame(TEXT) * 101, 1008),
    "flood of pings": (frame(PING, b"x") * 101, 1008),
    "flood of pongs": (frame(PONG) * 101, 1008),
    "flood of everything": ((frame(PING) + frame(PONG) + frame(TEXT)) * 34, 1008),
}
ERRORS = {
    "binary": (frame(BINARY, b"canary"), "binary_message"),
    "empty": (frame(TEXT), "invalid_json"),
    "no JSON": (frame(TEXT, b"canary"), "invalid_json"),
    "4 KiB": (frame(TEXT, b"x" * 4096), "invalid_json"),
    "deep": (frame(TEXT, b"[" * 4096), "invalid_json"),
    "depth 9": (frame(TEXT, nested(9)), "invalid_json"),
    "NaN": (frame(TEXT, b'{"type":NaN}'), "invalid_json"),
    "same key twice": (frame(TEXT, b'{"type":"ping","type":"ping"}'), "invalid_json"),
    "NUL": (frame(TEXT, b'{"type":"\\u0000"}'), "invalid_json"),
    "surrogate": (frame(TEXT, b'{"type":"\\ud800"}'), "invalid_json"),
    "list": (frame(TEXT, b'["ping"]'), "invalid_body"),
    "null": (frame(TEXT, b"null"), "invalid_body"),
    "no type": (frame(TEXT, b"{}"), "unknown_type"),
    "unknown type": (frame(TEXT, b'{"type":"canary"}'), "unknown_type"),
    "type in upper case": (frame(TEXT, b'{"type":"PING"}'), "unknown_type"),
    "type is a list": (frame(TEXT, b'{"type":["ping"]}'), "unknown_type"),
    "type is a number": (frame(TEXT, b'{"type":1}'), "unknown_type"),
    "type of ours": (frame(TEXT, b'{"type":"heartbeat"}'), "unknown_type"),
}


def exactly(stream: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = stream.recv(size - len(received))
        assert piece, "the connection ended"
        received += piece
    return received


def frames(stream: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and payload of every frame that the server sends, byte by byte."""
    while True:
        first, size = exactly(stream, 2)
        if size >= 126:
            size = int.from_bytes(exactly(stream, 2 if size == 126 else 8))
        yield first & 0x0F, exactly(stream, size)


def enter(server: Server) -> socket.socket:
    """Open the live feed and return its connection right behind the handshake."""
    stream = connect(server)
    stream.sendall(request(WS, UPGRADE))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += exactly(stream, 1)
    assert b" 101 " in head
    return stream


@pytest.mark.parametrize(("sent", "code"), CLOSED.values(), ids=CLOSED)
def test_a_frame_that_must_not_be_closes_the_feed(server: Server, sent: bytes, code: int) -> None:
    with enter(server) as stream:
        stream.sendall(sent)
        payload = next(payload for opcode, payload in frames(stream) if opcode == CLOSE)
        assert int.from_bytes(payload[:2]) == code


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(("sent", "code"), ERRORS.values(), ids=ERRORS)
def test_a_message_that_is_not_understood_is_answered(
    server: Server, sent: bytes, code: str, *, whole: bool
) -> None:
    with enter(server) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pieces = [sent] if whole else [bytes([byte]) for byte in sent[:200]] + [sent[200:]]
        for piece in pieces:
            stream.sendall(piece)
        stream.sendall(frame(PING, b"still there"))
        answer = next(payload for _, payload in frames(stream) if b'"error"' in payload)
        message = json.loads(answer)
        assert (message["type"], message["code"]) == ("error", code)
        assert message["error"].endswith(".")
        assert CANARY not in answer
        stream.sendall(frame(TEXT, b'{"type":', first=PIECE) + frame(PING) + frame(0, b'"ping"}'))
        assert next(payload for opcode, payload in frames(stream) if b'"pong"' in payload)


# --- what is stored of an address -----------------------------------------------------------------

# What is sent, and what is stored of it as a page URL and as a referrer; None is refused with 400.
STORED: dict[str, tuple[str | None, ...]] = {
    "userinfo": ("https://canary:bird@x.example/a", *["https://x.example/a"] * 2),
    "user": ("https://canary@x.example/a", *["https://x.example/a"] * 2),
    "two at signs": ("https://canary@bird@x.example/", *["https://x.example/"] * 2),
    "userinfo, encoded": ("https://canary%3Abird@x.example/", *["https://x.example/"] * 2),
    "of our own host": ("http://canary:b@cv.example/cv", "/cv", "/cv"),
    "in a path": ("/https://canary:bird@x.example/", *["/https://redacted/"] * 2),
    "in a query": ("/cv?next=https://canary:bird@x.example/", *["/cv"] * 2),
    "token": ("/cv?token=canary", *["/cv"] * 2),
    "without a scheme": ("canary:bird@x.example", None, None),
}


@pytest.mark.parametrize("kind", STORED)
async def test_nothing_of_a_userinfo_is_stored(
    make_client: ClientFactory, database: Database, kind: str
) -> None:
    client = await make_client(allowed_origins=("http://cv.example",))
    sent, *expected = STORED[kind]
    for name, stored in zip(("page_url", "referrer"), expected, strict=True):
        response = await client.post(f"{BASE}/event", json={"event_type": "x", name: sent})
        assert response.status == (201 if stored else 400)
        [row] = await database.fetch(f"SELECT max({name}) AS url FROM analytics_events")
        assert row["url"] == stored
