"""Servers small enough to be killed by the hundred: Database, writer thread, store and engine, without HTTP.

Run as a program it imports everything and does everything once, and then forks a writer for each line it is given (a
process cannot be forked safely while it has threads, so this one has none, and every writer starts its own). What a
writer says goes to the same output, a line at a time:

    started PID           by the writer, before it does anything: said by the parent, it could come after what follows
    PHONE THROUGH         by the writer: its changes up to this number are acknowledged
    ended                 by the parent, once the writer is gone and everything it said has been said
"""

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from sqlmodel import Session

from server.accepting import accept_changes
from server.database import Database
from server.settings import sqlite_url
from tests.durability.faulty_disk import on_shared_memory
from tests.durability.workload import DATABASE, PHONES, author_of, change_of, fill, pull, push
from tests.people import NOW, made_up_id

BATCH_MAX = 5


def main() -> None:
    warm_up()
    assert threading.active_count() == 1
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                say(f"started {os.getpid()}")
                write_until_killed(**json.loads(line))
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        say("ended")


def warm_up() -> None:
    """What a process does slowly the first time, every writer would do again: nine tenths of its life."""
    with TemporaryDirectory(dir=on_shared_memory(Path(gettempdir()))) as name:
        fill(Path(name))
        database = Database(sqlite_url(Path(name) / DATABASE))
        push(database, PHONES[0], 1, BATCH_MAX)
        pull(database, PHONES[0])
        database.close()


def say(line: str) -> None:
    """In one write, shorter than a pipe takes at once: a kill leaves no half lines."""
    os.write(1, f"{line}\n".encode())


def write_until_killed(url: str, acknowledged: dict[str, int], seed: int, mistake: str) -> None:
    database = Database(url)
    threads = [
        threading.Thread(
            target=push_for_ever, args=(database, index, acknowledged[phone], Random(seed + index), mistake)
        )
        for index, phone in enumerate(PHONES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def push_for_ever(database: Database, index: int, through: int, random: Random, mistake: str) -> None:
    phone = PHONES[index]
    while True:
        count = random.randrange(1, BATCH_MAX + 1)
        if mistake == "answers before it commits":
            answer_early(database, index, through + 1, count)
        else:
            push(database, phone, through + 1, count)
            if mistake == "makes new ids for what it sends again":
                push_under_new_ids(database, phone, through + 1)
            say(f"{index} {through + count}")
        through += count
        if random.random() < 0.1:
            pull(database, phone)


# Mistakes, for negative controls


def answer_early(database: Database, index: int, first: int, count: int) -> None:
    phone = PHONES[index]

    def work(session: Session) -> Any:
        changes = [change_of(phone, number) for number in range(first, first + count)]
        results = accept_changes(session, author_of(phone), changes, NOW)
        say(f"{index} {first + count - 1}")
        return results

    database.write(work)


def push_under_new_ids(database: Database, phone: str, number: int) -> None:
    """As a phone does that makes the id when it sends."""
    change = change_of(phone, number)
    other = replace(change, change_id=made_up_id(f"again {change.change_id}"), record_id=made_up_id(f"again {phone}"))
    database.write(lambda session: accept_changes(session, author_of(phone), [other], NOW))


if __name__ == "__main__":
    main()
