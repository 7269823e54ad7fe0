"""Lines of a job's log where no scheduler writes one: ``TIME ID EVENT …``."""

from datetime import UTC, datetime


def submitted(job_id: str) -> str:
    """It is in the queue."""
    return _line(job_id, "submitted")


def started(job_id: str, where: str) -> str:
    """It runs on a machine."""
    return _line(job_id, f"started {where}")


def exited(job_id: str, code: int, said: str) -> str:
    """It has left; ``said`` is its last word, where that is of interest."""
    return _line(job_id, f"exited {code} {said}".rstrip())


def _line(job_id: str, event: str) -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {job_id} {event}"
