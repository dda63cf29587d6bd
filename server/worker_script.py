"""/service-worker.js: one classic script, assembled at start from listed files, the compiled templates and the tables
that both hosts read. No bundler: `import` lines and the word `export` are left out, nothing else is touched.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.assets import STATIC
from server.forms import form_wire
from server.jinja_js import compile_templates
from server.jinja_js.runtime import runtime_for
from server.kinds import KINDS
from server.page_table import PAGES, page_wire
from server.rules import SCHEMA
from server.security import DOCUMENT_POLICY, WORKER_POLICY
from server.version import VERSION
from server.visit_form import FORMS

# In the order of use: what a file calls at its top level stands above it.
RUNTIME = "worker/jinja_runtime.js"
SOURCES = (
    RUNTIME,
    "worker/uuid.js",
    "worker/messages.js",
    "worker/filters.js",
    "worker/forms.js",
    "worker/router.js",
    "worker/responses.js",
    "worker/assets.js",
    "sync/grouping.js",
    "store/database.js",
    "store/vault.js",
    "store/mirror.js",
    "store/outbox.js",
    "store/replica.js",
    "store/blobs.js",
    "sync/columns.js",
    "store/older.js",
    "sync/protocol.js",
    "sync/hash.js",
    "sync/seal.js",
    "sync/rebase.js",
    "sync/entries.js",
    "sync/backoff.js",
    "sync/exchange.js",
    "sync/holdings.js",
    "sync/transport.js",
    "sync/uploads.js",
    "worker/settings.js",
    "worker/later.js",
    "worker/enrolment.js",
    "worker/residents.js",
    "worker/needs.js",
    "worker/phone.js",
    "worker/search.js",
    "worker/storage.js",
    "worker/pages.js",
    "worker/lock.js",
    "worker/reminder.js",
    "worker/attachments.js",
    "worker/filled.js",
    "worker/drafts.js",
    "worker/writes.js",
    "worker/uploader.js",
    "worker/drain.js",
    "worker/queue.js",
    "service-worker.js",
)
EXTRA_TEMPLATES = (
    "enrol/filling.html",
    "lock/left.html",
    "lock/page.html",
    "lock/pin.html",
    "lock/sign_out.html",
    "fragments/_status.html",
    "errors/not_found.html",
    "errors/offline.html",
)
QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')
SIGN = re.compile(r" ?(=>|[!=]==|&&|\|\||\?\?=?|[=<>*?:,;{}()]) ?")
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) ([A-Za-z_$][\w$]*)", re.MULTILINE)


def shared_templates() -> list[str]:
    return sorted({page.template for page in PAGES} | set(EXTRA_TEMPLATES))


def assemble_worker(
    environment: jinja2.Environment, *, messages: Mapping[str, Any], asset_urls: Mapping[str, str]
) -> str:
    """The whole script. Raises UnsupportedTemplate when a template cannot be compiled and ValueError when two files
    declare one name: both stop the start of the app."""
    templates = compile_templates(environment, shared_templates())
    sources = {name: (STATIC / name).read_text(encoding="utf-8") for name in SOURCES}
    sources[RUNTIME] = runtime_for(templates, sources[RUNTIME])
    files = [(name, plain_script(text)) for name, text in sources.items()]
    refuse_shared_names(files)
    tables = {
        "schema": SCHEMA,
        "pages": [page_wire(page) for page in PAGES],
        "forms": {name: form_wire(form) for name, form in FORMS.items()},
        "kinds": {
            name: {"scope_field": kind.scope_field, "indexes": kind.indexes, "caution": dict(kind.caution)}
            for name, kind in KINDS.items()
        },
        "messages": messages,
        "assets": dict(asset_urls),
        "csp": DOCUMENT_POLICY,
        "utc_offset_minutes": 480,
    }
    rest = "\n".join([templates, *(text for _, text in files)])
    digest = hashlib.sha256((json.dumps(tables, sort_keys=True) + rest).encode()).hexdigest()[:12]
    tables = {"release": f"{VERSION}+{digest}", **tables}
    app = json.dumps(tables, ensure_ascii=False, separators=(",", ":"))
    return f'"use strict";\n(() => {{\nconst APP = {app};\n{rest}\n}})();\n'


def release_of(script: str) -> str:
    found = re.search(r'"release":"([^"]+)"', script)
    assert found is not None
    return found[1]


def plain_script(source: str) -> str:
    """A module as a part of a classic script; comments stay home, where they are read, and so does indentation.

    By hand, because both libraries that were tried (tdewolff-minify 2.24, rjsmin 1.3) broke the script: one lost what a
    form had said, the other the white space inside of template literals. This one takes only what it is certain of.
    """
    source = re.sub(r"^import [^;]*;\n", "", source, flags=re.MULTILINE)
    source = re.sub(r"^export (?=(?:async )?(?:function|class|const|let))", "", source, flags=re.MULTILINE)
    source = re.sub(r"^[ \t]*/\*\*?(?:[^*]|\*(?!/))*\*/\n", "", source, flags=re.MULTILINE)
    source = re.sub(r"^[ \t]*//.*\n", "", source, flags=re.MULTILINE)
    source = re.sub(r"[ \t]+// [^\"'`\n]*$", "", source, flags=re.MULTILINE)  # no text reaches to the end of its line
    source = re.sub(r"/\*\* @type [^*\n]*\*/ ?", "", source)
    source = re.sub(r"\n{2,}", "\n", source)
    # A text over several lines must keep them as they are.
    is_open = any(line.count("`") % 2 or line.count("${") > line.count("}") for line in source.splitlines())
    return source if is_open else join_lines("".join(map(squeezed, source.splitlines(keepends=True))))


def squeezed(line: str) -> str:
    """Without the spaces around signs, outside of quotes. A line with a pattern, a comment or a template in it stays."""
    if "/" in line or "`" in line:
        return line
    indentation = line[: len(line) - len(line.lstrip(" "))]
    parts = QUOTED.split(line[len(indentation) :])
    parts[::2] = [SIGN.sub(r"\1", part) for part in parts[::2]]
    return indentation + "".join(parts)


def join_lines(source: str) -> str:
    """What is indented follows on the line before it, where that one certainly goes on or is complete. What is declared
    at the top keeps a line of its own, where `refuse_shared_names` finds it."""
    joined: list[str] = []
    for line in source.splitlines():
        before = joined[-1] if joined else ""
        if line[:1] in (" ", "\t", "}", ")", "]") and before[-1:] in tuple("{([,;") and "//" not in before:
            joined[-1] += line.strip()
        else:
            joined.append(line.rstrip() if line[:1] not in (" ", "\t") else f" {line.strip()}")
    return "\n".join([*joined, ""])


def refuse_shared_names(files: list[tuple[str, str]]) -> None:
    owner: dict[str, str] = {}
    for name, text in files:
        for declared in DECLARED.findall(text):
            if declared in owner:
                raise ValueError(f"{name} and {owner[declared]} both declare {declared}")
            owner[declared] = name


async def serve_worker(request: Request) -> Response:
    """Asked for anew every time, sent only when it is another; with LINLI_WORKER=off the kill switch, which passes
    everything through and keeps the outbox."""
    state = request.app.state
    is_on = state.settings.worker == "on"
    script = state.worker_script if is_on else kill_switch()
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": WORKER_POLICY,
        "ETag": tag_of(script),
        "Service-Worker-Allowed": "/",
        "Vary": "Accept-Encoding",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = script.encode()
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = state.worker_packed if is_on else gzip.compress(body)
    return Response(body, headers=headers, media_type="text/javascript")


@lru_cache(maxsize=2)
def tag_of(script: str) -> str:
    return f'W/"{hashlib.sha256(script.encode()).hexdigest()[:16]}"'


def kill_switch() -> str:
    return plain_script(Path(STATIC / "worker" / "kill_switch.js").read_text(encoding="utf-8"))


routes = [Route("/service-worker.js", serve_worker)]
