"""What is wrong with a run, judged from its facts: the one place that decides.

Console, figures, live page and facts show these findings; none of them judges by itself.
"""

from aam.monitoring.diagnostics.curve_checks import rolling_std
from aam.monitoring.diagnostics.guarded import GuardedDiagnosis
from aam.monitoring.diagnostics.judge import KINDS, Diagnosis, Finding, replay
from aam.monitoring.diagnostics.limits import limits_of
from aam.monitoring.diagnostics.plan import Plan
from aam.monitoring.diagnostics.spells import Spell, spells

__all__ = [
    "KINDS",
    "Diagnosis",
    "Finding",
    "GuardedDiagnosis",
    "Plan",
    "Spell",
    "limits_of",
    "replay",
    "rolling_std",
    "spells",
]
