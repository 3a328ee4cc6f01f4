"""The memory that there is: of the control groups of this process, or of the machine.

A container, a service or a job of a batch system may use less than the machine has; its control
group says how much, and how often the system has killed a process of it for want of memory.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path, PurePosixPath

import psutil

from pipeline.errors import UserError

# Where groups lie, by the controllers that /proc/self/cgroup lists: version 1, and version 2.
_GROUPS = {"memory": "/sys/fs/cgroup/memory", "": "/sys/fs/cgroup"}
_LIMITS = ("memory.limit_in_bytes", "memory.max")
_EVENTS = ("memory.oom_control", "memory.events")
# Measured on 36 million samples of each kind, from grey TIFF (1) over PNG (2.5 to 5) to PNG of
# three colours of 16 bits (4.8): so many times the bytes of its samples takes an image to decode.
_TIMES = 5
# Images that take more than this share of a thread's part of the memory are decoded in turn.
_SMALL = 1 / 4
_turn = threading.Lock()


@cache
def limit() -> int:
    """Bytes of memory that this process may use."""
    groups = [int(text) for text in _texts(_LIMITS) if text.strip().isdigit()]
    return min([int(psutil.virtual_memory().total), *groups])


def cores() -> int:
    """How many processors this process may use: of its affinity, and the quota of its group."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def kills() -> int:
    """How many processes of this one's control group the system has killed for want of memory."""
    words = [line.split() for text in _texts(_EVENTS) for line in text.splitlines()]
    return max((int(each[1]) for each in words if each[0] == "oom_kill"), default=0)


def _texts(names: tuple[str, ...]) -> Iterator[str]:
    """What files of this process's control group, and of those above it, say."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers not in _GROUPS:
                continue
            # In a container the group is at the root, whatever its path outside is.
            for folder in (PurePosixPath(group), *PurePosixPath(group).parents):
                for name in names:
                    with suppress(OSError):
                        yield Path(f"{_GROUPS[controllers]}{folder}", name).read_text()


def check(path: Path, height: int, width: int, pixel_bytes: int) -> None:
    """Refuse an image that there is not enough memory to decode; `pixel_bytes` are stored ones."""
    needed = _TIMES * height * width * pixel_bytes
    if needed > limit():
        from dask.utils import format_bytes

        raise UserError(
            f"{path} is {height} x {width} samples, which take up to {format_bytes(needed)} of "
            f"memory to decode, and {format_bytes(limit())} may be used: cut it into pieces, or "
            "allow more memory"
        )


@contextmanager
def room(path: Path, height: int, width: int, pixel_bytes: int) -> Iterator[None]:
    """Decode an image in here: checked as by `check`, and large ones one at a time."""
    check(path, height, width, pixel_bytes)
    large = _TIMES * height * width * pixel_bytes > _SMALL * limit() / cores()
    with _turn if large else nullcontext():
        yield
