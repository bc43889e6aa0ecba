"""State what reading one file may cost, where commands find it without loading numpy."""

from typing import Literal

# ``fast`` reads an image no larger than its preparation needs, ``full`` reads every pixel.
Decode = Literal["fast", "full"]
DEFAULT_TIMEOUT = 60.0
DEFAULT_MEMORY = 2_000_000_000
