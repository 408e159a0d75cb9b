"""Pages as people see them who do not see them: axe-core's rules, run in the page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from playwright.sync_api import Page

_FILE = Path(__file__).parents[1] / "browser/node_modules/axe-core/axe.min.js"
_BARRED = ("serious", "critical")
_ALL = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_OF_COLOURS = ("color-contrast", "link-in-text-block")


def check_access(page: Page, rules: Sequence[str] = _ALL) -> None:
    """Fail with what the rules of WCAG 2.2 A and AA find in the page as it is shown now.

    Moderate and minor findings are printed. Animations are at their end first: a lamp that fades
    has too little contrast for a moment.
    """
    page.emulate_media(reduced_motion="reduce")
    page.evaluate(_SETTLE)
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(_load())  # not by a script element, which the page's policy forbids
    found = page.evaluate(_RUN, list(rules))
    told = {item["id"]: _tell(item) for item in found}
    print(*told.values(), sep="\n")
    barred = [told[item["id"]] for item in found if item["impact"] in _BARRED]
    assert not barred, f"{page.url}:\n" + "\n".join(barred)


def check_access_in_both_schemes(page: Page) -> None:
    """As ``check_access``, light, and as far as it goes by colours, dark."""
    page.emulate_media(color_scheme="light")
    check_access(page)
    page.emulate_media(color_scheme="dark")
    check_access(page, _OF_COLOURS)


_SETTLE = """async () => {
  await new Promise(requestAnimationFrame);
  for (;;) {  // what inherits a colour may fade only once what it inherits from does not
    const fading = document.getAnimations().filter((one) => one instanceof CSSTransition);
    if (!fading.length) return;
    for (const one of fading) one.finish();
  }
}"""

_RUN = """async (rules) => {
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
  return found.violations.map(({id, impact, help, nodes}) => (
    {id, impact, help, nodes: nodes.map((node) => [node.html, node.failureSummary])}));
}"""


@cache
def _load() -> str:
    return _FILE.read_text(encoding="utf-8")


def _tell(item: dict[str, object]) -> str:
    nodes = item["nodes"]
    assert isinstance(nodes, list)
    where = [f"  {html}\n    {why}" for html, why in nodes[:5]]
    return "\n".join([f"{item['impact']} {item['id']}: {item['help']} ({len(nodes)})", *where])
