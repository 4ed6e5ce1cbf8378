# SPDX-License-Identifier: MIT
"""Huge pages, for as long as some cells need them: settings of the whole machine, put back afterwards.

The tests change the same settings, and lock the files of those meanwhile; so does this.
"""

import contextlib
import fcntl
import pathlib

SHARED_MEMORY = pathlib.Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
POOL = pathlib.Path("/proc/sys/vm/nr_hugepages")
POOL_PAGES = 128  # 256 MiB


def transparent():
    """What the machine grants to shared memory now: "never", "advise", ..."""
    try:
        return SHARED_MEMORY.read_text().partition("[")[2].partition("]")[0]
    except OSError:
        return "never"


@contextlib.contextmanager
def setting(path, text):
    """The setting is `text` within. Yields False, and changes nothing, where we may not."""
    try:
        with open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = path.read_text().strip()
            before = before.partition("[")[2].partition("]")[0] or before
            path.write_text(text)
            try:
                yield True
            finally:
                path.write_text(before)
    except OSError:
        yield False


@contextlib.contextmanager
def granted():
    """Transparent huge pages for whoever asks, and a pool of them, within."""
    with contextlib.ExitStack() as stack:
        if transparent() == "never":
            stack.enter_context(setting(SHARED_MEMORY, "advise"))
        stack.enter_context(setting(POOL, str(POOL_PAGES)))
        yield transparent() != "never"
