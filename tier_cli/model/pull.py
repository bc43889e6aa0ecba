"""Download public models from the Hugging Face hub or a mirror and convert them."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.files.caches import cache_root

if TYPE_CHECKING:
    from tier_cli.model.registry import PublicFile, PublicModel

_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Pulled:
    """A downloaded file.

    Parameters
    ----------
    path
        Path in the cache of the hub.
    commit
        Commit of the repository.
    sha256
        Hash of its content.
    checked
        Whether a public hash was known and matched.
    """

    path: Path
    commit: str
    sha256: str
    checked: bool


def pull(model: PublicModel, output: Path) -> dict[str, Any]:
    """Download a public model and convert it.

    Interrupted downloads are resumed. The files stay in the cache of the hub.

    Parameters
    ----------
    model
        A model with a repository.
    output
        The new checkpoint folder to write.

    Returns
    -------
    The result of `tier_cli.model.convert.convert`; ``origin`` names the repository and the files,
    and whether each was checked against a known hash.

    Raises
    ------
    CheckpointError
        A file cannot be downloaded or does not match its known hash.
    UsageError
        `output` already exists.
    """
    from tier_cli.model.convert import check_paths, convert

    output.parent.mkdir(parents=True, exist_ok=True)
    check_paths(output.parent, output, model.family)
    found = {file.name: fetch(model, file) for file in model.files}
    there = {name: one for name, one in found.items() if one is not None}
    origin = {
        "name": model.name,
        "repository": model.repository,
        "revision": model.revision,
        "commit": next(iter(there.values())).commit,
        "licence": model.licence,
        "terms": list(model.terms),
        "files": {name: {"sha256": one.sha256, "checked": one.checked} for name, one in there.items()},
    }
    with TemporaryDirectory(prefix=".pulled-", dir=output.parent, ignore_cleanup_errors=True) as folder:
        # Only these files: the folder of the hub may contain others that are not checked.
        for name, one in there.items():
            _place(one.path, Path(folder) / name)
        return convert(Path(folder), output, model.family, origin=origin)


def downloads(name: str) -> Path:
    """Return the default folder of a pulled model, where it is found by name.

    Raises
    ------
    UsageError
        There is no home folder and no ``TIER_CACHE_DIR``.
    """
    root = cache_root()
    if root is None:
        raise UsageError("no folder for downloads", remedy="set TIER_CACHE_DIR, or give --output")
    return root / "models" / name


def endpoint() -> str:
    """Return the address of the hub, or of the mirror named by ``HF_ENDPOINT``."""
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def fetch(model: PublicModel, file: PublicFile) -> Pulled | None:
    """Download one file of a model; return None if it is optional and absent from the revision.

    Raises
    ------
    CheckpointError
        If it cannot be downloaded or does not match its known hash.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    where = f"{model.repository}@{model.revision[:12]}/{file.name}"
    try:
        path = Path(
            hf_hub_download(model.repository, file.name, revision=model.revision, endpoint=endpoint())
        )
    except LocalEntryNotFoundError as error:
        if file.optional and _offline():
            return None
        raise _unreachable(model, where) from error
    except EntryNotFoundError as error:
        if file.optional:
            return None
        raise CheckpointError("file not found", where=where, remedy="a mirror may be incomplete") from error
    except HfHubHTTPError as error:
        raise _refused(model, where, error) from error
    except (OSError, HfHubHTTPError.__bases__[0]) as error:
        # The second is the base class of all errors of the HTTP library that the hub client uses.
        raise CheckpointError(
            f"cannot be downloaded: {error}",
            where=where,
            remedy="check disk space, permissions and network",
        ) from error
    return _checked(path, file, where)


def _checked(path: Path, file: PublicFile, where: str) -> Pulled:
    hashes = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            for one in hashes.values():
                one.update(block)
    known = {kind: getattr(file, kind) for kind in hashes if getattr(file, kind)}
    for kind, wanted in known.items():
        if hashes[kind].hexdigest() != wanted:
            raise CheckpointError(
                f"the {kind} is {hashes[kind].hexdigest()}, not {wanted}",
                where=where,
                remedy=f"the file is not the published one: delete {path.resolve()} and pull again",
            )
    # snapshots/COMMIT/NAME in the hub's cache.
    return Pulled(path, path.parent.name, hashes["sha256"].hexdigest(), bool(known))


def _place(source: Path, dest: Path) -> None:
    """Link to a file, or copy it where links are not supported."""
    try:
        dest.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, dest)


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _unreachable(model: PublicModel, where: str) -> CheckpointError:
    by_hand = f"or download the files manually from {_HUB}/{model.repository} and use `tier model convert`"
    if _offline():
        return CheckpointError(
            "not in the cache, and HF_HUB_OFFLINE is set",
            where=where,
            remedy=f"unset HF_HUB_OFFLINE, {by_hand}",
        )
    return CheckpointError(
        f"{endpoint()} cannot be reached",
        where=where,
        remedy=f"check the network, set HF_ENDPOINT to a mirror, {by_hand}",
    )


def _refused(model: PublicModel, where: str, error: Any) -> CheckpointError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    status = getattr(error.response, "status_code", None)
    if isinstance(error, GatedRepoError) or (model.gated and status in (401, 403)):
        return CheckpointError(
            "access requires accepting its terms",
            where=where,
            remedy=f"accept them at {_HUB}/{model.repository}, run `hf auth login`, then pull again",
        )
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            "repository not found or not accessible", where=where, remedy="check the mirror"
        )
    return CheckpointError(f"the hub returned status {status}", where=where, remedy="try again later")
