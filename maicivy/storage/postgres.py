"""The connections to PostgreSQL: pools for writing, reports and large reports, waits bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from maicivy.errors import NotTried, OperatorError, StorageUnavailable
from maicivy.storage.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from maicivy.metrics import Metrics

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 2.0
ACQUIRE_TIMEOUT_SECONDS = 2.0
STATEMENT_TIMEOUT_SECONDS = 4.0
LOCK_TIMEOUT_SECONDS = 2.0
WRITE_CONNECTIONS = 4  # one of them is kept for the next statement
# Two large reports at once would take a whole core of two from the events.
SCAN_CONNECTIONS = 2 if (os.cpu_count() or 1) > 3 else 1
SCAN_NICENESS = 7
# Large reports are planned for what they are asked, and never look rows up one by one.
SCAN_SETTINGS = {
    "plan_cache_mode": "force_custom_plan",
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "enable_memoize": "off",
}
STREAM_TIMEOUT_SECONDS = 300.0
STARTUP_PATIENCE_SECONDS = 30.0

# What a server that is gone, stopping, full or cut off raises. A stopped one raises OSError.
GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    # What another transaction caused and what passes by itself.
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
)

# What PostgreSQL refuses for its content.
CONTENT_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
NO_PARTITION = asyncpg.CheckViolationError

# What no waiting mends.
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Record: TypeAlias = asyncpg.Record
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def describe_error(error: BaseException) -> str:
    """Return what may be logged of a database error: its SQLSTATE, for the text quotes values."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


