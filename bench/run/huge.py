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
        return chosen(SHARED_MEMORY)
    except OSError:
        return "never"


@contextlib.contextmanager
def setting(path, change, undo):
    """The setting is change(before) within, and undo(before, after, now) afterwards. Changes nothing where we may not."""
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
    """Of "always [never]" the word in brackets; else all of it."""
    text = path.read_text().strip()
    return text.partition("[")[2].partition("]")[0] or text


def advise():
    """Whoever asks gets transparent ones."""
    return setting(SHARED_MEMORY, lambda before: "advise", lambda before, after, now: before)


def pool():
    """More of them in the pool; as many fewer afterwards, for others may have changed it meanwhile."""
    return setting(
        POOL,
        lambda before: str(int(before) + POOL_PAGES),
        lambda before, after, now: str(max(0, int(now) - (int(after) - int(before)))),
    )


@contextlib.contextmanager
def granted():
    """Transparent huge pages for whoever asks, and a pool of them, within. Yields whether there are transparent ones."""
    with contextlib.ExitStack() as stack:
        if transparent() == "never":
            stack.enter_context(advise())
        stack.enter_context(pool())
        yield transparent() != "never"
