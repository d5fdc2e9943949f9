"""Every key and the channel: the spelling, the type, the time to live, and who else is there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tests.conftest import send_event, until
from tests.contract.conftest import REALTIME_EVENT, visit
from tests.contract.deviations import Subject
from tests.contract.document import SEED, code_lines
from tests.contract.shapes import ABSENT, Difference, differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis.asyncio

    from tests.conftest import Client

TYPES = {
    "HyperLogLog (visiteurs uniques)": "HyperLogLog",
    "Compteurs (stats agrégées)": "counter",
    "Sorted Sets (classements)": "zset",
    "Sets (temps réel)": "set",
}
SECONDS = {"jours": 86_400, "minutes": 60}
MINUTE = 60


@dataclass(frozen=True)
class Key:
    """One documented key: its name, the type that its section says, its comment."""

    name: str
    type: str
    comment: str


KEYS = [
    Key(name, TYPES[section.title], comment)
    for section in SEED.below("Keys Pattern")
    if section.title != "Pub/Sub"
    for name, comment in code_lines(section.text())
]
[(CHANNEL, _)] = code_lines(SEED.section("Keys Pattern", "Pub/Sub").text())
LIVES = {
    f"analytics:{'' if match[1].startswith('realtime') else '*'}{match[1]}": (
        int(match[2]) * SECONDS[match[3]]
    )
    for match in SEED.section("TTL par clé").matches(r"`(\S+)` → (\d+) (jours|minutes)")
}
TROUBLESHOOTING = SEED.section("Redis mémoire pleine")
ASKED = TROUBLESHOOTING.match(r"`redis-cli (TTL \S+)`")[1].split()
FLUSH, DANGER = TROUBLESHOOTING.match(r"`redis-cli (FLUSHDB)` \(DANGER: (.+)\)").groups()

NAMES, SPELLING, LOSS = Subject("Redis keys"), Subject("Redis types"), Subject("Redis loss")


async def replay(client: Client) -> None:
    """Do what makes every documented key."""
    await visit(client, "/cv?theme=backend")
    await send_event(client, "letter_generate", event_data={"letter_type": "motivation"})


async def live_keys(client: redis.asyncio.Redis) -> list[str]:
    return sorted([name async for name in client.scan_iter(match="*")])


def like(name: str) -> str:
    """Return the name with every number in it made the same."""
    return re.sub(r"\d+", "0", name)


def true_name(name: str, live: list[str]) -> str:
    """Return the live key that is the documented one up to its numbers, or the name itself."""
    if name in live:
        return name
    return next((other for other in live if like(other) == like(name)), ABSENT)


async def command(client: Any, *words: str) -> Any:
    """Run what the document types into redis-cli."""
    return await client.execute_command(*words)


async def type_of(client: redis.asyncio.Redis, name: str) -> str:
    plain = str(await client.type(name))
    if plain != "string":
        return plain
    value: Any = await client.getrange(name, 0, 3)
    return "HyperLogLog" if value == "HYLL" else "counter" if value.isdecimal() else plain


def life(name: str) -> int | None:
    return next((life for pattern, life in LIVES.items() if fnmatchcase(name, pattern)), None)


def test_every_key_was_read() -> None:
    assert len(KEYS) == 9
    assert len(LIVES) == 4


async def test_every_key_is_there(seed_client: Client, redis_client: redis.asyncio.Redis) -> None:
    await replay(seed_client)
    live = await live_keys(redis_client)

    def found() -> Iterator[Difference]:
        for key in KEYS:
            true = true_name(key.name, live)
            if true != key.name:
                yield Difference(key.name, key.name, true)
        known = {like(key.name) for key in KEYS}
        for name in live:
            if like(name) not in known:
                yield Difference(name, ABSENT, "a key")

    NAMES.check(found())


@SEED.section("Composants Principaux").holds(r"Redis \(HyperLogLog, Sorted Sets\)")
async def test_every_key_is_of_its_type(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    await replay(seed_client)
    live = await live_keys(redis_client)
    found = []
    for key in KEYS:
        true = await type_of(redis_client, true_name(key.name, live))
        if true != key.type:
            found.append(Difference(key.name, key.type, true))
    SPELLING.check(found)


async def test_every_key_holds_what_its_comment_says(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    await replay(seed_client)
    live, seen = await live_keys(redis_client), []
    for key in KEYS:
        name = true_name(key.name, live)
        seen.append(key.comment)
        if key.type == "HyperLogLog":
            assert await redis_client.pfcount(name) == 1, key
        elif key.type == "counter":
            is_letters = key.comment.startswith("Lettres")
            assert await redis_client.get(name) == ("1" if is_letters else "2"), key
        elif key.type == "zset":
            member = re.search(r'member: "(\w+)", score: \d+', key.comment)
            assert member
            assert await redis_client.zscore(name, member[1]) == 1
        else:
            assert await redis_client.zcard(name) == 1
    assert len(seen) == len(set(seen)) == len(KEYS)


async def test_every_key_lives_as_long_as_the_table_says(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    await replay(seed_client)
    used = set()
    for name in await live_keys(redis_client):
        expected, ttl = life(name), int(await redis_client.ttl(name))
        if expected is None:
            assert ttl == -1, name
        else:
            assert expected - MINUTE <= ttl <= expected, name
            used.add(expected)
    assert used == set(LIVES.values())


@SEED.section("TTL par clé").holds(r"`realtime:visitors` .*\(auto-refresh\)")
async def test_the_life_of_an_active_visitor_is_renewed(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    [active] = [key for key in KEYS if key.type == "set"]
    minutes = re.search(r"TTL (\d+)min", active.comment)
    assert minutes
    assert int(minutes[1]) * MINUTE == life(active.name)
    await replay(seed_client)
    await redis_client.expire(active.name, 10)
    await replay(seed_client)
    assert await redis_client.ttl(active.name) > 10


async def test_an_event_goes_over_the_channel(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    async with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(CHANNEL)
        await pubsub.get_message(timeout=5)
        await visit(seed_client, REALTIME_EVENT["page_url"])
        received: list[dict[str, Any]] = []

        async def arrived() -> bool:
            message = await pubsub.get_message(timeout=0.1)
            received.extend([message] if message else [])
            return bool(received)

        await until(arrived)
    [message] = received
    assert list(differences(REALTIME_EVENT, json.loads(message["data"]), "")) == []


async def test_the_advice_for_a_full_redis(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    await replay(seed_client)
    _, name = ASKED
    assert int(await command(redis_client, *ASKED)) > MINUTE
    before = await redis_client.get(name)
    assert before == "2"
    await command(redis_client, FLUSH)
    await until(lambda: redis_client.exists(name))
    kept = await redis_client.get(name) == before
    LOSS.check([Difference(FLUSH, DANGER, "nothing is lost")] if kept else [])
