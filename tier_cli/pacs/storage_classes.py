"""Name the storage classes of images that can be scored."""

from __future__ import annotations

# CR, DX for presentation and secondary capture (PS3.4 B.5).
STORAGE_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
)
