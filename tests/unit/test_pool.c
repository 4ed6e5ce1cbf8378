/* SPDX-License-Identifier: MIT */
/* memory/pool: blocks that are taken, lent, and given back from any thread, and the arenas that the pool makes and
 * gives back. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/pool.h"
#include "memory/size_class.h"
#include "sys/wait.h"
#include "unit/crowd.h"
#include "unit/fail.h"
#include "unit/valgrind.h"
#include "wire/handle.h"

#define KIB ((size_t) 1 << 10)
#define MIB ((size_t) 1 << 20)

/* Equals the constant in pool.c. */
#define SHARED_MAX (4 * MIB)

/* --- the owner: it counts the charges, and may refuse --- */

static struct bank {
    atomic_ullong bytes, fds;      /* charged at present */
    atomic_int charges, uncharges; /* calls */
    uint64_t limit;                /* bytes */
    int refuse;                    /* number of next charges to refuse */
    uint32_t retired[64];
    int retired_count;
    int needs_maintenance;
    atomic_int holds, told;
    _Atomic(pthread_t) last; /* the thread of the last uncharge */
} bank;

static int bank_charge(void *owner, uint64_t bytes, uint32_t fds) {
    ck_assert_ptr_eq(owner, &bank);
    atomic_fetch_add(&bank.charges, 1);
    if (bank.refuse > 0 && bank.refuse--)
        return -EDQUOT;
    if (bytes > bank.limit || atomic_load(&bank.bytes) > bank.limit - bytes)
        return -EDQUOT;
    atomic_fetch_add(&bank.bytes, bytes);
    atomic_fetch_add(&bank.fds, fds);
    return 0;
}

static void bank_uncharge(void *owner, uint64_t bytes, uint32_t fds) {
    ck_assert_ptr_eq(owner, &bank);
    atomic_store(&bank.last, pthread_self());
    ck_assert_uint_ge(atomic_fetch_sub(&bank.bytes, bytes), bytes);
    ck_assert_uint_ge(atomic_fetch_sub(&bank.fds, fds), fds);
    atomic_fetch_add(&bank.uncharges, 1);
}

static void bank_uncharge_fd(void *owner) {
    ck_assert_ptr_eq(owner, &bank);
    ck_assert_uint_ge(atomic_fetch_sub(&bank.fds, 1), 1);
}

static void bank_retired(void *owner, uint32_t arena_id) {
    ck_assert_ptr_eq(owner, &bank);
    if (bank.retired_count < 64)
        bank.retired[bank.retired_count] = arena_id;
    bank.retired_count++;
}

static void bank_stirred(void *owner) {
    ck_assert_ptr_eq(owner, &bank);
    bank.needs_maintenance++;
}

static void bank_hold(void *owner) {
    ck_assert_ptr_eq(owner, &bank);
    atomic_fetch_add(&bank.holds, 1);
}

static void bank_tell(void *owner) {
    ck_assert_ptr_eq(owner, &bank);
    atomic_fetch_sub(&bank.holds, 1);
    atomic_fetch_add(&bank.told, 1);
}

static const struct pool_ops ops = {
    bank_charge, bank_uncharge, bank_uncharge_fd, bank_retired, bank_stirred, bank_hold, bank_tell,
};
static struct arena_ids audience;
static struct pool *pool;

struct reuse {
    uint64_t footprint, least;
};

static void new_pool_with(uint64_t retained_max, struct reuse reuse, struct pool_policy policy) {
    const struct pool_options options = {.ops = &ops,
                                         .owner = &bank,
                                         .audience = &audience,
                                         .extra = 40,
                                         .retained_max = retained_max,
                                         .reuse_footprint = reuse.footprint,
                                         .reuse_least = reuse.least,
                                         .policy = policy};
    ck_assert_int_eq(pool_new(&pool, &options), 0);
}

static void new_pool(uint64_t retained_max, struct reuse reuse) {
    new_pool_with(retained_max, reuse, (struct pool_policy){0});
}

static const struct reuse no_cycle = {.footprint = 0};
static const struct reuse usual = {.footprint = 4 * MIB, .least = 32 * KIB};

static void before(void) {
    fail_off();
    memset(&bank, 0, sizeof bank);
    bank.limit = UINT64_MAX;
    new_pool(64 * MIB, no_cycle);
}

static void after(void) {
    fail_off();
    pool = pool_end(pool);
    ck_assert_uint_eq(audience.count, 0);
    arena_ids_deinit(&audience);
    ck_assert_uint_eq(atomic_load(&bank.bytes), 0);
    ck_assert_uint_eq(atomic_load(&bank.fds), 0);
    ck_assert_int_eq(atomic_load(&bank.holds), 0);
}

static struct pool_slot *take(size_t size) {
    struct pool_slot *slot = NULL;
    int r = pool_take(pool, size, &slot);
    ck_assert_msg(r == 0, "%s", strerror(-r));
    ck_assert_uint_ge(slot->arena->stride, size);
    return slot;
}

static int try_take(size_t size) {
    struct pool_slot *slot = NULL;
    int r = pool_take(pool, size, &slot);
    if (r < 0)
        ck_assert_ptr_null(slot);
    else
        pool_put_own(slot);
    return r;
}

/* Returns the descriptors of all arenas. */
static uint64_t open_fds(void) {
    const struct arena *arena;
    uint32_t place = 0;
    uint64_t count = 0;
    while ((arena = arena_ids_next(&audience, &place))) {
        if ((arena->fd < 0) != (arena->is_announced || arena->is_private))
            ck_abort_msg("arena %u has descriptor %d", arena->id, arena->fd);
        count += arena->fd >= 0;
    }
    return count;
}

static struct pool_gauges gauges(void) {
    struct pool_gauges now;
    pool_gauges(pool, &now);
    ck_assert_uint_eq(now.mapped, atomic_load(&bank.bytes)); /* the mapped bytes are charged, and no others */
    ck_assert_uint_eq(open_fds(), atomic_load(&bank.fds));
    ck_assert_uint_eq(now.retained, now.mapped - now.draining_mapped - (now.bytes_out - now.draining_bytes_out));
    ck_assert_uint_le(now.draining_arenas, now.arenas);
    ck_assert_uint_ge(now.mapped_peak, now.mapped);
    ck_assert_uint_ge(now.out_peak, now.bytes_out);
    ck_assert_uint_le(now.leases, now.blocks_out);
    return now;
}

/* --- taking and putting --- */

START_TEST(test_an_empty_pool) {
    struct pool_gauges now = gauges();
    ck_assert_uint_eq(now.mapped + now.arenas + now.blocks_out + now.bytes_out + now.leases, 0);
    pool_trim(pool, 0);
    ck_assert_ptr_null(pool_next_lease(pool, NULL));
    ck_assert_ptr_null(pool_find_lease(&audience, handle_make(1, 0, 1)));
    ck_assert_ptr_null(pool_end(NULL));
    ck_assert_int_eq(atomic_load(&bank.charges), 0);
}
END_TEST

START_TEST(test_properties_of_a_slot) {
    struct pool_slot *slot = take(3000), *other = take(3000);
    ck_assert_uint_eq(slot->arena->stride, 3072);
    ck_assert_ptr_eq(slot->data, arena_at(slot->arena, slot->index));
    ck_assert_ptr_ne(slot->data, other->data);
    ck_assert_uint_eq((uintptr_t) slot->extra % _Alignof(max_align_t), 0);
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(slot->extra[i], 0);
    memset(slot->data, 'x', 3072);
    memset(slot->extra, 'y', 40);
    ck_assert_int_eq(*(char *) other->data, 0);
    ck_assert_int_eq(other->extra[0], 0);
    ck_assert(!slot->is_leased);
    ck_assert_uint_ge(slot->arena->id, 1);

    struct pool_gauges now = gauges();
    ck_assert_uint_eq(now.arenas, 1);
    ck_assert_uint_eq(now.mapped, slot->arena->size);
    ck_assert_uint_eq(now.blocks_out, 2);
    ck_assert_uint_eq(now.bytes_out, 2 * 3072);
    pool_put_own(slot);
    pool_put_own(other);
    ck_assert_uint_eq(gauges().blocks_out, 0);
    ck_assert_uint_eq(gauges().retained, now.mapped);
}
END_TEST

