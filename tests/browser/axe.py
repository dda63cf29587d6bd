"""axe-core, the checker of accessibility rules that a machine can judge, in the pages as they are served.

It is set up as a page begins, by the browser's own debugging line, so the pages' policy stays as strict as it is.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from server.settings import ROOT

SOURCE: Path = ROOT / "tests" / "node" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
HEIGHT = "() => document.documentElement.scrollHeight"
OF_LOOKS = ["color-contrast", "link-in-text-block", "target-size"]  # what colours and sizes have a say in
RUN = """async (runOnly) => {
    const { violations } = await axe.run(document, { runOnly, resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map((node) =>
        `${id}: ${node.html.slice(0, 160)} (${node.any.concat(node.all, node.none).map((each) => each.message).join("; ")})`));
}"""


def bring_axe(page: Page) -> None:
    if not SOURCE.is_file():
        pytest.skip("axe-core is not installed: ./linli test does it where npm is")
    page.add_init_script(path=SOURCE)
    page.emulate_media(reduced_motion="reduce")  # a colour on its way to another is neither


def findings(page: Page, *, of_looks: bool = False) -> list[str]:
    """What axe finds on the whole page: on a screen as long as the page is, so that the dock covers nothing of it. Of
    colours and sizes alone where the same page was looked at in others."""
    screen = page.viewport_size
    assert screen is not None
    page.set_viewport_size({"width": screen["width"], "height": page.evaluate(HEIGHT)})
    found: list[str] = page.evaluate(
        RUN, {"type": "rule", "values": OF_LOOKS} if of_looks else {"type": "tag", "values": RULES}
    )
    page.set_viewport_size(screen)
    return found
