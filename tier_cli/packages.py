"""Look up the versions of installed packages."""

from __future__ import annotations


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
