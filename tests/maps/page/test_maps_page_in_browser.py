"""The page of a study in a browser: it shows what it says, where it is, with mouse, keys and fingers."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import GRID, explanation, finding, one_high, tokens, values
from PIL import Image

from tier_cli.maps.colours import ABOVE, OPACITY
from tier_cli.maps.explanation import Explanation
from tier_cli.maps.page.write import write_page

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

WORDS = tokens("no effusion", ((0, 2), (3, 6), (6, 11)))
HOSTILE = "</script><img src=x onerror='window.ran=1'><svg onload=window.ran=1>{{7*7}}"
# Frames come late, as on a busy machine: a test that does not wait for what it asked for fails each time.
LATE_FRAMES = """
const soon = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => soon((now) => setTimeout(draw, 30, now));
"""
Opened = Callable[..., Any]


@dataclass
class Shown:
    """A page that is open, with what it did unasked."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    """Write a page and open it; at the end, nothing may have gone wrong or left the page."""
    contexts: list[Any] = []
    shown = Shown(None)

    def open_page(*explanations: Explanation, **options: Any) -> Any:
        path = tmp_path / "page.html"
        write_page(path, explanations)
        contexts.append(browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options}))
        contexts[-1].on("request", lambda request: shown.requests.append(request.url))
        contexts[-1].set_default_timeout(5000)
        contexts[-1].add_init_script(LATE_FRAMES)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: shown.errors.append(str(error)))
        page.on("console", lambda message: shown.errors.append(message.text))
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector(".stage")
            settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert shown.errors == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:image/jpeg"))] == []


def settle(page: Any) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def canvas(page: Any, place: int, panel: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the pixels (H, W, 4) of a panel's radiograph (0) or map (1)."""
    uri = page.evaluate(
        "([panel, place]) => document.querySelectorAll('.stage')[panel].children[place].toDataURL()",
        [panel, place],
    )
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(image.convert("RGBA"), np.int64)


def middle_of(page: Any, row: int, column: int) -> tuple[float, float]:
    """Return where the middle of a patch lies on the screen, from the geometry of the source image."""
    x0, y0, x1, y1 = GRID.box(row, column)
    box = page.locator(".stage").first.bounding_box()
    height, width = GRID.size
    return (
        box["x"] + (x0 + x1) / 2 / width * box["width"],
        box["y"] + (y0 + y1) / 2 / height * box["height"],
    )


def orange_box(page: Any) -> list[float]:
    """Return the box of the strong patch in source pixels, as the map's canvas has it."""
    pixels = canvas(page, 1)
    down, across = np.nonzero((pixels[..., 0] > 150) & (pixels[..., 2] < 60))
    ys, xs = GRID.size[0] / pixels.shape[0], GRID.size[1] / pixels.shape[1]
    return [across.min() * xs, down.min() * ys, (across.max() + 1) * xs, (down.max() + 1) * ys]


def readout(page: Any) -> str:
    text: str = page.inner_text("#readout")
    return text


@pytest.mark.parametrize(
    ("row", "column"),
    [(2, 1), pytest.param(0, 0, marks=pytest.mark.slow), pytest.param(1, 3, marks=pytest.mark.slow)],
)
def test_a_map_lies_where_its_patches_lie_in_the_source(opened: Opened, row: int, column: int) -> None:
    page = opened(explanation(finding(values=one_high(row, column))), device_scale_factor=2)
    # A pixel of the canvas, of which there are at least as many as of the source.
    np.testing.assert_allclose(orange_box(page), GRID.box(row, column), atol=1)
    # All of the portrait image is in sight.
    box = page.locator(".stage").bounding_box()
    assert box["y"] + box["height"] < 800
    np.testing.assert_allclose(box["width"] / box["height"], GRID.size[1] / GRID.size[0], rtol=0.01)
    page.check("#smooth")
    settle(page)
    assert "interpolated" in readout(page)
    # Smoothed or not, the middle of the patch has the colour of its value.
    pixels = canvas(page, 1)
    x0, y0, x1, y1 = GRID.box(row, column)
    y = round((y0 + y1) / 2 / GRID.size[0] * pixels.shape[0])
    x = round((x0 + x1) / 2 / GRID.size[1] * pixels.shape[1])
    darkened = 0.4 * OPACITY
    expected = [
        *(np.array(ABOVE) * OPACITY / (OPACITY + darkened * (1 - OPACITY))),
        255 * (1 - (1 - OPACITY) * (1 - darkened)),
    ]
    np.testing.assert_allclose(pixels[y, x], expected, atol=12)


