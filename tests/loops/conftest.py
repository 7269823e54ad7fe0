"""One thread: tensors here are small, and a second thread only waits."""

import torch

torch.set_num_threads(1)
