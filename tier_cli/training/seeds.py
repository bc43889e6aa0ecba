"""Seeds for every draw of a run, each a function of what it is for and of nothing that came before.

So a resumed run needs no generator's state, processes need not agree on one, and an image is changed alike
whichever process has it.
"""

from __future__ import annotations

import numpy as np

ORDER, CAPTION, AUGMENTATION, VIEW, STEP = range(5)


def derive(seed: int, purpose: int, *numbers: int) -> int:
    """A seed below 2**63 for one draw: `purpose` is one of this module's, `numbers` say which draw."""
    words = [seed & 0xFFFFFFFFFFFFFFFF, purpose, *numbers]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
