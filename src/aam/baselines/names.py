"""The baselines by name. What a figure calls them stands in ``aam.monitoring.style``."""

from aam.data.targets import CLASSIFICATION, REGRESSION

_FEATURES = (
    "random_forest",
    "knn_bray_curtis",
    "knn_unifrac",
    "kernel_bray_curtis",
    "kernel_unifrac",
    "linear_clr",
)
NAMES = {
    REGRESSION: ("mean", "batch_mean", "read_depth", *_FEATURES),
    CLASSIFICATION: ("majority", "batch_majority", "read_depth", *_FEATURES),
}
"""By task, in the order in which they are fitted and listed."""


def baseline_names(task: str, batch: bool, tree: bool) -> tuple[str, ...]:
    """Names of the baselines of a task, with a batch column or not, with a tree or not."""
    return tuple(
        name
        for name in NAMES[task]
        if (batch or not name.startswith("batch_")) and (tree or not name.endswith("_unifrac"))
    )
