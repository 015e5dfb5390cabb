"""Weights & Biases, isolated in a thread: nothing that it does can stop or slow a training.

Every call into the library runs in one daemon thread (`worker.py`). A failure there prints one line
and ends the tracking; a library that hangs is abandoned when the run ends. The run directory has
the whole record anyway.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import netrc
import os
import random
import re
import secrets
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from segscape.errors import unknown
from segscape.runs.files import write_atomically
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import GalleryItem
from segscape.tracking.worker import Worker, say

MODES = ("auto", "online", "offline", "disabled")
_IMPORT_WAIT_S = 10.0
# Where many runs start together, each one's service gets that long to come up.
_CROWDED_SERVICE_WAIT_S = 300.0
# What the library itself reads: where one of them is set, it is not changed.
_SERVICE_WAIT_KEYS = ("WANDB_X_SERVICE_WAIT", "WANDB__SERVICE_WAIT")
# W&B keeps masks as signed bytes: an id above 127 would silently become class 0.
_MOST_MASK_IDS = 128


class WandbTracker:
    """Mirrors a run to Weights & Biases.

    Args:
        project: W&B project.
        mode: "online", "offline", "disabled", or "auto": the value of `WANDB_MODE`, else online if
            there is an API key (`WANDB_API_KEY`, `wandb login`), else offline. It never prompts
            for a key, and an online run that cannot start is recorded offline.
        entity: W&B team or user; None for the account's default.
        timeout_s: how long the end of a run may wait for W&B, in seconds.
        init_timeout_s: how long an online run may take to start, in seconds; meanwhile rows wait.
        max_image_size: longer sides of gallery images are scaled down to it, in pixels.
        jitter_s: a run of a group starts up to so many seconds later, each at a time of its own, so
            that they do not all connect at once; meanwhile rows wait, the training does not.

    Raises:
        UserError: an unknown mode.
    """

    def __init__(
        self,
        project: str = "segscape",
        mode: str = "auto",
        entity: str | None = None,
        timeout_s: float = 60.0,
        init_timeout_s: float = 60.0,
        max_image_size: int = 1024,
        jitter_s: float = 20.0,
    ) -> None:
        if mode not in MODES:
            what = f"logger.mode={mode} is not a mode of W&B"
            raise unknown(what, str(mode), MODES, typed="logger.mode={}", label="modes")
        self.project, self.mode, self.entity = project, mode, entity
        self.timeout_s, self.init_timeout_s = timeout_s, init_timeout_s
        self.max_image_size, self.jitter_s = max_image_size, jitter_s
        self.url: str | None = None
        self.hung = False
        self._worker: Worker | None = None
        self._wandb: Any = None
        self._run: Any = None
        self._run_dir = Path()
        self._offline = False
        self._files: Path | None = None
        self._crowded = False
        self._ending = threading.Event()

    @property
    def sync_hint(self) -> str | None:
        """The command that uploads what W&B does not have yet; None when it has all or nothing."""
        if self._files is None or not (self._offline or self.hung):
            return None
        more = "" if self._offline else " --include-online"
        return f"wandb sync{more} {shlex.quote(str(self._files))}"

    def start(
        self,
        run_dir: str | os.PathLike[str],
        config: Mapping[str, Any],
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Begin in the background.

        Waits for the import of the library (0.4 s): a DataLoader worker that is forked in the
        middle of an import in another thread inherits locks that are never released.

        Args:
            run_dir: the run directory; files go to its `wandb`, the run's id to `wandb_id`. On
                resume its `metrics.csv` must already be truncated.
            config: plain, resolved configuration.
            name: what the run is called.
            group: what the runs of one sweep share.
            tags: labels.
        """
        self._run_dir = Path(run_dir)
        mode, why = choose_mode(self.mode)
        if mode == "disabled":
            return
        run = RunDirectory(run_dir)
        run_id, resumed = _run_id(run.path)
        # An offline run cannot be continued, only begun again under the same id.
        earlier = run.read_metrics() if resumed else []
        options: dict[str, Any] = {
            "project": self.project,
            "entity": self.entity,
            "dir": str(run.path),
            "config": dict(config),
            # W&B refuses the whole run for a longer name or an empty tag.
            "name": name[:128] if name else None,
            "group": group[:128] if group else None,
            "tags": [tag[:64] for tag in tags if tag] or None,
            "id": run_id,
        }
        self._worker = Worker("W&B")
        self._crowded = group is not None
        self._ending.clear()
        imported = threading.Event()
        self._worker.submit(lambda: self._import(imported))
        if group is not None:
            # Not from the generators that the training is seeded with.
            delay_s = random.Random(run_id).uniform(0.0, self.jitter_s)
            # A run that ends meanwhile waits no longer.
            self._worker.submit(lambda: self._wait(delay_s))
        self._worker.submit(lambda: self._open(options, mode, why, earlier))
        imported.wait(_IMPORT_WAIT_S)

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Queue one row; its keys are those of `metrics.csv`."""
        values = {**row, "step": step}
        self._submit(lambda: self._run.log(_without_none(values)))

    def images(self, items: Sequence[GalleryItem], step: int) -> None:
        """Queue a gallery; the oldest waiting one is dropped when W&B is slow."""
        kept = list(items)
        self._submit(lambda: self._log_images(kept, step), droppable=True)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Queue the final figures."""
        kept = _without_none(values)
        self._submit(lambda: self._run.summary.update(kept))

    def finish(self, exit_code: int = 0) -> None:
        """End the run, waiting at most `timeout_s`.

        When W&B is still busy then, it is abandoned: its service process is killed and its hook
        at the interpreter's exit removed, so that neither this process nor the next run in it waits
        again. `hung` is then True: where the process must end for certain, use `os._exit`.

        Args:
            exit_code: 0 marks the run finished, anything else failed.
        """
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self._ending.set()
        if worker.close(self.timeout_s, last=lambda: self._end(exit_code)):
            return
        self.hung = True
        _abandon()
        later = (
            f"the rest later: {self.sync_hint}"
            if self._files is not None
            else f"it has nothing of this run, whose record is in {self._run_dir}"
        )
        say(f"W&B: not done after {self.timeout_s:g} s, left behind; {later}")

    def _submit(self, job: Any, droppable: bool = False) -> None:
        if self._worker is not None:
            self._worker.submit(job, droppable)

    # -- in the worker's thread -------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        self._ending.wait(seconds)

    def _import(self, imported: threading.Event) -> None:
        # Its reports about its own errors hold up the exit for 20 s where there is no network.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            self._wandb = importlib.import_module("wandb")
            importlib.import_module("PIL.Image")  # wandb.Image would import it later
        except ImportError as error:
            raise RuntimeError(f"cannot import wandb ({error}): pip install wandb") from error
        finally:
            imported.set()

    def _open(
        self, options: dict[str, Any], mode: str, why: str, earlier: list[dict[str, Any]]
    ) -> None:
        if mode == "online":
            try:
                self._run = self._init(options | {"resume": "allow"}, mode)
            except Exception as error:
                mode, why = "offline", f"online failed: {_first_line(error)}"
                # The service still tries, and holds the run's id.
                _abandon()
        if mode == "offline":
            self._run = self._init(options, mode)
            self._offline = True
        self._files = Path(self._run.dir).parent
        if mode == "offline":
            say(f"W&B: offline ({why}); later: {self.sync_hint}")
        else:
            self.url = self._run.url
            say(f"W&B: {self.url}")
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        if mode == "offline":
            for row in earlier:
                self._run.log(_without_none(row))

    def _init(self, options: dict[str, Any], mode: str) -> Any:
        settings = self._settings()
        self._wandb.setup(settings)  # without it the library prints where it found the key
        return self._wandb.init(**options, mode=mode, settings=settings)

    def _end(self, exit_code: int) -> None:
        if self._run is not None:
            self._run.finish(exit_code=exit_code)

    def _settings(self) -> Any:
        """Settings against output of the library, restricted to those that this version has."""
        wanted: dict[str, Any] = {
            "silent": True,
            "console": "off",  # redirecting the console from a thread breaks the progress bar
            "init_timeout": self.init_timeout_s,
            "finish_timeout": max(1.0, 0.8 * self.timeout_s),
            "reinit": "create_new",  # never the run of an earlier job in this process
        }
        if not any(key in os.environ for key in _SERVICE_WAIT_KEYS):
            crowded = _CROWDED_SERVICE_WAIT_S if self._crowded else 30.0
            wanted["x_service_wait"] = max(crowded, self.init_timeout_s)
        known = getattr(self._wandb.Settings, "model_fields", wanted)
        return self._wandb.Settings(**{key: each for key, each in wanted.items() if key in known})

    def _log_images(self, items: Sequence[GalleryItem], step: int) -> None:
        values: dict[str, Any] = {"step": step}
        for item in items:
            key = "gallery/" + re.sub(r"[^\w.-]+", "_", item.name)
            values[key] = self._to_image(item)
        self._run.log(values)

    def _to_image(self, item: GalleryItem) -> Any:
        stride = math.ceil(max(item.label.shape) / self.max_image_size)
        image, label, prediction = (
            each[::stride, ::stride] for each in (item.image, item.label, item.prediction)
        )
        count = len(item.classes) or 1 + int(
            max(item.prediction.max(), item.label[item.label < 255].max(initial=0))
        )
        names = dict(enumerate(item.classes)) or {i: f"class {i}" for i in range(count)}
        if count >= _MOST_MASK_IDS:
            return self._wandb.Image(image, caption=f"{item.name}: too many classes for masks")
        masks = {
            key: {
                "mask_data": _void_as(mask, count),
                "class_labels": {**names, count: "void"},
            }
            for key, mask in (("prediction", prediction), ("ground_truth", label))
        }
        return self._wandb.Image(image, caption=item.name, masks=masks)


