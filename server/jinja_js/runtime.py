"""The runtime as far as the compiled templates at hand call it: filters and methods that none of them names stay home.

It reads the layout that our own formatting gives the file: a table's members begin at two spaces.
"""

import re

from server.jinja_js.vocabulary import HELPERS

# By table, what its callers in compiled templates look like; helpers are named at the templates' head.
TABLES = {"jinja": r"\b(\w+):", "jinjaFilters": rf"\b{HELPERS['builtin']}\.(\w+)", "jinjaTextMethods": r'"(\w+)"'}
MEMBER = re.compile(r"^  (?=\w+(?:\(|:|,$))", re.MULTILINE)


def runtime_for(templates: str, runtime: str) -> str:
    """Again and again, until nothing is left out any more: what was left out may have been another's only caller."""
    while True:
        shorter = runtime
        for table, in_templates in TABLES.items():
            called = set(re.findall(in_templates, templates)) | set(re.findall(rf"\b{table}\.(\w+)", shorter))
            called |= set(re.findall(r'jinja\.method\(\w+, "(\w+)"', shorter))
            shorter = without_uncalled(shorter, table, called)
        if shorter == runtime:
            return runtime
        runtime = shorter


def without_uncalled(runtime: str, table: str, called: set[str]) -> str:
    head, opening, rest = runtime.partition(f"\nconst {table} = {{\n")
    body, closing, tail = rest.partition("\n};\n")
    first, *members = MEMBER.split(body)
    kept = [f"  {member}" for member in members if (name := re.match(r"\w+", member)) and name[0] in called]
    return "".join([head, opening, first, *kept, closing, tail])
