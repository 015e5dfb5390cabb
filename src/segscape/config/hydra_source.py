"""How Hydra reads `parts:` of a model's yaml: arguments of the parts that the model chooses.

`train.yaml` has an entry between the model and the experiment that names the model and the option
of every part. The source below returns for it the arguments that hold for these options. They
override the option's own yaml, and an experiment and the command line override them; for a part
that was exchanged there are none. The key itself enters no configuration.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from segscape.config import files, layers
from segscape.config.targets import PARTS

SCHEME = "segscape"


class ModelParts(ConfigSource):
    """Serves `parts/MODEL/ENCODER/...`, and model yamls that have `parts:` without that key.

    Args:
        provider: who has put the source into Hydra's search path.
        path: `segscape://` and the folders of the yaml files, as in PATH.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self._folders = self.path.split(os.pathsep)

    @staticmethod
    def scheme() -> str:
        """The prefix of this source in a search path."""
        return SCHEME

    def available(self) -> bool:
        """Whether the source can be read."""
        return True

    def is_group(self, config_path: str) -> bool:
        """None: its configurations are no choices."""
        return False

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Nothing: the options of the group model are listed by the source of their files."""
        return []

    def is_config(self, config_path: str) -> bool:
        """Whether the configuration is read from this source."""
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        if group != "model":
            return group == layers.PARTS_KEY
        with self._within_folders():
            yaml = files.read(group, name)
        return yaml is not None and layers.PARTS_KEY in yaml.content

    def load_config(self, config_path: str) -> ConfigResult:
        """The configuration at a path for which `is_config` holds."""
        group, _, rest = config_path.removesuffix(".yaml").partition("/")
        with self._within_folders():
            if group == "model":
                yaml = files.read(group, rest)
                assert yaml is not None, config_path
                nodes = [{k: v for k, v in yaml.content.items() if k != layers.PARTS_KEY}]
                package = yaml.package
            else:
                model, *options = rest.split("/")
                nodes = layers.arguments(model, dict(zip(PARTS, options, strict=True)))
                package = "_global_"
        node = OmegaConf.merge(*nodes) if nodes else OmegaConf.create()
        return ConfigResult(self.provider, self.full_path(), node, {"package": package})

    @contextmanager
    def _within_folders(self) -> Iterator[None]:
        """The folders of the search path count, also in a process that a launcher has started."""
        with ExitStack() as stack:
            for folder in self._folders:
                if folder not in map(str, files.folders()):
                    stack.enter_context(files.extra_config_dir(folder))
            yield


class ModelPartsSearchPath(SearchPathPlugin):
    """Puts the source before the folder of the yaml files, where Hydra composes from it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Do nothing for the configuration of another application."""
        own = str(files.config_dir())
        if any(str(e.path).removeprefix("file://") == own for e in search_path.get_path()):
            folders = os.pathsep.join(map(str, files.folders()))
            search_path.prepend("segscape", f"{SCHEME}://{folders}")
