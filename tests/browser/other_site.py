"""A site that is not ours, whose page sends a form of its own to whatever address it likes as soon as it is opened."""

import html
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSED = "This request came from another site."  # what our server says to it
PAGE = """<!doctype html><meta name="referrer" content="{policy}">
<form method="post" action="{action}">{fields}</form><script>document.forms[0].submit()</script>"""


class OtherSite(ThreadingHTTPServer):
    """Serves at `url` while it is open (`with OtherSite(...)`); `policy` says what it tells of itself to where it leads."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, action: str, fields: Mapping[str, str], *, policy: str = "unsafe-url") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        # By another name: no cookie of ours is lent to it as to a neighbour's port.
        self.url = f"http://localhost:{self.server_address[1]}/"
        inputs = [f'<input name="{html.escape(name)}" value="{html.escape(value)}">' for name, value in fields.items()]
        self.page = PAGE.format(policy=policy, action=html.escape(action), fields="".join(inputs)).encode()

    def __enter__(self) -> "OtherSite":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: OtherSite

    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, *_: object) -> None:
        """Nothing to print."""
