"""A Slurm of two nodes on this machine, in a folder of its own; nothing of the system is touched.

Debian has it: slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGTERM

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
_CONF = """\
ClusterName=aam
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
# A job that was requeued waits until its credential has expired: two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=4000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why there can be no cluster here; empty if there can."""
    if os.getuid() != 0:
        return "the daemons of Slurm are started by root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"Slurm is not installed: there is no {', '.join(missing)}" if missing else ""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster while the block does; gives what its commands need in their environment."""
    for name in ("state", "n1", "n2"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for above in (folder, *folder.parents):  # munged trusts no folder that others may write
        if above.stat().st_uid == os.getuid() and above != Path("/tmp"):
            above.chmod(above.stat().st_mode & ~0o022 | 0o755)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(folder=folder, host=host, ports=_free_ports(3)))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    try:
        _start(
            "munged",
            *(f"--socket={folder}/munge.socket", f"--key-file={key}"),
            *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
            f"--seed-file={folder}/munged.seed",
        )
        _start("slurmctld", environment=environment)
        for node in ("n1", "n2"):
            _start("slurmd", "-N", node, environment=environment)
        _wait_until_idle(environment)
        yield environment
    finally:
        for name in ("n1", "n2", "slurmctld", "munged"):
            with suppress(OSError, ValueError):
                os.kill(int((folder / f"{name}.pid").read_text()), SIGTERM)


def _start(*command: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


def _wait_until_idle(environment: dict[str, str]) -> None:
    states = ""
    for _ in range(60):
        command = ["sinfo", "--noheader", "--Node", "--format=%T"]
        states = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        ).stdout
        if states.split() == ["idle", "idle"]:
            return
        time.sleep(1)
    raise AssertionError(f"the nodes did not come up: {states}")


def _free_ports(number: int) -> list[int]:
    held = [socket.socket() for _ in range(number)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
