"""What an epoch has come to so far: part of the state of a run that stops within it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class EpochSoFar:
    """The training batches of an epoch that are done, and what they gave."""

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Of figures, by plain name."""
    num_samples: int = 0
    seconds: float = 0.0
    """Of training, over all resumes."""

    def add(self, values: Mapping[str, float], num_samples: int) -> None:
        """Count one more batch."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.num_samples += num_samples
        self.steps += 1

    def means(self) -> dict[str, float]:
        """Mean figures per batch."""
        return {name: total / self.steps for name, total in self.sums.items()}
