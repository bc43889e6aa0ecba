"""The page of a study: its words, its numbers, its size, and that it says only what it may."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import SCALE, explanation, finding, tokens, values
from PIL import Image

from tier_cli.maps.explanation import TokenMaps
from tier_cli.maps.page.content import packed
from tier_cli.maps.page.picture import data_uri
from tier_cli.maps.page.words import BETWEEN, UNREAD, words_of
from tier_cli.maps.page.write import page_html, write_page
from tier_cli.maps.scale import MapScale
from tier_cli.phantom.render import Phantom


def content_of(page: str) -> Any:
    """Return what the script of a page reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found.group(1))


def unpacked(text: str) -> list[float]:
    numbers: list[float] = (np.frombuffer(base64.b64decode(text), "<i2") / 10_000).tolist()
    return numbers


def test_the_map_of_a_word_is_the_mean_of_its_tokens() -> None:
    # "pneumo" "thorax" "," "left" "-" "sided" "." and a word that the model did not read.
    spans = ((0, 6), (6, 12), (12, 13), (14, 18), (18, 19), (19, 24), (24, 25))
    given = tokens("pneumothorax, left-sided. More", spans)
    words = words_of(given)
    assert words.pieces == (
        ("pneumothorax", 0),
        (", ", BETWEEN),
        ("left-sided", 1),
        (". ", BETWEEN),
        ("More", UNREAD),
    )
    np.testing.assert_allclose(words.values[0], given.values[:2].mean(axis=0))
    np.testing.assert_allclose(words.values[1], given.values[[3, 5]].mean(axis=0))


def test_byte_level_tokens_begin_with_the_space_before_their_word() -> None:
    given = tokens("no  effusion", ((0, 2), (2, 3), (3, 8), (8, 12)))
    words = words_of(given)
    assert [text for text, number in words.pieces if number >= 0] == ["no", "effusion"]
    np.testing.assert_allclose(words.values[1], given.values[2:].mean(axis=0))


def test_a_text_without_tokens_has_no_words() -> None:
    words = words_of(TokenMaps("no effusion", (), np.zeros((0, 3, 4))))
    assert [number for _, number in words.pieces] == [UNREAD, BETWEEN, UNREAD]
    assert words.values.shape == (0, 3, 4)


def test_similarities_arrive_as_they_are() -> None:
    given = np.array([[0.12345, -1.99999], [np.nan, 0.0]])
    found = unpacked(packed(given))
    np.testing.assert_allclose(found[:2], given[0], atol=5e-5)
    assert found[2:] == [-3.2768, 0.0]


def test_scores_stand_beside_their_ordinary_range_and_what_the_maps_are_is_said() -> None:
    one = explanation(
        finding(), finding("Hernia", 1), scale=MapScale(SCALE.ranges, {}, "not fitted"), notes=("a note",)
    )
    page = page_html([one])
    for text in (
        "Research use.",
        "a similarity,\nnot proof of cause",
        "+0.176",
        "ordinary -0.20 to +0.05, call from +0.10",
        "probability 65%",
        "not fitted",
        "a note",
        "minus cosine with its negative vector",
        "Source image: 240 x 360 pixels",
    ):
        assert text in page
    assert "cosine with the text" not in page
    maps = content_of(page)["images"][0]["maps"]
    np.testing.assert_allclose(unpacked(maps[1]["values"]), values(1).ravel(), atol=5e-5)


def test_a_page_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, [explanation()])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="at least one image"):
        write_page(path, [])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_large_study_stays_below_three_megabytes() -> None:
    chest = Phantom(1, ("effusion",), (213, 256)).render().pixels
    large = np.kron(chest, np.ones((8, 8))) + np.random.default_rng(0).normal(0, 0.04, (1704, 2048))
    uint8 = (large * 255).clip(0, 255).astype(np.uint8)
    spans = tuple((5 * number, 5 * number + 4) for number in range(12))
    maps = [finding(f"Finding {number}", number, tokens=tokens("word " * 12, spans)) for number in range(200)]
    page = page_html([explanation(*maps, picture=uint8)])
    assert len(page.encode()) < 3_000_000


def test_the_picture_keeps_its_grey_levels() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1)).repeat(2, axis=1)
    uri = data_uri(ramp, 100_000)
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.mode == "L"
    assert np.abs(np.asarray(image, int) - ramp).max() <= 2
    # No name, date or program in the file.
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_tight_limit_makes_the_picture_smaller_at_last() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 800)).astype(np.uint8)
    content = base64.b64decode(data_uri(noise, 300_000).partition(",")[2])
    assert len(content) <= 300_000
    assert max(Image.open(io.BytesIO(content)).size) == 768
