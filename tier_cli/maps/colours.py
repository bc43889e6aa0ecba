"""Hold the colours of all maps."""

from __future__ import annotations

# Equal steps from the least to the greatest similarity: "plasma" of matplotlib (CC0), whose lightness grows
# evenly, also for people who do not tell red from green.
COLOURS = (
    (13, 8, 135),
    (70, 3, 159),
    (114, 1, 168),
    (156, 23, 158),
    (189, 55, 134),
    (216, 87, 107),
    (237, 121, 83),
    (251, 159, 58),
    (253, 202, 38),
    (240, 249, 33),
)
