"""``--decode fast`` reads images no larger than needed, and the model sees the same as of all pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_maker import dataset_of, lut_item, save
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, RLELossless

from tier_cli.decoding.decode import Crops, Decoded, Settings, decode
from tier_cli.errors import InputError
from tier_cli.imaging.corrupt import Corruption
from tier_cli.imaging.preprocess import Preprocessing
from tier_cli.imaging.radiograph import ReadOptions
from tier_cli.imaging.read import read_radiograph
from tier_cli.imaging.reduction import Least
from tier_cli.phantom.render import make_phantom

# Mean difference of the model's input, in grey levels of 255.
MOST = 1.0
# No multiple of a power of two, as many detectors: what is left over at the ends must not shift the image.
HEIGHT, WIDTH = 641, 525
LEAST = Least(short=64, long=0)
JPEG = "1.2.840.10008.1.2.4."
PLAIN = Preprocessing(resize_short=64, crop=56, mean=(0.0,) * 3, std=(1.0,) * 3)
# As the families of models prepare images, at a quarter of their size.
SPECS = {
    "tier": PLAIN,
    "chexzero": replace(
        PLAIN,
        rendering="minmax-equalized",
        resize_short=None,
        fit="pad",
        interpolation="lanczos",
        eight_bit=True,
        rounding="floor",
        square=80,
    ),
    "biovil": replace(PLAIN, rendering="minmax", resize_short=128, crop=112, eight_bit=True),
    "medclip": replace(
        PLAIN,
        rendering="minmax-equalized",
        resize_short=None,
        fit="pad_first",
        interpolation="bicubic",
        eight_bit=True,
    ),
    "siglip": replace(PLAIN, resize_short=None, crop=112, fit="stretch", eight_bit=True, rounding="floor"),
    "clip": replace(PLAIN, resize_short=None, interpolation="bicubic", eight_bit=True),
    "sampled": replace(PLAIN, interpolation="bicubic", antialias=False),
}


@cache
def chest(bits: int, signed: bool = False) -> NDArray[Any]:
    """Return a chest (H, W) as a detector stores it, with noise and both ends of the range unused."""
    shown = make_phantom(2, ["effusion"], (HEIGHT, WIDTH)).pixels
    low, top = (-(2 ** (bits - 1)) if signed else 0), 2**bits - 1
    values: NDArray[Any] = np.rint(low + top * (0.05 + 0.85 * shown))
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def _coded(
    syntax: str, encode: Callable[[NDArray[Any], int], Any]
) -> Callable[[Dataset, NDArray[Any]], None]:
    def change(dataset: Dataset, pixels: NDArray[Any]) -> None:
        frame = bytes(encode(pixels, dataset.BitsStored))
        dataset.file_meta.TransferSyntaxUID = UID(syntax if "." in syntax else JPEG + syntax)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True

    return change


def _patterns(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return signed values as the bit patterns that JPEG and JPEG-LS know."""
    unsigned = pixels.view(f"u{pixels.itemsize}")
    return unsigned if pixels.dtype.kind == "u" else unsigned & unsigned.dtype.type(2**bits - 1)


def _j2k(pixels: NDArray[Any], bits: int, **options: Any) -> Any:
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", bitspersample=bits, **options)


CODECS: dict[str, Callable[[Dataset, NDArray[Any]], None]] = {
    "uncompressed": lambda dataset, pixels: None,
    "rle": lambda dataset, pixels: dataset.compress(RLELossless, encoding_plugin="pydicom"),
    "jpeg-ls": _coded("80", lambda p, bits: imagecodecs.jpegls_encode(_patterns(p, bits))),
    "jpeg lossless": _coded("70", lambda p, b: imagecodecs.ljpeg_encode(_patterns(p, b), bitspersample=b)),
    "j2k": _coded("90", lambda p, bits: _j2k(p, bits, level=0, reversible=True)),
    "j2k lossy": _coded("91", lambda p, bits: _j2k(p, bits, level=60, reversible=False)),
    "htj2k": _coded("201", lambda p, bits: imagecodecs.htj2k_encode(p, reversible=True)),
    "jpeg": _coded("50", lambda p, bits: imagecodecs.jpeg8_encode(p, level=92)),
    "jpeg 12": _coded("51", lambda p, bits: imagecodecs.jpeg_encode(p, level=92, bitspersample=12)),
}


def _has(codec: str, bits: int, signed: bool) -> bool:
    if codec in ("jpeg", "jpeg 12"):
        return not signed and bits == (8 if codec == "jpeg" else 12)
    return not (signed and codec in ("htj2k", "j2k lossy")) and not (codec == "htj2k" and bits == 14)


