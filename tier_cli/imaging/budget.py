"""State what reading one file may cost by default, where commands find it without loading numpy."""

DEFAULT_TIMEOUT = 60.0
DEFAULT_MEMORY = 2_000_000_000
