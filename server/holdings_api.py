"""POST /sync/audit: a phone asks, once a day, whether what it holds is what it should hold."""

from typing import Any

from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.callers import authenticated, confirmed
from server.device_requests import Signed, error_response, json_response, parse_json, read_signed
from server.logs import get_logger
from server.store import SqlStore
from sync.errors import MalformedMessage, SyncError
from sync.holdings import Verdict, compare
from sync.protocol import decode_cursor

log = get_logger()


async def audit(request: Request) -> Response:
    database, admission = request.app.state.database, request.app.state.admission
    try:
        with admission.enter():
            signed = await read_signed(request)
            asked = read_question(parse_json(request, signed.body))
            async with admission.turn(is_upload=False, size=len(signed.body)):
                answer = await run_in_threadpool(database.read, lambda session: judge(session, signed, asked))
    except SyncError as error:
        return error_response(error)
    return json_response(request, answer)


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