def _window(bits: int, signed: bool, share: float = 0.9) -> dict[str, Any]:
    middle = 0 if signed else 2 ** (bits - 1)
    return {"WindowCenter": middle, "WindowWidth": share * 2**bits}


def _lut(bits: int, signed: bool) -> dict[str, Any]:
    curve = np.rint(4095 * np.linspace(0, 1, 2 ** min(bits, 15)) ** 1.5).astype(int).tolist()
    return {"VOILUTSequence": [lut_item(curve, -(2 ** (bits - 1)) if signed else 0, 12, signed=signed)]}


VOI = {"window": _window, "table": _lut, "none": lambda bits, signed: {}}


def written(path: Path, codec: str, pixels: NDArray[Any], bits: int, **attributes: Any) -> str:
    dataset = dataset_of(pixels, bits, **attributes)
    CODECS[codec](dataset, pixels)
    return save(dataset, path)


def both(path: str, spec: Preprocessing = PLAIN, **more: Any) -> tuple[Decoded, Decoded]:
    """Read a file in full and fast."""
    found = []
    for way in ("full", "fast"):
        one = decode(path, replace(Settings.of(ReadOptions(decode=way), spec), **more))
        assert isinstance(one, Decoded), one
        found.append(one)
    return found[0], found[1]


def check_alike(path: str, spec: Preprocessing = PLAIN, **more: Any) -> None:
    full, fast = both(path, spec, **more)
    assert np.abs(full.pixels - fast.pixels).mean() * 255 <= MOST
    assert (fast.size, fast.notes, fast.orientation) == (full.size, full.notes, full.orientation)
    np.testing.assert_allclose(fast.affine, full.affine)


def cells() -> list[Any]:
    """Return all cells of the matrix; those that are not quick are marked slow."""
    quick = {("j2k", 12), ("uncompressed", 12), ("jpeg", 8), ("htj2k", 16)}
    found = []
    for codec, bits, signed, photometric in product(
        CODECS, (8, 10, 12, 14, 16), (False, True), ("MONOCHROME1", "MONOCHROME2")
    ):
        if _has(codec, bits, signed):
            usual = (codec, bits) in quick and not signed and photometric == "MONOCHROME2"
            marks = () if usual else pytest.mark.slow
            found.append(pytest.param(codec, bits, signed, photometric, marks=marks))
    return found


@pytest.mark.parametrize(("codec", "bits", "signed", "photometric"), cells())
def test_the_model_sees_the_same(
    tmp_path: Path, codec: str, bits: int, signed: bool, photometric: str
) -> None:
    """Every codec, depth, sign and polarity, with every display of a file, as each family prepares it."""
    for name, attributes in VOI.items():
        path = written(
            tmp_path / name,
            codec,
            chest(bits, signed),
            bits,
            PhotometricInterpretation=photometric,
            **attributes(bits, signed),
        )
        for spec in SPECS.values() if name == "window" else (PLAIN,):
            check_alike(path, spec)


def _rgb(dataset: Dataset, pixels: NDArray[Any]) -> None:
    dataset.PhotometricInterpretation = "RGB"


COLOURS = {
    "uncompressed": _rgb,
    "rle": lambda dataset, pixels: dataset.compress(RLELossless, encoding_plugin="pydicom"),
    "jpeg": _coded("50", lambda p, bits: imagecodecs.jpeg8_encode(p, level=92)),
    "j2k": _coded("90", lambda p, bits: _j2k(p, 8, level=0, reversible=True)),
}


