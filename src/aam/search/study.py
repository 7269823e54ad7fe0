"""The study of a search, in the folder of its runs: Optuna's journal, which processes share.

A run that fails is a failed trial, never one with a bad value. One that was interrupted, or whose
process is gone, is put back: whoever takes the trial goes on with the run.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from aam.config import SearchConfig
from aam.errors import UserError
from aam.facts.presence import Presence, is_written
from aam.facts.reader import at_best, read_events
from aam.facts.stopping import BY_REQUEST
from aam.facts.summary import FINISHED, STOPPED, has_checkpoint, summarize
from aam.search import JOURNAL
from aam.search.space import Space
from aam.training.early_stopping import EarlyStopping

if TYPE_CHECKING:
    import optuna

_SEARCHERS = ".searchers"
_REPLACES = "replaces"


class Study:
    """A search, and this process as one of those that work on it, while in use.

    Raises
    ------
    UserError
        If the folder holds a search for something else.
    """

    def __init__(self, folder: Path, space: Space, wanted: SearchConfig, metric: str) -> None:
        self.folder, self.space, self.wanted, self.metric = folder, space, wanted, metric
        self._me = secrets.token_hex(4)
        self._study: optuna.Study = self._open()

    def __enter__(self) -> Self:
        place = self.folder / _SEARCHERS / self._me
        (place / "facts").mkdir(parents=True)
        self._presence = Presence(place)
        return self

    def __exit__(self, *_: object) -> None:
        self._presence.close()
        place = self.folder / _SEARCHERS / self._me
        with suppress(OSError):
            (place / "facts").rmdir()
            place.rmdir()
            place.parent.rmdir()

    def ask(self) -> "optuna.Trial | None":
        """A trial to train: one that was put back, or a new one; None if there are enough."""
        from optuna.trial import TrialState

        with self._alone():
            self._put_back_lost()
            trials = self._study.get_trials(deepcopy=False)
            is_any_waiting = any(trial.state == TrialState.WAITING for trial in trials)
            if len(_counted(trials)) >= self.wanted.n_trials and not is_any_waiting:
                return None
            # What a trial tries depends on its number and the results so far, not on who asks.
            self._study.sampler = _sampler(self.wanted, len(trials))
            trial = self._study.ask(dict(self.space.ranges))
            trial.set_user_attr("searcher", self._me)
        return trial

    def put_back(self, number: int) -> None:
        """Let a trial whose run was interrupted wait for who goes on with it."""
        self._put_back(self._study.trials[number])

    def tell(self, number: int, run_dir: Path) -> None:
        """How the trial with that run ended, by the facts of the run."""
        from optuna.trial import TrialState

        summary = None
        with suppress(UserError):
            summary = summarize(run_dir)
        if summary is not None and summary.state == FINISHED:
            value = at_best(read_events(run_dir), self.metric)
            if value is not None:
                self._study.tell(number, value)
                return
        if summary is not None and summary.state == STOPPED:
            if str(summary.last["reason"]).startswith(BY_REQUEST):
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                self.put_back(number)
            return
        self._study.tell(number, state=TrialState.FAIL)

    def told(self) -> str:
        """How many trials there are, and the best."""
        trials = _counted(self._study.trials)
        states = sorted({trial.state for trial in trials})
        numbers = [
            f"{sum(trial.state == state for trial in trials)} {state.name.lower()}"
            for state in states
        ]
        lines = [f"{len(trials)} trials: {', '.join(numbers)}"]
        with suppress(ValueError):  # none is complete
            best = self._study.best_trial
            found = " ".join(f"{key}={value}" for key, value in best.params.items())
            lines.append(f"Best: {self.metric} {best.value:.6g} with {found}")
            lines.append(f"  {self.folder / best.user_attrs.get('run', '?')}")
        return "\n".join(lines)

    def _open(self) -> "optuna.Study":
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal = self.folder / JOURNAL
        lock = JournalFileOpenLock(str(journal))
        with self._alone():
            _heal(journal, lock)
            is_higher_better = EarlyStopping(metric=self.metric, patience=None).higher_is_better
            study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(journal), lock)),
                study_name="search",
                direction="maximize" if is_higher_better else "minimize",
                pruner=_pruner(self.wanted),
                load_if_exists=True,
            )
            shared = {"metric": self.metric, **self.space.shared}
            for key, value in shared.items():
                if study.user_attrs.setdefault(key, value) != value:
                    raise UserError(
                        f"{self.folder} holds a search with other {key}: {study.user_attrs[key]}, "
                        f"not {value}; search with these, or in another hydra.sweep.dir"
                    )
                study.set_user_attr(key, value)
        return study

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time; what a killed one holds is free again after half a minute."""
        from optuna.storages.journal import JournalFileOpenLock

        with _held(JournalFileOpenLock(str(self.folder / ".asking"))):
            yield

    def _put_back_lost(self) -> None:
        """Trials whose process is gone without a word."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            searcher = self.folder / _SEARCHERS / str(trial.user_attrs.get("searcher"))
            if not is_written(searcher):
                self._put_back(trial)

    def _put_back(self, trial: "optuna.trial.FrozenTrial") -> None:
        """In its place another one waits, with the same settings and what was saved of the run."""
        from optuna.trial import TrialState

        run = trial.user_attrs.get("run")
        is_saved = run is not None and has_checkpoint(self.folder / run)
        begun = {"run": run} if is_saved else {}
        attributes = {_REPLACES: trial.number, **begun}
        others = self._study.get_trials(deepcopy=False)
        if all(one.user_attrs.get(_REPLACES) != trial.number for one in others):
            self._study.enqueue_trial(trial.params, user_attrs=attributes)
        # Last: who is killed before this leaves a trial that the next process puts back.
        self._study.tell(trial.number, state=TrialState.FAIL)


def _counted(trials: "Sequence[optuna.trial.FrozenTrial]") -> "list[optuna.trial.FrozenTrial]":
    """All but those that others replace."""
    replaced = {trial.user_attrs.get(_REPLACES) for trial in trials}
    return [trial for trial in trials if trial.number not in replaced]


def _sampler(wanted: SearchConfig, number: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.SeedSequence([wanted.seed, number]).generate_state(1)[0])
    return TPESampler(seed=seed) if wanted.sampler == "tpe" else RandomSampler(seed=seed)


def _pruner(wanted: SearchConfig) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    return {"none": NopPruner, "median": MedianPruner, "hyperband": HyperbandPruner}[
        wanted.pruner
    ]()


def _heal(journal: Path, lock: Any) -> None:
    """Take away a last line that a killed process left unfinished: Optuna reads no further.

    Under the lock that writers of the journal hold: their last line may be unfinished too.
    """
    if not journal.exists():
        return
    with _held(lock):
        content = journal.read_bytes()
        if content and not content.endswith(b"\n"):
            with journal.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


@contextmanager
def _held(lock: Any) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
