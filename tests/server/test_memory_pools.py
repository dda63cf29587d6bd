"""What threads take from memory goes back to all of them (glibc)."""

import platform
import subprocess
import sys

import pytest

# Eight threads at once take and give back what Python itself does not pool; glibc then says how many pools it made.
POOLS = """
import ctypes, re, sys, tempfile, threading
from server.commands.serve import share_memory_pools

if "shared" in sys.argv:
    share_memory_pools()
together = threading.Barrier(8)

def take() -> None:
    for _ in range(100):
        together.wait()
        bytes(100_000)

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
with tempfile.TemporaryFile("w+") as said:
    stream = ctypes.c_void_p(libc.fdopen(said.fileno(), b"w"))
    libc.malloc_info(0, stream)
    libc.fflush(stream)
    said.seek(0)
    print(len(re.findall("<heap nr=", said.read())))
"""


def pools(*arguments: str) -> int:
    command = [sys.executable, "-P", "-c", POOLS, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_threads_of_the_server_share_two_memory_pools() -> None:
    assert pools() > 2
    assert pools("shared") == 2
