"""Histograms of the parameters that are trained, for TensorBoard."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from aam.monitoring.tensorboard_events import Value, histogram

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

Parameters = Callable[[], Iterable[tuple[str, "Parameter"]]]


class TrainedParameters:
    """Knows which parameters have had a gradient since :meth:`watch`.

    One that is frozen has none, nor has one of a head whose loss has no weight. When an epoch is
    over, gradients are gone: each parameter is asked to tell of its first.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._waiting: dict[str, Any] = {}
        self._trained: set[str] = set()

    def watch(self) -> None:
        """Wait for the first gradient of every parameter that may get one."""
        for name, parameter in self._parameters():
            if parameter.requires_grad:
                hook = parameter.register_post_accumulate_grad_hook(self._hook(name))  # type: ignore[no-untyped-call]
                self._waiting[name] = hook

    def histograms(self) -> Iterable[Value]:
        """The distribution of each, as ``parameters/NAME``."""
        for name, parameter in self._parameters():
            if name in self._trained and parameter.requires_grad:
                values = parameter.detach().float().cpu().numpy()
                value = histogram(f"parameters/{name}", values)
                if value is not None:
                    yield value

    def close(self) -> None:
        """Wait no longer."""
        for hook in self._waiting.values():
            hook.remove()
        self._waiting.clear()

    def _hook(self, name: str) -> Callable[["Tensor"], None]:
        def heard(_: "Tensor") -> None:
            self._trained.add(name)
            self._waiting.pop(name).remove()  # so that later steps pay nothing

        return heard
