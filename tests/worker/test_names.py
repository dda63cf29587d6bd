"""Names under which the phone keeps things: the same on every phone, so that they say nothing about anybody (P26)."""

import re

from server.assets import STATIC

KEPT = re.compile(r"new Database\(\{ name: ([^,]+),|caches\.open\((\w+)|(?:local|session)Storage\.\w+\(([^),]+)")
CONSTANTS = {
    '"linli-outbox"',
    '"linli-blobs"',
    '"linli-sealed-replica"',
    '"linli-vault"',
    "OLD_REPLICA",
    "MIRROR",
    "PAGES_CACHE",
    "assetsCacheName",  # a hash of the files
    "name",  # of the caches that are there already
    "PUT_OFF",
    "NOT_NOW",
}


def test_p26_what_is_kept_has_the_same_name_on_every_phone() -> None:
    scripts = [path for path in STATIC.rglob("*.js") if "vendor" not in path.parts]

    found = {next(filter(None, match)) for path in scripts for match in KEPT.findall(path.read_text(encoding="utf-8"))}

    assert found <= CONSTANTS
    assert len(found) >= 7
    assert not [
        path
        for path in scripts
        if re.search(r'indexedDB\.open\((?!this|name|\w+\.name|"linli-canary")', path.read_text(encoding="utf-8"))
    ]
