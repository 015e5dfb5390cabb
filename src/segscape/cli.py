"""The command line: `python train.py ...` and `segscape COMMAND ...`.

Heavy packages are imported where they are needed, so that help and errors are printed at once.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from segscape import __version__, commands
from segscape.commands import Command
from segscape.config import files
from segscape.config.command_line import admit, as_typed, flags_first, refuse_sweep_words
from segscape.config.training import SCORE
from segscape.errors import UserError
from segscape.exit_codes import DONE, FAILED, STOPPED, WRONG_REQUEST
from segscape.fast_exit import exit_fast

TRAIN = Command("train a model (the same as python train.py)", "segscape.cli:train")


def main() -> NoReturn:
    """Entry of the console script `segscape`."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--version"]:
        print(__version__)
        sys.exit(DONE)
    if arguments[:1] == ["train"]:
        sys.argv = ["segscape train", *arguments[1:]]
        train()
    exit_fast(_guarded(lambda: _command(arguments)))


def _command(arguments: list[str]) -> int:
    folder, rest = _extra_folder(arguments)
    with files.extra_config_dir(folder):
        return commands.dispatch(
            rest,
            {"train": TRAIN, **commands.of_packages(), **commands.COMMANDS},
            program="segscape",
            usage="...",
            more="; --config-dir DIR adds options of your own",
        )


def _extra_folder(rest: list[str]) -> tuple[str | None, list[str]]:
    """Take `--config-dir DIR` out of the arguments: the user's own options."""
    kept: list[str] = []
    folder = None
    waiting = iter(rest)
    for text in waiting:
        name, sign, value = text.partition("=")
        if name not in ("--config-dir", "-cd"):
            kept.append(text)
            continue
        folder = value if sign else next(waiting, "")
        if not folder:
            raise UserError(f"{name} needs a directory", f"e.g. {name} my_options")
    return folder, kept


def train() -> NoReturn:
    """Entry of train.py: Hydra composes, `_job` runs; every error becomes a message."""
    exit_fast(_guarded(_train))


def _train() -> int:
    import hydra

    # Hydra then raises instead of printing a traceback of its own: _guarded prints the error.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    refuse_sweep_words(sys.argv[1:])
    sys.argv[1:] = admit(flags_first(sys.argv[1:]))
    codes: list[int] = []
    here = os.getpid()

    def job(composed: Any) -> float | None:
        # Not raised through Hydra, which would print further lines; the other jobs of a
        # multirun still run.
        found: list[float | None] = []
        elsewhere = os.getpid() != here  # a third-party launcher took it to another process
        codes.append(_guarded(lambda: _job(composed, found, elsewhere)))
        if codes[-1] == STOPPED and not elsewhere:
            sys.exit(STOPPED)
        return found[0] if found else None

    start = hydra.main(
        config_path=str(files.config_dir()), config_name=files.CONFIG_NAME, version_base="1.3"
    )
    # A sweep composes its jobs itself, out of the same folders.
    with files.extra_config_dir(_extra_folder(sys.argv[1:])[0]):
        start(job)()
    return max(codes, default=DONE)


def _job(composed: Any, found: list[float | None], elsewhere: bool) -> int:
    """One Hydra job: its exit code; the best val/miou goes to `found`, for sweepers."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    context = HydraConfig.get()
    overrides = as_typed(context.overrides.task)
    multirun = context.mode == RunMode.MULTIRUN  # under a third-party launcher
    from segscape.job import Request, run

    config: Any = OmegaConf.to_container(composed, resolve=True)
    config.pop("sweep", None)
    place = Path(str(config["run_dir"] or ""))
    request = Request(
        config=config,
        overrides=overrides,
        choices={k: str(v) for k, v in context.runtime.choices.items()},
        # A job of a sweep is in SWEEP/jobs/FOLDER.
        group=place.parents[1].name if place.parent.name == "jobs" else None,
    )
    if multirun:
        from segscape.sweep.launchers.plugin import is_job, refuse_sweep_settings, run_job

        if is_job(config["run_dir"]):
            return run_job(request, context.job.num, elsewhere)
        refuse_sweep_settings(overrides)
        print(f"\njob {context.job.num}: {' '.join(overrides)}", flush=True)
    result = run(request)
    found.append(result.best.get(SCORE) if result.best else None)
    return result.exit_code


def _guarded(action: Callable[[], int]) -> int:
    """Run `action`; turn errors into a message and an exit code."""
    # A log line that cannot be written (its reader has ended) is no error.
    logging.raiseExceptions = False
    try:
        code = action()
        sys.stdout.flush()
        return code
    except UserError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # | head
        # The rest of the buffer is discarded, instead of raising an error at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        explained = _explained(error)
        if explained is not None:
            print_error(explained)
            return WRONG_REQUEST
        return _report_crash(error)


def _explained(error: Exception) -> UserError | None:
    """The user's message for an error of Hydra or OmegaConf, None for any other."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    # Hydra raises a bare ValueError for fusion=null.
    composing = isinstance(error, ValueError) and str(error).startswith("Config group override")
    if not composing and not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error.__cause__, UserError):  # of a launcher or sweeper that Hydra makes
        return error.__cause__
    from hydra._internal.utils import get_args_parser

    from segscape.config.explaining import explain

    try:
        arguments, _ = get_args_parser().parse_known_args()
    except SystemExit:  # another command than train: its arguments are not Hydra's
        return explain([], error)
    return explain(as_typed(arguments.overrides), error, arguments.config_dir)


def _report_crash(error: Exception) -> int:
    """A defect: the traceback goes to a file, a short message to the screen."""
    where = next(iter(getattr(error, "__notes__", ())), None)
    if where is None:
        text = "".join(traceback.format_exception(error))
        place = Path("segscape-traceback.txt")
        try:
            place.write_text(text)
        except OSError:  # a directory without the right to write
            with tempfile.NamedTemporaryFile(
                "w", prefix="segscape-traceback-", suffix=".txt", delete=False
            ) as file:
                file.write(text)
            place = Path(file.name)
        where = f"the traceback is in {place}"
    reason = (str(error).splitlines() or [""])[0]
    print(f"error: {type(error).__name__}: {reason}\n       {where}", file=sys.stderr)
    return FAILED


def print_error(error: UserError) -> None:
    """Print what is wrong and what would be right, without a traceback."""
    print(f"error: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"       {error.hint}", file=sys.stderr)
