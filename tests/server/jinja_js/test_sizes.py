"""What the templates and their runtime may weigh in the service worker, which is loaded over slow networks."""

import gzip
from types import ModuleType

import pytest
from py_mini_racer import MiniRacer

from server.jinja_js import compile_templates
from server.messages import load_catalogue
from server.templating import template_environment
from server.worker_script import minified, plain_script, shared_templates
from tests.javascript import STATIC

# About a tenth above what they weigh: the templates with the whole working day, the runtime with everything in it.
TEMPLATES_MAX = 15_000
RUNTIME_MAX = 6_300
RUNTIME_MAX_IN_BROTLI = 5_700


def packed(text: str) -> int:
    return len(gzip.compress(text.encode(), 9, mtime=0))


def runtime() -> str:
    return minified(plain_script((STATIC / "worker/jinja_runtime.js").read_text(encoding="utf-8")))


def test_shared_templates_stay_small() -> None:
    environment = template_environment(load_catalogue())

    assert packed(compile_templates(environment, shared_templates())) <= TEMPLATES_MAX


def test_runtime_stays_small() -> None:
    assert packed(runtime()) <= RUNTIME_MAX


def test_runtime_stays_small_in_brotli() -> None:
    brotli: ModuleType = pytest.importorskip("brotli")

    assert len(brotli.compress(runtime().encode())) <= RUNTIME_MAX_IN_BROTLI


def test_a_module_becomes_a_part_of_one_script() -> None:
    source = 'import {\n  a,\n} from "./a.js";\nexport const b = a;\nexport async function c() {}\n'

    assert plain_script(source) == "const b = a;\nasync function c() {}\n"


def test_what_a_phone_loads_is_minified_and_says_the_same() -> None:
    source = '"use strict";(() => { /* said */ const text = "a // b"; self.said = `${text}\n  c` + [1, 2].length; })();'
    with MiniRacer() as engine:
        engine.eval("self = {}")
        engine.eval(minified(source))

        assert "said */" not in minified(source)
        assert engine.eval("self.said") == "a // b\n  c2"
