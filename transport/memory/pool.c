/* SPDX-License-Identifier: MIT */
/*
 * Pools. See pool.h for the rules, memory/slot.h for a block's states, memory/pool_arenas.h for the arenas,
 * memory/size_class.h for the order of reuse.
 *
 * Nothing here is shared memory. Other threads, in pool_put(), read the addresses of arena and pool, and arenas.ops and
 * arenas.owner, which do not change. They write the return stack (memory/return_stack.h), and, once the pool has ended,
 * the counts of blocks and arenas that are still out.
 *
 * The end:  LIVING  --pool_end()-->  ENDED, when the return stack ends. From then on `left` of an arena counts its
 * slots that are out, and `left` of the pool counts its arenas. The thread that takes a count to 0 frees the arena
 * (census lock, unmapping, ops->uncharge()) or the pool.
 */
#include "memory/pool.h"

#include "memory/pool_arenas.h"
#include "memory/return_stack.h"
#include "memory/size_class.h"
#include "memory/work.h"
#include "sys/heap.h"
#include "sys/single_thread.h"
#include "sys/wait.h"
#include "util/arith.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

/* Reserving 16 MiB in small pages takes some 10 ms. A larger step would delay the caller noticeably. */
static const size_t ARENA_SIZE_MAX = (size_t) 16 << 20;
/* Making an arena takes some twenty system calls: small blocks share an arena. */
static const size_t ARENA_SIZE_FIRST = (size_t) 64 << 10;
/* Private memory takes no system call, except the allocator's own: two pages are enough to begin with. */
static const size_t PRIVATE_SIZE_FIRST = (size_t) 8 << 10;
/* Larger classes grow by a twelfth, so that less memory is free in them (doc/memory.md). */
static const size_t GROWS_TWOFOLD_MAX = (size_t) 512 << 10;
enum { GROWS_BY_ONE_IN = 12 };
/* A larger payload has an arena of its own. */
static const size_t SHARED_MAX = (size_t) 4 << 20;

enum { CLASSES_PER_LEVEL = 8, LEVELS = SIZE_CLASS_COUNT / CLASSES_PER_LEVEL };
static_assert(SIZE_CLASS_COUNT % CLASSES_PER_LEVEL == 0, "no class beyond the last level");

struct pool {
    struct pool_arenas arenas; /* first, so that the front of the arenas is the front of the pool */
    uint64_t retained_max;
    uint64_t reuse_footprint, reuse_least;
    struct size_class *levels[LEVELS]; /* owned; made when first needed, CLASSES_PER_LEVEL at a time */
    QUEUE(struct pool_slot) leases;    /* the newest first */
    uint32_t leases_count;
    bool is_waiting, is_ended;

    char apart[64]; /* other threads write the members below */
    struct return_stack returns;
    _Atomic uint32_t left; /* ENDED only */
};

static_assert(offsetof(struct pool, arenas) == 0 && offsetof(struct pool_arenas, front) == 0,
              "pool.h looks at the front");

static struct pool *pool_of(const struct pool_slot *slot) {
    return (struct pool *) ((const struct pool_arena *) slot->arena)->arenas;
}

static_assert(SIZE_CLASS_SMALLEST << (POOL_HOT_CLASSES - 1) / 4 == POOL_HOT_LARGEST, "four classes for each doubling");

/* --- classes --- */

/* A cycle takes at most half of the memory that may be retained, so that other sizes keep some too. */
static uint32_t class_target(const struct pool *pool, size_t stride) {
    uint32_t distance = pool_distance(stride, pool->reuse_footprint, pool->reuse_least);
    uint64_t room = pool->retained_max / 2 / stride;
    return distance <= room ? distance : room > 1 ? (uint32_t) room : 1;
}

