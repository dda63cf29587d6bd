"""Admission to /sync: how many exchanges are in the house at once, and who works first (RELIABILITY.md 2.4, H1).

    request ──> in the house? ──no──> 503 busy, Retry-After 5 to 60 s at random
                    │ read the body
                    └─> waits for a turn: uploads before downloads, first come first served
                            └─> WORKING_MAX at a time do the work: DESKS of them in threads, the rest wait for the writer
                                    └─> out of the house once the answer is sent

So pages always find a thread and a share of the processor, whatever the phones do, and the writer finds several pushes
to commit together. A phone that waits longer than it
would itself is sent away before it gives up. Counted in the event loop alone, so it needs no lock; each process of a
PostgreSQL installation counts its own.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from sync.errors import TryLater

T = TypeVar("T")
Bring = Callable[[int], None]  # told the bytes of each piece of a body as it comes

WORKING_MAX = 8
DESKS = 2  # threads that share Python's one lock with the writer and with pages; a third makes none of them faster
TURN_SECONDS = 15  # a phone gives up after 20 (static/sync/transport.js)
BODY_SECONDS = 30
BYTES_MAX = 96 * 1024 * 1024  # of bodies in the house, read or half read
RETRY_AFTER_SECONDS = (5, 60)
PRESSED_FROM = 12  # waiting; from here on who pushes is asked to pull a little later
PAUSE_MS = (5_000, 30_000)


class Admission:
    """`answer(work)`, and in the work: read the body; `async with turn(...)`: do it. Raises TryLater for whoever must come back."""

    def __init__(
        self, *, in_house_max: int, working_max: int = WORKING_MAX, turn_seconds: float = TURN_SECONDS
    ) -> None:
        self._in_house_max = in_house_max
        self._working_max = working_max
        self._turn_seconds = turn_seconds
        self._in_house = 0
        self._working = 0
        self._bytes = 0
        self._uploads: deque[asyncio.Future[None]] = deque()
        self._downloads: deque[asyncio.Future[None]] = deque()
        self.is_closed = False
        self._desks = ThreadPoolExecutor(DESKS, "desk")

    @property
    def is_pressed(self) -> bool:
        return len(self._uploads) + len(self._downloads) >= PRESSED_FROM

    async def answer(self, work: Callable[[Bring], Awaitable[Response]]) -> "OnItsWay":
        """What the work makes of a request whose body it reads itself, in the house until it is sent."""
        with ExitStack() as place:
            response = await work(place.enter_context(self.enter()))
            return OnItsWay(response, place.pop_all())

    @contextmanager
    def enter(self) -> Iterator[Bring]:
        """Gives what to call with the bytes of each piece of the body: nobody has signed for it yet, and all who are in
        the house share its memory."""
        if self.is_closed or self._in_house >= self._in_house_max:
            raise busy()
        brought = 0

        def bring(size: int) -> None:
            nonlocal brought
            if self._bytes + size > BYTES_MAX:
                raise busy()
            self._bytes += size
            brought += size

        self._in_house += 1
        try:
            yield bring
        finally:
            self._in_house -= 1
            self._bytes -= brought

    @asynccontextmanager
    async def turn(self, *, is_upload: bool) -> AsyncIterator[None]:
        """Waits for a turn to work, and gives it on afterwards."""
        if self._working < self._working_max:
            self._working += 1
        elif self.is_closed:
            raise busy()
        else:
            await self._wait(self._uploads if is_upload else self._downloads)
        try:
            yield
        finally:
            self._give_on()

    async def at_desk(self, work: Callable[[], T]) -> T:
        """What the work makes, in a thread when one is free; inside of a turn."""
        return await asyncio.get_running_loop().run_in_executor(self._desks, work)

    def close(self) -> None:
        """The server is about to stop: who works, or is still sending, may finish; who waits or is new comes back."""
        self.is_closed = True
        for waiting in (self._uploads, self._downloads):
            while waiting:
                reject(waiting.popleft())

    async def _wait(self, line: deque[asyncio.Future[None]]) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        line.append(turn)
        timer = loop.call_later(self._turn_seconds, reject, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_on()  # the turn came as its owner left
            raise
        finally:
            timer.cancel()

    def _give_on(self) -> None:
        """To the next who still waits; whoever was sent away meanwhile is only passed over."""
        for line in (self._uploads, self._downloads):
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._working -= 1


class OnItsWay:
    """An answer that keeps its place in the house until it is sent: one that nobody reads is memory, too, or an open file.
    How long it may take is for the connection to say (server/commands/serve.py)."""

    def __init__(self, response: Response, place: ExitStack) -> None:
        self._response = response
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_to_the_end(message: Message) -> None:
            # uvicorn waits for the reader before it takes the next message, not after the last one.
            if message.get("body") and not message.get("more_body"):
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
            await send(message)

        with self._place:
            await self._response(scope, receive, send_to_the_end)


def reject(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(busy())


def busy(pick: Callable[[int, int], int] = random.randint) -> TryLater:
    """A random time, so that those who were sent away together do not come back together."""
    return TryLater(
        "busy", "many phones are uploading; please come back", retry_after_seconds=pick(*RETRY_AFTER_SECONDS)
    )


def pause_ms() -> int:
    return random.randint(*PAUSE_MS)