def test_what_the_model_does_not_see_is_hatched_and_has_no_value(opened: Opened) -> None:
    missing = one_high(1, 1)
    missing[0, 0] = np.nan
    page = opened(explanation(finding(values=missing)))
    dark = canvas(page, 1)[..., 3]
    scale = dark.shape[0] / GRID.size[0]
    margin, hole = dark[: int(55 * scale)], dark[int(65 * scale) : int(135 * scale), : int(55 * scale)]
    seen = dark[int(65 * scale) : int(135 * scale), int(125 * scale) : int(175 * scale)]
    assert margin.min() > 140
    assert hole.min() > 140
    # A similarity of zero has no colour; the map as a whole darkens what lies below it a little.
    assert seen.max() <= round(255 * 0.4 * OPACITY) + 1
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 10)
    settle(page)
    assert readout(page) == "Point at a patch to read its value."
    page.mouse.move(*middle_of(page, 0, 0))
    settle(page)
    assert "no value" in readout(page)


def test_a_patch_says_its_value_and_its_words(opened: Opened) -> None:
    one = finding(values=values(3), threshold=-0.5, tokens=WORDS)
    page = opened(explanation(one))
    page.mouse.move(*middle_of(page, 1, 2))
    settle(page)
    no, effusion = WORDS.values[0, 1, 2], WORDS.values[1:, 1, 2].mean()
    nearest = sorted([("no", no), ("effusion", effusion)], key=lambda word: -word[1])
    words = ", ".join(f"{word} {value:+.3f}" for word, value in nearest)
    assert readout(page) == (
        f"Row 2 of 3, column 3 of 4: Pleural effusion {values(3)[1, 2]:+.3f}, stands out. "
        f"Nearest words: {words}."
    )
    assert page.locator("#words button").all_inner_texts() == [f"no\n{no:+.3f}", f"effusion\n{effusion:+.3f}"]
    # A click keeps the patch while the pointer goes to the words.
    page.mouse.down()
    page.mouse.up()
    page.locator("#words button").nth(1).hover()
    settle(page)
    assert f"effusion (word) {effusion:+.3f}" in readout(page)
    # The scale is the one of words now.
    assert page.locator(".legend span").all_inner_texts() == ["+0.00", "+1.00"]


def test_pointing_at_a_word_shows_its_patches(opened: Opened) -> None:
    few = tokens("no effusion", ((0, 2), (3, 11)))
    few.values[:] = [one_high(0, 3), one_high(2, 1)]
    page = opened(explanation(finding(values=np.zeros((3, 4)), tokens=few)))
    page.locator("#words button").nth(1).hover()
    settle(page)
    np.testing.assert_allclose(orange_box(page), GRID.box(2, 1), atol=2)
    page.mouse.move(5, 5)
    settle(page)
    assert not (canvas(page, 1)[..., 0] > 150).any()


def test_the_window_follows_mouse_keys_and_sliders(opened: Opened) -> None:
    page = opened(explanation())
    grey = canvas(page, 0)[..., 0]
    x, y = middle_of(page, 1, 1)

    def expect(level: int, width: int) -> None:
        settle(page)
        windowed = ((grey - (level - width / 2)) / width * 256).clip(0, 255)
        np.testing.assert_allclose(canvas(page, 0)[..., 0], windowed, atol=1)

    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 100, y + 40, steps=3)
    page.mouse.up()
    expect(148, 156)
    page.locator(".stage").focus()
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    expect(144, 164)
    page.locator("#level").fill("90")
    expect(90, 164)
    page.click("#reset")
    expect(128, 256)


