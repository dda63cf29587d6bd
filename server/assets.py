"""Static files, each under a URL that holds the hash of its content: it may be kept for ever, because a changed file has
another name. `Assets.urls` is what templates and the worker read."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = Path(__file__).resolve().parent.parent / "static"
FILES = {
    "app.css": "css/app.css",
    "app.js": "app.js",
    "attach.js": "attach.js",
    "htmx.js": "vendor/htmx.min.js",
    "icons.svg": "icons/icons.svg",
    "icon-192.png": "icons/icon-192.png",
    "icon-512.png": "icons/icon-512.png",
}
COMPRESSED = (".css", ".js", ".svg", ".webmanifest")
mimetypes.add_type("application/manifest+json", ".webmanifest")


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    packed: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    urls: dict[str, str]  # name -> /static/app.<hash>.css
    by_url: dict[str, Asset]


def load_assets(files: dict[str, str] = FILES) -> Assets:
    """Raises FileNotFoundError when a listed file is not there: better at the start than on a phone."""
    urls: dict[str, str] = {}
    by_url: dict[str, Asset] = {}
    for name, path in files.items():
        content = (STATIC / path).read_bytes()
        stem, _, suffix = name.rpartition(".")
        url = f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        packed = gzip.compress(content, 9, mtime=0) if f".{suffix}" in COMPRESSED else b""
        urls[name] = url
        by_url[url] = Asset(content, packed, media_type)
    return Assets(urls, by_url)


async def serve_asset(request: Request) -> Response:
    asset = request.app.state.assets.by_url.get(request.url.path)
    if asset is None:
        return Response("not found", 404, {"Cache-Control": "no-store"}, "text/plain")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if asset.packed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


async def serve_manifest(request: Request) -> Response:
    """Not hashed: its address is what an installed app remembers. Its icons are."""
    text = (STATIC / "manifest.webmanifest").read_text(encoding="utf-8")
    for name, url in request.app.state.assets.urls.items():
        text = text.replace(f"/static/icons/{name}", url)
    return Response(text, media_type="application/manifest+json", headers={"Cache-Control": "no-cache"})


routes = [
    Route("/manifest.webmanifest", serve_manifest),
    Route("/static/{path:path}", serve_asset),
]
