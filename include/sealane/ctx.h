/* SPDX-License-Identifier: MIT */
/*
 * The context: one process's budget, quotas, registry and figures. Everything else belongs to one.
 * Thread-safe. A process normally has one.
 *
 * After fork() the child must not use, unref or free contexts, pools, connections, servers or blocks of its parent:
 * what the parent writes to is not mapped there (MADV_DONTFORK), and its addresses may belong to other memory. exec()
 * is the end of all of it. A child that does not exec makes a context of its own.
 */
#ifndef SEALANE_CTX_H
#define SEALANE_CTX_H

#include <sealane/base.h>

SEA_BEGIN

/* Zero in any field means its default. */
typedef struct sea_limits {
    uint64_t bytes;  /* payload memory */
    uint32_t blocks; /* blocks held */
    uint32_t fds;    /* descriptors held for them */
} sea_limits;

/* A refusal in full. All texts are NUL-terminated. */
typedef struct sea_refusal {
    int error;          /* negative errno; 0: nothing was refused yet */
    char limit[48];     /* which limit, as its owner knows it: "peer quota (bytes)", "RLIMIT_FSIZE" */
    uint64_t needed;    /* in the limit's unit */
    uint64_t available; /* likewise */
    char advice[160];   /* what to change, or what is wrong */
} sea_refusal;

/*
 * Flags of sea_ctx_options.memory_flags. LOCK: pages are locked while their maker has them mapped for writing, as
 * pooled blocks always are, so that the kernel does not swap them out; RLIMIT_MEMLOCK bounds it. PREFAULT: sealed
 * blocks are mapped when they are made, as pooled ones are, so that writing them takes no page faults. Neither holds
 * against a reader that has the kernel collapse pages (doc/memory.md). NO_HUGE: asks for no larger pages, and pads
 * nothing; shmem_enabled of always, within_size or force gives huge ones unasked, from 2 MiB on. DUMP: memory shared
 * with peers is in core dumps of this process if it was mapped while such a context lives, whichever context maps it.
 * By default it is in none: payloads do not end up in files, and a dump does not grow with what peers lend.
 */
enum { SEA_MEMORY_LOCK = 1, SEA_MEMORY_PREFAULT = 2, SEA_MEMORY_NO_HUGE = 4, SEA_MEMORY_DUMP = 8 };

typedef struct sea_ctx_options {
    /* What this process may hold in blocks of its own, and in its connections' outboxes (4 KiB each, 84 of busy ones).
     * Default: three quarters of the memory that is available to it when the context is made, its cgroups considered,
     * but at least 32 MiB, and no more where neither /proc nor /sys/fs/cgroup tells what our cgroup has; 65 536 blocks,
     * but no more than half of vm.max_map_count; half of RLIMIT_NOFILE. Of pooled blocks the arenas count, each as a
     * block for as long as it is there. */
    sea_limits budget;
    /* What one connection may make us hold, both ways together: blocks of ours that it has on lease,
     * blocks of its own that we import, its arenas (each counts as a block), inline payloads that we got from it (all
     * but 64 KiB of them at a time; in bytes alone, 256 more for each), and replies that it does not read. Our arenas
     * for it have no more bytes either.
     * Default: the half of the budget's bytes; 4096 blocks, but no more than an eighth of vm.max_map_count; a quarter
     * of RLIMIT_NOFILE. */
    sea_limits peer;
    /* The same for all connections of one user id together, and what is made for them of the budget: arenas, and
     * blocks. Default: the budget.
     * Who gives the bytes neither of `peer` nor of `user` has fair shares besides: what is made for one connection,
     * sent or not, is at most 0.30 of the budget, and less the more is taken already, by its user above all; but never
     * so much that another one would find nothing. Shares are of bytes; they call no on_low_water. */
    sea_limits user;
    /* How memory of our own is made: SEA_MEMORY_.... */
    unsigned memory_flags;
    /* A bit for each NUMA node from which it is to come, others only when these are full. Default: as the kernel likes.
     * Where one of them does not exist blocks are refused with -ENODEV, and where the system does not let us choose
     * with -EACCES. */
    uint64_t numa_nodes;
    /*
     * on_low_water is called when less than `low_water` bytes will be left of the budget, or of the tightest limit of
     * the machine and its cgroups, or less than a sixteenth of the budget's blocks or descriptors: before the first
     * block is refused for want of them, and whatever it released is there for that block already.
     * It is called again only after a quarter more than the mark was seen to be left. `nearly` (borrowed) says which
     * limit, how much is needed now, how much there is, and what to change; its error is 0.
     * On the thread that makes the block or the connection, or has a payload copied (of libuv's, where <sealane/uv.h>
     * has one do it); with no lock held. It may drop references of blocks of this process's own, and free other memory;
     * it may not make blocks, nor use, end or free connections, nor drop the last reference of a context.
     * sea_ctx_trim() in it takes effect in the connections' next turns: too late for this block.
     * Default of the mark: a sixteenth of the budget; without on_low_water it must be 0.
     */
    uint64_t low_water;
    void (*on_low_water)(const sea_refusal *nearly, void *user);
    void *low_water_user; /* handed to on_low_water */
    uint64_t reserved[3];
} sea_ctx_options;

