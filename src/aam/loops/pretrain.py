"""``loop=pretrain``: learn from tables without labels, by UniFrac distances and masked bases."""

from aam.config import Config, PretrainConfig
from aam.data.batches import BatchMaker
from aam.data.splits import Split
from aam.data.study import load_study
from aam.errors import UserError
from aam.loops.machine import fit_to_machine
from aam.loops.prepared import Prepared
from aam.loops.pretrain_draws import Draws
from aam.loops.pretrain_task import METRIC_NAMES, PretrainTask
from aam.loops.run import Run
from aam.loops.session import train
from aam.loops.splitting import split_of, warn_of_groups
from aam.losses.targets import UnifracTargets
from aam.models.pretrain import PretrainModel
from aam.prediction.models import make_encoder
from aam.training.devices import pick_device, seed_everything
from aam.training.distributed import of_first


def pretrain(config: Config, run: Run) -> float:
    """Build data and model, train, and return the best value of the watched figure."""
    return train(prepare(config, run), run)


def prepare(config: Config, run: Run) -> Prepared:
    """Build data and model.

    Raises
    ------
    UserError
        As ``load_study`` and ``split_of`` do; or a part of the split has too few samples.
    """
    assert isinstance(config.loop, PretrainConfig)
    device = pick_device(config.trainer)
    seed_everything(config.trainer)
    study = load_study(config.data)
    warn_of_groups(study, config.data)
    split = of_first(lambda: split_of(study, config, run))
    _refuse_lonely(split)
    maker = BatchMaker(
        study,
        rarefaction_depth=config.data.rarefaction_depth,
        token_limit=config.data.token_limit,
        random_tokens=config.data.token_selection == "random",
    )
    draws = Draws(
        maker=maker,
        targets=UnifracTargets(study, config.data),
        split=split,
        loop=config.loop,
        batch_size=config.data.batch_size,
        seed=config.trainer.seed,
    )
    encoder = make_encoder(config.model, config.data)
    encoder.nucleotides.check_length(study.tokens.shape[1] - 1)
    fit_to_machine(encoder, config, maker, split.train, device)
    model = PretrainModel(encoder, dim=config.model.dim).to(device)
    return Prepared(
        task=PretrainTask(model, draws, device),
        config=config,
        device=device,
        maker=maker,
        split=split,
        metric_names=METRIC_NAMES,
        inputs=study.files,
        num_samples={part: len(getattr(split, part)) for part in ("train", "val", "test")},
    )


def _refuse_lonely(split: Split) -> None:
    for part in ("train", "val", "test"):
        num_samples = len(getattr(split, part))
        if num_samples == 1 or (num_samples == 0 and part == "train"):
            raise UserError(
                f"the {part} part of the split has {num_samples} samples, but a distance needs two;"
                " change split.val_fraction and split.test_fraction (0 leaves a part out), or give"
                " more samples"
            )
