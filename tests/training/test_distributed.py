"""What ranks do together, by three processes on the CPU, against what one does alone."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aam.config import TrainerConfig
from aam.errors import RankLostError, UserError
from aam.training import distributed
from aam.training.lifeline import Lifeline, Meeting, meet_first

NUM_RANKS, NUM_ROWS = 3, 7
DRIVER = """
import os, sys
import torch
from aam.config import TrainerConfig
from aam.errors import RankLostError
from aam.training import distributed as d
from tests.training.test_distributed import NUM_ROWS, layer_and_rows, loss_of

def fail():
    raise ValueError("no")

with d.joined(TrainerConfig(device="cpu")):
    layer, x = layer_and_rows()
    rank, own = int(os.environ["RANK"]), d.own_rows(NUM_ROWS)
    loss = loss_of(d.gathered(layer(x[own]), NUM_ROWS))
    (loss + d.mean_of_all(layer(x[own]).square().mean(1), NUM_ROWS)).backward()
    one = d.own_rows(1)
    try:
        d.of_first(fail)
    except (ValueError, RankLostError) as error:
        failure = f"{type(error).__name__}: {error}"
    told = {
        "rows": list(range(NUM_ROWS))[own],
        "loss": loss.detach(),
        "grad": layer.weight.grad,
        "mean of one": d.mean_of_all(x[one, 0], 1),
        "share": d.share(len(x[own]), NUM_ROWS) * float(x[own].mean()),
        "means": d.mean_over_ranks({"rank": rank, "third": rank / 3}),
        "most": d.most(rank, -rank),
        "first": d.of_first(lambda: ("rank", rank)),
        "failure": failure,
        "is_first": d.is_first(),
    }
    torch.save(told, f"{sys.argv[1]}/{rank}.pt")
