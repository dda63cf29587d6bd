"""The one Jinja2 environment: the server renders with it, and the phone's templates are compiled from it.

Whatever is registered here that shared templates use has a twin in static/worker/.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from jinja2.runtime import Context

from server.filters import clock, day, moment, reads
from server.messages import Catalogue

TEMPLATES = Path(__file__).parent.parent / "templates"


def template_environment(catalogue: Catalogue) -> Environment:
    @reads("language")
    def translate(context: Context, key: str, **values: object) -> str:
        return catalogue.text(context["language"], key, **values)

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["_"] = translate
    environment.filters |= {"day": day, "clock": clock, "moment": moment}
    return environment