START_TEST(test_sizes_at_the_ends) {
    struct pool_slot *nothing = take(0), *one = take(1);
    ck_assert_uint_eq(nothing->arena->stride, SIZE_CLASS_SMALLEST);
    ck_assert_ptr_eq(nothing->arena, one->arena);
    pool_put_own(nothing);
    pool_put_own(one);
    ck_assert_int_eq(try_take(SIZE_MAX), -ENOMEM);
    ck_assert_int_eq(try_take(SIZE_CLASS_LARGEST + 1), -ENOMEM);
    int machines_word = is_under_valgrind() ? -EINVAL : -ENOMEM; /* the error of valgrind's own mmap() */
    ck_assert_int_eq(try_take(SIZE_CLASS_LARGEST), machines_word);
    ck_assert_int_eq(try_take(INT64_MAX / 4), machines_word);
}
END_TEST

/* Once the pool has the memory that it needs, it asks neither the kernel nor the heap nor the budget. */
START_TEST(test_the_steady_state_makes_no_calls) {
    if (_i)
        crowd_gather();
    pool = pool_end(pool);
    new_pool(64 * MIB, usual);
    static const size_t sizes[] = {1, 5000, 70000, MIB, 5 * MIB};
    for (int turn = 0; turn < 400; turn++) {
        if (turn == 100)
            for (int kind = 0; kind < INJECT_KINDS; kind++)
                fail_always((enum inject_kind) kind, EIO);
        for (size_t i = 0; i < 5; i++) {
            struct pool_slot *slot = take(sizes[i]);
            if (turn % 2)
                pool_put(slot);
            else
                pool_put_own(slot);
        }
        if (turn == 100)
            atomic_store(&bank.charges, 0);
    }
    for (int kind = 0; kind < INJECT_KINDS; kind++)
        ck_assert_int_eq(fail_calls((enum inject_kind) kind), 0);
    ck_assert_int_eq(atomic_load(&bank.charges), 0);
    fail_off();
}
END_TEST

START_TEST(test_a_class_grows_in_ever_larger_arenas) {
    enum { BLOCKS = 3400 };
    static struct pool_slot *slots[BLOCKS];
    const size_t stride = 64 * KIB;
    uint64_t arenas = 0, before = 0;
    for (int i = 0; i < BLOCKS; i++) {
        slots[i] = take(stride);
        uint64_t mapped = gauges().mapped, most = before < MIB / 2 ? before : before / 12;
        if (gauges().arenas == arenas)
            continue;
        arenas++;
        most = most < 64 * KIB ? 64 * KIB : most < 16 * MIB ? most : 16 * MIB;
        ck_assert_uint_eq(mapped - before, slots[i]->arena->size);
        ck_assert_uint_le(mapped - before, most);
        ck_assert_uint_gt(mapped - before + stride, most);
        before = mapped;
    }
    ck_assert_uint_eq(slots[BLOCKS - 1]->arena->size, 16 * MIB);
    ck_assert_uint_le(arenas, 90);
    for (int i = 0; i < BLOCKS; i++)
        pool_put_own(slots[i]);
}
END_TEST

START_TEST(test_large_payloads_have_arenas_of_their_own) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE), size = SHARED_MAX + 1;
    struct pool_slot *slot = take(size), *largest_shared = take(SHARED_MAX);
    ck_assert_uint_eq(slot->arena->count, 1);
    ck_assert_uint_eq(slot->arena->size, SHARED_MAX + page);
    ck_assert_uint_eq(slot->arena->stride, SHARED_MAX + page);
    ck_assert_uint_eq(largest_shared->arena->stride, SHARED_MAX);
    pool_put_own(largest_shared);
    pool_put_own(slot);
    ck_assert_ptr_eq(take(size + 10), slot); /* the block has room for it */
    struct pool_slot *larger = take(size + page);
    ck_assert_ptr_ne(larger, slot);
    pool_put_own(slot);
    pool_put_own(larger);
    ck_assert_ptr_eq(take(size + page), larger); /* the free block is too small */
    pool_put_own(larger);
}
END_TEST

/* Bytes that only the taker knows: two blocks that are out never overlap, whatever happens to other blocks. */
/* Many free blocks are too small; none of them goes because of one larger request. */
START_TEST(test_a_larger_one_beside_many) {
    enum { MANY = 12 };
    struct pool_slot *slots[MANY];
    pool = pool_end(pool);
    new_pool(256 * MIB, no_cycle);
    for (int i = 0; i < MANY; i++)
        slots[i] = take(4 * MIB + 4096);
    for (int i = 0; i < MANY; i++)
        pool_put_own(slots[i]);
    ck_assert_uint_eq(gauges().arenas, MANY);
    struct pool_slot *larger = take(5 * MIB);
    ck_assert_uint_eq(gauges().arenas, MANY + 1);
    for (int i = 0; i < MANY; i++)
        slots[i] = take(4 * MIB + 4096);
    for (int i = 1; i < MANY; i++)
        pool_put_own(slots[i]);
    pool_put_own(larger);
    pool_put_own(slots[0]);                  /* it becomes a resting block */
    ck_assert_ptr_eq(take(5 * MIB), larger); /* it was behind the resting blocks */
    ck_assert_uint_eq(gauges().arenas, MANY + 1);
    pool_put_own(larger);
}
END_TEST

START_TEST(test_at_random) {
    enum { OUT = 64 };
    int turns = is_under_valgrind() ? 500 : 4000;
    static const size_t sizes[] = {10, 1025, 4 * KIB, 50000, 200 * KIB, MIB, 5 * MIB};
    struct pool_slot *slots[OUT] = {NULL};
    size_t taken[OUT], bytes_out = 0;
    uint64_t blocks_out = 0;
    unsigned seed = (unsigned) _i;
    if (_i >= 4)
        crowd_gather();
    pool = pool_end(pool);
    new_pool((uint64_t) (_i % 4 + 1) * 8 * MIB, _i % 2 ? usual : no_cycle);
    for (int turn = 0; turn < turns; turn++) {
        int i = rand_r(&seed) % OUT;
        if (!slots[i]) {
            taken[i] = sizes[rand_r(&seed) % (turn % 500 < 30 ? 7 : 5)];
            slots[i] = take(taken[i]);
            memset(slots[i]->data, i, 64);
            memset((char *) slots[i]->data + slots[i]->arena->stride - 64, i, 64);
            blocks_out++;
            bytes_out += slots[i]->arena->stride;
        } else {
            const char *data = slots[i]->data, *end = data + slots[i]->arena->stride - 64;
            for (int b = 0; b < 64; b++)
                ck_assert(data[b] == i && end[b] == i);
            blocks_out--;
            bytes_out -= slots[i]->arena->stride;
            if (rand_r(&seed) % 2)
                pool_put(slots[i]);
            else
                pool_put_own(slots[i]);
            slots[i] = NULL;
        }
        if (turn % 300 == 0)
            pool_trim(pool, (uint64_t) turn * 100);
        struct pool_gauges now = gauges();
        if (now.blocks_out != blocks_out || now.bytes_out != bytes_out)
            ck_abort_msg("turn %d: miscounted", turn);
    }
    for (int i = 0; i < OUT; i++)
        if (slots[i])
            pool_put_own(slots[i]);
    pool_trim(pool, 0);
    ck_assert_uint_eq(gauges().mapped, 0);
}
END_TEST

/* --- hot blocks --- */

/* The block that came back last on this thread goes out next; until then only pool_take_hot() knows that it is free. */
START_TEST(test_a_hot_block) {
    struct pool_slot *first = take(3000), *second = take(3000), *third = take(3000);
    ck_assert(pool_put_hot(second));
    ck_assert(!pool_put_hot(first)); /* there is room for one hot block */
    pool_put_own(first);
    ck_assert_ptr_null(pool_take_hot(pool, 4 * KIB)); /* only for its own size */
    ck_assert_ptr_eq(pool_take_hot(pool, 3000), second);
    ck_assert_ptr_null(pool_take_hot(pool, 3000));
    ck_assert(pool_put_hot(second));
    ck_assert_ptr_eq(take(3072), second);
    ck_assert_ptr_eq(take(3000), first);
    ck_assert(pool_put_hot(second));
    ck_assert_uint_eq(gauges().blocks_out, 2);
    ck_assert_ptr_null(pool_take_hot(pool, 3000)); /* the block has been put back into its class */
    ck_assert_ptr_eq(take(3000), second);
    pool_put_own(first);
    pool_put_own(second);
    ck_assert(pool_put_hot(third));
    pool_trim(pool, 0);
    ck_assert_uint_eq(gauges().mapped, 0);
}
END_TEST

