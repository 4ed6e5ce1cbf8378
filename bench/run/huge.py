# SPDX-License-Identifier: MIT
"""Huge pages, for as long as some cells need them: settings of the whole machine, restored afterwards.

The tests change these settings, too, and lock the files meanwhile; this module takes the locks as well.
"""

import contextlib
import fcntl
import pathlib

SHARED_MEMORY = pathlib.Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
POOL = pathlib.Path("/proc/sys/vm/nr_hugepages")
POOL_PAGES = 128  # 256 MiB


def transparent():
    """The machine's present grant to shared memory: "never", "advise", ..."""
    try:
        return chosen(SHARED_MEMORY)
    except OSError:
        return "never"


@contextlib.contextmanager
def setting(path, change, undo):
    """Sets the setting to change(before) for the block, and to undo(before, after, now) afterwards. Changes nothing
    where this user may not."""
    try:
        file = open(path, "r+", encoding="ascii")
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = chosen(path)
        path.write_text(change(before))
        after = chosen(path)
        try:
            yield
        finally:
            path.write_text(undo(before, after, chosen(path)))


def chosen(path):
    """The word in brackets of "always [never]"; without brackets the whole text."""
    text = path.read_text().strip()
    return text.partition("[")[2].partition("]")[0] or text


def advise():
    """Grants transparent huge pages on request."""
    return setting(SHARED_MEMORY, lambda before: "advise", lambda before, after, now: before)


def pool():
    """Adds pages to the pool; removes as many afterwards, because other processes may have changed the pool
    meanwhile."""
    return setting(
        POOL,
        lambda before: str(int(before) + POOL_PAGES),
        lambda before, after, now: str(max(0, int(now) - (int(after) - int(before)))),
    )


@contextlib.contextmanager
def granted():
    """Grants transparent huge pages on request, and fills the pool, for the block. Yields whether there are
    transparent ones."""
    with contextlib.ExitStack() as stack:
        if transparent() == "never":
            stack.enter_context(advise())
        stack.enter_context(pool())
        yield transparent() != "never"