"""


def layer_and_rows() -> tuple[torch.nn.Linear, Tensor]:
    """The same on every rank."""
    torch.manual_seed(0)
    return torch.nn.Linear(4, 3, bias=False), torch.randn(NUM_ROWS, 4)


def loss_of(rows_BK: Tensor) -> Tensor:
    """A loss of all pairs of rows, as UniFrac's is."""
    return torch.cdist(rows_BK, rows_BK.sin()).square().mean()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "driver.py").write_text(DRIVER)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(NUM_RANKS)}
    common |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    ranks = [
        subprocess.Popen(  # as torchrun does, which takes seconds to load
            [sys.executable, folder / "driver.py", folder],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(NUM_RANKS)
    ]
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * NUM_RANKS, "".join(errors)
    return [torch.load(folder / f"{rank}.pt") for rank in range(NUM_RANKS)]


def test_rows_are_dealt_out_evenly_and_none_twice(told: list[dict[str, Any]]) -> None:
    assert [one["rows"] for one in told] == [[0, 1, 2], [3, 4], [5, 6]]


def test_the_mean_of_gradients_is_the_gradient_of_the_whole(told: list[dict[str, Any]]) -> None:
    layer, x = layer_and_rows()
    loss = loss_of(distributed.gathered(layer(x), NUM_ROWS))
    (loss + distributed.mean_of_all(layer(x).square().mean(1), NUM_ROWS)).backward()
    mean = torch.stack([one["grad"] for one in told]).mean(0)
    torch.testing.assert_close(mean, layer.weight.grad)
    assert len({float(one["loss"]) for one in told}) == 1
    torch.testing.assert_close(told[0]["loss"], loss.detach())


def test_shares_average_to_the_mean_of_all(told: list[dict[str, Any]]) -> None:
    _, x = layer_and_rows()
    assert sum(one["share"] for one in told) / NUM_RANKS == pytest.approx(float(x.mean()))
    of_one = [float(one["mean of one"]) for one in told]
    assert of_one == pytest.approx([NUM_RANKS * float(x[0, 0]), 0, 0])  # two ranks have no row


def test_ranks_agree(told: list[dict[str, Any]]) -> None:
    for one in told:
        assert one["means"] == {"rank": 1.0, "third": pytest.approx(1 / 3)}
        assert one["means"] == told[0]["means"]  # to the last bit
        assert one["most"] == (2, 0)
        assert one["first"] == ("rank", 0)
    lost = "RankLostError: the first rank ended with ValueError: no"
    assert [one["failure"] for one in told] == ["ValueError: no", lost, lost]
    assert [one["is_first"] for one in told] == [True, False, False]


def test_one_process_alone_is_all_there_is() -> None:
    x = torch.randn(5, 2)
    with distributed.joined(TrainerConfig()):
        assert distributed.own_rows(5) == slice(0, 5)
        assert distributed.gathered(x, 5) is x
        assert distributed.mean_of_all(x, 10) == x.mean()
        assert distributed.share(3, 4) == 1
        assert distributed.mean_over_ranks({"a": 0.1}) == {"a": 0.1}
        assert distributed.most(3, 0) == (3, 0)
        assert distributed.of_first(lambda: 7) == 7
    with (
        pytest.raises(UserError, match=r"strategy=fsdp needs torchrun"),
        distributed.joined(TrainerConfig(strategy="fsdp")),
    ):
        pass


@dataclass
class Pair:
    """The lifelines of the first rank and of another one, in one process."""

    near: socket.socket
    far: socket.socket

    def __post_init__(self) -> None:
        self.first, self.other = Lifeline({2: self.near}), Lifeline({0: self.far})

    def end_far(self) -> None:
        """As the system does when a process ends."""
        self.far.shutdown(socket.SHUT_WR)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends that have met, and a stranger who was not let in."""
    meeting = Meeting()
    found: dict[int, socket.socket] = {}
    waiting = threading.Thread(target=lambda: found.update(meeting.wait_for(1)))
    with socket.create_connection(("127.0.0.1", meeting.port)) as stranger:
        stranger.sendall(b"x" * 20)
        waiting.start()
        other = meet_first("127.0.0.1", meeting.port, meeting.token, 2)
        waiting.join()
        assert stranger.recv(1) == b""
    assert found.keys() == {2}
    pair = Pair(found[2], other[0])
    yield pair
    for lifeline, end in ((pair.first, pair.near), (pair.other, pair.far)):
        lifeline.take_in_hand()
        with suppress(OSError):  # it is gone already
            end.shutdown(socket.SHUT_RDWR)
    for thread in threading.enumerate():
        if thread.name == "lifeline":
            thread.join()
    for end in (pair.near, pair.far):
        end.close()


def test_a_rank_that_dies_is_named(pair: Pair) -> None:
    with pair.first:
        pair.other.__enter__()
        pair.end_far()
        pair.first.take_in_hand()
        assert pair.first.loss() == f"rank 2 (process {os.getpid()} on {socket.gethostname()}) died"


def test_a_rank_that_fails_says_why(pair: Pair) -> None:
    with pair.first:
        with pytest.raises(ValueError, match="tired"), pair.other:
            raise ValueError("tired")
        pair.end_far()
        pair.first.take_in_hand()
        assert str(pair.first.loss()).endswith("ended with ValueError: tired")


def test_a_rank_that_is_done_is_not_lost(pair: Pair) -> None:
    with pair.first:
        with pair.other:
            pass
        pair.end_far()
        assert pair.first.loss() is None


def test_a_connection_lasts_as_long_as_the_process(pair: Pair) -> None:
    with pair.first:
        pair.end_far()
        pair.first.take_in_hand()
        assert pair.first.loss() is not None
    pair.near.close()
    pair.far.settimeout(10)
    said = pair.far.makefile("rb")
    assert [said.readline()[:7] for _ in range(2)] == [b'{"host"', b'{"end":']
    pair.far.settimeout(0.1)
    with pytest.raises(TimeoutError):  # and not the end, which is b""
        said.read(1)


def test_a_process_that_hangs_when_a_rank_is_lost_says_so_and_ends() -> None:
    hangs = """
import socket, time
from aam.training import lifeline
lifeline.GRACE_S = 0.1
near, far = socket.socketpair()
with lifeline.Lifeline({1: near}, lambda error: print("the last", flush=True)) as held:
    held.at_loss = lambda error: print(type(error).__name__, error, flush=True)
    far.close()
    time.sleep(60)
"""
    done = subprocess.run(
        [sys.executable, "-c", hangs], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout == "RankLostError rank 1 (process ? on ?) died\nthe last\n"
    assert done.returncode == 1


def test_only_what_comes_from_the_connection_is_the_loss_of_a_rank(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair.first:
        pair.end_far()
        monkeypatch.setattr(distributed, "_lifeline", pair.first)
        own = ValueError("my own")
        assert distributed.explained(own) is own
        error = RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
        lost = distributed.explained(error)
        assert isinstance(lost, RankLostError)
        assert str(lost) == "rank 2 (process ? on ?) died"
        assert lost.__cause__ is error
        assert distributed.explained(lost) is lost
