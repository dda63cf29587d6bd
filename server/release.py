"""What this release ships: the words, the templates, the files, and the worker's script made of them. Nothing of it depends
on settings, so that one process makes it once."""

import gzip
from dataclasses import dataclass
from functools import lru_cache

import jinja2

from server.assets import Assets, load_assets
from server.messages import Catalogue, load_catalogue
from server.templating import template_environment
from server.worker_script import assemble_worker, release_of


@dataclass(frozen=True, slots=True)
class Release:
    name: str
    catalogue: Catalogue
    templates: jinja2.Environment
    assets: Assets
    worker_script: str
    worker_packed: bytes  # the same, gzipped


@lru_cache(maxsize=1)
def load_release() -> Release:
    """Raises what stops the start of the app: a template that cannot be compiled for the phone, a listed file that is not
    there."""
    catalogue, assets = load_catalogue(), load_assets()
    templates = template_environment(catalogue)
    script = assemble_worker(templates, messages=catalogue.shared(), asset_urls=assets.urls)
    packed = gzip.compress(script.encode(), 9, mtime=0)
    return Release(release_of(script), catalogue, templates, assets, script, packed)
