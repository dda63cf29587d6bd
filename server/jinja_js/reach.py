"""Who can see a variable: what lets the compiler leave out bookkeeping that nothing would notice.

Jinja2 keeps every variable that a template sets at its top where blocks, parents, included templates and importers
might look for it. All templates of the phone are known when they are compiled, so we know who looks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import nodes

from server.jinja_js.template import Template


class Reach:
    """The templates as a whole; answers are about one of them. It is asked thousands of times: each tree is walked once."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._templates = templates
        self._imports = {
            name: list(_find(each.root, nodes.Import, nodes.FromImport)) for name, each in templates.items()
        }
        self._stored = {name: set(_stored(template.root)) for name, template in templates.items()}
        self._hands_on = {
            name: any(block.scoped for block in template.root.find_all(nodes.Block))
            for name, template in templates.items()
        }
        self._looked_up = {
            name: template.undeclared | set(template.environment.globals) for name, template in templates.items()
        }
        self._shares = {name: templates.keys() & _shared_with(template.root) for name, template in templates.items()}
        self._parents = {
            name: templates.keys() & _constants(template.root, nodes.Extends) for name, template in templates.items()
        }
        self._bound = {name: list(_bound(template.root)) for name, template in templates.items()}
        self._reached = {name: _closure(name, self._shares) for name in templates}
        self._lines = {name: _closure(name, self._parents) for name in templates}

    def is_noticed(self, template: str, name: str) -> bool:
        """Whether a variable set at the top of the template must be in the context: its blocks and family look there."""
        return any(self._looks_for(other, template, name) for other in self._family(template))

    def is_passed(self, template: str, name: str, target: str) -> bool:
        """Whether an included or imported template could notice the variable."""
        return self._looks_for(target, template, name)

    def is_ever_passed(self, template: str, name: str) -> bool:
        """Whether any template at all could be handed the variable, so that "never set" must be told from undefined."""
        hands_on = self._hands_on[template] and self.is_noticed(template, name)
        return hands_on or any(self._looks_for(target, template, name) for target in self._shares[template])

    def is_exported(self, template: str, name: str) -> bool:
        """Whether anyone imports the variable from the template, or from one that extends it."""
        heirs = {heir for heir, line in self._lines.items() if template in line}
        for imports in self._imports.values():
            for node in imports:
                if _constant(node.template) in heirs and (isinstance(node, nodes.Import) or name in _sources(node)):
                    return True
        return False

    def is_fixed(self, template: str, name: str) -> bool:
        """Whether the variable in the context stays the same while the template and its family run."""
        return not any(name in self._bound[other] for other in self._family(template))

    def living(self, template: str) -> set[str]:
        """Variables that the context alone need hold: set once, at the top, before any statement that reads them."""
        times = Counter(name for other in self._family(template) for name in self._bound[other])
        living, read = set[str](), set[str]()
        for node in self._templates[template].root.body:
            living |= {name for name in _bound_here(node) if times[name] == 1 and name not in read}
            read |= {part.name for part in node.find_all(nodes.Name) if part.ctx == "load"}
        return living

    def _family(self, template: str) -> set[str]:
        """All that run on one context with the template."""
        return set().union(*(line for line in self._lines.values() if template in line))

    def _looks_for(self, reader: str, writer: str, name: str) -> bool:
        reached = self._reached.get(reader, {reader})
        if any(name in self._looked_up[other] for other in reached):
            return True
        # The application's own functions may look at any value, but have no use for a macro.
        is_read = any(self._templates[other].is_read(name) for other in reached)
        return is_read and not self._is_only_macro(writer, name)

    def _is_only_macro(self, template: str, name: str) -> bool:
        if name in self._stored[template]:
            return False
        named = (
            node for node in self._imports[template] if isinstance(node, nodes.FromImport) and name in _targets(node)
        )
        return all(self._imports_macro(node, name) for node in named)

    def _imports_macro(self, node: nodes.FromImport, alias: str) -> bool:
        source = _sources(node)[_targets(node).index(alias)]
        target = _constant(node.template)
        if target not in self._templates:
            return False
        body = self._templates[target].root.body
        is_macro = any(isinstance(part, nodes.Macro) and part.name == source for part in body)
        return is_macro and source not in self._stored[target]


def references(root: nodes.Template) -> list[str]:
    """The templates that one names, in the order of their names."""
    return sorted(_constants(root, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport))


def _constants(root: nodes.Template, *kinds: type[nodes.Node]) -> set[str]:
    return {name for node in root.find_all(kinds) if (name := _constant(getattr(node, "template", None)))}


def _find(root: nodes.Template, *kinds: type[nodes.Node]) -> Iterator[Any]:
    # Typed by their common base, these would not have their own fields.
    return root.find_all(kinds)


def _constant(node: object) -> str:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else ""


def _shared_with(root: nodes.Template) -> Iterable[str]:
    yield from _constants(root, nodes.Extends)
    for node in _find(root, nodes.Include, nodes.Import, nodes.FromImport):
        if node.with_context and _constant(node.template):
            yield _constant(node.template)


def _stored(root: nodes.Template) -> Iterable[str]:
    return (node.name for node in root.find_all(nodes.Name) if node.ctx != "load")


def _bound(root: nodes.Template) -> Iterable[str]:
    yield from _stored(root)
    yield from (node.name for node in root.find_all(nodes.Macro))
    yield from (node.target for node in root.find_all(nodes.Import))
    for node in root.find_all(nodes.FromImport):
        yield from _targets(node)


def _bound_here(node: nodes.Node) -> list[str]:
    """What one statement sets, but for tuples."""
    if isinstance(node, nodes.FromImport):
        return _targets(node)
    if isinstance(node, nodes.Macro):
        return [node.name]
    return [node.target.name] if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name) else []


def _sources(node: nodes.FromImport) -> list[str]:
    return [name if isinstance(name, str) else name[0] for name in node.names]


def _targets(node: nodes.FromImport) -> list[str]:
    return [name if isinstance(name, str) else name[1] for name in node.names]


def _closure(start: str, links: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(links.get(name, ()))
    return found