@pytest.mark.parametrize(
    ("codec", "photometric"),
    [("uncompressed", "RGB"), ("rle", "RGB"), ("jpeg", "YBR_FULL_422"), ("j2k", "YBR_RCT")],
)
def test_colour_is_the_same(tmp_path: Path, codec: str, photometric: str) -> None:
    grey = chest(8)
    pixels = np.ascontiguousarray(np.stack([grey, grey // 2 + 60, 255 - grey], axis=-1))
    dataset = dataset_of(pixels, 8)
    COLOURS[codec](dataset, pixels)
    dataset.PhotometricInterpretation = photometric
    path = save(dataset, tmp_path / "colour")
    for spec in SPECS.values():
        check_alike(path, spec)


def _file(tmp_path: Path, name: str, pixels: NDArray[Any], **options: Any) -> str:
    path = tmp_path / name
    Image.fromarray(pixels).save(path, **options)
    return str(path)


@pytest.mark.parametrize("name", ["grey.png", "deep.png", "grey.jpg", "colour.jpg", "deep.tif", "turned.jpg"])
def test_pictures_are_the_same(tmp_path: Path, name: str) -> None:
    pixels, options = chest(16) if name.startswith("deep") else chest(8), {}
    if name.startswith("colour"):
        pixels = np.stack([pixels, pixels // 2 + 60, 255 - pixels // 3], axis=-1)
    if name.startswith("turned"):
        exif = Image.Exif()
        exif[0x0112] = 5
        options["exif"] = exif.tobytes()
    path = _file(tmp_path, name, pixels, **options)
    for spec in SPECS.values():
        check_alike(path, spec)


def turns() -> list[Any]:
    """Return each codec with each orientation; all but the usual one and those of JPEG 2000 are slow."""
    usual = ("L", "F")
    found = []
    for codec, orientation in product(CODECS, (usual, ("R", "F"), ("F", "L"), ("H", "R"))):
        marks = () if orientation == usual or codec == "j2k" else pytest.mark.slow
        found.append(pytest.param(codec, orientation, marks=marks))
    return found


@pytest.mark.parametrize(("codec", "orientation"), turns())
def test_positions_stay_right_to_a_fraction_of_a_pixel(
    tmp_path: Path, codec: str, orientation: tuple[str, str]
) -> None:
    """A marker is found where it is in the file: maps, boxes and presentation states rely on it."""
    bits = 8 if codec == "jpeg" else 12
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    bright = np.exp(-((y - 333.25) ** 2 + (x - 190.75) ** 2) / 2 / 12.0**2)
    ground = np.random.default_rng(0).normal(0.2, 0.04, bright.shape)
    pixels = np.rint((2**bits - 1) * (ground + 0.6 * bright)).astype(chest(bits).dtype)
    path = written(
        tmp_path / "x", codec, pixels, bits, PatientOrientation=list(orientation), **_window(bits, False, 1.0)
    )
    fast = decode(path, Settings.of(ReadOptions(accept_any=True), PLAIN))
    assert isinstance(fast, Decoded)
    grey = fast.pixels[0] - np.median(fast.pixels[0])
    grey = np.where(grey > 0.05, grey, 0)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]]
    centre = np.array([(grey * columns).sum(), (grey * rows).sum()]) / grey.sum()
    upright = np.asarray(fast.affine) @ (*centre, 1)
    stored = fast.orientation.to_stored(fast.size) @ (*upright, 1)
    np.testing.assert_allclose(stored, (190.75, 333.25), atol=0.3)


@pytest.mark.parametrize("codec", CODECS)
def test_what_a_codec_can_skip_is_skipped(tmp_path: Path, codec: str) -> None:
    """JPEG 2000 is read at a lower resolution level; of the others, all pixels decide, to the last bit."""
    bits = 8 if codec == "jpeg" else 12
    path = written(tmp_path / "x", codec, chest(bits), bits, **_window(bits, False))
    found = read_radiograph(path, ReadOptions(), LEAST)
    assert found.size == found.source_size == (HEIGHT, WIDTH)
    assert (found.extent is not None) == ("j2k" in codec)
    if "j2k" not in codec:
        full, fast = both(path)
        np.testing.assert_array_equal(full.pixels, fast.pixels)


def full_for(tmp_path: Path, codec: str, pixels: NDArray[Any], bits: int, **attributes: Any) -> bool:
    """Return whether a frame is decoded in full."""
    path = written(tmp_path / "x", codec, pixels, bits, **attributes)
    found = read_radiograph(path, ReadOptions(), LEAST)
    check_alike(path)
    return found.extent is None


def test_padding_is_not_averaged_with_the_image_of_a_lower_resolution(tmp_path: Path) -> None:
    """A frame of padding around the image would otherwise grow a grey seam."""
    pixels = chest(12).copy()
    pixels[:, :60] = 0
    window = _window(12, False)
    assert full_for(tmp_path, "j2k", pixels, 12, PixelPaddingValue=0, **window)
    assert full_for(
        tmp_path, "j2k", pixels, 12, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1", **window
    )
    # The attribute alone, of a value that does not occur, costs nothing.
    assert not full_for(tmp_path, "j2k", chest(12), 12, PixelPaddingValue=0, **window)


def test_a_window_narrower_than_the_noise_is_decoded_in_full(tmp_path: Path) -> None:
    """The mean of what is clipped is not what is clipped of the mean."""
    noise = np.random.default_rng(0).normal(0, 100, chest(12).shape)
    pixels = (chest(12) + noise).clip(0, 4095).astype(np.uint16)
    assert full_for(tmp_path, "j2k", pixels, 12, WindowCenter=1500, WindowWidth=400)


def test_renderings_of_all_values_are_decoded_in_full(tmp_path: Path) -> None:
    """A single bright pixel decides them, and is gone at a lower resolution."""
    pixels = chest(12).copy()
    pixels[300, 300] = 4095
    path = written(tmp_path / "x", "j2k", pixels, 12)
    for spec in (PLAIN, SPECS["biovil"], SPECS["medclip"]):
        check_alike(path, spec)
    found = read_radiograph(path, ReadOptions(rendering="minmax"), LEAST)
    assert found.extent is None


def test_signs_that_contradict_the_attributes_are_decoded_in_full(tmp_path: Path) -> None:
    """Bit patterns of negative values cannot be averaged."""
    pixels = chest(12)
    dataset = dataset_of(pixels.astype(np.int16), 12, **_window(12, True))
    CODECS["j2k"](dataset, pixels)
    check_alike(save(dataset, tmp_path / "x"))


@pytest.mark.parametrize("options", [{"num_resolutions": 1}, {"tile_size": (256, 256)}])
def test_frames_without_such_a_resolution_are_decoded_in_full(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    frame = io.BytesIO()
    Image.fromarray(chest(8)).save(frame, "JPEG2000", no_jp2=True, **options)
    dataset = dataset_of(chest(8), 8, **_window(8, False))
    _coded("90", lambda p, bits: frame.getvalue())(dataset, chest(8))
    path = save(dataset, tmp_path / "x")
    assert read_radiograph(path, ReadOptions(), LEAST).extent is None
    check_alike(path)


def test_pixels_that_are_not_square_are_read_in_full(tmp_path: Path) -> None:
    path = written(tmp_path / "x", "j2k", chest(12), 12, PixelSpacing=[0.2, 0.1], **_window(12, False))
    assert read_radiograph(path, ReadOptions(), LEAST).extent is None
    check_alike(path)


def test_small_images_and_corruptions_and_sampling_need_all_pixels(tmp_path: Path) -> None:
    path = written(tmp_path / "x", "uncompressed", chest(12), 12, **_window(12, False))
    read = ReadOptions()
    assert Settings(read, PLAIN).least("voi") == Least(64, 0)
    assert Settings(read, SPECS["sampled"]).least("voi") is None
    assert Settings(read, PLAIN, (Corruption("noise", 1),)).least("voi") is None
    assert Settings(replace(read, decode="full"), PLAIN).least("voi") is None
    # A second model of the same rendering that wants more, or levels of other depth.
    assert Settings(read, PLAIN, others=(SPECS["biovil"], replace(PLAIN, resize_short=90))).least(
        "voi"
    ) == Least(90, 0)
    assert Settings(read, PLAIN, others=(SPECS["clip"],)).least("voi") is None
    assert read_radiograph(path, read, Least(HEIGHT, 0)).extent is None


def test_pictures_crops_and_other_models_are_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "x", "j2k", chest(12), 12, **_window(12, False))
    finer = Crops(replace(PLAIN, resize_short=128), ((0, 0), (10, -10)))
    full, fast = both(path, picture=100, crops=finer, others=(SPECS["biovil"],))
    assert full.picture is not None
    assert fast.picture is not None
    assert full.picture.shape == fast.picture.shape
    assert np.abs(full.picture.astype(int) - fast.picture).mean() < 2
    assert full.crops is not None
    assert fast.crops is not None
    assert np.abs(full.crops - fast.crops).mean() * 255 <= MOST
    np.testing.assert_allclose(fast.crops_affine, full.crops_affine)
    assert np.abs(full.others[0] - fast.others[0]).mean() * 255 <= MOST


def test_a_codestream_cut_short_is_still_damaged(tmp_path: Path) -> None:
    """The packets of a lower resolution come first: their being there proves nothing of the rest."""
    dataset = dataset_of(chest(12), 12, **_window(12, False))
    _coded("90", lambda p, bits: bytes(_j2k(p, bits, level=0, reversible=True))[:-5000])(dataset, chest(12))
    path = save(dataset, tmp_path / "x")
    for way in ("full", "fast"):
        found = decode(path, Settings.of(ReadOptions(decode=way), PLAIN))
        assert isinstance(found, InputError)
        assert found.kind == "damaged"


def test_scores_of_the_bundled_checkpoint_are_the_same(tmp_path: Path) -> None:
    from tier_cli.api.model import load

    coarse = Image.fromarray(make_phantom(5, ["effusion"], (540, 525), noise=0).pixels)
    shown = np.asarray(coarse.resize((2100, 2160), Image.Resampling.BICUBIC))
    noise = 12 * np.random.default_rng(0).standard_normal(shown.shape)
    pixels = np.rint(300 + 3000 * shown + noise).astype(np.uint16)
    model = load("tier-small")
    for codec in ("uncompressed", "j2k"):
        path = written(tmp_path / codec, codec, pixels, 12, WindowCenter=1800, WindowWidth=3200)
        full, fast = (model.classify(path, decode=way, workers=0) for way in ("full", "fast"))
        assert full.scores
        for name, score in full.scores.items():
            assert abs(fast.scores[name] - score) <= 0.002
