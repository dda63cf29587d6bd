"""POST /sync/audit: a phone asks, once a day, whether what it holds is what it should hold."""

from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from server.callers import authenticated, confirmed
from server.database import Database
from server.device_requests import Signed, parse_json
from server.logs import get_logger
from server.store import SqlStore
from server.sync_api import Answer, answered_in_turn
from sync.errors import MalformedMessage
from sync.holdings import Verdict, compare
from sync.protocol import decode_cursor

log = get_logger()


async def audit(request: Request) -> ASGIApp:
    database: Database = request.app.state.database

    def work(signed: Signed) -> Answer:
        asked = read_question(parse_json(request, signed.body))
        return database.read(lambda session: judge(session, signed, asked))

    return await answered_in_turn(request, work)


def read_question(wire: Any) -> dict[str, str]:
    names = ("epoch", "cursor", "digest")
    if not isinstance(wire, dict) or not all(isinstance(wire.get(name), str) for name in names):
        raise MalformedMessage("bad_message", "epoch, cursor and digest must be text")
    return {name: wire[name] for name in names}


def judge(session: Session, signed: Signed, asked: dict[str, str]) -> dict[str, Any]:
    caller = confirmed(authenticated(session, signed))
    verdict = compare(
        SqlStore(session),
        author=caller.author,
        epoch=asked["epoch"],
        after=decode_cursor(asked["cursor"]),
        digest=asked["digest"],
    )
    if verdict is Verdict.DIFFERS:
        log.warning("a replica has come apart", device_id=caller.id)
    return {"verdict": verdict.value}


routes = [Route("/sync/audit", audit, methods=["POST"])]
