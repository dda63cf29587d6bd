"""A slow line between a phone and its server: the latency and the rate of a stairwell, for page and worker alike.

A relay of TCP, because what DevTools slow down on a page does not reach its worker. One line for all connections: they share
its rate, as they share a phone's. It counts what passes.
"""

import queue
import socket
import threading
import time
from contextlib import suppress

PIECE = 16 * 1024


class SlowLine:
    def __init__(self, port: int, *, bits_per_second: int, round_trip_seconds: float) -> None:
        self.is_slow = False
        self.bytes = 0
        self._target = port
        self._seconds_per_byte = 8 / bits_per_second
        self._delay = round_trip_seconds / 2
        self._free_at = [0.0, 0.0]  # up, down
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "SlowLine":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    # Private

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for way, source, sink in ((0, near, far), (1, far, near)):
                    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()
                    threading.Thread(target=self._read, args=(way, source, waiting), daemon=True).start()
                    threading.Thread(target=self._write, args=(sink, waiting), daemon=True).start()

    def _read(self, way: int, source: socket.socket, waiting: "queue.Queue[tuple[float, bytes]]") -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(PIECE)
            except OSError:
                data = b""
            waiting.put((self._due(way, len(data)), data))

    def _due(self, way: int, length: int) -> float:
        """When these bytes are at the other end."""
        now = time.monotonic()
        with self._lock:
            self.bytes += length
            if not self.is_slow:
                return now
            self._free_at[way] = max(now, self._free_at[way]) + length * self._seconds_per_byte
            return self._free_at[way] + self._delay

    def _write(self, sink: socket.socket, waiting: "queue.Queue[tuple[float, bytes]]") -> None:
        while True:
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except OSError:
                return
