"""The page of a report in a real browser: it draws, it filters, its address keeps what is shown, and text stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import browser
import past
import pytest
from world import NOON, World

from agentsync.ops import report
from agentsync.render.report import html

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed: apt-get install chromium")

COLOURS = """(() => {
  const c = document.getElementById("picture"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  const seen = new Set(); for (let i = 0; i < d.length; i += 4 * 97) seen.add(`${d[i]},${d[i + 1]},${d[i + 2]}`); return seen.size;
})()"""
"""How many colours are in the picture, by a sample of its pixels."""

TITLE = "agent-sync report"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    world = World(tmp_path_factory.mktemp("past"), git_repo=False)
    past.make(world.state, 1500, team=5, hours=8, until=NOON)
    found = report.report(world.agent("reader").session, 0, None)
    file = world.root / "report.html"
    file.write_text(html(found, report.template(), "1"), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(one: browser.Browser, url: str) -> Iterator[browser.Browser]:
    one.complaints.clear()
    one.look()
    one.ask("Page.navigate", url="about:blank")
    one.open(url)
    yield one
    assert one.complaints == []
    assert {address.partition("#")[0] for address in one.requests} <= {url, "about:blank"}, "it loads something"
    assert one.run("document.title") == f"repo: {TITLE}", "a word of an agent ran"
    assert one.run("document.querySelectorAll('img, b b, td b, td img').length") == 0


def rows(page: browser.Browser, table: str) -> list[list[str]]:
    """The cells of a table as text."""
    found: list[list[str]] = page.run(
        f"[...document.querySelectorAll('#{table} tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    return found


def settle(page: browser.Browser) -> None:
    """Until what was changed is shown."""
    page.run("new Promise(done => setTimeout(() => requestAnimationFrame(done), 90))")


def test_it_draws_and_says_what_is_to_be_seen(page: browser.Browser) -> None:
    assert page.run(COLOURS) > 12
    assert " 1,50" in page.run("document.getElementById('span').textContent")
    assert all(rows(page, table) for table in ("contention", "incidents", "tasks", "messages", "decisions", "locks"))
    assert "refusals" in page.run("document.getElementById('shown').textContent")


def test_what_agents_wrote_stays_text(page: browser.Browser) -> None:
    page.run("document.getElementById('q').focus()")
    page.ask("Input.insertText", text="onerror")
    settle(page)
    for table in ("messages", "tasks", "decisions", "locks"):
        assert any("</script><img src=x" in cell and "\\u202e" in cell for row in rows(page, table) for cell in row)


def test_a_filter_leaves_what_fits_in_every_table_and_the_address_keeps_it(page: browser.Browser, url: str) -> None:
    path = rows(page, "contention")[0][0]
    page.run("document.querySelector('#contention td button').click()")
    settle(page)
    assert {row[0] for row in rows(page, "contention")} == {path}
    assert {row[0] for row in rows(page, "locks")} == {path}
    assert page.run("new URLSearchParams(location.hash.slice(1)).get('q')") == path
    page.run("document.querySelectorAll('.chip')[1].click()")
    settle(page)
    name = page.run("document.querySelectorAll('.chip')[1].textContent")
    assert {row[1] for row in rows(page, "locks")} == {name}
    kept = page.run("location.hash")
    before = [rows(page, table) for table in ("contention", "incidents", "locks")]
    page.ask("Page.navigate", url="about:blank")
    page.open(url + kept)
    assert [rows(page, table) for table in ("contention", "incidents", "locks")] == before
    assert page.run("document.querySelectorAll('.chip')[1].getAttribute('aria-pressed')") == "true"
    page.run("document.getElementById('reset').click()")
    settle(page)
    assert page.run("location.hash") == ""
    assert len(rows(page, "contention")) > 1


def test_a_table_is_sorted_by_its_heads_and_shows_more_when_asked(page: browser.Browser) -> None:
    head = "[...document.querySelectorAll('#contention th button')].find(b => b.textContent === 'Refused')"
    page.run(f"{head}.click()")
    assert page.run(f"{head}.closest('th').getAttribute('aria-sort')") == "descending"
    page.run("document.querySelector('#contention .more button').click()")
    numbers = [int(row[2] or 0) for row in rows(page, "contention")]
    assert len(numbers) > 15
    assert numbers == sorted(numbers, reverse=True)
    page.run(f"{head}.click()")
    assert page.run("location.hash") == "#contention=refusals"
    assert int(rows(page, "contention")[0][2] or 0) == min(numbers)


def test_the_keyboard_moves_in_time(page: browser.Browser) -> None:
    whole = page.run("document.getElementById('shown').textContent")
    page.run("document.getElementById('rows').focus()")
    for _ in range(3):
        page.key("+", "+")
    page.key("ArrowRight")
    settle(page)
    assert page.run("document.getElementById('shown').textContent") != whole
    said = page.run("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    assert 0 < float(said["from"]) < float(said["to"])
    page.key("0", "0")
    settle(page)
    assert page.run("document.getElementById('shown').textContent") == whole
    page.run("document.activeElement.blur()")
    page.key("/", "/")
    assert page.run("document.activeElement.id") == "q"


def test_the_pointer_is_told_what_is_under_it(page: browser.Browser) -> None:
    page.run("document.getElementById('by-file').click()")
    settle(page)
    box = page.run("(({x, y}) => ({x, y}))(document.getElementById('picture').getBoundingClientRect())")
    for x in range(210, 1200, 6):
        page.mouse("mouseMoved", box["x"] + x, box["y"] + 55)
        if page.run("!document.getElementById('tip').hidden"):
            break
    assert "by" in page.run("document.getElementById('tip').textContent")


def test_it_fits_dark_and_light_narrow_and_paper(page: browser.Browser, tmp_path: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.run(background)
    page.look(dark=True)
    dark = page.run(background)
    page.run("document.getElementById('theme').click()")
    settle(page)
    assert light != dark
    assert page.run(background) == light, "who asks for light gets it whatever the system says"
    page.look(width=360)
    settle(page)
    assert page.run("document.documentElement.scrollWidth") <= 360
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000


def test_everything_has_a_name_and_enough_contrast(page: browser.Browser) -> None:
    """The rules that a program can check; `ratio` is that of WCAG."""
    nameless = page.run(
        "[...document.querySelectorAll('button, input, canvas, [tabindex]')].filter(e => "
        "e.offsetParent && !(e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby'))).length"
    )
    assert nameless == 0
    ratio = """(() => {
      const parse = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
      const light = (c) => { const [r, g, b] = parse(c); return .2126 * r + .7152 * g + .0722 * b; };
      const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c; } };
      let worst = [21, ""];
      for (const e of document.querySelectorAll("h1, h2, p, td, td *, th button, .chip, .facts *, .legend, footer, .quiet:enabled")) {
        if (!e.textContent.trim() || e.namespaceURI !== "http://www.w3.org/1999/xhtml") continue;
        const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x), r = (a + .05) / (b + .05);
        if (r < worst[0]) worst = [r, e.className + " " + e.tagName];
      }
      return worst;
    })()"""
    for dark in (False, True):
        page.look(dark=dark)
        worst, where = page.run(ratio)
        assert worst >= 4.5, (dark, where)