/* NULL: there is no memory for the level of the class. */
static struct size_class *pool_class(struct pool *pool, uint32_t number) {
    struct size_class **level = &pool->levels[number / CLASSES_PER_LEVEL];
    if (!*level && !(*level = heap_new(CLASSES_PER_LEVEL, sizeof(**level))))
        return NULL;
    struct size_class *class = &(*level)[number % CLASSES_PER_LEVEL];
    if (class->target == 0)
        class->target = class->distance = class_target(pool, size_class_stride(number));
    return class;
}

/* --- growing --- */

/* How many blocks a class with `total` blocks grows by. */
static size_t grow_by(size_t total, size_t stride) {
    return total * stride < GROWS_TWOFOLD_MAX ? total : total / GROWS_BY_ONE_IN;
}

/* How many blocks the next arena of the class gets. Growth for the distance of reuse alone ends at the distance. */
static uint32_t grow_count(const struct pool *pool, const struct size_class *class, size_t stride) {
    size_t first = (pool->arenas.is_private ? PRIVATE_SIZE_FIRST : ARENA_SIZE_FIRST) / stride,
           most = ARENA_SIZE_MAX / stride, count = grow_by(class->total, stride);
    if (class->total < class->target && count > class->target - class->total)
        count = class->target - class->total;
    if (count < first)
        count = first;
    count = (size_t) min_u64(count, most);
    return count > 0 ? (uint32_t) count : 1;
}

/* --- taking and putting --- */

/* Takes the blocks that came back into their classes, and ends the watch. Returns whether there was one. */
static bool pool_collect(struct pool *pool) {
    struct pool_slot *slot = return_stack_take(&pool->returns);
    while (return_stack_is_slot(slot)) {
        struct pool_slot *next = slot->link.next;
        slot_come_back(&pool->arenas, slot);
        slot = next;
    }
    return slot && pool_front_open(&pool->arenas.front);
}

static void pool_drain(struct pool *pool) {
    if (return_stack_is_slot(return_stack_top(&pool->returns)))
        pool_collect(pool);
}

/* Makes all blocks that came back FREE, the hot ones too. */
static void pool_collect_returns(struct pool *pool) {
    pool_drain(pool);
    for (int i = 0; i < POOL_HOT_CLASSES; i++)
        if (pool_front_is_hot(pool->arenas.front.hot[i])) {
            slot_come_back(&pool->arenas, pool->arenas.front.hot[i]);
            pool->arenas.front.hot[i] = NULL;
        }
}

/* Begins the watch (pool.h), if it has not begun. */
static void pool_watch(struct pool *pool) {
    while (!return_stack_try_watch(&pool->returns))
        pool_drain(pool);
    pool_front_close(&pool->arenas.front);
}

static void class_retarget(struct pool *pool, uint32_t number, struct size_class *class) {
    uint32_t before = class->target, target = class_target(pool, size_class_stride(number));
    if (before == 0 || before == target)
        return;
    size_class_set_target(class, target);
    if ((before == 1) != (target == 1))
        pool_arenas_note_cycle(&pool->arenas, class);
}

void pool_set_footprint(struct pool *pool, uint64_t footprint) {
    if (footprint == pool->reuse_footprint)
        return;
    pool_collect_returns(pool);
    pool->reuse_footprint = footprint;
    for (uint32_t number = 0; number < SIZE_CLASS_COUNT; number++)
        if (pool->levels[number / CLASSES_PER_LEVEL])
            class_retarget(pool, number, &pool->levels[number / CLASSES_PER_LEVEL][number % CLASSES_PER_LEVEL]);
    pool->arenas.ops->needs_maintenance(pool->arenas.owner);
}

/* A class with fewer blocks had better grow than wait, also where its distance is 1: one block is written while another
 * is read. */
enum { ROUND_LEAST = 2 };

