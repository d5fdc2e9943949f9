"""The commands `share` and `token`: making, listing and revoking what others read with."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from maicivy.errors import OperatorError
from maicivy.periods import utc_now
from maicivy.storage.grants import MAX_DAYS, NAME, Grant, Grants, Kind, is_label, is_view

if TYPE_CHECKING:
    import argparse

    from maicivy.config import Config
    from maicivy.storage.stores import Stores

USUAL_DAYS = 7


def add_share(command: argparse.ArgumentParser) -> None:
    """Say what `share` understands."""
    told = f"days until it expires, {USUAL_DAYS} when none are given, {MAX_DAYS} at most"
    command.add_argument("--days", default=str(USUAL_DAYS), help=told)
    command.add_argument("--view", default="", help="what it opens, such as 'period=7d&path=/cv'")
    command.add_argument("--name", default="", help="what it is called in the list")
    command.add_argument("--url", help="where this installation is, such as https://stats.example")
    others = command.add_mutually_exclusive_group()
    others.add_argument("--list", action="store_true", help="show the links that are good")
    others.add_argument("--revoke", metavar="ID", help="end a link, by its id in the list")


def add_token(command: argparse.ArgumentParser) -> None:
    """Say what `token` understands."""
    acts = command.add_subparsers(dest="act", metavar="create|list|revoke", required=True)
    create = acts.add_parser("create", help="make a token for a program")
    create.add_argument("name", help="what it is called")
    create.add_argument("--days", help=f"days until it expires, {MAX_DAYS} at most; or it does not")
    acts.add_parser("list", help="show the tokens that are good")
    acts.add_parser("revoke", help="end a token").add_argument("name", help="what it is called")


async def share(config: Config, stores: Stores, options: argparse.Namespace) -> int:
    """Make a link, or list or revoke some; raises `OperatorError`."""
    grants = Grants(stores.postgres, utc_now)
    if options.list:
        return _list(await grants.listed(Kind.SHARE))
    if options.revoke is not None:
        listed = await grants.listed(Kind.SHARE)
        chosen = [one for one in listed if str(one.id) == options.revoke]
        return await _revoke(grants, chosen, f"share link {options.revoke}")
    view, name = options.view.removeprefix("?"), options.name
    if not is_view(view):
        raise OperatorError("--view must be a query of the dashboard, such as period=7d.")
    if not is_label(name):
        raise OperatorError("--name must be at most 50 characters without control ones.")
    made, secret = await grants.create(Kind.SHARE, name=name, view=view, days=_days(options.days))
    print(f"{_base(config, options.url)}/share/{secret}")
    print(f"Good until {_shown(made.expires_at)}. It is not shown again.", file=sys.stderr)
    if config.dashboard_password is None:
        print("Without MAICIVY_DASHBOARD_PASSWORD all is public anyway.", file=sys.stderr)
    return 0


async def token(config: Config, stores: Stores, options: argparse.Namespace) -> int:
    """Make, list or revoke a token; raises `OperatorError`."""
    grants = Grants(stores.postgres, utc_now)
    if options.act == "list":
        return _list(await grants.listed(Kind.TOKEN))
    if options.act == "revoke":
        chosen = [one for one in await grants.listed(Kind.TOKEN) if one.name == options.name]
        return await _revoke(grants, chosen, f"token {options.name!r}")
    if not re.fullmatch(NAME, options.name):
        raise OperatorError("A token's name must be 1 to 50 letters, digits and . _ - characters.")
    days = _days(options.days) if options.days is not None else None
    made, secret = await grants.create(Kind.TOKEN, name=options.name, days=days)
    print(secret)
    print(f"Good until {_shown(made.expires_at)}. It is not shown again.", file=sys.stderr)
    if config.dashboard_password is None:
        print("Without MAICIVY_DASHBOARD_PASSWORD all is public anyway.", file=sys.stderr)
    return 0


def _list(grants: list[Grant]) -> int:
    for one in grants:
        name = f"{one.name or '(no name)'} {one.view}".strip()
        print(f"{one.id}  until {_shown(one.expires_at)}  used {_shown(one.last_used_at)}  {name}")
    if not grants:
        print("There are none.")
    return 0


async def _revoke(grants: Grants, chosen: list[Grant], what: str) -> int:
    if not chosen or not await grants.revoke(chosen[0].kind, chosen[0].id):
        raise OperatorError(f"There is no {what}.")
    print("Revoked.")
    return 0


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 0
    if not 1 <= days <= MAX_DAYS:
        raise OperatorError(f"--days must be a whole number from 1 to {MAX_DAYS}, not {text!r}.")
    return days


def _base(config: Config, url: str | None) -> str:
    if url is None:
        host = "localhost" if config.host in {"0.0.0.0", "::"} else config.host
        return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"
    if not re.fullmatch(r"https?://[^\s/?#]+/?", url):
        raise OperatorError("--url must be an address such as https://stats.example.org.")
    return url.rstrip("/")


def _shown(instant: object) -> str:
    return "never" if instant is None else f"{instant:%Y-%m-%d %H:%M} UTC"
