"""Fitting an input check on embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from tier_cli.errors import ManifestError
from tier_cli.fitting.input_check import MIN_IMAGES, Chests, fit_input_check, shares
from tier_cli.scoring.adaptation import unit

WIDTH = 16


def chests(seed: int, count: int = 400) -> Chests:
    """Chests lie along one axis, altered ones half way to another; both spread alike."""
    rng = np.random.default_rng(seed)
    axes = np.eye(WIDTH)
    plain = 5 * axes[0] + 0.3 * rng.normal(size=(count, WIDTH))
    altered = 5 * axes[0] + 2 * axes[1] + 0.3 * rng.normal(size=(count, WIDTH))
    return Chests(unit(plain), unit(altered))


def test_new_chests_pass_and_altered_and_other_images_do_not() -> None:
    check = fit_input_check(chests(0), chests(1), passing=0.99)
    new = chests(2)
    assert (check.score(new.plain) <= 1).mean() > 0.98
    assert (check.score(new.altered) > 1).mean() > 0.9
    others = np.random.default_rng(3).normal(size=(200, WIDTH))
    assert (check.score(others) > 1).mean() > 0.99


def test_at_least_the_share_asked_for_passes() -> None:
    limit_on = chests(1)
    for passing in (0.8, 0.95, 1.0):
        measured = shares(fit_input_check(chests(0), limit_on, passing), limit_on)
        # Each limit passes this share, so both pass at least what is left.
        assert measured["passing"] >= 2 * passing - 1


def test_limits_do_not_depend_on_the_images_fitted_on_alone() -> None:
    spread = chests(4)
    wide = Chests(unit(spread.plain + 0.2), spread.altered)
    narrow = fit_input_check(chests(0), chests(1), 0.99)
    assert fit_input_check(chests(0), wide, 0.99).distance > narrow.distance


@pytest.mark.parametrize("few", ["fit", "limit"])
def test_too_few_images_are_refused(few: str) -> None:
    small = chests(0, MIN_IMAGES - 1)
    enough = chests(1, MIN_IMAGES)
    with pytest.raises(ManifestError, match=f"{MIN_IMAGES - 1} images are too few"):
        fit_input_check(*((small, enough) if few == "fit" else (enough, small)), passing=0.99)