/* A hot block must not shorten a cycle of blocks, or be a large block. */
START_TEST(test_blocks_that_are_never_hot) {
    pool = pool_end(pool);
    new_pool(64 * MIB, usual);
    static const size_t sizes[] = {40 * KIB, MIB, 5 * MIB};
    for (int i = 0; i < 3; i++) {
        struct pool_slot *slot = take(sizes[i]);
        ck_assert(!pool_put_hot(slot));
        pool_put_own(slot);
    }
    pool = pool_end(pool);
    new_pool(64 * MIB, (struct reuse){.footprint = 4 * MIB, .least = 8 * KIB});
    struct pool_slot *cycling = take(10 * KIB), *other = take(7 * KIB); /* blocks of these sizes cycle earlier */
    ck_assert(!pool_put_hot(cycling));
    ck_assert(pool_put_hot(other));
    pool_put_own(cycling);
}
END_TEST

/* A hot block goes when another size needs its memory. */
START_TEST(test_a_hot_block_yields_to_the_budget) {
    ck_assert(pool_put_hot(take(3000)));
    bank.limit = gauges().mapped;
    ck_assert(pool_put_hot(take(3000)));
    pool_put_own(take(20000));
    ck_assert_int_eq(atomic_load(&bank.uncharges), 1);
}
END_TEST

START_TEST(test_the_end_with_a_hot_block) {
    struct pool_slot *slot = take(1000), *late = take(1000);
    ck_assert(pool_put_hot(slot));
    pool = pool_end(pool);
    ck_assert(!pool_put_hot(late)); /* no owner is left to take it */
    pool_put_own(late);
    ck_assert_uint_eq(atomic_load(&bank.fds), 0);
}
END_TEST

/* --- private pools --- */

START_TEST(test_a_private_pool) {
    const struct pool_options options = {
        .ops = &ops, .owner = &bank, .audience = &audience, .retained_max = 20 * KIB, .is_private = true};
    enum { BLOCKS = 40 };
    struct pool_slot *slots[BLOCKS];
    pool = pool_end(pool);
    ck_assert_int_eq(pool_new(&pool, &options), 0);
    for (int i = 0; i < BLOCKS; i++) {
        slots[i] = take(100);
        ck_assert_int_eq(slots[i]->arena->fd, -1);
        memset(slots[i]->data, i, slots[i]->arena->stride);
    }
    ck_assert_uint_ge(atomic_load(&bank.bytes), BLOCKS * KIB);
    ck_assert_uint_eq(atomic_load(&bank.fds), 0);
    for (int i = 0; i < BLOCKS; i++) {
        const char *data = slots[i]->data;
        ck_assert_int_eq(data[0] + data[slots[i]->arena->stride - 1], 2 * i);
        pool_put_own(slots[i]);
    }
    pool_trim(pool, 20 * KIB);
    ck_assert_uint_le(atomic_load(&bank.bytes), 20 * KIB);
}
END_TEST

/* --- the distance of reuse --- */

