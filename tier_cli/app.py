"""Define the command `tier`: register the commands, turn errors into exit codes. Imports nothing heavy."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any, ClassVar

import typer

from tier_cli import __version__
from tier_cli.commands.lazy import LazyGroup, Place
from tier_cli.commands.stopping import stopping
from tier_cli.commands.verbosity import Quiet, Verbose
from tier_cli.console import discard_stdout, print_error, set_verbosity
from tier_cli.errors import StorageError, TierError, did_you_mean
from tier_cli.packages import missing_package
from tier_cli.signals import exit_code_of

UNEXPECTED, INTERRUPTED = 1, 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# Typer does not export the base class of all usage errors.
USAGE_ERROR: Any = typer.BadParameter.__base__

# Read by onnxruntime and huggingface_hub when they are imported, and inherited by all processes of a command.
_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


class _Commands(LazyGroup):
    """The commands, in the order of the help."""

    places: ClassVar = {
        "classify": Place("classify:classify", "Score chest X-rays for findings written as text."),
        "explain": Place(
            "explain:explain",
            "Show where chest X-rays resemble findings, texts or the sentences of a report.",
        ),
        "merge": Place("merge:merge", "Join the parts that tier classify --shard has scored into one file."),
        "listen": Place("listen:listen", "Receive chest X-rays by C-STORE and score each study."),
        "eval": Place(
            "evaluate.command:evaluate", "Measure scores against labels, with 95% intervals over patients."
        ),
        "figures": Place("figures:figures", "Draw the TIER paper's figures for one or several checkpoints."),
        "calibrate": Place(
            "calibrate:calibrate",
            "Fit probabilities and calls on labelled images; write them into a copy of the checkpoint.",
        ),
        "adapt": Place(
            "adapt:adapt", "Improve a checkpoint's scores with a few labelled images, without training."
        ),
        "train": Place(
            "train.command:train", "Train a TIER model on image-text pairs and write a checkpoint folder."
        ),
        "embed": Place(
            "embed:embed", "Write the embeddings of chest X-rays, for `tier search` or your own models."
        ),
        "search": Place("search:search", "Find the chest X-rays nearest to a text or to an image."),
        "check": Place("check:check", "Compare each sentence of a report with the images that it describes."),
        "doctor": Place(
            "doctor:doctor",
            "Show versions, extras, devices, folders, the bundled model and what DICOM can be decoded.",
        ),
        "data": Place("data:app", "Inspect data, and draw synthetic chests to try models on."),
        "findings": Place("findings:app", "List, show, check and create finding sets."),
        "model": Place("model:app", "List, inspect, verify, download and convert models."),
    }


app = typer.Typer(
    name="tier",
    cls=_Commands,
    help="Score chest X-rays against findings written as text. For research use; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tier-cli {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Accept the options that precede a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0 for success, 2 for wrong usage, 3 if an input could not be used, 74 for a full or lost disk, 130 after
    Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 1 for anything unexpected. A closed stdout ends a run quietly
    with 0.
    """
    _prepare()
    if arguments is None:
        _set_environment(sys.argv[1:])
    try:
        with stopping("SIGINT"):
            code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        return 0
    except KeyboardInterrupt as stop:
        return exit_code_of(stop)
    except TierError as error:
        print_error(str(error))
        return error.exit_code
    except ImportError as error:
        missing = missing_package(error)
        if missing is None or _debugging():
            return _unexpected(error)
        print_error(f"this command {missing}")
        return missing.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: a traceback could show a file's content
        return _unexpected(error)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    # Not standalone: wrong usage is then an exception, which is shown without loading Rich.
    command = typer.main.get_command(app)
    try:
        code = command(args=arguments, prog_name="tier", standalone_mode=False)
    except USAGE_ERROR as error:
        _suggest(error)
        error.show()
        return int(error.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except SystemExit as ended:
        if not ended.code:  # Typer has printed or installed the shell completion.
            return 0
        # Typer and Rich raise it when nobody reads the output any more.
        discard_stdout()
        return 0
    return code if isinstance(code, int) else 0


def _suggest(error: Any) -> None:
    """Add the nearest choice to the message of an option that has choices."""
    choices = [str(getattr(choice, "value", choice)) for choice in getattr(_type_of(error), "choices", ())]
    given = re.match(r"'([^']+)' is not one of", error.message or "")
    if choices and given:
        error.message += did_you_mean(given[1], choices)


def _type_of(error: Any) -> object:
    return getattr(getattr(error, "param", None), "type", None)


def _prepare() -> None:
    set_verbosity(quiet=False, verbose=False)
    # A shell may start programs with closed streams (>&-).
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - stays open until exit
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        # Like stderr: a file name that the terminal's encoding lacks must not end the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.warnoptions and not _debugging():
        # Warnings of readers quote file content; a result's notes say what matters.
        warnings.simplefilter("ignore")


def _set_environment(arguments: Sequence[str]) -> None:
    """Set the environment of this process: only `tier model pull` can reach another machine.

    Programs that call `main` with arguments of their own keep their environment.
    """
    words = [word for word in arguments if not word.startswith("-")]
    os.environ.update(_NO_TELEMETRY)
    if words[:2] != ["model", "pull"]:
        os.environ.update(_OFFLINE)
    if words[:1] in (["check"], ["classify"], ["embed"], ["explain"], ["listen"]):
        # The engine has threads of its own; those that numpy starts when it is imported would have no work.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if words[:1] in (["eval"], ["figures"], ["train"]):
        from tier_cli.files.caches import cache_root

        if (cache := cache_root()) is not None:
            # matplotlib keeps its list of fonts there.
            os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))


def _unexpected(error: Exception) -> int:
    if _debugging():
        raise error
    if isinstance(error, OSError) and error.strerror:
        print_error(f"system error: {error.strerror}")
        if error.errno not in _NO_ROOM:
            return UNEXPECTED
        try:
            sys.stdout.flush()
        except OSError:
            # Python would try again at exit.
            discard_stdout()
        return StorageError.exit_code
    # Only the type: the text of an exception may quote a file's content.
    print_error(
        f"unexpected {type(error).__name__}, a bug: set TIER_DEBUG=1 to see where, and please report it"
    )
    return UNEXPECTED


def _debugging() -> bool:
    return bool(os.environ.get("TIER_DEBUG"))
