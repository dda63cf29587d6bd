"""What the templates and their runtime may weigh in the service worker, which is loaded over slow networks."""

import gzip
from types import ModuleType

import pytest

from server.jinja_js import compile_templates
from server.messages import load_catalogue
from server.templating import template_environment
from server.worker_script import plain_script, shared_templates
from tests.javascript import STATIC

# About a tenth above what they weigh: the templates with the whole working day, the runtime with everything in it.
TEMPLATES_MAX = 20_000  # 15,000 before the vault's, the queue's and the outings' pages
RUNTIME_MAX = 6_300
RUNTIME_MAX_IN_BROTLI = 5_700


def packed(text: str) -> int:
    return len(gzip.compress(text.encode(), 9, mtime=0))


def runtime() -> str:
    return plain_script((STATIC / "worker/jinja_runtime.js").read_text(encoding="utf-8"))


def test_shared_templates_stay_small() -> None:
    environment = template_environment(load_catalogue())

    assert packed(compile_templates(environment, shared_templates())) <= TEMPLATES_MAX


def test_runtime_stays_small() -> None:
    assert packed(runtime()) <= RUNTIME_MAX


def test_runtime_stays_small_in_brotli() -> None:
    brotli: ModuleType = pytest.importorskip("brotli")

    assert len(brotli.compress(runtime().encode())) <= RUNTIME_MAX_IN_BROTLI


def test_lines_join_only_where_that_is_safe() -> None:
    source = "function f() {\n  return g(\n    1, // one,\n    2,\n  )\n}\nconst a = 1;\nconst b = [\n  a\n];\n"

    assert plain_script(source) == "function f(){return g(1,2,)\n}\nconst a=1;\nconst b=[a\n];\n"
    assert plain_script('f("a // b"); // said\n') == 'f("a // b");\n'
    assert plain_script("const a = /** @type {any} */ (b);\n") == "const a=(b);\n"
    assert plain_script("const a = `x {\n  y`;\n") == "const a = `x {\n  y`;\n"
    assert plain_script("f(`${[\n  1,\n]}`);\n") == "f(`${[\n  1,\n]}`);\n"


def test_spaces_go_only_where_nobody_reads_them() -> None:
    assert plain_script('const a = { b: "c , d" };\n') == 'const a={b:"c , d"};\n'
    assert plain_script("return a - -b;\n") == "return a - -b;\n"
    assert plain_script("const a = / , /;\n") == "const a = / , /;\n"
