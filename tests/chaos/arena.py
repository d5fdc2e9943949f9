"""The real program as a process of its own, real servers, and a proxy before each of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiohttp
import asyncpg
import redis.asyncio

from maicivy import embedded
from tests.chaos.proxy import Proxy
from tests.conftest import API, BROWSER, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from maicivy.embedded.server import Server

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One `run.py`, on a port of its own."""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAICIVY_")}
        self.environment = kept | settings | {"MAICIVY_PORT": str(self.port)}
        self.log = log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it serves."""
        with self.log.open("a") as log:
            log.write("--- start\n")
            self.process = await asyncio.create_subprocess_exec(
                *self.command(), env=self.environment, stderr=log
            )
        await until(self._serves, 40)

    async def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log.read_text()[-2000:]
        return "maicivy is ready" in self.log.read_text().rpartition("--- start")[2]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end, which it was asked for, and return its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), 10)

    def command(self, name: str = "serve") -> list[str]:
        """Return the command line of one of its commands."""
        return [sys.executable, str(ROOT / "run.py"), name]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the program with the same settings."""
        return subprocess.run(
            self.command(command),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def descriptors(self) -> int:
        """Return how many files and sockets it has open."""
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def memory_bytes(self) -> int:
        """Return its resident memory."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Arena:
    """Servers, proxies and programs; `database` and `redis` speak to the servers directly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        self.session: aiohttp.ClientSession
        self.redis: redis.asyncio.Redis
        self._servers: embedded.EmbeddedServers
        self.postgres_proxy: Proxy
        self.redis_proxy: Proxy

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Arena]:
        """Start the servers and one program, and stop everything afterwards."""
        with embedded.start(self.folder / "data") as self._servers:
            self.database_url, self.redis_url = (
                self._servers.database_url or "",
                self._servers.redis_url or "",
            )
            self.redis = redis.asyncio.Redis.from_url(self.redis_url)
            redis_socket = Path(unquote(urlsplit(self.redis_url).path))
            self.postgres_proxy = Proxy(redis_socket.with_name(".s.PGSQL.5432"))
            self.redis_proxy = Proxy(redis_socket)
            await self.postgres_proxy.start()
            await self.redis_proxy.start()
            headers = {"User-Agent": BROWSER}
            async with aiohttp.ClientSession(headers=headers) as self.session:
                try:
                    await self.add_program()
                    yield self
                finally:
                    await self._close()

    async def _close(self) -> None:
        for program in self.programs:
            if program.process is not None and program.process.returncode is None:
                await program.kill()
        await self.redis.aclose()
        await self.postgres_proxy.stop()
        await self.redis_proxy.stop()

    async def add_program(self, **settings: str) -> Program:
        """Start one more instance on the same servers."""
        name = urlsplit(self.database_url).path.strip("/")
        user = urlsplit(self.database_url).username
        mine = {
            "DATABASE_URL": f"postgresql://{user}@127.0.0.1:{self.postgres_proxy.port}/{name}"
            "?sslmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_proxy.port}/0",
            "MAICIVY_TRUSTED_PROXIES": "127.0.0.0/8",
        }
        program = Program(mine | settings, self.folder / f"program{len(self.programs)}.log")
        self.programs.append(program)
        await program.start()
        return program

    @property
    def program(self) -> Program:
        """The first program."""
        return self.programs[0]

    def server(self, name: str) -> Server:
        """Return the server `postgres` or `redis`, to be ended and started by a test."""
        return next(one for one in self._servers._servers if one.name == name)

    async def end(self, name: str, number: signal.Signals) -> None:
        """Send a server a signal and wait for its end."""
        server = self.server(name)
        assert server.pid is not None
        os.kill(server.pid, number)
        await until(lambda: not server.is_running(), 20)

    async def start(self, name: str) -> None:
        """Start a server again and wait until it answers."""
        server = self.server(name)
        server.start()
        await until(server.check_start, 30)

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Ask PostgreSQL directly."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def session_of(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Lend a direct connection to PostgreSQL."""
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def get(self, path: str, program: Program | None = None) -> Any:
        """Return the data of one report."""
        url = f"{(program or self.program).url}{API}/{path}"
        async with self.session.get(url) as response:
            assert response.status == 200, (path, response.status)
            return json.loads(await response.read())["data"]

    async def metric(self, name: str, program: Program | None = None) -> float:
        """Return the sum of a metric's samples."""
        async with self.session.get(f"{(program or self.program).url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.partition("{")[0].partition(" ")[0] == name
        )

    async def works(self, program: Program | None = None) -> bool:
        """Say whether an event is stored and the numbers are answered."""
        url = (program or self.program).url
        body = {"event_type": "probe"}
        headers = {
            "X-Forwarded-For": f"10.251.{time.time_ns() % 250}.{time.time_ns() // 250 % 250}"
        }
        timeout = aiohttp.ClientTimeout(total=3)
        try:
            async with self.session.post(
                f"{url}{API}/event", json=body, headers=headers, timeout=timeout
            ) as response:
                if response.status != 201:
                    return False
            async with self.session.get(f"{url}{API}/realtime", timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def recovered(self, seconds: float = 30.0) -> float:
        """Wait until the program works and return how long it took."""
        started = time.monotonic()
        await until(self.works, seconds)
        return time.monotonic() - started
