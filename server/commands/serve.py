"""Serve the community.

Listens on LINLI_HOST and LINLI_PORT until it is told to stop (Ctrl+C, SIGTERM). The database must be at
this release's revision: `./linli migrate` first. On SQLite exactly one process may serve.
"""

import argparse
import asyncio
import contextlib
import ctypes
import errno
import gc
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.admission import Admission
from server.app import create_app
from server.commands import DONE, Stop, settings_with
from server.commands.migrate import refuse_old_database
from server.lock import owned_data
from server.logs import configure_logging, get_logger
from server.settings import Settings

M_ARENA_MAX = -8  # malloc.h
MEMORY_POOLS = 2
UNREAD_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", help="instead of LINLI_PORT")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_with(port=arguments.port)
    configure_logging(settings.log_level)
    refuse_old_database(settings)
    with owned_data(settings, url=settings.local_url) as token, listening_socket(settings) as listener:
        serve(settings, token, listener, announce=lambda: None)
    return DONE


def serve(settings: Settings, operator_token: str, listener: socket.socket, *, announce: Callable[[], None]) -> None:
    """Runs until stopped. `announce` is called once the app is built and connections are queued."""
    # uvicorn raises the signal again once it has shut down; this makes SIGTERM end like Ctrl+C. A shell that starts this
    # behind itself has it ignore Ctrl+C, which would be lost until uvicorn listens.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    share_memory_pools()
    app = create_app(settings, operator_token=operator_token)
    gc.freeze()  # what the start has made stays: the collector need not look through it again with every push
    get_logger().info("serving", address=settings.local_url)
    with contextlib.suppress(KeyboardInterrupt):
        announce()
        lines = (app.state.admission, app.state.blob_admission, app.state.photo_admission)
        Server(configuration(app, settings), *lines).run(sockets=[listener])


def configuration(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        log_config=None,  # server/logs.py has the word
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxy),
        forwarded_allow_ips=settings.trusted_proxy,
        timeout_graceful_shutdown=10,
    )


def share_memory_pools() -> None:
    """With glibc each thread would have a pool of its own (mallopt(3)), and keep there what one large body once took."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MEMORY_POOLS)


class Connection(HttpToolsProtocol):
    """Cut off when its reader has hardly taken anything for a minute: what waits for him is memory, and a place in the house."""

    _cut_off: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cut_off = asyncio.get_running_loop().call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._let_be()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._let_be()

    def _let_be(self) -> None:
        if self._cut_off is not None:
            self._cut_off.cancel()


class Server(uvicorn.Server):
    """Stops in good order: what is being written is finished within ten seconds, phones in line are asked to come back,
    and nobody new is let in. Nothing depends on it: a kill loses nothing either."""

    def __init__(self, config: uvicorn.Config, *lines: Admission) -> None:
        super().__init__(config)
        self._lines = lines

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for line in self._lines:
            line.close()
        await super().shutdown(sockets)


def listening_socket(settings: Settings) -> socket.socket:
    """Bound here rather than by uvicorn, so that a taken port can be explained before anything starts."""
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        raise Stop(explain(error, settings)) from error


def listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Sets SO_REUSEADDR, so that a restart need not wait for old connections to be forgotten.
    return socket.create_server(address[:2], family=family, backlog=2048)


def explain(error: OSError, settings: Settings) -> str:
    place = f"port {settings.port} on {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is taken by another program. Choose another: --port {free_port(settings)}"
    if error.errno == errno.EACCES:
        return f"{place} is not ours to take. Choose one above 1023: --port 8000"
    return f"{settings.host} is no address of this machine ({error.strerror})."


def free_port(settings: Settings) -> int:
    """The next one up that is free now."""
    for port in range(settings.port + 1, 65536):
        with contextlib.suppress(OSError), listen(settings.host, port):
            return port
    return 8000
