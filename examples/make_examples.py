"""Draw the images of this folder again: python examples/make_examples.py [FOLDER].

The same version of the project draws the same images. They are synthetic: no patient was imaged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tier_cli.phantom.image_files import write_dicom, write_png
from tier_cli.phantom.lesions import FINDINGS, Lesion
from tier_cli.phantom.render import make_phantom


def main(folder: Path) -> None:
    """Write the images and a manifest with their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    healthy = make_phantom(1)
    effusion = [Lesion("effusion", "left", 0.7)]
    first, second = make_phantom(2, effusion), make_phantom(2, effusion, noise=2.0)
    air = make_phantom(3, [Lesion("pneumothorax", "right", 0.6)])
    heart = make_phantom(4, [Lesion("cardiomegaly", size=0.7)])
    patch = make_phantom(5, [Lesion("consolidation", "right", 0.7)])
    spot = make_phantom(6, [Lesion("nodule", "left", 0.8)])
    other = make_phantom(7)

    write_dicom(folder / "01-healthy.dcm", healthy, compression="jpeg2000")
    write_dicom(folder / "02-effusion-pa.dcm", first, monochrome1=True, study="two exposures")
    write_dicom(
        folder / "02-effusion-ap.dcm", second, compression="jpeg2000", view="AP", study="two exposures"
    )
    write_dicom(folder / "03-pneumothorax.dcm", air, compression="rle")
    write_png(folder / "04-cardiomegaly.png", heart)
    write_png(folder / "05-consolidation.png", patch)
    write_png(folder / "06-nodule.png", spot, bits=16)
    write_png(folder / "07-healthy.png", other)

    drawn = {
        "01-healthy.dcm": (healthy, "PA"),
        "02-effusion-pa.dcm": (first, "PA"),
        "02-effusion-ap.dcm": (second, "AP"),
        "03-pneumothorax.dcm": (air, "PA"),
        "04-cardiomegaly.png": (heart, "PA"),
        "05-consolidation.png": (patch, "PA"),
        "06-nodule.png": (spot, "PA"),
        "07-healthy.png": (other, "PA"),
    }
    rows = [",".join(("path", "patient", "view", *FINDINGS))]
    for name, (phantom, view) in drawn.items():
        labels = [str(int(finding in phantom.findings)) for finding in FINDINGS]
        rows.append(",".join((name, f"SYNTHETIC-{phantom.seed}", view, *labels)))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
