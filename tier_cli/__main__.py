"""Run the command `tier` as ``python -m tier_cli``."""

from __future__ import annotations

import sys

from tier_cli.app import main

if __name__ == "__main__":
    sys.exit(main())