@pytest.mark.slow
def test_opacity_and_hiding_uncover_the_image(opened: Opened) -> None:
    page = opened(explanation(finding(values=one_high(1, 1), threshold=0.5)))
    scale = canvas(page, 1).shape[0] / GRID.size[0]
    x0, y0, x1, y1 = (round(edge * scale) for edge in GRID.box(1, 1))
    place = (slice(y0, y1), slice(x0, x1))
    strong = canvas(page, 1)[place][..., 3].mean()
    page.locator("#opacity").fill("20")
    settle(page)
    assert canvas(page, 1)[place][..., 3].mean() < strong / 2
    page.locator(".stage").focus()
    page.keyboard.press("m")
    settle(page)
    assert canvas(page, 1)[place][..., 3].max() == 0


def test_keys_reach_everything(opened: Opened) -> None:
    page = opened(explanation(finding(tokens=WORDS), finding("Hernia", 1)))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "stage"
    # The focus is seen.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    said = page.inner_text("#status")
    assert re.match(r"Row 2 of 3, column 4 of 4: Pleural effusion [+-]\d\.\d{3}\. Nearest words:", said)
    page.keyboard.press("Escape")
    assert page.inner_text("#readout") == "Point at a patch to read its value."
    # Sliders and the like, then the words, then the list.
    while page.evaluate("document.activeElement.closest('#words') === null"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    settle(page)
    peak = np.unravel_index(WORDS.values[1:].mean(axis=0).argmax(), (3, 4))
    assert f"in row {peak[0] + 1}, column {peak[1] + 1}" in page.inner_text("#status")
    assert "effusion (word)" in page.inner_text("figcaption")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#status").startswith("Map of Hernia, score +0.176.")
    assert page.evaluate("document.activeElement.textContent").startswith("Hernia")
    names = page.evaluate(
        """() => [...document.querySelectorAll("button, input, [tabindex]")].filter(
            (one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).length"""
    )
    assert names == 0


@pytest.mark.slow
def test_ticks_put_maps_side_by_side_with_one_pointer(opened: Opened) -> None:
    maps = [finding(f"Finding {number}", number) for number in range(6)]
    page = opened(explanation(*maps))
    for number in (1, 2, 3, 4):
        page.locator("li input").nth(number).check()
    # Four fit; the first one made room.
    assert page.locator("figcaption .name").all_inner_texts() == [
        f"Finding {number}" for number in (1, 2, 3, 4)
    ]
    assert not page.locator("li input").first.is_checked()
    page.mouse.move(*middle_of(page, 0, 1))
    settle(page)
    for number in (1, 2, 3, 4):
        assert f"Finding {number} {values(number)[0, 1]:+.3f}" in readout(page)
    page.locator("li button").nth(5).click()
    assert page.locator("figcaption .name").all_inner_texts() == ["Finding 5"]
    page.locator("li input").nth(5).uncheck()
    assert "No map is shown" in readout(page)


@pytest.mark.slow
def test_images_of_a_study_are_tabs(opened: Opened) -> None:
    other = explanation(finding("Hernia", 1), title="study/b.dcm", notes=("turned",))
    page = opened(explanation(), other)
    assert page.locator(".notes").inner_text().count("turned") == 0
    page.get_by_role("tab", name="study/a.dcm").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=Hernia")
    assert page.get_by_role("tab", name="study/b.dcm").get_attribute("aria-selected") == "true"
    assert page.locator("figcaption .name").inner_text() == "Hernia"
    assert "turned" in page.locator(".notes").inner_text()
    assert "Pleural effusion" not in page.locator(".list").inner_text()


@pytest.mark.slow
def test_a_report_is_its_sentences_in_order(opened: Opened) -> None:
    sentences = ["Small left effusion.", "No pneumothorax.", "The heart is not enlarged."]
    maps = [finding(text, number, kind="phrase", threshold=None) for number, text in enumerate(sentences)]
    page = opened(explanation(finding("Hernia", 9), *maps))
    assert page.locator("li.text .name").all_inner_texts() == sentences
    page.get_by_role("button", name="No pneumothorax.").click()
    assert page.locator("figcaption .name").inner_text() == "No pneumothorax."


def test_hostile_texts_are_texts(opened: Opened) -> None:
    words = tokens(HOSTILE, ((0, 2), (2, 8), (10, 13)))
    one = finding(HOSTILE, tokens=words)
    page = opened(
        explanation(one, title=HOSTILE, model=HOSTILE, notes=(HOSTILE, "a\u202eb\x00")),
        explanation(one, title=HOSTILE),
    )
    page.locator("li button").first.click()
    page.mouse.move(*middle_of(page, 1, 1))
    settle(page)
    assert page.evaluate("window.ran") is None
    assert page.locator("img:not(.source)").count() == 0
    assert page.title() == f"{HOSTILE} and 1 more"
    assert page.locator("li .name").first.inner_text() == HOSTILE
    assert page.evaluate("document.getElementById('words').textContent").startswith("</script")
    # Characters that turn the direction of a text, or that nobody sees, are spelt out.
    assert r"a\u202eb\x00" in page.locator(".notes").inner_text()


def test_the_policy_lets_nothing_in_or_out(browser: Any, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", [explanation()])
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    broken = page.evaluate(
        """async () => {
            const found = [];
            const note = (event) => found.push(event.effectiveDirective);
            document.addEventListener("securitypolicyviolation", note);
            await fetch("http://127.0.0.1:9/").catch(() => {});
            const image = new Image();
            image.src = "http://127.0.0.1:9/a.png";
            const style = document.body.appendChild(document.createElement("style"));
            style.textContent = "body { color: red }";
            for (const insert of [
                () => (document.body.innerHTML += "<b>"),
                () => document.body.setAttribute("onclick", "window.ran = 1"),
            ]) try { insert(); } catch (error) { found.push(error.name); }
            document.body.click();
            await new Promise((done) => setTimeout(done, 100));
            return [found, window.ran ?? null];
        }"""
    )
    page.close()
    assert {"connect-src", "img-src", "style-src-elem", "TypeError"} <= set(broken[0])
    assert broken[1] is None


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_follows_the_colours_of_the_room(opened: Opened, scheme: str) -> None:
    page = opened(explanation(), color_scheme=scheme)
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(brightness) < 40) == (scheme == "dark")


@pytest.mark.slow
def test_a_phone_shows_everything_without_scrolling_sideways(opened: Opened) -> None:
    long = finding("Pneumonoultramicroscopicsilicovolcanoconiosis" * 3, tokens=WORDS)
    page = opened(
        explanation(long, finding(), title="a/" + "long" * 30),
        viewport={"width": 360, "height": 740},
        has_touch=True,
        device_scale_factor=2,
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.touchscreen.tap(*middle_of(page, 2, 0))
    settle(page)
    assert "Row 3 of 3, column 1 of 4" in readout(page)
    # The image stays in sight above the list.
    page.locator("li button").last.scroll_into_view_if_needed()
    assert page.locator(".stage").bounding_box()["y"] >= 0
    page.touchscreen.tap(*middle_of(page, 2, 0))
    settle(page)
    assert readout(page) == "Point at a patch to read its value."


@pytest.mark.slow
def test_captions_of_maps_side_by_side_stay_apart_on_a_phone(opened: Opened) -> None:
    given = [finding(f"Finding {number}", threshold=0.1) for number in range(2)]
    page = opened(explanation(*given), viewport={"width": 360, "height": 740})
    page.locator("li input[type=checkbox]").last.click()
    settle(page)
    assert page.locator("figure").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    first, second = (one.bounding_box() for one in page.locator("figcaption .score").all())
    assert first["x"] + first["width"] <= second["x"]


@pytest.mark.slow
def test_print_has_the_image_and_the_scores_on_white(opened: Opened) -> None:
    page = opened(explanation())
    page.emulate_media(media="print")
    assert page.locator(".controls").is_hidden()
    assert page.locator(".stage").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.slow
def test_without_scripts_there_are_the_image_and_the_scores(opened: Opened) -> None:
    page = opened(explanation(), java_script_enabled=False)
    assert page.locator("img").is_visible()
    assert page.get_by_text("The maps need JavaScript").is_visible()
    assert "+0.176" in page.locator(".list").inner_text()
    assert page.locator(".controls").is_hidden()


@pytest.mark.slow
def test_many_findings_are_found_by_name(opened: Opened) -> None:
    page = opened(explanation(*(finding(f"Finding {number}", number) for number in range(300))))
    page.fill("#filter", "finding 29")
    names = page.locator("li:visible .name").all_inner_texts()
    assert names == ["Finding 29", *(f"Finding 29{number}" for number in range(10))]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("figcaption .name").inner_text() == "Finding 29"
