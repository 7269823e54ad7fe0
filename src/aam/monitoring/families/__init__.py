"""The plot families, by name."""

from aam.monitoring.families.base import Family
from aam.monitoring.families.confusion_matrix import ConfusionMatrix
from aam.monitoring.families.losses import Losses
from aam.monitoring.families.lr_find import LrFind
from aam.monitoring.families.metrics import Metrics
from aam.monitoring.families.pred_vs_actual import PredVsActual
from aam.monitoring.families.residuals import Residuals
from aam.monitoring.families.roc_pr import RocPr
from aam.monitoring.families.training_curves import TrainingCurves
from aam.monitoring.families.unifrac import UniFracPairs

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Losses(),
        Metrics(),
        TrainingCurves(),
        UniFracPairs(),
        PredVsActual(),
        Residuals(),
        ConfusionMatrix(),
        RocPr(),
        LrFind(),
    )
}