START_TEST(test_distances) {
    static const struct {
        size_t size;
        uint64_t footprint, least;
        uint32_t distance;
    } cases[] = {{0, 4 * MIB, 32 * KIB, 1},
                 {1, 4 * MIB, 32 * KIB, 1},
                 {32 * KIB - 1, 4 * MIB, 32 * KIB, 1},
                 {32 * KIB, 4 * MIB, 32 * KIB, 64},
                 {64 * KIB, 4 * MIB, 32 * KIB, 64},
                 {80 * KIB, 4 * MIB, 32 * KIB, 51},
                 {256 * KIB, 4 * MIB, 32 * KIB, 16},
                 {MIB, 4 * MIB, 32 * KIB, 4},
                 {2 * MIB, 4 * MIB, 32 * KIB, 2},
                 {4 * MIB, 4 * MIB, 32 * KIB, 1},
                 {16 * MIB, 4 * MIB, 32 * KIB, 1},
                 {SIZE_MAX, 4 * MIB, 32 * KIB, 1},
                 {SIZE_MAX, UINT64_MAX, 0, 1},
                 {1, MIB, 0, 64},
                 {MIB, 0, 0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t distance = pool_distance(cases[i].size, cases[i].footprint, cases[i].least);
        ck_assert_msg(distance == cases[i].distance, "case %zu: %u", i, distance);
    }
}
END_TEST

/* Returns the number of different blocks in which single takes of that size lie. */
static uint32_t cycle(size_t size) {
    enum { MOST = 256 };
    struct pool_slot *first[MOST] = {NULL};
    uint32_t count = 0;
    for (int i = 0; i < 3 * MOST; i++) {
        struct pool_slot *slot = take(size);
        uint32_t known = 0;
        while (known < count && first[known] != slot)
            known++;
        if (known == count) {
            ck_assert_uint_lt(count, MOST);
            first[count++] = slot;
        }
        pool_put_own(slot);
    }
    return count;
}

START_TEST(test_the_distance_is_kept) {
    static const size_t sizes[] = {1, 5000, 70000, 300000, MIB, 3 * MIB, 6 * MIB};
    size_t stride = size_class_stride(size_class_number(sizes[_i]));
    uint32_t distance = pool_distance(stride, usual.footprint, usual.least);
    pool = pool_end(pool);
    new_pool(256 * MIB, usual);
    ck_assert_uint_eq(cycle(sizes[_i]), distance);
}
END_TEST

/* A cycle of blocks takes half of the memory that may be retained, and no more. */
START_TEST(test_retained_memory_bounds_the_distance) {
    ck_assert_uint_gt(pool_distance(MIB, usual.footprint, usual.least), 2);
    pool = pool_end(pool);
    new_pool(4 * MIB, usual);
    ck_assert_uint_eq(cycle(MIB), 2);
    pool = pool_end(pool);
    new_pool(0, usual);
    ck_assert_uint_eq(cycle(MIB), 1);
}
END_TEST

/* When there is no memory for the full distance of reuse, fewer blocks cycle, and the pool does not keep asking. */
START_TEST(test_the_distance_yields_to_the_budget) {
    pool = pool_end(pool);
    new_pool(256 * MIB, usual);
    bank.limit = 3 * MIB;
    ck_assert_uint_eq(cycle(MIB), 3);
    int asked = atomic_load(&bank.charges);
    ck_assert_uint_eq(cycle(MIB), 3);
    ck_assert_int_eq(atomic_load(&bank.charges), asked);
    bank.limit = UINT64_MAX;
    struct pool_slot *slots[4];
    for (int i = 0; i < 4; i++)
        slots[i] = take(MIB);
    for (int i = 0; i < 4; i++)
        pool_put_own(slots[i]);
    ck_assert_uint_eq(cycle(MIB), pool_distance(MIB, usual.footprint, usual.least));
}
END_TEST

/* The cycle follows the footprint, and the blocks that a shorter cycle leaves are not used. */
START_TEST(test_a_footprint_that_changes) {
    pool = pool_end(pool);
    new_pool(256 * MIB, usual);
    ck_assert_uint_eq(cycle(MIB), 4);
    pool_set_footprint(pool, 16 * MIB);
    ck_assert_uint_eq(cycle(MIB), 16);
    ck_assert_uint_eq(cycle(6 * MIB), 2); /* a size without blocks so far */
    int asked = atomic_load(&bank.charges), wanted = bank.needs_maintenance;
    pool_set_footprint(pool, 2 * MIB);
    ck_assert_int_gt(bank.needs_maintenance, wanted);
    ck_assert_uint_eq(cycle(MIB), 2);
    ck_assert_uint_eq(cycle(6 * MIB), 1);
    ck_assert_int_eq(atomic_load(&bank.charges), asked);
    ck_assert_uint_eq(gauges().mapped, (16 + 2 * 6) * MIB);
    pool_trim(pool, 0);
    ck_assert_uint_eq(gauges().mapped, 0);
}
END_TEST

static uint64_t trim_surplus(void) {
    uint64_t sum = 0, one;
    while ((one = pool_trim_surplus(pool)))
        sum += one;
    return sum;
}

/* A shorter cycle leaves what it had, no more: neither what was free before nor what is made later. */
START_TEST(test_what_a_shorter_cycle_leaves) {
    struct pool_slot *slots[16];
    pool = pool_end(pool);
    new_pool(256 * MIB, usual);
    for (int i = 0; i < 8; i++)
        slots[i] = take(4 * MIB);
    for (int i = 0; i < 8; i++)
        pool_put_own(slots[i]);
    ck_assert_uint_eq(cycle(MIB), 4);
    pool_set_footprint(pool, 0);
    ck_assert_uint_eq(trim_surplus(), 3 * MIB);
    ck_assert_uint_eq(gauges().mapped, (8 * 4 + 1) * MIB);
    pool_set_footprint(pool, 16 * MIB);
    ck_assert_uint_eq(cycle(MIB), 16);
    pool_set_footprint(pool, 4 * MIB);
    pool_set_footprint(pool, 2 * MIB);
    slots[0] = take(MIB);
    slots[1] = take(MIB);
    slots[2] = take(MIB);
    ck_assert_uint_eq(pool_trim_surplus(pool), MIB);
    pool_set_footprint(pool, 4 * MIB); /* it may have a use for the others */
    ck_assert_uint_eq(trim_surplus(), 0);
    for (int i = 0; i < 3; i++)
        pool_put_own(slots[i]);
    ck_assert_uint_eq(cycle(MIB), 4);
    pool_set_footprint(pool, 0);
    pool_trim(pool, 0);
    for (int i = 0; i < 16; i++)
        slots[i] = take(MIB);
    for (int i = 0; i < 16; i++)
        pool_put_own(slots[i]);
    ck_assert_uint_eq(trim_surplus(), 0);
}
END_TEST

START_TEST(test_a_footprint_that_changes_while_blocks_are_out) {
    struct pool_slot *slots[8];
    pool = pool_end(pool);
    new_pool(256 * MIB, (struct reuse){.footprint = 8 * MIB});
    for (int i = 0; i < 8; i++)
        slots[i] = take(MIB);
    pool_put(slots[7]);
    pool_set_footprint(pool, 4 * MIB);
    for (int i = 0; i < 7; i++)
        pool_put_own(slots[i]);
    int asked = atomic_load(&bank.charges);
    ck_assert_uint_eq(cycle(MIB), 4);
    ck_assert_int_eq(atomic_load(&bank.charges), asked);
    ck_assert_uint_eq(gauges().blocks_out, 0);
}
END_TEST

/* A longer cycle takes no more memory than the budget has, and the pool does not keep asking. */
START_TEST(test_a_footprint_beyond_the_budget) {
    pool = pool_end(pool);
    new_pool(256 * MIB, usual);
    ck_assert_uint_eq(cycle(MIB), 4);
    bank.limit = 6 * MIB;
    pool_set_footprint(pool, 16 * MIB);
    ck_assert_uint_eq(cycle(MIB), 6);
    int asked = atomic_load(&bank.charges);
    ck_assert_uint_eq(cycle(MIB), 6);
    ck_assert_int_eq(atomic_load(&bank.charges), asked);
}
END_TEST

/* The size has a hot block while it has no cycle. */
START_TEST(test_a_footprint_and_a_hot_block) {
    struct pool_slot *slot = take(10 * KIB);
    ck_assert(pool_put_hot(slot));
    pool_set_footprint(pool, 4 * MIB);
    ck_assert_uint_eq(gauges().blocks_out, 0);
    slot = take(10 * KIB);
    ck_assert(!pool_put_hot(slot));
    pool_set_footprint(pool, 0);
    ck_assert(pool_put_hot(slot));
    ck_assert_ptr_eq(take(10 * KIB), slot);
    pool_rotate(pool);
    pool_set_footprint(pool, 4 * MIB);
    pool_set_footprint(pool, 0);
    ck_assert(!pool_put_hot(slot)); /* an arena that drains has none */
    pool_put_own(slot);
    ck_assert_uint_eq(gauges().mapped, 0);
}
END_TEST

/* --- leases --- */

START_TEST(test_a_lease) {
    struct pool_slot *slot = take(2000), *other = take(2000);
    uint64_t handle = slot_lease(slot);
    ck_assert_uint_eq(handle_arena(handle), slot->arena->id);
    ck_assert_uint_eq(handle_index(handle), slot->index);
    ck_assert_uint_ne(handle_generation(handle), 0);
    ck_assert_ptr_eq(pool_find_lease(&audience, handle), slot);
    ck_assert_uint_eq(gauges().leases, 1);
    slot_release(slot);
    ck_assert_ptr_null(pool_find_lease(&audience, handle));
    uint64_t next = slot_lease(slot);
    ck_assert_uint_ne(next, handle);
    ck_assert_ptr_null(pool_find_lease(&audience, handle)); /* the old handle names no lease */
    ck_assert_ptr_eq(pool_find_lease(&audience, next), slot);
    slot_release(slot);
    pool_put_own(slot);
    pool_put_own(other);
    ck_assert_ptr_null(pool_find_lease(&audience, next));
    ck_assert_uint_eq(gauges().leases, 0);
}
END_TEST

static struct pool_slot *lend(size_t size, uint64_t *ret_handle) {
    struct pool_slot *slot = take(size);
    *ret_handle = slot_lease(slot);
    return slot;
}

/* A caller may wait for a block only where waiting saves memory, and where a block can come back. */
START_TEST(test_memory_that_would_be_made) {
    struct pool_slot *slots[4];
    uint64_t handles[4];
    pool = pool_end(pool);
    new_pool(64 * MIB, usual);
    slots[0] = lend(MIB, &handles[0]);
    ck_assert_uint_eq(pool_growth(slots[0]), 0); /* at least two blocks */
    for (int i = 1; i < 4; i++) {
        ck_assert_uint_eq(pool_growth(slots[0]), 0); /* the footprint has room */
        slots[i] = lend(MIB, &handles[i]);
    }
    uint64_t growth = pool_growth(slots[0]), mapped = gauges().mapped;
    ck_assert_uint_gt(growth, 0);
    slot_release(slots[1]);
    ck_assert_uint_eq(pool_growth(slots[0]), growth); /* it is still lent to the peer */
    pool_put(slots[1]);
    ck_assert_uint_eq(pool_growth(slots[0]), 0);
    slots[1] = lend(MIB, &handles[1]);
    ck_assert_uint_eq(gauges().mapped, mapped);
    ck_assert_uint_eq(pool_growth(slots[0]), growth);
    struct pool_slot *more = take(MIB);
    ck_assert_uint_eq(gauges().mapped, mapped + growth);
    pool_put_own(more);
    for (int i = 0; i < 4; i++)
        slot_release(slots[i]);
    ck_assert_uint_eq(pool_growth(slots[0]), 0); /* no block is lent */
    pool_rotate(pool);
    ck_assert_uint_eq(pool_growth(slots[0]), 0); /* no block of this generation is handed out any more */
    for (int i = 0; i < 4; i++)
        pool_put_own(slots[i]);
}
END_TEST

START_TEST(test_lies) {
    struct pool_slot *slot = take(2000), *unleased = take(2000);
    uint64_t handle = slot_lease(slot);
    uint32_t id = slot->arena->id, index = slot->index, generation = handle_generation(handle);
    const uint64_t lies[] = {0,
                             UINT64_MAX,
                             handle + 1,
                             handle - 1,
                             handle_make(id, unleased->index, generation),
                             handle_make(id, unleased->index, 0),
                             handle_make(id, slot->arena->count, generation),
                             handle_make(id, HANDLE_INDEX_MAX, generation),
                             handle_make(id + 8, index, generation), /* the same place in the table */
                             handle_make(id + 1, index, generation),
                             handle_make(0, index, generation)};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        ck_assert_ptr_null(pool_find_lease(&audience, lies[i]));
    unsigned seed = 3;
    for (int i = 0; i < 100000; i++) {
        uint64_t guess = (uint64_t) rand_r(&seed) << 33 ^ (uint64_t) rand_r(&seed) << 12 ^ (uint64_t) rand_r(&seed);
        if (guess != handle)
            ck_assert_ptr_null(pool_find_lease(&audience, guess));
    }
    slot_release(slot);
    pool_put_own(slot);
    pool_put_own(unleased);
}
END_TEST

START_TEST(test_blocks_that_the_peer_holds) {
    enum { BLOCKS = 50 };
    struct pool_slot *slots[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        slots[i] = take((size_t) i * 1000);
        slot_lease(slots[i]);
    }
    slot_release(slots[BLOCKS - 1]);
    slot_release(slots[20]);
    slot_release(slots[0]);
    int expected = BLOCKS - 1, count = 0;
    for (struct pool_slot *slot = NULL; (slot = pool_next_lease(pool, slot));) {
        do
            expected--;
        while (expected == 20);
        ck_assert_ptr_eq(slot, slots[expected]);
        count++;
    }
    ck_assert_int_eq(count, BLOCKS - 3);
    for (struct pool_slot *slot; (slot = pool_next_lease(pool, NULL));) /* the peer died */
        slot_release(slot);
    ck_assert_uint_eq(gauges().leases, 0);
    for (int i = 0; i < BLOCKS; i++)
        pool_put_own(slots[i]);
}
END_TEST

START_TEST(test_generations_come_round) {
    struct pool_slot *slot = take(1);
    if (is_under_valgrind())
        slot->generation = HANDLE_GENERATION_MASK - 1000;
    uint32_t left = HANDLE_GENERATION_MASK - slot->generation;
    uint64_t handle = 0;
    for (uint32_t i = 0; i < left; i++) {
        handle = slot_lease(slot);
        slot_release(slot);
    }
    ck_assert_uint_eq(handle_generation(handle), HANDLE_GENERATION_MASK);
    handle = slot_lease(slot);
    ck_assert_uint_eq(handle_generation(handle), 1); /* never 0 */
    ck_assert_uint_eq(handle_index(handle), slot->index);
    slot_release(slot);
    pool_put_own(slot);
}
END_TEST

/* Each class has an arena: handles stay distinct for any number of arenas. */
START_TEST(test_many_arenas) {
    struct pool_slot *slots[64];
    uint64_t handles[64];
    uint32_t count = size_class_number(MIB);
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = take(size_class_stride(i));
        handles[i] = slot_lease(slots[i]);
        for (uint32_t k = 0; k < i; k++) {
            ck_assert_uint_ne(slots[k]->arena->id, slots[i]->arena->id);
            ck_assert_ptr_eq(pool_find_lease(&audience, handles[k]), slots[k]);
        }
    }
    ck_assert_uint_eq(gauges().arenas, count);
    for (uint32_t i = 0; i < count; i++) {
        slot_release(slots[i]);
        ck_assert_ptr_null(pool_find_lease(&audience, handles[i]));
        pool_put_own(slots[i]);
    }
}
END_TEST

