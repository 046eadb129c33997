"""How much memory a working process may take: counted by the kernel as private memory that can be written to."""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import Final

#: The environment of a process whose memory is limited: Arrow's own allocators take a GiB of addresses ahead, and what
#: they have taken counts whether it is used or not.
COUNTED: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


def data_bytes(process: int | str = "self") -> int:
    """What counts towards the limit, of a process that may be gone: 0 then."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[5]) * resource.getpagesize()


def allow(more_bytes: int) -> None:
    """From here on, take at most so much more than now; the kernel refuses what is beyond."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + more_bytes, most))


def allow_any() -> None:
    """No limit, while an error is reported."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def give_back() -> None:
    """What a large answer took goes back to the system."""
    import pyarrow as pa

    gc.collect()
    pa.default_memory_pool().release_unused()
