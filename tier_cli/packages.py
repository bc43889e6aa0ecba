"""Know the packages that `tier` uses: which extra installs each, which are missing, and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tier_cli.errors import UsageError


class Extra(NamedTuple):
    """An extra of this package, such as ``[torch]``.

    Parameters
    ----------
    gives
        What it is for.
    packages
        The packages that it installs, each with the name of its import.
    """

    gives: str
    packages: Mapping[str, str]


# As in pyproject.toml, which a test compares: the metadata of an editable install may be older.
BASE: Mapping[str, str] = {
    "ftfy": "ftfy",
    "huggingface-hub": "huggingface_hub",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "pillow": "PIL",
    "platformdirs": "platformdirs",
    "pydicom": "pydicom",
    "pyjpegls": "jpeg_ls",
    "pylibjpeg": "pylibjpeg",
    "pylibjpeg-openjpeg": "openjpeg",
    "pylibjpeg-rle": "rle",
    "python-gdcm": "gdcm",
    "rich": "rich",
    "safetensors": "safetensors",
    "simplejpeg": "simplejpeg",
    "tokenizers": "tokenizers",
    "typer": "typer",
}
EXTRAS: Mapping[str, Extra] = {
    "torch": Extra(
        "train; model convert, pull, export, average and quantize; --engine torch; GPUs",
        {"torch": "torch", "transformers": "transformers", "onnx": "onnx", "onnxscript": "onnxscript"},
    ),
    "eval": Extra(
        "eval, figures, calibrate, adapt, train; data inspect; model input-check, map-scale and quantize; "
        "data frames",
        {"pandas": "pandas", "scikit-learn": "sklearn", "scipy": "scipy", "matplotlib": "matplotlib"},
    ),
    "parquet": Extra("reading and writing .parquet", {"pyarrow": "pyarrow"}),
    "codecs": Extra("12-bit JPEG in DICOM", {"imagecodecs": "imagecodecs"}),
    "dicom": Extra("classify --sr, --gsps, --sc and --seg", {"highdicom": "highdicom"}),
    "pacs": Extra(
        "listen, and studies of DICOMweb servers",
        {
            "pynetdicom": "pynetdicom",
            "dicomweb-client": "dicomweb_client",
            "requests": "requests",
            "urllib3": "urllib3",
        },
    ),
    "ray": Extra("--runner ray: runs on several machines", {"ray": "ray"}),
    "search": Extra("search --approximate", {"faiss-cpu": "faiss"}),
    "tensorboard": Extra("train --tensorboard", {"tensorboard": "tensorboard"}),
}


def require_extras(who: str, *extras: str, where: str | None = None, otherwise: str | None = None) -> None:
    """Check, before any work is done, that the packages of extras are installed; nothing is imported.

    Parameters
    ----------
    who
        What needs them: a command, an option or a function.
    extras
        Names of extras.
    where
        The option or file that asks for them, if `who` does not say it.
    otherwise
        What to do instead of installing them.

    Raises
    ------
    UsageError
        A package is missing. The message names one of each extra, and the line that installs all.
    """
    missing = {extra: name for extra in extras if (name := missing_of(extra)) is not None}
    if missing:
        *most, last = missing.values()
        names = f"{', '.join(most)} and {last}, which are" if most else f"{last}, which is"
        raise UsageError(
            f"{who} needs {names} not installed",
            where=where,
            remedy=install_line(*missing) + (f", or {otherwise}" if otherwise else ""),
        )


def missing_of(extra: str) -> str | None:
    """Return the first package of an extra that is not installed; None if all are."""
    from importlib.util import find_spec

    packages = EXTRAS[extra].packages.items()
    return next((package for package, name in packages if find_spec(name) is None), None)


def install_line(*extras: str) -> str:
    """Return the command that installs extras.

    Examples
    --------
    >>> install_line("torch", "eval")
    "pip install 'tier-cli[torch,eval]'"
    """
    return f"pip install 'tier-cli[{','.join(extras)}]'"


def missing_package(error: ImportError) -> UsageError | None:
    """Return what to say of a package that is not installed; None if the import failed otherwise."""
    name = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not name or name == "tier_cli":
        return None
    extra = next((extra for extra, one in EXTRAS.items() if name in one.packages.values()), None)
    package = next((package for package, imported in BASE.items() if imported == name), name)
    remedy = f"pip install {package}" if extra is None else install_line(extra)
    return UsageError(f"needs {name}, which is not installed", remedy=remedy)


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    # Imported here: `tier --help` needs no versions.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def installed_versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed, in this order."""
    found = {package: installed_version(package) for package in packages}
    return {package: number for package, number in found.items() if number is not None}