/* --- arenas that go --- */

START_TEST(test_only_free_arenas_go) {
    struct pool_slot *one = take(MIB), *other = take(100), *leased = take(70000);
    if (_i)
        crowd_gather();
    slot_lease(leased);
    pool_put_own(one);
    pool_trim(pool, 0);
    struct pool_gauges now = gauges();
    ck_assert_uint_eq(now.arenas, 2);
    ck_assert_uint_eq(now.blocks_out, 2);
    memset(other->data, 'x', 100);
    memset(leased->data, 'x', 70000);
    slot_release(leased);
    pool_put(leased);
    pool_put(other); /* from another thread: the pool finds it all the same */
    pool_trim(pool, 0);
    ck_assert_uint_eq(gauges().mapped, 0);
}
END_TEST

START_TEST(test_the_longest_free_go_first) {
    struct pool_slot *slots[4];
    uint32_t ids[4];
    for (int i = 0; i < 4; i++) {
        slots[i] = take(5 * MIB);
        pool_note_announced(slots[i]->arena);
        ids[i] = slots[i]->arena->id;
    }
    static const int order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++)
        pool_put_own(slots[order[i]]);
    pool_trim(pool, 10 * MIB + 4096);
    ck_assert_int_eq(bank.retired_count, 2);
    ck_assert_uint_eq(bank.retired[0], ids[2]);
    ck_assert_uint_eq(bank.retired[1], ids[0]);
    pool_trim(pool, 10 * MIB);
    ck_assert_int_eq(bank.retired_count, 2);
    pool_trim(pool, 0);
    ck_assert_uint_eq(bank.retired[2], ids[3]);
    ck_assert_uint_eq(bank.retired[3], ids[1]);
}
END_TEST

START_TEST(test_a_peer_is_not_told_of_unknown_arenas) {
    pool_put_own(take(MIB));
    pool_trim(pool, 0);
    ck_assert_int_eq(bank.retired_count, 0);
    struct pool_slot *slot = take(MIB);
    ck_assert(!slot->arena->is_announced);
    pool_note_announced(slot->arena);
    pool_put_own(slot);
    pool = pool_end(pool); /* no callback runs any more */
    ck_assert_int_eq(bank.retired_count, 0);
    ck_assert_int_eq(atomic_load(&bank.uncharges), 2);
}
END_TEST

/* The charge for its descriptor is given back then, and only once. */
START_TEST(test_an_announced_arena_has_no_descriptor) {
    struct pool_slot *first = take(1000), *second = take(MIB);
    uint64_t bytes = atomic_load(&bank.bytes), resident = pool_resident(pool, 0);
    ck_assert_uint_eq(atomic_load(&bank.fds), 2);
    ck_assert_uint_eq(resident, bytes);
    pool_note_announced(second->arena);
    ck_assert_uint_eq(atomic_load(&bank.fds), 1);
    ck_assert_uint_eq(gauges().arenas, 2);
    memset(second->data, 'x', second->arena->stride);
    ck_assert_uint_eq(pool_resident(pool, 0), resident);
    pool_note_announced(first->arena);
    pool_put_own(_i ? second : first);
    pool_trim(pool, 0);
    ck_assert_uint_lt(atomic_load(&bank.bytes), bytes);
    pool = pool_end(pool);
    ck_assert_uint_eq(atomic_load(&bank.fds), 0);
    pool_put_own(_i ? first : second);
    ck_assert_uint_eq(atomic_load(&bank.bytes), 0);
}
END_TEST

START_TEST(test_ids_are_not_used_again_soon) {
    enum { ARENAS = 300 };
    static bool was_used[HANDLE_ARENA_MAX + 1];
    struct pool_slot *stays = take(1);
    was_used[stays->arena->id] = true;
    for (int i = 0; i < ARENAS; i++) {
        struct pool_slot *slot = take(70000);
        ck_assert_uint_ge(slot->arena->id, 1);
        ck_assert_uint_le(slot->arena->id, HANDLE_ARENA_MAX);
        ck_assert(!was_used[slot->arena->id]);
        was_used[slot->arena->id] = true;
        pool_put_own(slot);
        pool_trim(pool, 0);
    }
    pool_put_own(stays);
}
END_TEST

/* When the sizes change over time, the memory of the old sizes does not stay. */
START_TEST(test_retained_memory_is_bounded) {
    pool = pool_end(pool);
    new_pool(3 * MIB, usual);
    for (int turn = 0; turn < 4; turn++)
        for (uint32_t number = 0; size_class_stride(number) <= 2 * MIB; number++) {
            size_t size = size_class_stride(number);
            pool_put_own(take(size));
            ck_assert_uint_le(gauges().retained, 3 * MIB + 2 * size + 64 * KIB); /* and the newest arena */
        }
}
END_TEST

/* The memory of a peak goes as soon as another size is requested. */
START_TEST(test_a_spike_does_not_stay) {
    enum { BLOCKS = 40 };
    struct pool_slot *slots[BLOCKS];
    pool = pool_end(pool);
    new_pool(4 * MIB, usual);
    for (int i = 0; i < BLOCKS; i++)
        slots[i] = take(MIB);
    for (int i = 0; i < BLOCKS; i++)
        pool_put_own(slots[i]);
    ck_assert_uint_ge(gauges().retained, BLOCKS * MIB);
    pool_put_own(take(100));
    ck_assert_uint_le(gauges().retained, 4 * MIB + 64 * KIB);
}
END_TEST

static void *put_one(void *slot) {
    pool_put(slot);
    return NULL;
}

static void put_elsewhere(struct pool_slot *slot) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, put_one, slot), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* --- generations --- */

START_TEST(test_rotating_nothing) {
    pool_rotate(pool);
    pool_rotate(pool);
    ck_assert_uint_eq(gauges().generation, 3);
    ck_assert_uint_eq(gauges().mapped, 0);
    pool_put_own(take(1000));
    pool_rotate(pool); /* free arenas go at once */
    ck_assert_uint_eq(gauges().mapped, 0);
    ck_assert_uint_eq(gauges().draining_arenas, 0);
}
END_TEST

