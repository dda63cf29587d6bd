"""Templates for the phone: the tree that Jinja2 parsed, written as JavaScript."""

from server.jinja_js.compiler import compile_templates
from server.jinja_js.errors import UnsupportedTemplate

__all__ = ["UnsupportedTemplate", "compile_templates"]