uint64_t pool_growth(const struct pool_slot *slot) {
    const struct pool_arena *arena = pool_arena_of(slot);
    const struct pool *pool = pool_of(slot);
    const struct size_class *class = arena->class;
    size_t stride = arena->base.stride;
    if (pool->is_ended || !class || pool->leases_count == 0)
        return 0;
    if (class->out < class->total || return_stack_is_slot(return_stack_top(&pool->returns)) ||
        pool_front_is_hot(*slot->hot))
        return 0;
    if (class->total < ROUND_LEAST || class->total * stride < pool->reuse_footprint)
        return 0;
    return grow_count(pool, class, stride) * stride;
}

static size_t block_stride(size_t size) {
    return size > SHARED_MAX ? arena_size(round_up(size, ARENA_STRIDE_UNIT), 1)
                             : size_class_stride(size_class_number(size));
}

/* The slow path of pool_take(): no block is free, or too few to keep the distance. */
static int pool_grow(struct pool *pool, size_t size, struct pool_slot **ret_slot) {
    if (size > SIZE_CLASS_LARGEST)
        return -ENOMEM;
    uint32_t number = size_class_number(size);
    struct size_class *class = pool_class(pool, number);
    if (!class)
        return -ENOMEM;
    size_t stride = block_stride(size);
    pool_collect_returns(pool);
    if (rotation_is_full(&pool->arenas.rotation, pool->arenas.front.allocated))
        pool_arenas_begin_generation(&pool->arenas);
    pool_arenas_retire_idle(&pool->arenas, pool->retained_max);
    /* size_class_pick() has looked at a few only of the blocks that differ in size. */
    bool is_alone = size > SHARED_MAX;
    struct pool_slot *slot = is_alone && size_class_is_full(class) ? size_class_search(class, size, true) : NULL;
    int r = slot ? 0 : pool_arenas_make(&pool->arenas, class, stride, is_alone ? 1 : grow_count(pool, class, stride));
    if (r < 0) {
        size_class_expect_growth(class);
        pool_collect_returns(pool); /* ops->charge() may have made the application release blocks */
    }
    if (!slot)
        slot = size_class_search(class, size, true);
    if (!slot) {
        pool_arenas_retire_idle(&pool->arenas, 0);
        r = pool_arenas_make(&pool->arenas, class, stride, 1);
        if (r < 0)
            return r;
        slot = size_class_search(class, size, true);
    }
    slot_go_out(&pool->arenas, slot);
    *ret_slot = slot;
    return 0;
}

static int pool_make_reserved(struct pool *pool, struct size_class *class, size_t size, uint32_t count) {
    size_t stride = block_stride(size);
    uint32_t most = size > SHARED_MAX ? 1 : (uint32_t) (ARENA_SIZE_MAX / stride), missing;
    int r = 0;
    while (r == 0 && (missing = pool_arenas_reserve(&pool->arenas, class, size, count)) > 0)
        r = pool_arenas_make(&pool->arenas, class, stride, missing < most ? missing : most);
    return r;
}

int pool_reserve(struct pool *pool, size_t size, uint32_t count) {
    struct size_class *class = size <= SIZE_CLASS_LARGEST ? pool_class(pool, size_class_number(size)) : NULL;
    if (!class)
        return -ENOMEM;
    pool_collect_returns(pool);
    int r = pool_make_reserved(pool, class, size, count);
    /* With fewer blocks than it cycles over, the class would go on to grow. A failure does no harm. */
    if (r == 0 && count > 0)
        (void) pool_make_reserved(pool, class, size, class->target);
    return r;
}

void pool_unreserve(struct pool *pool) {
    pool_arenas_unreserve(&pool->arenas);
}

static void pool_drop(struct pool *pool) {
    /* Release [POOL3] by each thread pairs with the acquire half by the last one: no thread uses the pool any more when
     * it is freed. */
    if (atomic_fetch_sub_explicit(&pool->left, 1, memory_order_acq_rel) == 1)
        heap_free(pool);
}