START_TEST(test_an_old_generation_hands_out_nothing) {
    struct pool_slot *old = take(1000), *also = take(1000);
    uint64_t size = old->arena->size;
    ck_assert_ptr_eq(old->arena, also->arena);
    pool_put_own(also);
    pool_rotate(pool);
    ck_assert_uint_eq(gauges().draining_arenas, 1);
    ck_assert_uint_eq(gauges().draining_mapped, size);
    ck_assert_uint_eq(gauges().draining_bytes_out, old->arena->stride);
    ck_assert_uint_eq(gauges().retained, 0);
    memset(old->data, 'x', 1000);
    for (int i = 0; i < 200; i++) {
        struct pool_slot *slot = take(1000);
        if (slot->arena == old->arena)
            ck_abort_msg("block %d is of the old generation", i);
        pool_put_own(slot);
    }
    ck_assert_int_eq(*(char *) old->data, 'x');
    pool_trim(pool, 0); /* a draining arena is not a free one */
    ck_assert_uint_eq(gauges().mapped, size);
    pool_note_announced(old->arena);
    uint32_t id = old->arena->id;
    pool_put_own(old);
    ck_assert_uint_eq(gauges().mapped, 0);
    ck_assert_int_eq(bank.retired_count, 1);
    ck_assert_uint_eq(bank.retired[0], id);
}
END_TEST

/* A block keeps its own arena, and no other one; leases end in a draining arena, too. */
START_TEST(test_each_arena_goes_with_its_last_block) {
    enum { ARENAS = 20 };
    struct pool_slot *slots[ARENAS];
    uint64_t handles[ARENAS];
    for (int i = 0; i < ARENAS; i++) {
        slots[i] = take(MIB);
        handles[i] = slot_lease(slots[i]);
        if (i % 3 == 2)
            pool_rotate(pool);
    }
    ck_assert_uint_eq(gauges().generation, 7);
    for (int i = 0; i < ARENAS; i++) {
        int n = i * 7 % ARENAS;
        uint64_t mapped = gauges().mapped, size = slots[n]->arena->size;
        bool is_draining = n < 18, is_shared = false;
        for (int k = 0; k < ARENAS; k++)
            is_shared |= k != n && slots[k] && slots[k]->arena == slots[n]->arena;
        ck_assert_ptr_eq(pool_find_lease(&audience, handles[n]), slots[n]);
        slot_release(slots[n]);
        pool_put(slots[n]);
        slots[n] = NULL;
        ck_assert_uint_eq(gauges().mapped, is_draining && !is_shared ? mapped - size : mapped);
        ck_assert_ptr_null(pool_find_lease(&audience, handles[n]));
    }
    pool_rotate(pool);
    ck_assert_uint_eq(gauges().mapped, 0);
}
END_TEST

START_TEST(test_the_end_while_draining) {
    struct pool_slot *a = take(1000), *b = take(MIB), *c = take(70000);
    pool_rotate(pool);
    struct pool_slot *young = take(1000);
    pool_put(b); /* on its way back */
    pool = pool_end(pool);
    ck_assert_uint_eq(atomic_load(&bank.fds), 3);
    pool_put_own(a);
    pool_put(c);
    ck_assert_uint_eq(atomic_load(&bank.fds), 1);
    pool_put(young);
    ck_assert_uint_eq(atomic_load(&bank.fds), 0);
}
END_TEST

START_TEST(test_a_full_generation) {
    pool = pool_end(pool);
    new_pool_with(64 * MIB, no_cycle, (struct pool_policy){.bytes = 4 * MIB});
    struct pool_slot *stays = take(MIB);
    for (int i = 0; i < 3; i++)
        pool_put_own(take(MIB));
    ck_assert_uint_eq(gauges().generation, 1); /* no arena was to be made, so the pool did not check */
    ck_assert_uint_eq(pool_maintain(pool, 1), UINT64_MAX);
    ck_assert_uint_eq(gauges().generation, 2);
    ck_assert_uint_eq(gauges().draining_arenas, 1);
    struct pool_slot *slots[8];
    for (int i = 0; i < 8; i++)
        slots[i] = take(MIB);
    ck_assert_uint_ge(gauges().generation, 3); /* checked when the pool grew */
    for (int i = 0; i < 8; i++)
        pool_put_own(slots[i]);
    pool_put_own(stays);
}
END_TEST

static const uint64_t second = 1000000000;

START_TEST(test_an_old_one_and_an_idle_one) {
    pool = pool_end(pool);
    new_pool_with(64 * MIB, no_cycle,
                  (struct pool_policy){.age = 60 * second, .idle = _i ? 0 : 7 * second, .keep = 5 * second});
    uint64_t t = wait_now();
    ck_assert_uint_eq(pool_maintain(pool, t), UINT64_MAX); /* there is no arena */
    struct pool_slot *stays = take(1000);
    t = wait_now();
    pool_put_own(take(MIB));
    ck_assert_uint_eq(pool_maintain(pool, t), t + 5 * second);
    pool_put_own(take(MIB));
    ck_assert_uint_eq(pool_maintain(pool, t + 5 * second), t + 10 * second); /* a block was taken meanwhile */
    ck_assert_uint_eq(gauges().arenas, 2);
    uint64_t next = pool_maintain(pool, t + 10 * second);
    ck_assert_uint_eq(gauges().arenas, 1); /* the free ones */
    ck_assert_uint_eq(gauges().generation, 1);
    if (_i)
        ck_assert(next > t + 59 * second && next <= t + 60 * second);
    else
        ck_assert_uint_eq(next, t + 12 * second);
    ck_assert_uint_eq(pool_maintain(pool, next), UINT64_MAX); /* draining needs no deadline */
    ck_assert_uint_eq(gauges().generation, 2);
    ck_assert_uint_eq(gauges().draining_arenas, 1);
    ck_assert(pool_is_waiting(pool));
    pool_put(stays);
    ck_assert_int_eq(atomic_load(&bank.told), 1);
    ck_assert_uint_eq(pool_maintain(pool, next), UINT64_MAX);
    ck_assert_uint_eq(gauges().mapped, 0);
    ck_assert(!pool_is_waiting(pool));
}
END_TEST

/* A block that comes back while the owner sleeps is reported once, from any thread; while the owner is awake it is
 * not. */
START_TEST(test_a_sleeping_owner_is_told) {
    struct pool_slot *a = take(MIB), *b = take(MIB), *c = take(MIB);
    pool_rotate(pool);
    pool_put(c); /* the owner is awake */
    ck_assert_int_eq(atomic_load(&bank.told), 0);
    pool_maintain(pool, wait_now());
    pool_maintain(pool, wait_now());
    ck_assert(pool_is_waiting(pool));
    put_elsewhere(a);
    put_elsewhere(b);
    ck_assert_int_eq(atomic_load(&bank.told), 1);
    ck_assert_uint_eq(gauges().mapped, 0);
    struct pool_slot *d = take(MIB), *e = take(1000);
    ck_assert_int_eq(bank.needs_maintenance, 5); /* once for each arena */
    pool_rotate(pool);
    pool_put(d); /* the owner has not gone to sleep again */
    ck_assert_int_eq(atomic_load(&bank.told), 1);
    pool_maintain(pool, wait_now());
    pool_put(take(1000)); /* the owner works again */
    ck_assert_int_eq(atomic_load(&bank.told), 1);
    pool_maintain(pool, wait_now());
    pool_put(e);
    ck_assert_int_eq(atomic_load(&bank.told), 2);
    pool_maintain(pool, wait_now());
    ck_assert(!pool_is_waiting(pool));
    pool_put(take(1000)); /* the owner waits for no block */
    ck_assert_int_eq(atomic_load(&bank.told), 2);
}
END_TEST

/* A hot block would come back unseen: while the owner sleeps there is no hot block, and a block of a draining arena
 * never becomes one. */
