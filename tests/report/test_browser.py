import time

import numpy as np
import pytest

from tests.report.browser import Browser, find_browser

PHONE, DESKTOP = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (command := find_browser()):
        pytest.skip("no Chromium on the PATH")
    opened = Browser(command, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_is_readable_in_a_browser(browser, page, size, scheme):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page, *size, scheme)
    browser.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.value("innerWidth") == size[0]
    assert browser.value("document.documentElement.scrollWidth") <= size[0]
    least = "Math.min(...[...document.querySelectorAll('svg text')].map((t) => t.getBoundingClientRect().height))"
    assert browser.value(least) >= 10  # pixels, of text in figures
    wide = "(d) => d.scrollWidth - d.clientWidth > 1"
    places = "[...document.querySelectorAll('.scroll, .natural .around')]"
    hidden = f"{places}.filter({wide}).filter((d) => d.nextElementSibling.hidden).length"
    until = time.monotonic() + 10  # sizes are observed when the page is drawn next
    while (left := browser.value(hidden)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == 0  # whatever is wider than its place says that it scrolls
    if size == PHONE:
        assert browser.value(f"{places}.filter({wide}).length") > 0
    picture = browser.screenshot()
    assert (np.median(picture) > 200) == (scheme == "light")
    assert len(picture.getcolors(1 << 24)) > 50
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []


@pytest.mark.slow
def test_pointing_at_a_curve_shows_its_value(browser, page, run, folders):
    browser.open(page, *DESKTOP, "light")
    assert browser.value("document.getElementById('value').hidden")
    place = (
        "(() => { const d = document.querySelector('#curves .drawing'); d.scrollIntoView({block: 'center'});"
        "const b = d.getBoundingClientRect(), [x, y] = JSON.parse(d.dataset.marks)[0];"
        "return [b.left + x * b.width, b.top + y * b.height]; })()"
    )
    browser.point_at(*browser.value(place))
    shown = browser.value("document.getElementById('value').innerText")
    assert shown == f"{folders[0].name}, round 1: {run.rounds[0].train_loss:.4g}"
    assert not browser.complaints
