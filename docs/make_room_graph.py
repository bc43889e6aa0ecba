"""Draw the packages of tier_cli and their imports: `python docs/make_room_graph.py`.

The rows are the layers of the import contract in pyproject.toml. An arrow is an import. Where A imports B and
B imports C, an arrow from A to C would add nothing, so it is left out. Writes docs/images/rooms.svg.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"

Imports = dict[str, set[str]]

WIDTH, ROW, TOP = 1120, 84, 16
BOX_WIDTH, BOX_HEIGHT = 104, 32
STYLE = """
  text { font: 14px sans-serif; text-anchor: middle; fill: #1a1a1a; }
  rect { fill: #eef3f8; stroke: #4a6785; rx: 6px; }
  path { fill: none; stroke: #8796a5; stroke-width: 1.2; marker-end: url(#arrow); }
"""


def read_layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first, from the contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = next(c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def read_imports(layers: list[list[str]]) -> Imports:
    """Return the packages of lower layers that each package imports, imports inside functions included."""
    import grimp

    graph = grimp.build_graph("tier_cli", cache_dir=None)
    depth = {room: level for level, layer in enumerate(layers) for room in layer}
    imports: Imports = defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            importer, target = (f"{name}.".split(".")[1] for name in (module, imported))
            if depth.get(importer, len(layers)) < depth.get(target, 0):
                imports[importer].add(target)
    return imports


def reachable(start: str, imports: Imports) -> set[str]:
    """Return the packages that `start` imports directly or through others."""
    found: set[str] = set()
    waiting = list(imports.get(start, ()))
    while waiting:
        room = waiting.pop()
        if room not in found:
            found.add(room)
            waiting += imports.get(room, ())
    return found


def without_shortcuts(imports: Imports) -> list[tuple[str, str]]:
    """Return the imports that are not implied by a chain of others."""
    return sorted(
        (importer, target)
        for importer, targets in imports.items()
        for target in targets
        if not any(target in reachable(other, imports) for other in targets - {target})
    )


def draw() -> str:
    """Return the picture as SVG."""
    layers = read_layers()
    imports = read_imports(layers)
    used = set(imports).union(*imports.values())
    rows = [kept for layer in layers if (kept := [room for room in layer if room in used])]
    places = {
        room: (round(WIDTH * (column + 1) / (len(row) + 1)), TOP + BOX_HEIGHT // 2 + ROW * level)
        for level, row in enumerate(rows)
        for column, room in enumerate(row)
    }
    height = 2 * TOP + BOX_HEIGHT + ROW * (len(rows) - 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        "<title>The packages of tier_cli; arrows are imports</title>",
        f"<style>{STYLE}</style>",
        '<marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><polygon points="0,0 8,4 0,8" fill="#8796a5"/></marker>',
        f'<rect x="0" y="0" width="{WIDTH}" height="{height}" style="fill: #ffffff; stroke: none"/>',
    ]
    for importer, target in without_shortcuts(imports):
        (x, y), (to_x, to_y) = places[importer], places[target]
        y, to_y = y + BOX_HEIGHT // 2, to_y - BOX_HEIGHT // 2
        middle = (y + to_y) // 2
        lines.append(f'<path d="M{x},{y} C{x},{middle} {to_x},{middle} {to_x},{to_y}"/>')
    for room, (x, y) in places.items():
        left, top = x - BOX_WIDTH // 2, y - BOX_HEIGHT // 2
        lines.append(f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>')
        lines.append(f'<text x="{x}" y="{y + 5}">{room}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