/* ENDED only: counts a slot that came back. */
static void slot_drop(const struct pool_slot *slot) {
    struct pool_arena *arena = pool_arena_of(slot);
    /* Release [POOL4] by each thread pairs with the acquire half by the last one: all uses of the blocks happened
     * before the arena is unmapped. */
    if (atomic_fetch_sub_explicit(&arena->left, 1, memory_order_acq_rel) != 1)
        return;
    struct pool *pool = pool_of(slot);
    const struct pool_ops *ops = pool->arenas.ops;
    void *owner = pool->arenas.owner;
    pool_drop(pool);
    pool_arena_free(arena, ops, owner);
}

/* --- the public functions --- */

int pool_new(struct pool **ret_pool, const struct pool_options *options) {
    struct pool *pool = heap_new(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool_arenas_init(&pool->arenas, options);
    pool->retained_max = options->retained_max;
    pool->reuse_footprint = options->reuse_footprint;
    pool->reuse_least = options->reuse_least;
    *ret_pool = pool;
    return 0;
}

static void pool_begin_end(struct pool *pool) {
    /* One count is the pool's own, until pool_end() has finished. */
    atomic_store_explicit(&pool->left, 1 + pool_arenas_end(&pool->arenas), memory_order_relaxed);
    for (uint32_t i = 0; i < LEVELS; i++)
        pool->levels[i] = heap_free(pool->levels[i]);
    pool_front_close(&pool->arenas.front);
    pool->is_ended = true;
}

struct pool *pool_end(struct pool *pool) {
    if (!pool)
        return NULL;
    assert(pool->leases_count == 0);
    pool_collect_returns(pool);
    pool_begin_end(pool);
    struct pool_slot *slot = return_stack_end(&pool->returns);
    while (return_stack_is_slot(slot)) {
        struct pool_slot *next = slot->link.next;
        slot_drop(slot);
        slot = next;
    }
    pool_drop(pool);
    return NULL;
}

bool pool_has(const struct pool *pool, const struct pool_slot *slot) {
    return pool_of(slot) == pool;
}

/* Blocks came back, or the owner works again: the end of the watch (pool.h). */
static RARE void pool_wake(struct pool *pool) {
    if (pool_collect(pool))
        pool->arenas.ops->needs_maintenance(pool->arenas.owner);
}

struct pool_slot *pool_take_ready(struct pool *pool, size_t size) {
    if (size > SIZE_CLASS_LARGEST)
        return NULL;
    if (return_stack_top(&pool->returns))
        pool_wake(pool);
    uint32_t number = size_class_number(size);
    struct size_class *level = pool->levels[number / CLASSES_PER_LEVEL];
    struct pool_slot *slot = level ? size_class_pick(&level[number % CLASSES_PER_LEVEL], size) : NULL;
    if (slot)
        slot_go_out(&pool->arenas, slot);
    return slot;
}

/* A hot block goes out as it came back: no list and no count changes. */
int pool_take(struct pool *pool, size_t size, struct pool_slot **ret_slot) {
    struct pool_slot *hot = size <= POOL_HOT_LARGEST ? pool_take_hot(pool, size) : NULL;
    if (hot) {
        *ret_slot = hot;
        return 0;
    }
    struct pool_slot *slot = pool_take_ready(pool, size);
    int r = slot ? 0 : pool_grow(pool, size, &slot);
    if (r == 0)
        *ret_slot = slot;
    return r;
}

/* Puts a slot on the thread of the pool's owner. */
static inline void pool_put_into(struct pool *pool, struct pool_slot *slot) {
    if (pool->is_ended)
        slot_drop(slot);
    else
        slot_come_back(&pool->arenas, slot);
}

/* The slot keeps the pool and the owner alive only until it is put. So an owner that is to be woken is held before. */
void pool_put(struct pool_slot *slot) {
    struct pool *pool = pool_of(slot);
    if (is_single_threaded() && return_stack_top(&pool->returns) != RETURN_STACK_WATCHED) {
        pool_put_into(pool, slot);
        return;
    }
    const struct pool_ops *ops = pool->arenas.ops;
    void *owner = pool->arenas.owner;
    bool tells = false;
    struct pool_slot *top = return_stack_top_acquire(&pool->returns);
    do {
        if (top == RETURN_STACK_ENDED) {
            slot_drop(slot);
            break;
        }
        if (top == RETURN_STACK_WATCHED && !tells) {
            ops->hold(owner);
            tells = true;
        }
    } while (!return_stack_try_put(&pool->returns, &top, slot));
    if (tells)
        ops->tell(owner);
}

void pool_put_own(struct pool_slot *slot) {
    struct pool *pool = pool_of(slot);
    bool is_watched = return_stack_top(&pool->returns) == RETURN_STACK_WATCHED; /* of a pool that has not ended */
    const struct pool_ops *ops = pool->arenas.ops;
    void *owner = pool->arenas.owner;
    pool_put_into(pool, slot);
    if (is_watched)
        ops->needs_maintenance(owner);
}

void pool_trim(struct pool *pool, uint64_t keep) {
    pool_collect_returns(pool);
    pool_arenas_retire_idle(&pool->arenas, keep);
}

uint64_t pool_trim_one(struct pool *pool) {
    pool_collect_returns(pool);
    return pool_arenas_retire_one(&pool->arenas);
}

uint64_t pool_trim_surplus(struct pool *pool) {
    pool_collect_returns(pool);
    return pool_arenas_retire_surplus(&pool->arenas);
}

void pool_rotate(struct pool *pool) {
    pool_collect_returns(pool);
    pool_arenas_begin_generation(&pool->arenas);
}

static bool has_arenas(const struct pool_arenas *arenas) {
    return arenas->arenas > arenas->draining.arenas;
}

/* Are blocks out whose return must be noticed at once? Free blocks have a deadline already. */
static bool waits_for_returns(const struct pool_arenas *arenas) {
    bool is_all_reserved = arenas->mapped == arenas->reserved;
    return arenas->draining.arenas > 0 ||
           (arenas->bytes_out > 0 && arenas->rotation.policy.keep && !arenas->idle.first && !is_all_reserved);
}

/* So much goes at a time, and the last one whole: more would be felt. Returns whether more than `keep` is still
 * retained, and idle. */
static bool maintain_trim(struct pool_arenas *arenas, uint64_t keep) {
    uint64_t gone = 0, most = keep > 0 ? keep + arenas->reserved : 0;
    while (gone < WORK_PER_TURN && arenas->idle.first && pool_arenas_retained(arenas) > most)
        gone += pool_arenas_retire_one(arenas);
    return arenas->idle.first && pool_arenas_retained(arenas) > most;
}

/* Returns whether there is more to do at once. A generation begins when the idle arenas of the one before have gone. */
static bool maintain_some(struct pool *pool, uint64_t now) {
    struct pool_arenas *arenas = &pool->arenas;
    pool_collect_returns(pool);
    if (maintain_trim(arenas, pool->retained_max))
        return true;
    enum rotation_wish wish =
        has_arenas(arenas) ? rotation_check(&arenas->rotation, arenas->front.allocated, now) : ROTATION_NOTHING;
    if (wish != ROTATION_NOTHING && maintain_trim(arenas, 0))
        return true;
    if (wish == ROTATION_ROTATE)
        pool_arenas_begin_generation(arenas);
    return false;
}

uint64_t pool_maintain(struct pool *pool, uint64_t now) {
    struct pool_arenas *arenas = &pool->arenas;
    bool has_more = maintain_some(pool, now);
    pool->is_waiting = waits_for_returns(arenas);
    if (pool->is_waiting)
        pool_watch(pool);
    return has_more ? now : rotation_deadline(&arenas->rotation, has_arenas(arenas), arenas->idle.first);
}

bool pool_is_waiting(const struct pool *pool) {
    return pool->is_waiting;
}

uint64_t slot_lease(struct pool_slot *slot) {
    assert(!slot->is_free && !slot->is_leased);
    slot->is_leased = true;
    slot->leased_at = wait_now_coarse();
    slot->generation = handle_next_generation(slot->generation);
    struct pool *pool = pool_of(slot);
    QUEUE_PREPEND(&pool->leases, slot, link);
    pool->leases_count++;
    return handle_make(slot->arena->id, slot->index, slot->generation);
}

void pool_note_announced(struct arena *arena) {
    const struct pool_arenas *arenas = ((struct pool_arena *) arena)->arenas;
    arena_note_announced(arena);
    arenas->ops->uncharge_fd(arenas->owner);
}

static inline struct pool_slot *find_lease(const struct arena_ids *audience, uint64_t handle) {
    const struct handle_parts parts = handle_split(handle);
    const struct pool_arena *arena = (const struct pool_arena *) arena_ids_find(audience, parts.arena);
    if (!arena || parts.index >= arena->base.count)
        return NULL;
    struct pool_slot *slot = pool_arena_slot(arena, parts.index);
    return slot->is_leased && slot->generation == parts.generation ? slot : NULL;
}

struct pool_slot *pool_find_lease(const struct arena_ids *audience, uint64_t handle) {
    return find_lease(audience, handle);
}

static inline void end_lease(struct pool_slot *slot) {
    assert(slot->is_leased);
    slot->is_leased = false;
    struct pool *pool = pool_of(slot);
    QUEUE_REMOVE(&pool->leases, slot, link);
    pool->leases_count--;
}

void slot_release(struct pool_slot *slot) {
    end_lease(slot);
}

struct pool_slot *pool_end_lease(const struct arena_ids *audience, uint64_t handle) {
    struct pool_slot *slot = find_lease(audience, handle);
    if (slot)
        end_lease(slot);
    return slot;
}

const struct pool_slot *pool_oldest_lease(const struct pool *pool) {
    return pool->leases.last;
}

struct pool_slot *pool_next_lease(const struct pool *pool, const struct pool_slot *slot) {
    return slot ? slot->link.next : pool->leases.first;
}

static void generation_leases(const struct pool *pool, uint64_t number, struct pool_gauges *sum) {
    for (const struct pool_slot *slot = pool->leases.first; slot; slot = slot->link.next) {
        if (pool_arena_of(slot)->generation != number)
            continue;
        sum->leases++;
        sum->leased += slot->arena->stride;
        sum->oldest_lease = slot;
    }
}

void pool_gauges(struct pool *pool, struct pool_gauges *ret_gauges) {
    pool_collect_returns(pool);
    pool_arenas_gauges(&pool->arenas, ret_gauges);
    ret_gauges->leases = pool->leases_count;
}

void pool_generation(struct pool *pool, uint64_t number, struct pool_gauges *ret_gauges) {
    pool_collect_returns(pool);
    pool_arenas_generation(&pool->arenas, number, ret_gauges);
    generation_leases(pool, number, ret_gauges);
}

uint64_t pool_oldest_generation(const struct pool *pool) {
    return pool_arenas_oldest_generation(&pool->arenas);
}

uint64_t pool_active(const struct pool *pool) {
    return pool->arenas.bytes_out;
}

uint64_t pool_retained(const struct pool *pool) {
    return pool_arenas_retained(&pool->arenas);
}

uint64_t pool_resident(const struct pool *pool, uint64_t generation) {
    return pool_arenas_resident(&pool->arenas, generation);
}

uint32_t pool_distance(size_t size, uint64_t footprint, uint64_t least) {
    const uint64_t distance_max = 64;
    if (size == 0 || size > footprint || size < least)
        return 1;
    return (uint32_t) (footprint / size < distance_max ? footprint / size : distance_max);
}