START_TEST(test_no_hot_block_while_the_owner_sleeps) {
    struct pool_slot *old = take(1000), *new;
    pool_rotate(pool);
    ck_assert(!pool_put_hot(old));
    new = take(1000);
    pool_maintain(pool, wait_now());
    ck_assert(pool_is_waiting(pool));
    ck_assert(!pool_put_hot(new));
    ck_assert_ptr_null(pool_take_hot(pool, 1000));
    struct pool_slot *other = take(1000); /* the owner works again */
    ck_assert(pool_put_hot(other));
    pool_put(new);
    pool_put(old);
    ck_assert_uint_eq(gauges().draining_arenas, 0);
    ck_assert_uint_eq(gauges().allocated, 3 * KIB);
    pool_put_own(take(1000));
    ck_assert(pool_put_hot(take(1000)));
    other = pool_take_hot(pool, 1000);
    ck_assert_ptr_nonnull(other);
    ck_assert_uint_eq(gauges().allocated, 6 * KIB); /* hot blocks count, too */
    pool_put_own(other);
}
END_TEST

START_TEST(test_several_pools_of_one_audience) {
    struct pool *first = pool, *second_pool;
    new_pool(64 * MIB, no_cycle);
    second_pool = pool;
    struct pool_slot *b = take(1000);
    pool = first;
    struct pool_slot *a = take(1000);
    ck_assert_ptr_ne(a->arena, b->arena);
    ck_assert_uint_ne(a->arena->id, b->arena->id);
    ck_assert(pool_has(first, a) && !pool_has(first, b) && pool_has(second_pool, b));
    uint64_t handle = slot_lease(b);
    ck_assert_ptr_eq(pool_find_lease(&audience, handle), b);
    pool_rotate(first);
    struct pool_gauges now;
    pool_gauges(second_pool, &now);
    ck_assert_uint_eq(now.draining_arenas, 0);
    pool = pool_end(first);
    pool_put(a);
    ck_assert_ptr_eq(pool_find_lease(&audience, handle), b);
    slot_release(b);
    pool_put(b);
    pool = second_pool;
    ck_assert_uint_eq(gauges().blocks_out, 0);
}
END_TEST

START_TEST(test_the_oldest_lease) {
    struct pool_slot *a = take(1000), *b = take(1000);
    ck_assert_ptr_null(pool_oldest_lease(pool));
    slot_lease(a);
    slot_lease(b);
    ck_assert_ptr_eq(pool_oldest_lease(pool), a);
    ck_assert_uint_le(a->leased_at, b->leased_at);
    ck_assert_uint_le(b->leased_at, wait_now());
    slot_release(a);
    ck_assert_ptr_eq(pool_oldest_lease(pool), b);
    slot_release(b);
    pool_put_own(a);
    pool_put_own(b);
}
END_TEST

/* --- refusals --- */

START_TEST(test_a_budget_that_says_no) {
    bank.limit = 0;
    ck_assert_int_eq(try_take(100), -EDQUOT);
    ck_assert_int_eq(atomic_load(&bank.charges), 2);
    ck_assert_uint_eq(gauges().mapped, 0);
    bank.limit = 4096; /* too little for a first arena, but enough for the block */
    struct pool_slot *slot = take(100);
    ck_assert_uint_eq(slot->arena->count, 1);
    ck_assert_int_eq(try_take(5000), -EDQUOT);
    pool_put_own(slot);
}
END_TEST

START_TEST(test_a_refusal_takes_idle_memory) {
    struct pool_slot *stays = take(100);
    pool_note_announced(stays->arena);
    for (size_t size = 70000; size < 800000; size += 100000)
        pool_put_own(take(size));
    bank.limit = stays->arena->size + MIB;
    ck_assert_uint_gt(gauges().mapped, bank.limit);
    struct pool_slot *slot = take(MIB);
    ck_assert_uint_eq(gauges().arenas, 2);
    ck_assert_int_eq(try_take(MIB), -EDQUOT);
    ck_assert_int_eq(bank.retired_count, 0);
    pool_put_own(slot);
    pool_put_own(stays);
}
END_TEST

START_TEST(test_once_is_no_refusal) {
    bank.refuse = 1;
    pool_put_own(take(MIB));
    ck_assert_uint_eq(gauges().arenas, 1);
}
END_TEST

/* Each call of making an arena fails, at each time that it is made: the take is refused, and nothing is left or
 * charged. */
START_TEST(test_every_call_can_fail) {
    static const struct {
        enum inject_kind kind;
        int error;
    } failures[] = {{INJECT_ALLOC, ENOMEM}, {INJECT_MEMFD_CREATE, EMFILE}, {INJECT_FTRUNCATE, ENOMEM},
                    {INJECT_MMAP, ENOMEM},  {INJECT_MADVISE, ENOMEM},      {INJECT_ADD_SEALS, EINVAL},
                    {INJECT_OPEN, EMFILE}};
    enum inject_kind kind = failures[_i].kind;
    fail_call(kind, 0, 0, 0);
    pool_put_own(take(MIB));
    int calls = fail_calls(kind);
    ck_assert_int_gt(calls, 0);
    for (int n = 1; n <= calls; n++) {
        pool = pool_end(pool);
        arena_ids_deinit(&audience); /* so that its table is made anew, too */
        new_pool(64 * MIB, usual);
        struct pool_slot *slot = NULL;
        fail_call(kind, n, FAIL_ALWAYS, failures[_i].error);
        int r = pool_take(pool, MIB, &slot);
        fail_off();
        ck_assert_uint_eq(gauges().arenas, r == 0 ? 1 : 0);
        if (r == 0) /* this call may fail without harm */
            pool_put_own(slot);
        else
            ck_assert_ptr_null(slot);
        pool_put_own(take(MIB)); /* the pool still works */
        fail_call(kind, n, 1, failures[_i].error);
        pool_put_own(take(MIB)); /* a second block, for the distance of reuse, is optional */
        fail_off();
    }
}
END_TEST

START_TEST(test_no_memory_for_a_pool) {
    const struct pool_options options = {.ops = &ops, .owner = &bank};
    struct pool *none = NULL;
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(pool_new(&none, &options), -ENOMEM);
    ck_assert_ptr_null(none);
}
END_TEST

/* --- the end, and other threads --- */

START_TEST(test_blocks_outlive_the_connection) {
    struct pool_slot *a = take(1000), *b = take(1000), *c = take(MIB);
    uint64_t shared = a->arena->size;
    if (_i)
        crowd_gather();
    ck_assert_ptr_eq(a->arena, b->arena);
    pool_put_own(take(70000));
    pool = pool_end(pool);
    ck_assert_uint_eq(atomic_load(&bank.fds), 2); /* the free arenas are gone */
    memset(a->data, 'x', 1000);
    memset(c->data, 'x', MIB);
    pool_put_own(a);
    memset(b->data, 'x', 1000);
    ck_assert_uint_eq(atomic_load(&bank.fds), 2);
    pool_put(c);
    ck_assert_uint_eq(atomic_load(&bank.bytes), shared);
    pool_put(b);
    ck_assert_uint_eq(atomic_load(&bank.bytes), 0);
    ck_assert_int_eq(atomic_load(&bank.uncharges), atomic_load(&bank.charges));
}
END_TEST

START_TEST(test_the_end_with_returns_on_the_way) {
    struct pool_slot *a = take(1000), *b = take(1000), *c = take(MIB);
    if (_i)
        crowd_gather();
    pool_put(a);
    pool_put(c);
    pool = pool_end(pool);
    ck_assert_uint_eq(atomic_load(&bank.fds), 1);
    pool_put(b);
    ck_assert_uint_eq(atomic_load(&bank.fds), 0);
}
END_TEST

START_TEST(test_put_from_another_thread) {
    struct pool_slot *slot = take(MIB);
    put_elsewhere(slot);
    ck_assert_uint_eq(gauges().blocks_out, 0);
    ck_assert_ptr_eq(take(MIB), slot);
    pool = pool_end(pool);
    put_elsewhere(slot);
    ck_assert(!pthread_equal(atomic_load(&bank.last), pthread_self())); /* the last block was freed on another thread */
}
END_TEST

/*
 * The owner takes blocks and hands them to threads that read them, write them, and put them. A thread that has a block
 * is the only one to access it: the thread sanitizer checks this, and so do the bytes.
 */
enum { WORKERS = 3, MAILBOX = 4, HANDED = 6000 };

/* A look in vain for another thread's work. After some 10 us it sleeps for a moment: on a busy machine sched_yield()
 * would let all other processes have their time slices first, but a thread that slept gets a CPU soon. */
