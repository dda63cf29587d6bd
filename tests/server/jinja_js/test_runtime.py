"""The runtime that phones are served has what their templates call, and no more."""

from server.jinja_js.runtime import runtime_for
from server.jinja_js.vocabulary import HELPERS
from tests.javascript import STATIC

RUNTIME = (STATIC / "worker/jinja_runtime.js").read_text(encoding="utf-8")


def test_what_no_template_calls_is_left_out() -> None:
    served = runtime_for('bi.first(x) d(y,"split","-")', RUNTIME)

    assert "\n  first: " in served
    assert "\n  split(" in served
    assert "\n  truncate(" not in served
    assert "\n  startswith: " not in served


def test_what_the_runtime_itself_calls_stays() -> None:
    served = runtime_for("bi.upper(x)", RUNTIME)

    assert "\n  upper: (value) =>" in served
    assert "\n  upper: (owner) =>" in served
    assert "\n  lower: (value) =>" in served  # jinjaKey


def test_all_is_there_when_all_is_called() -> None:
    names = "abs batch default escape first groupby int items join last length list lower max min replace reverse safe sort string sum tojson trim truncate unique upper urlencode"
    methods = "startswith endswith strip lstrip rstrip upper lower replace split"
    helpers = " ".join(f"{name}:" for name in HELPERS)
    templates = " ".join(
        [helpers, *(f"bi.{name}" for name in names.split()), *(f'"{name}"' for name in methods.split())]
    )

    served = runtime_for(templates, RUNTIME)

    left_out = {line.strip() for line in RUNTIME.splitlines()} - {line.strip() for line in served.splitlines()}
    assert {line for line in left_out if not line.startswith(("//", "/*", "*"))} == set()
