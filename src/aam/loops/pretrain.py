"""``loop=pretrain``: learn from tables without labels, by UniFrac distances and masked bases."""

from dataclasses import asdict

from aam.config import Config
from aam.data.batches import BatchMaker
from aam.data.splits import Split, read_split, split_samples, write_split
from aam.data.study import Study, load_study
from aam.errors import UserError
from aam.loops.pretrain_draws import Draws
from aam.loops.pretrain_task import METRIC_NAMES, PretrainTask
from aam.loops.run import Run
from aam.loops.session import train
from aam.losses.targets import UnifracTargets
from aam.models.encoder import Encoder
from aam.models.pretrain import PretrainModel
from aam.training.devices import pick_device, seed_everything


def pretrain(config: Config, run: Run) -> float:
    """Build data and model, train, and return the best value of the watched figure."""
    device = pick_device(config.trainer)
    seed_everything(config.trainer)
    study = load_study(config.data)
    split = _split(study, config, run)
    draws = Draws(
        maker=BatchMaker(
            study,
            rarefaction_depth=config.data.rarefaction_depth,
            token_limit=config.data.token_limit,
            random_tokens=config.data.token_selection == "random",
        ),
        targets=UnifracTargets(study, config.data),
        split=split,
        loop=config.loop,
        batch_size=config.data.batch_size,
        seed=config.trainer.seed,
    )
    model = _model(config).to(device)
    model.encoder.nucleotides.check_length(study.tokens.shape[1] - 1)
    task = PretrainTask(model, draws, device)
    return train(
        task,
        config,
        run,
        device=device,
        metric_names=METRIC_NAMES,
        inputs=study.files,
        num_samples={part: len(getattr(split, part)) for part in ("train", "val", "test")},
    )


def _split(study: Study, config: Config, run: Run) -> Split:
    """Deal the samples out and write down how; a resumed run keeps to what was written."""
    path = None if run.run_dir is None else run.run_dir / "split.tsv"
    if path is not None and run.resume:
        return read_split(path, study.sample_ids)
    columns = {}
    for key in ("group_column", "stratify_column"):
        name = getattr(config.data, key)
        columns[key] = None if name is None else study.column(f"data.{key}", name)
    groups = columns["group_column"]
    split = split_samples(
        study.sample_ids,
        val_fraction=config.split.val_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.split.seed,
        groups=None if groups is None else groups.values,
        strata=columns["stratify_column"],
    )
    _refuse_lonely(split)
    if path is not None:
        write_split(path, study.sample_ids, split)
    return split


def _refuse_lonely(split: Split) -> None:
    for part in ("train", "val", "test"):
        num_samples = len(getattr(split, part))
        if num_samples == 1 or (num_samples == 0 and part == "train"):
            raise UserError(
                f"the {part} part of the split has {num_samples} samples, but a distance needs two;"
                " change split.val_fraction and split.test_fraction (0 leaves a part out), or give"
                " more samples"
            )


def _model(config: Config) -> PretrainModel:
    data = config.data
    encoder = Encoder(
        **asdict(config.model), unifrac=data.unifrac, unifrac_alpha=data.unifrac_alpha
    )
    return PretrainModel(encoder, dim=config.model.dim)