static void look_again(unsigned *looks) {
    if (++*looks % 16384 == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
    else
        atomic_signal_fence(memory_order_seq_cst);
}

static struct worker {
    pthread_t thread;
    _Atomic(struct pool_slot *) mailbox[MAILBOX];
    atomic_bool is_last;
    int worked;
} workers[WORKERS];

static struct pool_slot *worker_next(struct worker *worker) {
    for (unsigned looks = 0;; look_again(&looks)) {
        bool is_last = atomic_load(&worker->is_last);
        for (int i = 0; i < MAILBOX; i++) {
            struct pool_slot *slot = atomic_exchange(&worker->mailbox[i], NULL);
            if (slot)
                return slot;
        }
        if (is_last)
            return NULL;
    }
}

static void *work(void *arg) {
    struct worker *worker = arg;
    for (struct pool_slot *slot; (slot = worker_next(worker));) {
        char *data = slot->data;
        ck_assert_int_eq(data[0], 'o');
        ck_assert_int_eq(data[999], 'o');
        memset(data, 'w', 1000);
        worker->worked++;
        pool_put(slot);
    }
    return NULL;
}

static void hand_over(struct pool_slot *slot, int n) {
    struct pool_slot *nothing = NULL;
    unsigned looks = 0;
    memset(slot->data, 'o', 1000);
    while (!atomic_compare_exchange_weak(&workers[n % WORKERS].mailbox[n / WORKERS % MAILBOX], &nothing, slot)) {
        nothing = NULL;
        look_again(&looks);
    }
}

static void workers_start(void) {
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
}

static int workers_stop(void) {
    int worked = 0;
    for (int i = 0; i < WORKERS; i++)
        atomic_store(&workers[i].is_last, true);
    for (int i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
        worked += workers[i].worked;
    }
    return worked;
}

START_TEST(test_many_threads_put) {
    workers_start();
    for (int n = 0; n < HANDED; n++) {
        struct pool_slot *slot = take(_i ? 1000 : (size_t) 1000 << n % 8);
        if (n % 5)
            hand_over(slot, n);
        else
            pool_put_own(slot);
        if (n % 100 == 0)
            pool_trim(pool, 0);
        if (n % 700 == 70)
            pool_rotate(pool);
        if (n % 7 == 0)
            pool_maintain(pool, wait_now());
    }
    ck_assert_int_eq(workers_stop(), HANDED - HANDED / 5);
    ck_assert_uint_eq(gauges().blocks_out, 0);
    ck_assert_uint_le(gauges().mapped, 4 * MIB); /* blocks that came back were used again */
}
END_TEST

/*
 * A block comes back at the moment at which its owner goes to sleep: either the owner finds it, or the owner is woken.
 * The owner takes a block, hands it over, and prepares to sleep.
 */
enum { NAPS = 30000 };

static _Atomic(struct pool_slot *) hand;
static atomic_bool is_over;

static void pause_for(int steps) {
    for (int i = 0; i < steps; i++)
        atomic_signal_fence(memory_order_seq_cst);
}

static void *put_what_is_in_hand(void *arg) {
    unsigned looks = 0;
    for (int n = 0; !atomic_load(&is_over); n++) {
        struct pool_slot *slot = atomic_load(&hand);
        if (!slot) {
            look_again(&looks);
            continue;
        }
        pause_for(n % 2048);
        pool_put(slot);
        atomic_store(&hand, NULL);
    }
    return arg;
}

START_TEST(test_no_sleep_with_a_return_pending) {
    pthread_t thread;
    pool_end(pool);
    new_pool_with(64 * MIB, no_cycle, (struct pool_policy){.keep = UINT64_MAX / 2});
    atomic_store(&is_over, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, put_what_is_in_hand, NULL), 0);
    unsigned looks = 0;
    int missed = 0, naps = is_under_valgrind() ? NAPS / 100 : NAPS;
    for (int n = 0; n < naps; n++) {
        int told = atomic_load(&bank.told);
        struct pool_slot *slot = take(1000);
        uint64_t all = slot->arena->size;
        atomic_store(&hand, slot);
        pause_for(n % 2048);
        pool_maintain(pool, 1);
        while (atomic_load(&hand))
            look_again(&looks);
        missed += pool_retained(pool) < all && atomic_load(&bank.told) == told;
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(missed, 0);
}
END_TEST

/* The connection ends while the threads put blocks. */
START_TEST(test_many_threads_put_at_the_end) {
    enum { OUT = WORKERS * MAILBOX };
    for (int round = 0; round < 60; round++) {
        struct pool_slot *slots[OUT];
        memset(workers, 0, sizeof workers);
        for (int n = 0; n < OUT; n++)
            slots[n] = take((size_t) 1000 << n % 7);
        workers_start();
        for (int n = 0; n < OUT; n++) {
            if (n == round % (OUT + 1))
                pool = pool_end(pool);
            hand_over(slots[n], n);
        }
        pool = pool_end(pool);
        ck_assert_int_eq(workers_stop(), OUT);
        ck_assert_uint_eq(atomic_load(&bank.bytes), 0);
        ck_assert_uint_eq(atomic_load(&bank.fds), 0);
        new_pool(64 * MIB, usual);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("pool");
    suite_fixture(s, before, after);
    suite_add(s, test_an_empty_pool);
    suite_add(s, test_properties_of_a_slot);
    suite_add(s, test_sizes_at_the_ends);
    suite_add_loop(s, test_the_steady_state_makes_no_calls, 0, 2);
    suite_add(s, test_a_class_grows_in_ever_larger_arenas);
    suite_add(s, test_large_payloads_have_arenas_of_their_own);
    suite_add(s, test_a_larger_one_beside_many);
    suite_add_loop(s, test_at_random, 0, 8);
    suite_add(s, test_a_hot_block);
    suite_add(s, test_blocks_that_are_never_hot);
    suite_add(s, test_a_hot_block_yields_to_the_budget);
    suite_add(s, test_the_end_with_a_hot_block);
    suite_add(s, test_a_private_pool);
    suite_add(s, test_distances);
    suite_add_loop(s, test_the_distance_is_kept, 0, 7);
    suite_add(s, test_retained_memory_bounds_the_distance);
    suite_add(s, test_the_distance_yields_to_the_budget);
    suite_add(s, test_a_footprint_that_changes);
    suite_add(s, test_what_a_shorter_cycle_leaves);
    suite_add(s, test_a_footprint_that_changes_while_blocks_are_out);
    suite_add(s, test_a_footprint_beyond_the_budget);
    suite_add(s, test_a_footprint_and_a_hot_block);
    suite_add(s, test_a_lease);
    suite_add(s, test_memory_that_would_be_made);
    suite_add(s, test_lies);
    suite_add(s, test_blocks_that_the_peer_holds);
    suite_add(s, test_generations_come_round);
    suite_add(s, test_many_arenas);
    suite_add_loop(s, test_only_free_arenas_go, 0, 2);
    suite_add(s, test_the_longest_free_go_first);
    suite_add(s, test_a_peer_is_not_told_of_unknown_arenas);
    suite_add_loop(s, test_an_announced_arena_has_no_descriptor, 0, 2);
    suite_add(s, test_ids_are_not_used_again_soon);
    suite_add(s, test_retained_memory_is_bounded);
    suite_add(s, test_a_spike_does_not_stay);
    suite_add(s, test_rotating_nothing);
    suite_add(s, test_an_old_generation_hands_out_nothing);
    suite_add(s, test_each_arena_goes_with_its_last_block);
    suite_add(s, test_the_end_while_draining);
    suite_add(s, test_a_full_generation);
    suite_add_loop(s, test_an_old_one_and_an_idle_one, 0, 2);
    suite_add(s, test_a_sleeping_owner_is_told);
    suite_add(s, test_no_hot_block_while_the_owner_sleeps);
    suite_add(s, test_several_pools_of_one_audience);
    suite_add(s, test_the_oldest_lease);
    suite_add(s, test_a_budget_that_says_no);
    suite_add(s, test_a_refusal_takes_idle_memory);
    suite_add(s, test_once_is_no_refusal);
    suite_add_loop(s, test_every_call_can_fail, 0, 7);
    suite_add(s, test_no_memory_for_a_pool);
    suite_add_loop(s, test_blocks_outlive_the_connection, 0, 2);
    suite_add_loop(s, test_the_end_with_returns_on_the_way, 0, 2);
    suite_add(s, test_put_from_another_thread);
    suite_add_loop(s, test_many_threads_put, 0, 2);
    suite_add(s, test_no_sleep_with_a_return_pending);
    suite_add(s, test_many_threads_put_at_the_end);
    return suite_run(s);
}
