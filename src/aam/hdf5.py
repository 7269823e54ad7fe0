"""Safe reading of HDF5 files: nothing outside of the file, and no more memory than it explains.

The library follows links to other files, trusts every size that a file states, unpacks a chunk
however large it becomes, and over some broken files it never ends or crashes. So a process of its
own, with limits, reads a file before this one does.
"""

import faulthandler
import math
import os
import resource
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from aam.errors import UserError
from aam.inputs import SUSPECT_BYTES, SUSPECT_RATIO

# What h5py raises over a file that is not what it says.
DAMAGE = (
    OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError,
    OverflowError, MemoryError,
)  # fmt: skip
_BLOCK = 256  # texts at once: each may be as long as the file
_CPU_S = 1  # and one more for each MiB
_SPARE_BYTES = 2**29  # what the library may need beside what is read
_Read = TypeVar("_Read")


class Hdf5:
    """An open file of ``size`` bytes; what it holds is named by paths such as ``sample/ids``."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._most_bytes = _most_bytes(size)

    def lacking(self, *names: str) -> list[str]:
        """Those that are not in the file; a link, wherever it leads, counts as absent."""
        return [name for name in names if not self._is_own(name)]

    def array(self, name: str) -> NDArray[Any]:
        """A dataset of numbers; one of ``DAMAGE`` if it cannot be had."""
        values: NDArray[Any] = self._dataset(name)[...]
        return values

    def texts(self, name: str) -> list[str]:
        """A dataset of UTF-8 texts ``[N]``; one of ``DAMAGE`` if it cannot be had."""
        dataset = self._dataset(name)
        if dataset.ndim != 1:
            raise ValueError(f"{name} is no list but of shape {dataset.shape}")
        found: list[str] = []
        num_letters = 0
        for start in range(0, dataset.size, _BLOCK):
            found.extend(dataset.asstr("utf-8")[start : start + _BLOCK])
            num_letters += sum(map(len, found[start:]))
            if num_letters > self._most_bytes:  # many that are one and the same in the file
                raise ValueError(f"{name} would be more than {num_letters} letters")
        return found

    def _is_own(self, name: str) -> bool:
        import h5py

        group = self._file
        for part in name.split("/"):
            is_group = isinstance(group, h5py.Group)
            if not is_group or not isinstance(group.get(part, getlink=True), h5py.HardLink):
                return False
            group = group[part]
        return True

    def _dataset(self, name: str) -> Any:
        """A dataset whose values are in the file, and of a size that the file explains."""
        import h5py

        dataset = self._file[name] if self._is_own(name) else None
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            raise ValueError(f"{name} is no dataset")
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"{name} lies in another file")
        num_bytes = dataset.id.get_type().get_size() * math.prod(map(int, dataset.shape))
        if num_bytes > self._most_bytes:
            raise ValueError(f"{name} says that it has {num_bytes} bytes")
        return dataset


def read_hdf5(source: Path | bytes, read: Callable[[Hdf5], _Read]) -> _Read:
    """What ``read`` makes of a file, or of its content.

    Raises
    ------
    UserError
        If ``read`` does.
    DAMAGE
        The file is none, is broken, or takes more time or memory than it should.
    """
    import h5py

    size = len(source) if isinstance(source, bytes) else source.stat().st_size

    def whole() -> _Read:
        place = BytesIO(source) if isinstance(source, bytes) else source
        with h5py.File(place, "r") as file:
            return read(Hdf5(file, size))

    _try_out(whole, size)
    return whole()


def _most_bytes(size: int) -> int:
    """The most that a file of so many bytes may hold once it is unpacked."""
    return max(SUSPECT_BYTES, SUSPECT_RATIO * size)


def _try_out(read: Callable[[], object], size: int) -> None:
    """Have a copy of this process do it under limits; ``ValueError`` if that does not end well."""
    result, end = os.pipe()
    with warnings.catch_warnings():
        # Python warns of forks beside threads: the copy takes no lock that one could hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _end_with_reason(read, size, end)
    os.close(end)
    with os.fdopen(result, "rb") as file:
        reason = file.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGXCPU:
        raise ValueError("the HDF5 library does not come to an end with it")
    if code:
        raise ValueError(reason or f"the HDF5 library crashes over it, with signal {-code}")


def _end_with_reason(read: Callable[[], object], size: int, end: int) -> None:
    """In the copy: read, write what went wrong, and leave without a trace."""
    code = 1
    try:
        faulthandler.disable()
        _limit(size)
        with suppress(UserError):  # which this process is to raise itself
            read()
        code = 0
    except BaseException as error:
        with suppress(OSError):
            reason = str(error) or type(error).__name__
            os.write(end, reason[:500].encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _limit(size: int) -> None:
    seconds = _CPU_S + size // 2**20
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # systems that do not tell, or do not limit
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + _SPARE_BYTES + 2 * _most_bytes(size)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