/*
 * Makes a context. `options` is borrowed for the call and may be NULL. The caller owns one reference.
 * Does not block, but for reading one small file if there is one: the sizes that sealane-calibrate(1) measured, by
 * which it is chosen how payloads travel. A file that cannot be used is no error: the values that are built in hold,
 * and sea_ctx_refusal() says why.
 * Errors: -EINVAL (unknown flags, a mark without on_low_water, reserved fields not zero), -ENOMEM.
 */
SEA_API int sea_ctx_new(sea_ctx **ret_ctx, const sea_ctx_options *options);

/*
 * Take a reference, and return `ctx`; drop one, and return NULL (`ctx` may be NULL). Blocks, connections and servers
 * hold references of their own, so the order of the destructors does not matter. Whoever drops the last one waits
 * until the kernel has large memory back, some 0.1 s for each GiB (doc/memory.md).
 */
SEA_API sea_ctx *sea_ctx_ref(sea_ctx *ctx);
SEA_API sea_ctx *sea_ctx_unref(sea_ctx *ctx);

/*
 * Gives back what this process keeps for later and uses nothing of now: free arenas of all pools, reserved ones too,
 * what connections receive into, messages that have ended, and tables that are empty (doc/tuning.md has all of them).
 * Returns at once; from any thread. A connection belongs to its thread, which does it in its next turn. Those of a
 * server's own loop and of libuv are woken for that; others do it when the application next calls or waits.
 * Before a block or a reservation is refused for the budget, a fair share of it or the machine, and when a connection
 * was, free arenas go by themselves, at most once a second; reserved ones do not.
 */
SEA_API void sea_ctx_trim(sea_ctx *ctx);

/* Copies the newest refusal of this context: why something could not be made, connected or sent. What a peer answered,
 * and why a connection ended, sea_conn_text() says; there stands which to print. */
SEA_API void sea_ctx_refusal(sea_ctx *ctx, sea_refusal *ret_refusal);

/*
 * Writes a refusal as one line without its newline, as snprintf() does: at most `size` bytes with the NUL; returns the
 * length that all of it has. "Disk quota exceeded (budget (bytes): needed 4096, available 0; release blocks, or ...)".
 * What on_low_water is told begins with "Running low"; where there is none it is "nothing was refused".
 * Control characters, which names and peers' texts may hold, become '?'. Any thread; nothing is charged.
 */
SEA_API int sea_refusal_format(const sea_refusal *refusal, char *buf, size_t size);

/*
 * What the kernel says is in memory of all shared memory that this process maps (RssShmem of proc(5)): bytes;
 * UINT64_MAX where it does not.
 * Our arenas and the blocks that we have mapped, peers' of which we have touched the pages, and whatever else the
 * program shares; not sealed blocks that nobody here has looked at. Reads a file: some 30 us. The kernel is up to some
 * hundred KiB behind for each CPU.
 */
SEA_API uint64_t sea_ctx_resident(const sea_ctx *ctx);

/* What this context shares with peers, each memfd by itself: what was reserved for it, and what it takes up. In bytes.
 */
typedef struct sea_shared {
    uint64_t files;    /* memfds */
    uint64_t reserved; /* what the budget is charged with for them, in whole pages */
    uint64_t resident; /* what the kernel has of them; less than `reserved`: pages not used yet, or swapped out */
    uint64_t added;    /* what `resident` has beyond `reserved`, summed up over the memfds that have more */
    uint64_t untold;   /* of `reserved`: what the kernel does not tell about. `resident` has it as reserved */
} sea_shared;

/*
 * Asks the kernel what all shared memory that this context has made takes up: arenas, outboxes and their rings, and
 * sealed blocks from sea_block_seal() on, those of sea_block_import() too. `added` is what readers have had the kernel
 * add to them (doc/memory.md), and 0 otherwise.
 * Counted are pages in memory, of sealed blocks those that are swapped out too. A page of an outbox or a ring counts
 * from its first use on. Not counted: what peers share with us, blocks that nobody has sealed yet, hugetlb pages of
 * blocks, private memory, and memory that is not ours any more and that a peer keeps. Whose cgroup is charged for the
 * pages cannot be seen. A program that has changed its user id may be told nothing of arenas, outboxes and rings that
 * it made before: see `untold`.
 * Any thread. Does not block, but takes one system call for each sealed block, and for each other memfd three and one
 * for each 4 MiB, some 50 us: on request, not once for each message. Who makes or frees memory at the same time may
 * wait for a sixteenth of that. No errors.
 */
SEA_API void sea_ctx_shared(sea_ctx *ctx, sea_shared *ret_shared);

SEA_END

#endif
