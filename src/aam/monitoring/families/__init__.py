"""The plot families, by name."""

from aam.monitoring.families.base import Family
from aam.monitoring.families.losses import Losses
from aam.monitoring.families.metrics import Metrics
from aam.monitoring.families.training_curves import TrainingCurves
from aam.monitoring.families.unifrac import UniFracPairs

FAMILIES: dict[str, Family] = {
    family.name: family for family in (Losses(), Metrics(), TrainingCurves(), UniFracPairs())
}
