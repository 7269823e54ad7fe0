"""Models as a config describes them: made in a training loop, and again where a run predicts.

Shapes: U distinct ASVs of a batch, B samples, O outputs, V covariate values.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from aam.config import LOOPS, DataConfig, FinetuneConfig, ModelConfig, ProbeConfig
from aam.data.batches import Batch
from aam.data.recipe import Recipe
from aam.errors import UserError
from aam.models.encoder import Encoded, Encoder
from aam.models.memory import settled
from aam.models.probe import ProbeModel
from aam.models.supervised import SupervisedModel

_Group = TypeVar("_Group")
_Loadable = TypeVar("_Loadable", bound="HasState")


class HasState(Protocol):
    """What weights can be loaded into, as into an ``nn.Module``."""

    def state_dict(self) -> Mapping[str, Any]:
        """The weights by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take these."""


class SampleModel(HasState, Protocol):
    """What can predict: an ``nn.Module`` around an encoder."""

    @property
    def encoder(self) -> Encoder:
        """Whose ``nucleotides`` embed ASVs, and whose ``unifrac`` gives distances."""

    @property
    def neutral(self) -> Tensor:
        """The mean embedding of the ASVs that the model was trained on."""

    def encode(self, asv_UD: Tensor, batch: Batch) -> Encoded:
        """The sample level, from ASV embeddings."""

    def outputs(self, encoded: Encoded, batch: Batch, covariates_BV: Tensor | None) -> Tensor:
        """Raw outputs [B, O]: what ``Recipe.finish`` reads."""

    def to(self, device: torch.device) -> Any:
        """As of ``nn.Module``."""

    def eval(self) -> Any:
        """As of ``nn.Module``."""

    def requires_grad_(self, requires_grad: bool) -> Any:
        """As of ``nn.Module``."""


def make_encoder(shape: ModelConfig, data: DataConfig) -> Encoder:
    """A fresh encoder."""
    return Encoder(**asdict(settled(shape)), unifrac=data.unifrac, unifrac_alpha=data.unifrac_alpha)


def make_finetuned(
    encoder: Encoder, shape: ModelConfig, loop: FinetuneConfig, recipe: Recipe
) -> SupervisedModel:
    """The model of ``loop=finetune`` around an encoder."""
    return SupervisedModel(
        encoder,
        dim=shape.dim,
        num_outputs=len(recipe.classes) or len(recipe.names),
        head=loop.head,
        head_dropout=loop.head_dropout,
        num_covariates=sum(one.num_values for one in recipe.covariates),
        covariate_fusion=loop.covariate_fusion,
        predicts_counts=loop.count_weight > 0,
    )


def make_probe(
    encoder: Encoder, shape: ModelConfig, loop: ProbeConfig, recipe: Recipe
) -> ProbeModel:
    """The model of ``loop=probe``: what was fitted comes with the weights."""
    return ProbeModel(encoder)


# By loop: encoder, its shape, settings of the loop, recipe → a model that weights can be loaded to.
_MAKERS: dict[str, Callable[[Encoder, ModelConfig, Any, Recipe], SampleModel]] = {
    "finetune": make_finetuned,
    "probe": make_probe,
}
_REFUSED = {
    "pretrain": "it learned UniFrac and no metadata column: fine-tune it by aam-train "
    "loop=finetune pretrained=RUN data.target=COLUMN",
    "mlp": "its inputs are the ASVs of its own table, so that it knows no others: train "
    "loop=finetune",
    "random_forest": "its inputs are the ASVs of its own table, and a forest cannot be kept in a "
    "file that is safe to load: train loop=finetune",
}


def make_model(config: Mapping[str, Any], recipe: Recipe) -> SampleModel:
    """A fresh model as a checkpoint's ``config`` describes it, of a loop that is not refused."""
    name, shape = config["loop"]["name"], saved_group(ModelConfig, config["model"])
    encoder = make_encoder(shape, saved_group(DataConfig, config["data"]))
    return _MAKERS[name](encoder, shape, saved_group(LOOPS[name], config["loop"]), recipe)


def load_into(
    make: Callable[[], _Loadable], shape: ModelConfig, weights: Mapping[str, Any]
) -> _Loadable:
    """A model of these weights, whose sizes are compared before memory is given to it.

    Raises
    ------
    ValueError
        If the weights are not those of such a model.
    """
    if shape.nucleotide_layers + shape.sample_layers > len(weights):
        raise ValueError("its weights are fewer than its layers")
    with torch.device("meta"):
        wanted = _sizes(make().state_dict())
    if wanted != _sizes(weights):
        raise ValueError("its weights are not of the shape that its settings say")
    model = make()
    model.load_state_dict(weights)
    return model


def saved_group(schema: type[_Group], saved: object) -> _Group:
    """A group of the config as a checkpoint keeps it, every type checked."""
    from omegaconf import OmegaConf

    group = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), saved))
    assert isinstance(group, schema)
    return group


def _sizes(weights: Mapping[str, Any]) -> dict[str, object]:
    """By name; whatever is no tensor has none."""
    return {
        name: (weight.shape, weight.is_floating_point()) if isinstance(weight, Tensor) else None
        for name, weight in weights.items()
    }


def refuse_loop(name: str) -> None:
    """``UserError`` that says why models of a loop cannot predict other tables; else nothing."""
    if name not in _MAKERS:
        why = _REFUSED.get(name, f"only those of loop={' and loop='.join(_MAKERS)} can")
        raise UserError(f"a run of loop={name} cannot predict: {why}")
