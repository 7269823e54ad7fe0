"""Memory that runs out ends a training with a sentence, not with a traceback."""

import numpy as np
import pytest
import torch

from aam.errors import is_out_of_memory

ADVICE = "a lower data.batch_size or data.token_limit, or a smaller model="
HUGE = 2**60


def raised(action) -> BaseException:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(
    "action",
    [
        lambda: torch.empty(HUGE, dtype=torch.uint8),
        lambda: np.empty(HUGE, dtype=np.uint8),
        lambda: bytearray(HUGE),
    ],
)
def test_allocators_that_are_here_are_understood(action):
    assert is_out_of_memory(raised(action))


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.50 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GiB)"), True),
        (RuntimeError("[enforce fail] not enough memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
        (OSError("out of memory"), False),
    ],
)
def test_what_others_say_of_memory(error, is_one):
    assert is_out_of_memory(error) is is_one


def test_a_run_that_saved_nothing(aam_train, loop):
    def then(config, run):
        raise MemoryError

    loop.then = then
    done = aam_train()
    assert done.code == 1
    assert done.err == (
        "out of memory. Nothing had been saved yet; a training takes less with "
        f"trainer.memory_gib=, {ADVICE}\n"
    )


def test_a_command_that_trains_nothing_gets_no_advice_on_training(aam_facts, monkeypatch):
    def fail(words):
        raise MemoryError

    monkeypatch.setattr("aam.cli.facts_ls.ls", fail)
    code, out, err = aam_facts("ls")
    assert (code, out, err) == (1, "", "out of memory\n")


def test_a_run_that_can_go_on(aam_train, loop):
    def then(config, run):
        loop.folder = run.run_dir
        (run.run_dir / "last.pt").write_bytes(b"weights")
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.50 GiB")

    loop.then = then
    done = aam_train()
    assert done.code == 1
    assert done.err == (
        f"out of memory. What was saved is intact; go on with: aam-train resume={loop.folder} "
        f"trainer.memory_gib=GIB, or start anew with {ADVICE}\n"
    )
