"""From the command to the first update: how long it takes, and what it is spent on.

    python benchmarks/startup.py [--repeats 5] [KEY=VALUE …]

Runs ``aam-train`` with these settings (the demo data by default) in processes of their own, one
after another, and stops each after its first update. Time runs from the start of the process; an
import is counted where it is first made, with all that it imports in turn but for the packages of
this list.
"""

import argparse
import builtins
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = ("torch", "torch._dynamo", "hydra", "omegaconf", "pandas", "scipy", "skbio", "h5py")
PACKAGES += ("numpy", "sklearn", "matplotlib", "tensorboard", "tqdm")


class Clock:
    """Seconds by stage; a stage within another is not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextlib.contextmanager
    def stage(self, name: str):
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            own = whole - self._inner.pop()
            self._inner[-1] += whole
            self.seconds[name] = self.seconds.get(name, 0.0) + own

    def watch(self, owner: object, function: str, name: str) -> None:
        """Count a function's time as a stage."""
        given = getattr(owner, function)

        def watched(*args, **keywords):
            with self.stage(name):
                return given(*args, **keywords)

        setattr(owner, function, watched)


def since_process_start() -> float:
    """Seconds that this process has lived."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def child(arguments: list[str], report: str) -> None:
    """``aam-train`` up to the end of its first update."""
    clock = Clock()
    clock.seconds["interpreter"] = since_process_start()
    plain = builtins.__import__

    def watched(name, *rest, **keywords):
        package = next((one for one in reversed(PACKAGES) if f"{name}.".startswith(f"{one}.")), "")
        if not package or package in sys.modules:
            return plain(name, *rest, **keywords)
        with clock.stage(f"import {package}"):
            return plain(name, *rest, **keywords)

    builtins.__import__ = watched
    sys.argv[:] = ["aam-train", *arguments]
    from aam.cli.train import main

    with clock.stage("import aam"):
        import aam.cli.launch
        import aam.loops.pretrain
        import aam.loops.session as session
        from aam.loops.pretrain_task import PretrainTask
        from aam.training.engine import Engine

    clock.watch(aam.loops.pretrain, "load_study", "read table and tree")
    clock.watch(session, "_engine", "model and optimizer")
    clock.watch(session, "run_metadata", "facts of the start")
    clock.watch(PretrainTask, "step", "first step, forward")
    update = Engine._update

    def first_update(engine, *rest):
        update(engine, *rest)
        total = since_process_start()
        rest = total - sum(clock.seconds.values())
        found = {"in all": total, "the rest: composing, backward pass, update": rest}
        Path(report).write_text(json.dumps(found | clock.seconds), encoding="ascii")
        os._exit(0)

    Engine._update = first_update
    main()


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[3:], sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options, settings = parser.parse_known_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        for _ in range(options.repeats):
            command = [sys.executable, __file__, "--child", str(report), *settings]
            environment = {**os.environ, "AAM_OUTPUTS": folder}
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            runs.append(json.loads(report.read_text(encoding="ascii")))
    print(f"| stage | seconds (median of {len(runs)}) |\n|---|---|")
    median = {name: statistics.median(run.get(name, 0.0) for run in runs) for name in runs[0]}
    for name, seconds in sorted(median.items(), key=lambda item: -item[1]):
        if seconds >= 0.02:
            print(f"| {name} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
