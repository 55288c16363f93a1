"""What can be read in the operator's views, and what is wrong with their looks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.dashboard.chromium import until

if TYPE_CHECKING:
    from tests.dashboard.chromium import Page


def see(page: Page, place: str, heading: str) -> None:
    page.evaluate(f"location.hash = '#/{place}'")
    page.get("heading", heading)
    until(lambda: page.evaluate("!document.querySelector('[aria-busy=true]')"), f"{place} is complete")


def table_of(page: Page, table: str) -> list[dict[str, str]]:
    """What a table shows, by the titles of its columns."""
    rows: list[dict[str, str]] = page.evaluate(_ROWS % json.dumps(table))
    return rows


def tiles_of(page: Page) -> dict[str, str]:
    return _pairs(page, ".tiles")


def facts_of(page: Page) -> dict[str, str]:
    return _pairs(page, ".facts")


def _pairs(page: Page, within: str) -> dict[str, str]:
    rows = f"[...document.querySelectorAll('{within} > div')]"
    pairs = page.evaluate(f"{rows}.map((each) => [...each.children].map((part) => part.innerText))")
    found: dict[str, str] = dict(pairs)
    return found


def agree(page: Page, act: str) -> None:
    """Says yes to the question that is asked."""
    until(lambda: page.evaluate("document.querySelector('dialog')?.open"), "it is asked")
    page.evaluate(
        f"[...document.querySelectorAll('dialog button')].find((each) => each.textContent === {act!r}).click()"
    )


def nothing_ran(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('main :is(img, script, iframe, style)').length") == 0


_ROWS = """
(() => {
  const table = document.querySelector(`table[aria-label=${CSS.escape(%s)}]`);
  const titles = [...table?.tHead.rows[0].cells ?? []].map((each) => each.textContent);
  const read = (each) => each.innerText.trim().replace(/\\s+/g, " ");
  const rows = [...table?.tBodies[0].rows ?? []].map((row) => [...row.cells].map(read));
  return rows.map((row) => Object.fromEntries(row.map((text, at) => [titles[at], text])));
})()
"""
FOCUSED = """
(() => {
  const here = document.activeElement;
  return here.getAttribute('aria-label') || here.textContent || here.labels?.[0].textContent;
})()
"""
NAMELESS = """
[...document.querySelectorAll('a, button, input, select, textarea, progress, [role=img], pre, table, section, nav')]
  .filter((each) => each.checkVisibility() && !(each.getAttribute('aria-label') || each.textContent.trim()
    || each.labels?.length || document.getElementById(each.getAttribute('aria-labelledby'))))
  .map((each) => each.outerHTML)
"""
DOUBLED = (
    "[...document.querySelectorAll('[id]')].map((each) => each.id).filter((id, at, all) => all.indexOf(id) !== at)"
)
PALE = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].reduce((sum, each, at) => {
    const part = each / 255;
    return sum + [.2126, .7152, .0722][at] * (part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
  }, 0);
  const ground = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb(getComputedStyle(document.documentElement).backgroundColor);
  };
  const spoken = (node) => node.nodeType === 3 && node.data.trim();
  const words = [...document.querySelectorAll('main *, header *')].filter((each) =>
    each.checkVisibility() && !each.closest('svg, .unseen') && [...each.childNodes].some(spoken));
  return words.flatMap((each) => {
    const [one, other] = [light(rgb(getComputedStyle(each).color)), light(ground(each))];
    const contrast = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    return contrast < 4.5 ? [`${contrast.toFixed(2)} ${each.outerHTML.slice(0, 120)}`] : [];
  });
})()
"""
"""Words whose contrast is less than 4.5 to 1 (WCAG 2.2, 1.4.3)."""
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && each.checkVisibility()
    && !each.closest('.unseen') && !each.closest('.ways nav'))
  .map((each) => each.outerHTML.slice(0, 200))
"""
"""The row of ways is one that may be scrolled."""
MULTIPLIED = """
(() => {
  const json = Response.prototype.json;
  [window.drawn, window.longest] = [0, 0];
  Response.prototype.json = async function () {
    const said = await json.call(this);
    const kind = new URL(this.url).pathname;
    const number = { '/v1/queues': 200, '/v1/streams': 50 }[kind];
    if (!number) return said;
    const grown = Math.random() * 100;
    const items = Array.from({ length: number }, (_, at) => ({
      ...said.items[0],
      name: `q-${at}`,
      waiting: Math.floor(grown * at),
      completed: Math.floor(Date.now() / 100 * (at % 7)),
      published: Math.floor(Date.now() / 100 * (at % 7)),
    }));
    const before = performance.now();
    setTimeout(() => {
      window.drawn += 1;
      document.body.getBoundingClientRect();
      window.longest = Math.max(window.longest, performance.now() - before);
    });
    return { ...said, items };
  };
})()
"""
"""More of each than this environment has; `longest` is how long an answer kept the page, its layout included."""
LONGEST = """
(async () => {
  window.longest = 0;
  for (let round = 0; round < 5; round += 1) {
    const before = window.drawn;
    dispatchEvent(new Event('online'));  // asks at once
    while (window.drawn === before) await new Promise((done) => setTimeout(done, 10));
  }
  return window.longest;
})()
"""
