"""Every setting: what is understood, and one sentence for what is not."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.config import SETTINGS, Config, unknown_variables
from maicivy.errors import ConfigError


def test_nothing_set_gives_the_defaults() -> None:
    assert Config.from_env({}) == Config()


def test_every_setting_is_a_field_with_the_same_default() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    assert defaults == {setting.field: setting.default for setting in SETTINGS}


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("DATABASE_URL", "postgres://u@h/d", "database_url", "postgres://u@h/d"),
        ("REDIS_URL", "rediss://h:6380/1", "redis_url", "rediss://h:6380/1"),
        ("MAICIVY_PORT", " 9000 ", "port", 9000),
        ("MAICIVY_TIMEZONE", "Europe/Paris", "timezone", ZoneInfo("Europe/Paris")),
        ("MAICIVY_ALLOWED_ORIGINS", "https://A.org/, http://b:81", "allowed_origins",
         ("https://a.org", "http://b:81")),
        ("MAICIVY_TRUSTED_PROXIES", "10.0.0.0/8,::1", "trusted_proxies",
         (ip_network("10.0.0.0/8"), ip_network("::1"))),
        ("MAICIVY_EVENT_RATE_LIMIT", "0", "event_rate_limit", 0),
        ("MAICIVY_LOG_FORMAT", "JSON", "log_format", "json"),
        ("MAICIVY_RETENTION_DAYS", "", "retention_days", 90),
        ("MAICIVY_QUERY_PARAMETERS", "Theme, utm_*,q", "query_parameters", ("Theme", "utm_*", "q")),
        ("MAICIVY_QUERY_PARAMETERS", "None", "query_parameters", ()),
        ("MAICIVY_QUERY_PARAMETERS", "*", "query_parameters", ("*",)),
        ("MAICIVY_CONTENT_SECURITY_POLICY", "default-src *", "content_security_policy",
         "default-src *"),
        ("MAICIVY_CONTENT_SECURITY_POLICY", "OFF", "content_security_policy", ""),
        ("MAICIVY_TRACKER_PATH", "/s/a-b_c.js", "tracker_path", "/s/a-b_c.js"),
        ("MAICIVY_COLLECT_PATH", "/hello", "collect_path", "/hello"),
        ("MAICIVY_DATA_DIR", "/x y", "data_dir", Path("/x y")),
    ],
)  # fmt: skip
def test_understood(variable: str, text: str, field: str, value: Any) -> None:
    assert getattr(Config.from_env({variable: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DATABASE_URL", "mysql://h/d"),
        ("REDIS_URL", "localhost:6379"),
        ("MAICIVY_PORT", "0"),
        ("MAICIVY_PORT", "65536"),
        ("MAICIVY_PORT", "8080x"),
        ("MAICIVY_PORT", "٨٠٨٠"),
        ("MAICIVY_TIMEZONE", "Mars/Olympus"),
        ("MAICIVY_TIMEZONE", "../etc/passwd"),
        ("MAICIVY_SITE_DIR", "/does/not/exist"),
        ("MAICIVY_SECRET_KEY", "short"),
        ("MAICIVY_RETENTION_DAYS", "91"),
        ("MAICIVY_RETENTION_DAYS", "0"),
        ("MAICIVY_ALLOWED_ORIGINS", "example.org"),
        ("MAICIVY_ALLOWED_ORIGINS", "https://a.org/path"),
        ("MAICIVY_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("MAICIVY_EVENT_RATE_LIMIT", "-1"),
        ("MAICIVY_LOG_LEVEL", "loud"),
        ("MAICIVY_QUERY_PARAMETERS", "utm_*x"),
        ("MAICIVY_QUERY_PARAMETERS", "**"),
        ("MAICIVY_QUERY_PARAMETERS", "theme;lang"),
        ("MAICIVY_QUERY_PARAMETERS", "theme=backend"),
        ("MAICIVY_CONTENT_SECURITY_POLICY", "default-src 'self'\r\nX-Evil: 1"),
        ("MAICIVY_CONTENT_SECURITY_POLICY", "default-src\t'self'"),
        ("MAICIVY_CONTENT_SECURITY_POLICY", "default-src é"),
        ("MAICIVY_TRACKER_PATH", "maicivy.js"),
        ("MAICIVY_TRACKER_PATH", "/"),
        ("MAICIVY_TRACKER_PATH", "/a/"),
        ("MAICIVY_TRACKER_PATH", "//a"),
        ("MAICIVY_TRACKER_PATH", "/a/../b"),
        ("MAICIVY_TRACKER_PATH", "/{x}"),
        ("MAICIVY_TRACKER_PATH", "/a?b"),
        ("MAICIVY_TRACKER_PATH", "/a" * 60),
        ("MAICIVY_TRACKER_PATH", "/docs"),
        ("MAICIVY_COLLECT_PATH", "/api/v1/analytics/event"),
        ("MAICIVY_CONTENT_SECURITY_POLICY", "default-src 'self', img-src *"),
    ],
)
def test_refused_with_a_sentence_that_names_the_variable(variable: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({variable: text})
    sentence = str(caught.value)
    assert sentence.startswith(f"{variable} must ")
    assert sentence.endswith(".")


def test_a_wrong_secret_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({"MAICIVY_SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a secret of some length\n")
    config = Config.from_env({"MAICIVY_SECRET_KEY_FILE": str(file)})
    assert config.secret_key == "a secret of some length"
    assert "a secret" not in repr(config)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="MAICIVY_SECRET_KEY_FILE names"):
        Config.from_env({"MAICIVY_SECRET_KEY_FILE": str(file)})


def test_mistyped_settings_are_noticed() -> None:
    environ = {"MAICIVY_PROT": "1", "MAICIVY_PORT": "1", "MAICIVY_SECRET_KEY_FILE": "", "HOME": "/"}
    assert unknown_variables(environ) == ["MAICIVY_PROT"]