class Postgres:
    """Named statements on three pools, timed; `StorageUnavailable` when the server cannot answer.

    Reports have a pool of their own, so that slow ones never hold up the writer; those that read
    many rows have another, so that they never hold up the rest.
    """

    def __init__(self, reads: Pool, writes: Pool, scans: Pool, metrics: Metrics) -> None:
        self._reads = reads
        self._writes = writes
        self._scans = scans
        self._metrics = metrics
        self._queries = load_queries()
        self._kept: Connection | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, dsn: str, metrics: Metrics, pool_size: int, *, own_server: bool = False
    ) -> AsyncIterator[Postgres]:
        """Open the pools, waiting up to 30 s for a server that is still starting.

        On a server of our own the processes of large reports give way to all others.
        """
        pools: list[Pool] = []
        postgres = None
        try:
            pools.append(await _create_pool(dsn, pool_size))
            pools.append(await _create_pool(dsn, WRITE_CONNECTIONS))
            prepare = _give_way if own_server else _warm_up
            pools.append(await _create_pool(dsn, SCAN_CONNECTIONS, prepare, SCAN_SETTINGS))
            postgres = cls(pools[0], pools[1], pools[2], metrics)
            yield postgres
        finally:
            if postgres is not None:
                await postgres._release(postgres._kept)
            await asyncio.gather(*map(_close, pools))

    def statement(self, name: str) -> str:
        """Return the text of the statement called `name`."""
        return self._queries[name]

    async def fetch(self, name: str, *values: Any) -> list[Record]:
        """Run the report `name` and return its rows."""
        async with self.reading() as connection:
            return await self.run(connection, name, *values)

    async def scan(self, name: str, *values: Any) -> list[Record]:
        """Run the report `name`, which may read many rows, and return its rows."""
        async with _borrowed(self._scans) as connection:
            return await self.run(connection, name, *values)

    async def fetch_value(self, name: str, *values: Any) -> Any:
        """Run the report `name` and return the first column of its first row, or None."""
        rows = await self.fetch(name, *values)
        return rows[0][0] if rows else None

    async def write(self, name: str, *values: Any) -> list[Record]:
        """Run the statement `name` on a connection for writing and return its rows."""
        kept, self._kept = self._kept, None
        if kept is None or _is_lost(kept):
            await self._release(kept)
            kept = await _borrow(self._writes)
        try:
            rows = await self.run(kept, name, *values)
        except BaseException as error:
            await self._release(kept)
            if isinstance(error, GONE):
                raise StorageUnavailable(describe_error(error)) from error
            raise
        # Borrowing one anew takes longer than the driver takes for a statement.
        unneeded, self._kept = self._kept, kept
        await self._release(unneeded)
        return rows

    async def _release(self, connection: Connection | None) -> None:
        if connection is not None:
            await _give_back(self._writes, connection)

    async def run(self, connection: Connection, name: str, *values: Any) -> list[Record]:
        """Run the statement `name` on `connection` and return its rows."""
        with self._metrics.time_query(name):
            return await connection.fetch(
                self._queries[name], *values, timeout=STATEMENT_TIMEOUT_SECONDS + 1
            )

    async def stream(self, name: str, *values: Any, chunk: int = 1000) -> AsyncIterator[Any]:
        """Yield lists of up to `chunk` rows of the statement `name`, which may take minutes.

        Meant for background work over many rows: memory stays bounded by the chunk.
        """
        async with self.reading() as connection, connection.transaction(readonly=True):
            await connection.execute("SET LOCAL statement_timeout = 0")
            cursor = await connection.cursor(
                self._queries[name], *values, timeout=STREAM_TIMEOUT_SECONDS
            )
            while rows := await cursor.fetch(chunk, timeout=STREAM_TIMEOUT_SECONDS):
                yield rows

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Lend a connection for reports."""
        async with _borrowed(self._reads) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """Lend a connection for writing."""
        async with _borrowed(self._writes) as connection:
            yield connection


@contextlib.asynccontextmanager
async def _borrowed(pool: Pool) -> AsyncIterator[Connection]:
    connection = await _borrow(pool)
    try:
        yield connection
    except GONE as error:
        raise StorageUnavailable(describe_error(error)) from error
    finally:
        await _give_back(pool, connection)


async def _borrow(pool: Pool) -> Connection:
    try:
        return await pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
    except GONE as error:
        raise NotTried(describe_error(error)) from error


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back already
        return True


async def _give_back(pool: Pool, connection: Connection) -> None:
    """Return a connection to its pool; what is wrong with it was said already."""
    with contextlib.suppress(*GONE):
        await pool.release(connection)


async def _close(pool: Pool) -> None:
    try:
        async with asyncio.timeout(2):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _create_pool(
    dsn: str,
    size: int,
    prepare: Callable[[Any], Coroutine[Any, Any, None]] | None = None,
    settings: dict[str, str] | None = None,
) -> Pool:
    deadline = asyncio.get_running_loop().time() + STARTUP_PATIENCE_SECONDS
    while True:
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=size,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=STATEMENT_TIMEOUT_SECONDS + 1,
                init=prepare or _warm_up,
                reset=_keep_session,
                server_settings=_settings() | (settings or {}),
            )
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as e:
            raise OperatorError(f"PostgreSQL refuses the user or database: {e}.") from None
        except ValueError as error:
            raise OperatorError(f"DATABASE_URL cannot be used: {error}.") from None
        except GONE as error:
            if asyncio.get_running_loop().time() > deadline:
                raise OperatorError(
                    f"PostgreSQL does not answer after {STARTUP_PATIENCE_SECONDS:.0f} s "
                    f"({describe_error(error)}); check DATABASE_URL."
                ) from None
            log.warning("waiting for PostgreSQL: %s", describe_error(error))
            await asyncio.sleep(1)


def _settings() -> dict[str, str]:
    return {
        "application_name": "maicivy",
        "timezone": "UTC",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",  # one report, one processor
        "work_mem": "16MB",  # what a filtered report of a million events sorts and hashes
        "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS * 1000:.0f}",
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS * 1000:.0f}",
        "idle_in_transaction_session_timeout": "60s",
    }


async def _warm_up(connection: Any) -> None:
    """Let the driver look its types up now: the first array costs up to 190 ms otherwise."""
    await connection.fetch(
        "SELECT $1::uuid[], $2::text[], $3::jsonb[], $4::integer[], $5::timestamptz[], $6::date[]",
        *([[]] * 6),
    )


async def _give_way(connection: Any) -> None:
    """Warm up, and let the server's process have what the others leave of the processors."""
    await _warm_up(connection)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, connection.get_server_pid(), SCAN_NICENESS)


async def _keep_session(_: Any) -> None:
    """Reset nothing, for nothing of a session is ever changed: one round trip less a statement."""


def affected(rows: Sequence[Record]) -> int:
    """Return the single count that a statement such as `delete_expired_events` answers."""
    return int(rows[0][0])
