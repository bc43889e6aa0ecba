"""Derive the seed of every random draw from its purpose and position, never from earlier draws.

A resumed run therefore needs no generator state, processes need not share one, and an image is augmented in
the same way whichever process handles it.
"""

from __future__ import annotations

import numpy as np

ORDER, CAPTION, AUGMENTATION, VIEW, STEP, PROMPT, STATEMENTS = range(7)


def derive(seed: int, purpose: int, *numbers: int) -> int:
    """Return a seed below 2**63 for one draw.

    Parameters
    ----------
    seed
        The seed of the run.
    purpose
        One of this module's constants.
    numbers
        Identify the draw within its purpose.
    """
    words = [seed & 0xFFFFFFFFFFFFFFFF, purpose, *numbers]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
