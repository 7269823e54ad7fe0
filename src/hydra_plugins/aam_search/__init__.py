"""``hydra/sweeper=optuna``, where Hydra looks for it. The work is done in ``aam.search``."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Asks Optuna for the settings of each run; its settings are those of ``SearchConfig``."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before ``sweep``."""
        self.config = config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until there are enough."""
        from aam.cli.jobs import resume
        from aam.cli.live_page import LivePage
        from aam.search.trials import search

        assert self.config is not None
        search(
            self.config,
            self._settings,
            arguments,
            launcher=self._launcher,
            go_on=lambda run_dir: resume([f"resume={run_dir}"], LivePage()),
        )
