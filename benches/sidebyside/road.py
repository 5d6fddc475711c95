"""What stands between a client and the server: a road that is narrow and long, or one that turns some away."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

PIECE = 4096
"""Bytes that go on at a time."""
AHEAD = 0.1
"""Seconds that a sender may be ahead of the road, as the buffer of a router lets it."""
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Road:
    """A proxy on loopback, on a thread of its own until the program ends."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").rsplit(":", 1)
        self.server = (host, int(port))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        begun = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._met, "127.0.0.1", 0, limit=1 << 16), self.loop
        )
        self.endpoint = f"http://127.0.0.1:{begun.result().sockets[0].getsockname()[1]}"

    async def _met(self, reader: Reader, writer: Writer) -> None:
        try:
            there = await asyncio.open_connection(*self.server, limit=1 << 16)
            try:
                await self.carry((reader, writer), there)
            finally:
                there[1].close()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def carry(self, here: tuple[Reader, Writer], there: tuple[Reader, Writer]) -> None:
        raise NotImplementedError


class Way:
    """One direction: all that goes shares its width, and arrives later."""

    def __init__(self, rate: float, delay: float) -> None:
        self.rate, self.delay, self.free = rate, delay, 0.0

    async def carry(self, reader: Reader, writer: Writer) -> None:
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arrive = asyncio.create_task(self._arrive(arriving, writer))
        try:
            while piece := await reader.read(PIECE):
                self.free = max(self.free, time.monotonic()) + len(piece) / self.rate
                arriving.put_nowait((self.free + self.delay, piece))
                await asyncio.sleep(max(0.0, self.free - AHEAD - time.monotonic()))
        finally:
            arriving.put_nowait((time.monotonic() + self.delay, b""))
        await arrive

    async def _arrive(self, arriving: asyncio.Queue[tuple[float, bytes]], writer: Writer) -> None:
        while True:
            at, piece = await arriving.get()
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if not piece:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()


class Narrow(Road):
    """So many bytes a second each way, all connections together, and half of `latency` seconds each way."""

    def __init__(self, endpoint: str, rate: float, latency: float) -> None:
        self.out, self.back = Way(rate, latency / 2), Way(rate, latency / 2)
        super().__init__(endpoint)

    async def carry(self, here: tuple[Reader, Writer], there: tuple[Reader, Writer]) -> None:
        await asyncio.gather(self.out.carry(here[0], there[1]), self.back.carry(there[0], here[1]))


class Refusing(Road):
    """Answers those requests with SlowDown for which `refuses` says so; `told` hears of each whether it was."""

    def __init__(
        self, endpoint: str, refuses: Callable[[], bool], told: Callable[[bytes, bool], None]
    ) -> None:
        self.refuses, self.told = refuses, told
        super().__init__(endpoint)

    async def carry(self, here: tuple[Reader, Writer], there: tuple[Reader, Writer]) -> None:
        while True:
            head, body = await message(here[0])
            refused = self.refuses()
            self.told(head, refused)
            if refused:
                here[1].write(b"HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\n")
                here[1].write(b"content-length: %d\r\n\r\n" % len(SLOW_DOWN) + SLOW_DOWN)
            else:
                there[1].write(head + body)
                bare = head.startswith(b"HEAD ")
                here[1].write(b"".join(await message(there[0], bare)))
            await here[1].drain()


class Moody(Road):
    """Carries requests as its `mood` is: `well`; `slow` answers a share of them with SlowDown; `deaf` carries some, and
    loses the answers; `away` breaks every connection, as a server that is being restarted does."""

    def __init__(self, endpoint: str, share: float) -> None:
        self.mood, self.share, self.met, self.connections = "well", share, Counter(), set()
        super().__init__(endpoint)

    def turn(self, mood: str) -> None:
        """Changes the mood."""
        self.mood = mood
        if mood == "away":
            self.loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self.connections])

    async def carry(self, here: tuple[Reader, Writer], there: tuple[Reader, Writer]) -> None:
        if self.mood == "away":
            return
        self.connections.add(here[1])
        try:
            while self.mood != "away":
                head, body = await message(here[0])
                strikes = self.mood in ("slow", "deaf") and random.random() < self.share
                self.met[self.mood if strikes else "carried"] += 1
                if strikes and self.mood == "slow":
                    here[1].write(b"HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\n")
                    here[1].write(b"content-length: %d\r\n\r\n" % len(SLOW_DOWN) + SLOW_DOWN)
                else:
                    there[1].write(head + body)
                    answer = await message(there[0], head.startswith(b"HEAD "))
                    if strikes:
                        return
                    here[1].write(b"".join(answer))
                await here[1].drain()
        finally:
            self.connections.discard(here[1])


async def message(reader: Reader, bare: bool = False) -> tuple[bytes, bytes]:
    """The next request or answer, head and body; `bare` if it has none whatever it says."""
    head = await reader.readuntil(b"\r\n\r\n")
    names = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if bare:
        return head, b""
    if b"chunked" in names.get(b"transfer-encoding", b""):
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            size = await reader.readuntil(b"\r\n")
            body += size + await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        return head, body
    return head, await reader.readexactly(int(names.get(b"content-length", b"0")))