def choose_mode(asked: str = "auto") -> tuple[str, str]:
    """Decide how to track, without importing wandb and without the network.

    Args:
        asked: one of `MODES`, the requested one.

    Returns:
        "online", "offline" or "disabled", and why, in a few words.
    """
    if asked == "auto":
        wish = os.environ.get("WANDB_MODE", "").lower()
        if wish in ("offline", "dryrun"):
            return "offline", f"WANDB_MODE={wish}"
        if wish in ("disabled", "shared"):
            return ("disabled" if wish == "disabled" else "online"), f"WANDB_MODE={wish}"
    if asked in ("offline", "disabled"):
        return asked, f"logger.mode={asked}"
    # For an online run without a key the library would prompt for one at the terminal.
    return ("online", "logged in") if _logged_in() else ("offline", "not logged in")


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]:
        with contextlib.suppress(OSError, netrc.NetrcParseError, RuntimeError):
            found = netrc.netrc(str(path.expanduser())).authenticators(host)
            if found and found[2]:
                return True
    return False


def _run_id(run_dir: Path) -> tuple[str, bool]:
    """The id of the run in this directory, and whether an earlier start already used it."""
    path = run_dir / "wandb_id"
    if path.is_file() and (known := path.read_text(encoding="utf-8").strip()):
        return known, True
    run_id = secrets.token_hex(5)
    write_atomically(path, run_id + "\n")
    return run_id, False


def _abandon() -> None:
    """Detach a service that hangs, so that the interpreter's exit does not wait for it.

    The library has no public way to do this; the names below are those of wandb 0.19 to 0.31, and
    where they are others `WandbTracker.hung` still requests an end by `os._exit`.
    """
    setup = sys.modules.get("wandb.sdk.wandb_setup")
    singleton = getattr(setup, "_singleton", None)
    connection = getattr(singleton, "_connection", None)
    if setup is None or connection is None:
        return
    forget = getattr(connection, "_cleanup", None)
    process = getattr(getattr(connection, "_proc", None), "_process", None)
    if forget is not None:
        forget()
    if process is not None:
        process.kill()
        process.wait()
    os.environ.pop("WANDB_SERVICE", None)
    os.environ.pop("WANDB__SERVICE", None)
    # The next run in this process starts a service of its own.
    setattr(setup, "_singleton", None)  # noqa: B010


def _void_as(mask: Any, void: int) -> Any:
    """The mask with every id that has no name as the id `void`, which has one."""
    import numpy as np

    return np.where(mask < void, mask, void).astype(np.uint8)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
