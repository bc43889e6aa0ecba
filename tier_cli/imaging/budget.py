"""State what reading one file may cost by default; a module of its own, so that commands start without numpy."""

DEFAULT_TIMEOUT = 60.0
DEFAULT_MEMORY = 2_000_000_000
