"""Which runs are found, and when one of them has changed."""

import asyncio

from aam.monitoring.live.board import Board
from aam.monitoring.live.followed import Followed
from aam.monitoring.live.pages import Pages
from aam.monitoring.live.views import run_view


def test_revisions_grow_with_what_is_seen_and_only_then(tmp_path, going_on, epoch_fact):
    board = Board(tmp_path)
    recorder = going_on(tmp_path / "run_a")
    board.scan()
    (entry,) = board.entries()
    state = board.state(entry.key)
    board.scan()
    assert board.state(entry.key) == state
    recorder.emit("on_epoch_end", **epoch_fact(0))
    board.scan()
    assert board.state(entry.key) == {"list": state["list"] + 1, "run": state["run"] + 1}
    (tmp_path / "run_a" / "figures").mkdir()
    (tmp_path / "run_a" / "figures" / "a.png").touch()
    board.scan([entry.key])
    assert board.state(entry.key) == {"list": state["list"] + 1, "run": state["run"] + 2}
    assert board.has_running()
    recorder.close()  # without a last word
    board.scan()
    assert not board.has_running()
    assert board.entries()[0].summary.state == "died"
    assert board.state(entry.key)["list"] == state["list"] + 2


def test_what_is_no_run_or_half_of_one_is_passed_over(tmp_path, going_on, epoch_fact):
    (tmp_path / "notes").mkdir()
    (tmp_path / "torn" / "facts").mkdir(parents=True)
    (tmp_path / "torn" / "facts" / "events.jsonl").write_bytes(b'{"moment": "on_start", "sch')
    (tmp_path / "folder" / "facts" / "events.jsonl").mkdir(parents=True)
    (tmp_path / "around").symlink_to(tmp_path)
    recorder = going_on(tmp_path / "whole")
    recorder.emit("on_epoch_end", **epoch_fact(0))
    with (tmp_path / "whole" / "facts" / "events.jsonl").open("ab") as file:
        file.write(b"\xff\xfe not json\n[1, 2]\n" + b'{"schema_version": 1, "moment": "on_epo')
    board = Board(tmp_path)
    board.scan()
    (entry,) = board.entries()  # and not again by the link
    assert entry.run_dir == tmp_path / "whole"
    told = run_view(entry, Followed(entry.run_dir), tmp_path, 0, "")
    assert (told["run"]["num_done"], told["run"]["state"]) == (1, "running")


def test_one_run_is_a_board_of_itself(tmp_path, going_on):
    going_on(tmp_path / "run_a")
    board = Board(tmp_path / "run_a")
    board.scan()
    assert [entry.run_dir for entry in board.entries()] == [board.folder]


class Counted(Board):
    num_scans = 0

    def scan(self, opened=()) -> None:
        super().scan(opened)
        self.num_scans += 1


def test_it_is_idle_when_nothing_runs_nobody_looks_and_nobody_needs_it(
    tmp_path, going_on, monkeypatch
):
    monkeypatch.setattr("aam.monitoring.live.pages.PAUSE_S", 0.01)
    monkeypatch.setattr("aam.monitoring.live.pages.MAX_PAUSE_S", 0.01)
    board, recorder = Counted(tmp_path), going_on(tmp_path / "run_a")
    needed, idle = [True], []

    async def live() -> None:
        pages = Pages(
            board,
            idle_s=0.0,
            on_idle=lambda: idle.append(True),
            is_needed=lambda: bool(needed),
        )

        async def look() -> None:
            async for _ in pages.changes(None):
                pass

        async def scans() -> None:
            before = board.num_scans
            while board.num_scans < before + 3:
                await asyncio.sleep(0.001)
            assert not idle

        watch = asyncio.create_task(pages.watch())
        await scans()
        needed.clear()  # the run goes on
        await scans()
        page = asyncio.create_task(look())
        await scans()
        recorder.close()  # the page is open
        await scans()
        page.cancel()
        await watch

    asyncio.run(live())
    assert idle == [True]
