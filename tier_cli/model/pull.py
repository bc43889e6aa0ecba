"""Download public models from the Hugging Face hub or a mirror and convert them."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tier_cli.errors import CheckpointError, UsageError
from tier_cli.files.atomic import whole_folder
from tier_cli.files.caches import data_root

if TYPE_CHECKING:
    from tier_cli.model.registry import PublicFile, PublicModel

_HUB = "https://huggingface.co"
# Seconds after which the hub counts as unreachable.
_ANSWER_WITHIN = 10.0


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
    there = download(model, output)
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


def download(model: PublicModel, output: Path) -> dict[str, Pulled]:
    """Download the files of a public model into the cache of the hub; optional files may be missing.

    Parameters
    ----------
    model
        A model with a repository.
    output
        The checkpoint folder that they are for, named in the message if they cannot be downloaded.

    Raises
    ------
    CheckpointError
        A file cannot be downloaded or does not match its known hash.
    """
    local_only = not _reachable(model)
    found = {file.name: fetch(model, file, output, local_only=local_only) for file in model.files}
    return {name: one for name, one in found.items() if one is not None}


def copy_files(files: Mapping[str, Pulled], folder: Path) -> None:
    """Copy downloaded files into a new folder, for a machine without a network."""
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as partial:
        for name, one in files.items():
            shutil.copyfile(one.path, partial / name)


def convert_line(model: PublicModel, source: str | Path, output: Path) -> str:
    """Return the command that converts a folder of downloaded files."""
    return f"tier model convert {shlex.quote(str(source))} {shlex.quote(str(output))} --family {model.family}"


def _reachable(model: PublicModel) -> bool:
    """Return whether the hub answers; its library would retry for half a minute, line by line."""
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError

    if _offline():
        return False
    address = f"{endpoint()}/{model.repository}/resolve/{model.revision}/{model.files[0].name}"
    try:
        get_session().head(address, timeout=_ANSWER_WITHIN, follow_redirects=False)
    except (OSError, HfHubHTTPError.__bases__[0]):
        return False
    return True


def downloads(name: str) -> Path:
    """Return the default folder of a pulled model, where it is found by name.

    Raises
    ------
    UsageError
        There is no home folder and no ``TIER_DATA_DIR``.
    """
    root = data_root()
    if root is None:
        raise UsageError("no folder for downloads", remedy="set TIER_DATA_DIR, or give --output")
    return root / "models" / name


def endpoint() -> str:
    """Return the address of the hub, or of the mirror named by ``HF_ENDPOINT``."""
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def fetch(
    model: PublicModel, file: PublicFile, output: Path | None = None, *, local_only: bool = False
) -> Pulled | None:
    """Download one file of a model; return None if it is optional and absent from the revision.

    Parameters
    ----------
    model, file
        The model and the file.
    output
        See `download`.
    local_only
        Use only what is in the cache of the hub.

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
            hf_hub_download(
                model.repository,
                file.name,
                revision=model.revision,
                endpoint=endpoint(),
                local_files_only=local_only,
            )
        )
    except LocalEntryNotFoundError as error:
        if file.optional and (local_only or _offline()):
            return None
        raise _unreachable(model, output) from error
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


def _unreachable(model: PublicModel, output: Path | None) -> CheckpointError:
    needed = ", ".join(file.name for file in model.files if not file.optional)
    optional = ", ".join(file.name for file in model.files if file.optional)
    files = f"{needed}{f' (and, if there, {optional})' if optional else ''}"
    folder = f"{model.name}-files"
    by_hand = (
        f"or download {files} from {_HUB}/{model.repository}/tree/{model.revision} into a folder {folder}"
        " and run:"
        f" {convert_line(model, folder, output or downloads(model.name))}"
    )
    if _offline():
        return CheckpointError(
            "not in the cache, and HF_HUB_OFFLINE is set",
            where=model.name,
            remedy=f"unset HF_HUB_OFFLINE, {by_hand}",
        )
    return CheckpointError(
        f"{endpoint()} cannot be reached",
        where=model.name,
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
