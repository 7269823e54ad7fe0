"""A good start for the UniFrac head, from the data: the scale of distances is right at step 0.

Shapes: U distinct ASVs, B samples.
"""

import torch
from torch import Tensor

from aam.models.encoder import Encoder

NUM_HALVINGS = 25


@torch.no_grad()
def start_unifrac(
    encoder: Encoder,
    tokens_UL: Tensor,
    asv_index_BS: Tensor,
    counts_BS: Tensor,
    mask_BS: Tensor,
    *,
    mean_distance: float,
    spread: float,
    generator: torch.Generator,
) -> None:
    """Draw the clades over a batch's ASVs and set their threshold.

    The threshold is found by bisection so that the mean predicted distance of the batch is
    ``mean_distance``, that of its true distances: the first steps then go into telling samples
    apart instead of into finding the scale (a data-dependent start, as in Salimans & Kingma 2016).
    """
    asv_UD = encoder.nucleotides(tokens_UL)
    encoder.unifrac.start(asv_UD, generator, spread)
    states = encoder.samples(asv_UD, asv_index_BS, counts_BS, mask_BS)
    pairs = torch.triu_indices(len(mask_BS), len(mask_BS), offset=1)

    def mean_predicted() -> float:
        clades = encoder.unifrac(asv_UD, asv_index_BS, counts_BS, mask_BS, states.pooled_BD)
        return float(encoder.unifrac.distances(clades)[pairs[0], pairs[1]].mean())

    # A higher threshold makes clades rarer and samples more distant.
    width = 40 * spread
    for _ in range(NUM_HALVINGS):
        width /= 2
        step = width if mean_predicted() > mean_distance else -width
        encoder.unifrac.shift(step)
