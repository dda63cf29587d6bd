"""What the shape of an expression says about its result.

Some of Jinja2's filters return generators, and some methods of dictionaries return views. Both
behave like lists only while they are walked over: a generator is true even when nothing is in it,
and empty the second time. In JavaScript all of them are arrays, so these results may only be used
where the difference cannot show.
"""

from jinja2 import nodes

from server.jinja_js import vocabulary


def is_lazy(node: nodes.Node) -> bool:
    """Whether Python would give an iterator that can be walked over once."""
    return isinstance(node, nodes.Filter) and node.name in vocabulary.LAZY_FILTERS


def is_view(node: nodes.Node) -> bool:
    """Whether Python would give a view: it has a length, but no places to index."""
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Getattr)
        and node.node.attr in vocabulary.VIEW_METHODS
    )


def is_container(node: nodes.Node) -> bool:
    """Whether the result is certainly no scalar."""
    if isinstance(node, nodes.Filter):
        return node.name in vocabulary.CONTAINER_FILTERS
    return is_view(node) or isinstance(node, nodes.List | nodes.Tuple | nodes.Dict)
