"""The yaml files and the source that a search uses: as they were when its command began.

A search draws new jobs for hours. An edit meanwhile, or another branch, must not make the later
ones something else than the earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segscape.config.composer import Composer
from segscape.config.files import groups
from segscape.config.override_text import plain
from segscape.errors import UserError
from segscape.sweep.memory import code_snapshot
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.search.space import Parameter


class ConfigSnapshot:
    """Composes the designs of a search, always from the same yaml files.

    Args:
        parameters: of the space.
        common: overrides that all jobs share.
    """

    def __init__(self, parameters: Sequence[Parameter], common: Sequence[str]) -> None:
        self.composer = Composer()  # keeps every yaml that it has read
        #: What all designs have in common; empty where that is no configuration by itself.
        self.base = self._composed(common)
        known = groups()
        #: What each option makes of it.
        self.options = {
            f"{plain(each.key)}={text}": self._composed([*common, f"{each.key}={text}"])
            for each in parameters
            if plain(each.key) in known
            for text in each.choices
        }

    @property
    def configs(self) -> list[dict[str, Any]]:
        """Together they name every module that a job may need."""
        return [each for each in (self.base, *self.options.values()) if each]

    def _composed(self, overrides: Sequence[str]) -> dict[str, Any]:
        try:
            return self.composer.compose(overrides)[0]
        except UserError:
            # Another axis may supply what is missing; else the plan of a point raises the error.
            return {}


class SourceSnapshot:
    """The copy of the source that the new jobs of one command run from.

    Args:
        sweep: gets the copy, when the first job needs it.
        configs: that together name every module that a job may need.
        say: prints a line when the source differs from that of earlier jobs.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        configs: Sequence[Mapping[str, Any]],
        say: Callable[[str], None],
    ) -> None:
        self._sweep, self._configs, self._say = sweep, list(configs), say
        self._named: set[str] = set()
        self._code: str | None = None

    def of(self, job: Job) -> str:
        """Digest of the copy that a job is to run from."""
        config = self._sweep.saved(job)["config"]
        if self._code is None or not set(code_snapshot.targets(config)) <= self._named:
            self._configs.append(config)
            before = self._in_use() if self._code is None else set()
            self._code = code_snapshot.take_snapshot(self._sweep.path, self._configs)
            self._named |= {name for each in self._configs for name in code_snapshot.targets(each)}
            if before and self._code not in before:
                self._say("the source has changed: new jobs run from today's, unlike earlier ones")
        return self._code

    def _in_use(self) -> set[str]:
        return {
            attempt.code for job in self._sweep.jobs() for attempt in self._sweep.attempts(job)[-1:]
        }
