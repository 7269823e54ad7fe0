"""From the facts of a run, epoch by epoch, to findings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics import curve_checks, rate_checks
from aam.monitoring.diagnostics.advice import ADVICE, Case
from aam.monitoring.diagnostics.history import History
from aam.monitoring.diagnostics.limits import scaled
from aam.monitoring.diagnostics.plan import Plan
from aam.monitoring.wording import span

Event = Mapping[str, Any]
Finding = dict[str, str]
Check = Callable[[History, DiagnosticsConfig, int | None], str | None]

# The gravest first. Where one of these is found, all else follows from it and is not told.
_ALONE: dict[str, Check] = {
    "nonfinite": rate_checks.nonfinite,
    "exploding": rate_checks.exploding,
    "learning_rate": rate_checks.learning_rate,
}
_TOGETHER: dict[str, Check] = {
    "overfitting": curve_checks.overfitting,
    "worsening": curve_checks.worsening,
    "short_warmup": rate_checks.short_warmup,
    "instability": curve_checks.instability,
    "gradient_spikes": rate_checks.gradient_spikes,
    "plateau": curve_checks.plateau,
}
# The same jump is not told twice.
_OF_SHORT_WARMUP = ("worsening", "instability", "gradient_spikes")

KINDS = (*_ALONE, *_TOGETHER)


class Diagnosis:
    """Judges a run after each of its epochs; holds what it needs of those before.

    Each epoch takes constant time, and so many numbers of memory as an epoch has here.
    """

    def __init__(self, thresholds: DiagnosticsConfig, plan: Plan | None = None) -> None:
        self.thresholds = thresholds
        self.plan = plan or Plan()
        self._run = History()
        self._since: dict[str, int] = {}  # the first epoch's index of what was found last
        self._evidence: dict[str, str] = {}
        self._best_epoch: int | None = None

    def take_up(self, epochs: Iterable[Event]) -> None:
        """Know a run that goes on: the events of :func:`aam.facts.reader.epoch_events`."""
        for event in epochs:
            self._take(event)

    def after(self, fact: Event) -> list[Finding]:
        """Judge the run after its next epoch.

        Parameters
        ----------
        fact
            Of ``on_epoch_end``: ``epoch`` (from 0), ``train_loss``, ``val_loss`` (None without
            validation), and where there are such ``step``, ``lr``, ``metrics.train.grad_norm``,
            ``nonfinite`` and ``best``.

        Returns
        -------
        list
            ``{"kind", "evidence", "advice"}``, the gravest first; empty for a healthy run. The
            evidence begins with the epochs (from 1) in which it was found without a break.
        """
        self._take(fact)
        return self._findings({})

    def at_end(self, why: str) -> list[Finding]:
        """The findings of the last epoch, with advice for a run that is over.

        ``why`` it ended: it had all its ``epochs``, or its ``minutes``, or lost ``patience``.
        """
        num_done = self._run.epochs[-1] if self._run.epochs else 0
        waited = 0 if self._best_epoch is None else num_done - 1 - self._best_epoch
        also: dict[str, dict[str, object]] = {
            "epochs": {"trainer.epochs": num_done + max(10, num_done // 2)},
            "minutes": {"trainer.max_minutes": "null"},
            "patience": {"early_stopping.patience": waited + 10},
        }
        return self._findings(also[why])

    def nonfinite(self, epoch: int, what: str) -> list[Finding]:
        """The finding of a run that was ended in an ``epoch`` (from 0) by what is not finite."""
        evidence = f"epoch {epoch + 1}: {what}"
        return [_finding("nonfinite", evidence, Case(self._run, self.plan))]

    def _take(self, fact: Event) -> None:
        self._run.add(fact)
        best = fact.get("best")
        self._best_epoch = best["epoch"] if best else None
        self._evidence = self._judge()
        now = len(self._run.epochs) - 1
        self._since = {kind: self._since.get(kind, now) for kind in self._evidence}

    def _judge(self) -> dict[str, str]:
        limits = scaled(self.thresholds, self._run.start)
        alone = self._found(_ALONE, limits)
        for kind, evidence in alone:
            return {kind: evidence}
        found = dict(self._found(_TOGETHER, limits))
        if "short_warmup" in found:
            found = {k: evidence for k, evidence in found.items() if k not in _OF_SHORT_WARMUP}
        return found

    def _found(
        self, checks: Mapping[str, Check], limits: DiagnosticsConfig
    ) -> Iterable[tuple[str, str]]:
        for kind, check in checks.items():
            evidence = check(self._run, limits, self._since.get(kind))
            if evidence is not None:
                yield kind, evidence

    def _findings(self, also: Mapping[str, object]) -> list[Finding]:
        case = Case(self._run, self.plan, self._since, also)
        epochs = self._run.epochs
        return [
            _finding(kind, f"{span(epochs[self._since[kind]], epochs[-1])}: {evidence}", case)
            for kind, evidence in self._evidence.items()
        ]


def replay(events: Sequence[Event], thresholds: DiagnosticsConfig) -> list[list[Finding]]:
    """Judge a whole run anew: the findings of every epoch of ``epoch_events(events)``."""
    diagnosis = Diagnosis(thresholds)
    kept: list[Event] = []
    found: list[list[Finding]] = []
    for event in events:
        if event["moment"] in ("on_start", "on_resume"):
            plan = Plan.of(event["run_dir"], event["meta"] or {})
            if event["moment"] == "on_resume":
                kept = [one for one in kept if one["epoch"] < event["epoch"]]
                found = found[: len(kept)]
            diagnosis = Diagnosis(thresholds, plan)
            diagnosis.take_up(kept)
        elif event["moment"] == "on_epoch_end":
            kept.append(event)
            found.append(diagnosis.after(event))
    return found


def _finding(kind: str, evidence: str, case: Case) -> Finding:
    return {"kind": kind, "evidence": evidence, "advice": ADVICE[kind](case)}
