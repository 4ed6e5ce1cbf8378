/* SPDX-License-Identifier: MIT */
/*
 * Pools. See pool.h for what is promised, memory/slot.h for a block's states, memory/size_class.h for the order of reuse.
 *
 * Nothing here is shared memory. What other threads touch are two things: the stack of returns (memory/returns.h), and, once the pool has
 * ended, counts of what is still out.
 *
 *     arena.out = slots of it that are not FREE, those on the stack of returns included
 *     an arena is of the newest generation  <=>  it has a class; else it drains, and out > 0
 *     an arena is on the idle list  <=>  it has a class, out = 0, and it is not reserved
 *
 * The end:  LIVING  --pool_end()-->  ENDED, when the stack of returns does. From then on `left` counts, of an arena
 * the slots that are out, of the pool the arenas; whoever takes one to 0 frees it.
 */
#include "memory/pool.h"

#include "memory/returns.h"
#include "memory/rotation.h"
#include "memory/size_class.h"
#include "sys/alone.h"
#include "sys/heap.h"
#include "sys/map.h"
#include "sys/wait.h"
#include "wire/handle.h"
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

/* Reserving 16 MiB in small pages takes some 10 ms; more at a time would be felt. */
static const size_t ARENA_SIZE_MAX = (size_t) 16 << 20;
/* Some twenty system calls make an arena: small blocks share them. */
static const size_t ARENA_SIZE_FIRST = (size_t) 64 << 10;
/* Private memory takes no system call, but for the allocator's own: two pages' worth are enough to begin with. */
static const size_t PRIVATE_SIZE_FIRST = (size_t) 8 << 10;
/* Beyond that a class grows by a twelfth: of what it has free then, less is wasted (doc/memory.md). */
static const size_t GROWS_TWOFOLD_MAX = (size_t) 512 << 10;
enum { GROWS_BY_ONE_IN = 12 };
/* Larger payloads have arenas of their own. */
static const size_t SHARED_MAX = (size_t) 4 << 20;

enum { CLASSES_PER_LEVEL = 8, LEVELS = SIZE_CLASS_COUNT / CLASSES_PER_LEVEL };
static_assert(SIZE_CLASS_COUNT % CLASSES_PER_LEVEL == 0, "no class beyond the last level");

/* An arena with its slots, in one piece. */
struct home {
    struct arena arena; /* first: slot->arena leads here */
    struct pool *pool;
    struct size_class *class; /* NULL: of an older generation; it drains */
    uint64_t generation;
    uint64_t allocated;           /* by its generation, once that is over */
    struct home *next, *previous; /* on the idle list */
    uint32_t out;
    bool is_reserved;
    _Atomic uint32_t left; /* ENDED only */
    _Alignas(max_align_t) char slots[];
};

struct pool {
    struct pool_front front;     /* first */
    const struct pool_ops *ops;  /* borrowed */
    void *owner;                 /* borrowed */
    struct admission *admission; /* borrowed, or NULL */
    struct arenas *audience;     /* borrowed until pool_end() */
    size_t slot_size;
    uint64_t retained_max;
    uint64_t reuse_footprint, reuse_least;
    struct size_class *levels[LEVELS];  /* owned; made when first needed, CLASSES_PER_LEVEL at a time */
    struct home *idle_head, *idle_tail; /* the longest idle first */
    struct slot_list leases;
    uint64_t mapped, arenas, bytes_out, mapped_peak, out_peak, reserved;
    struct {
        uint64_t arenas, mapped, bytes_out;
    } draining; /* of those above */
    struct rotation rotation;
    bool is_private, is_waiting, is_ended;

    char apart[64]; /* other threads write what follows */
    struct returns returns;
    _Atomic uint32_t left; /* ENDED only */
};

struct pool_slot pool_closed;

/* The place of those that are never hot. */
static struct pool_slot *no_place = &pool_closed;

static size_t round_up(size_t size, size_t unit) {
    return size + (unit - size % unit) % unit;
}

static struct home *home_of(const struct pool_slot *slot) {
    return (struct home *) slot->arena;
}

static struct pool_slot *home_slot(const struct home *home, uint32_t index) {
    return (struct pool_slot *) (uintptr_t) (home->slots + home->pool->slot_size * index);
}

/* --- the idle list --- */

static void idle_add(struct pool *pool, struct home *home) {
    if (home->is_reserved)
        return;
    home->next = NULL;
    home->previous = pool->idle_tail;
    *(pool->idle_tail ? &pool->idle_tail->next : &pool->idle_head) = home;
    pool->idle_tail = home;
}

static void idle_remove(struct pool *pool, struct home *home) {
    if (home->is_reserved)
        return;
    *(home->previous ? &home->previous->next : &pool->idle_head) = home->next;
    *(home->next ? &home->next->previous : &pool->idle_tail) = home->previous;
}

/* --- arenas --- */

/* The memory, and at the very last the charge. The pool may be gone by then. */
static void home_free(struct home *home, const struct pool_ops *ops, void *owner) {
    uint64_t size = home->arena.size;
    uint32_t fds = home->arena.fd >= 0 ? 1 : 0;
    arena_deinit(&home->arena);
    heap_free(home);
    ops->uncharge(owner, size, fds);
}

static int home_new(struct pool *pool, size_t stride, uint32_t count, struct home **ret_home) {
    CLEANUP_FREE struct home *home = heap_new(1, sizeof(*home) + pool->slot_size * count);
    if (!home)
        return -ENOMEM;
    int r = pool->is_private ? arena_init_private(&home->arena, stride, count, pool->admission)
                             : arena_init(&home->arena, stride, count, pool->admission);
    if (r < 0)
        return r;
    home->pool = pool;
    for (uint32_t i = 0; i < count; i++) {
        struct pool_slot *slot = home_slot(home, i);
        slot->arena = &home->arena;
        slot->data = arena_at(&home->arena, i);
        slot->index = i;
    }
    *ret_home = home;
    home = NULL;
    return 0;
}

static void slot_open(struct pool_slot *slot, struct size_class *class) {
    struct pool *pool = home_of(slot)->pool;
    uint32_t number = size_class_number(slot->arena->stride);
    slot->hot = number < POOL_HOT_CLASSES && class->target == 1 ? &pool->front.hot[number] : &no_place;
    size_class_add(class, slot);
}

/* Makes it part of the pool: all FREE. */
static void home_open(struct home *home, struct size_class *class) {
    struct pool *pool = home->pool;
    home->class = class;
    arenas_add(pool->audience, &home->arena);
    for (uint32_t i = home->arena.count; i-- > 0;)
        slot_open(home_slot(home, i), class);
    home->generation = pool->rotation.generation;
    idle_add(pool, home);
    pool->mapped += home->arena.size;
    pool->arenas++;
    if (pool->mapped > pool->mapped_peak)
        pool->mapped_peak = pool->mapped;
    rotation_note_arena(&pool->rotation);
    pool->ops->stirred(pool->owner);
}

/* None of its slots is out, nor in a class, nor is it on the idle list. */
static void home_retire(struct home *home) {
    struct pool *pool = home->pool;
    arenas_remove(pool->audience, &home->arena);
    pool->mapped -= home->arena.size;
    pool->arenas--;
    if (home->arena.is_announced)
        pool->ops->retired(pool->owner, home->arena.id);
    home_free(home, pool->ops, pool->owner);
}

static void home_retire_idle(struct home *home) {
    size_class_remove(home->class, &home->arena, 0);
    idle_remove(home->pool, home);
    home_retire(home);
}

uint64_t pool_active(const struct pool *pool) {
    return pool->bytes_out;
}

/* Free, and kept for the next. */
uint64_t pool_retained(const struct pool *pool) {
    return pool->mapped - pool->draining.mapped - (pool->bytes_out - pool->draining.bytes_out);
}

static void pool_retire_idle(struct pool *pool, uint64_t keep) {
    while (pool->idle_head && pool_retained(pool) > keep)
        home_retire_idle(pool->idle_head);
}

/* --- reserved arenas --- */

static void home_reserve(struct pool *pool, struct home *home) {
    if (home->is_reserved)
        return;
    if (home->out == 0)
        idle_remove(pool, home);
    home->is_reserved = true;
    pool->reserved += home->arena.size;
}

/* Until these arenas have `count` free blocks of at least `size` bytes. Returns how many are missing. */
static uint32_t pool_reserve_ready(struct pool *pool, const struct size_class *class, size_t size, uint32_t count) {
    struct arena *arena;
    uint32_t place = 0;
    while (count > 0 && (arena = arenas_next(pool->audience, &place))) {
        struct home *home = (struct home *) arena;
        uint32_t ready = arena->count - home->out;
        if (home->pool != pool || home->class != class || arena->stride < size || ready == 0)
            continue;
        home_reserve(pool, home);
        count -= ready < count ? ready : count;
    }
    return count;
}

void pool_unreserve(struct pool *pool) {
    struct arena *arena;
    uint32_t place = 0;
    while (pool->reserved > 0 && (arena = arenas_next(pool->audience, &place))) {
        struct home *home = (struct home *) arena;
        if (home->pool != pool || !home->is_reserved)
            continue;
        home->is_reserved = false;
        pool->reserved -= arena->size;
        if (home->out == 0)
            idle_add(pool, home);
    }
}

/* --- generations --- */

/* It hands out no more blocks. Some are out. */
static void home_close(struct home *home) {
    struct pool *pool = home->pool;
    size_class_remove(home->class, &home->arena, home->out);
    for (uint32_t i = 0; i < home->arena.count; i++)
        home_slot(home, i)->hot = &no_place;
    home->class = NULL;
    home->allocated = pool->front.allocated - pool->rotation.first_byte;
    pool->draining.arenas++;
    pool->draining.mapped += home->arena.size;
    pool->draining.bytes_out += home->arena.stride * home->out;
}

/* One of its slots came back. */
static void home_drain(struct home *home, struct pool_slot *slot) {
    struct pool *pool = home->pool;
    slot->is_free = true; /* of no list: nobody gets it any more */
    pool->draining.bytes_out -= home->arena.stride;
    if (--home->out > 0)
        return;
    pool->draining.arenas--;
    pool->draining.mapped -= home->arena.size;
    home_retire(home);
}

static void pool_begin_generation(struct pool *pool) {
    struct arena *arena;
    uint32_t place = 0;
    pool_unreserve(pool);
    pool_retire_idle(pool, 0);
    while ((arena = arenas_next(pool->audience, &place))) {
        struct home *home = (struct home *) arena;
        if (home->pool == pool && home->class)
            home_close(home);
    }
    rotation_begin(&pool->rotation, pool->front.allocated);
}

/* --- classes --- */

/* Half of what may be retained is for one class's rotation at most: other sizes are to keep something too. */
static uint32_t class_target(const struct pool *pool, size_t stride) {
    uint32_t distance = pool_distance(stride, pool->reuse_footprint, pool->reuse_least);
    uint64_t room = pool->retained_max / 2 / stride;
    return distance <= room ? distance : room > 1 ? (uint32_t) room : 1;
}

/* NULL: no memory for its level. */
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

/* How many blocks a class of so many wants more. */
static size_t grow_by(size_t total, size_t stride) {
    return total * stride < GROWS_TWOFOLD_MAX ? total : total / GROWS_BY_ONE_IN;
}

/* For the sake of the distance alone, no more than that wants. */
static uint32_t grow_count(const struct pool *pool, const struct size_class *class, size_t stride) {
    size_t first = (pool->is_private ? PRIVATE_SIZE_FIRST : ARENA_SIZE_FIRST) / stride, most = ARENA_SIZE_MAX / stride,
           count = grow_by(class->total, stride);
    if (class->total < class->target && count > class->target - class->total)
        count = class->target - class->total;
    if (count < first)
        count = first;
    if (count > most)
        count = most;
    return count > 0 ? (uint32_t) count : 1;
}

static int pool_make_arena(struct pool *pool, struct size_class *class, size_t stride, uint32_t count) {
    struct home *home = NULL;
    uint64_t size = arena_size(stride, count);
    uint32_t fds = pool->is_private ? 0 : 1;
    int r = size > 0 ? arenas_reserve(pool->audience) : -ENOMEM;
    if (r == 0)
        r = pool->ops->charge(pool->owner, size, fds);
    if (r < 0)
        return r;
    r = home_new(pool, stride, count, &home);
    if (r < 0) {
        pool->ops->uncharge(pool->owner, size, fds);
        return r;
    }
    home_open(home, class);
    return 0;
}

/* --- out and back --- */

static inline void slot_go_out(struct pool *pool, const struct pool_slot *slot) {
    struct home *home = home_of(slot);
    if (home->out++ == 0)
        idle_remove(pool, home);
    pool->front.allocated += home->arena.stride;
    pool->bytes_out += home->arena.stride;
    if (pool->bytes_out > pool->out_peak)
        pool->out_peak = pool->bytes_out;
}

static inline void slot_come_back(struct pool *pool, struct pool_slot *slot) {
    struct home *home = home_of(slot);
    assert(!slot->is_free && !slot->is_leased);
    pool->bytes_out -= home->arena.stride;
    if (!home->class) {
        home_drain(home, slot);
        return;
    }
    size_class_put(home->class, slot);
    if (--home->out == 0)
        idle_add(pool, home);
}

/* None may lie there: whoever puts is to be seen. All have been put where they belong. */
static void hot_close(struct pool *pool) {
    for (int i = 0; i < POOL_HOT_CLASSES; i++)
        pool->front.hot[i] = &pool_closed;
}

static bool hot_open(struct pool *pool) {
    if (pool->front.hot[0] != &pool_closed)
        return false;
    for (int i = 0; i < POOL_HOT_CLASSES; i++)
        pool->front.hot[i] = NULL;
    return true;
}

/* All that came back. Was the owner to be told of it? From here on it is not. */
static bool pool_collect(struct pool *pool) {
    struct pool_slot *slot = returns_take(&pool->returns);
    while (returns_is_slot(slot)) {
        struct pool_slot *next = slot->next;
        slot_come_back(pool, slot);
        slot = next;
    }
    return slot && hot_open(pool);
}

static void pool_drain(struct pool *pool) {
    if (returns_is_slot(returns_glance(&pool->returns)))
        pool_collect(pool);
}

static bool is_hot(const struct pool_slot *slot) {
    return slot && slot != &pool_closed;
}

/* All that came back is FREE, the hot ones too. */
static void pool_settle(struct pool *pool) {
    pool_drain(pool);
    for (int i = 0; i < POOL_HOT_CLASSES; i++)
        if (is_hot(pool->front.hot[i])) {
            slot_come_back(pool, pool->front.hot[i]);
            pool->front.hot[i] = NULL;
        }
}

/* From here on whoever puts a slot tells the owner. */
static void pool_watch(struct pool *pool) {
    while (!returns_try_watch(&pool->returns))
        pool_drain(pool);
    hot_close(pool);
}

/* So many blocks of a class go round in any case: one is written while another is read. */
enum { ROUND_LEAST = 2 };

uint64_t pool_growth(const struct pool_slot *slot) {
    const struct home *home = home_of(slot);
    const struct pool *pool = home->pool;
    const struct size_class *class = home->class;
    size_t stride = home->arena.stride;
    if (pool->is_ended || !class || pool->leases.count == 0)
        return 0;
    if (class->out < class->total || returns_is_slot(returns_glance(&pool->returns)) || is_hot(*slot->hot))
        return 0;
    if (class->total < ROUND_LEAST || class->total * stride < pool->reuse_footprint)
        return 0;
    return grow_count(pool, class, stride) * stride;
}

static size_t block_stride(size_t size) {
    return size > SHARED_MAX ? arena_size(round_up(size, ARENA_STRIDE_UNIT), 1)
                             : size_class_stride(size_class_number(size));
}

/* The way of pool_take() when no block is free, or too few to keep the distance. */
static int pool_grow(struct pool *pool, size_t size, struct pool_slot **ret_slot) {
    if (size > SIZE_CLASS_LARGEST)
        return -ENOMEM;
    uint32_t number = size_class_number(size);
    struct size_class *class = pool_class(pool, number);
    if (!class)
        return -ENOMEM;
    size_t stride = block_stride(size);
    pool_settle(pool);
    if (rotation_is_full(&pool->rotation, pool->front.allocated))
        pool_begin_generation(pool);
    pool_retire_idle(pool, pool->retained_max);
    /* Of blocks that differ in size no more than a few have been looked at. */
    bool is_alone = size > SHARED_MAX;
    struct pool_slot *slot = is_alone && size_class_is_full(class) ? size_class_search(class, size, true) : NULL;
    int r = slot ? 0 : pool_make_arena(pool, class, stride, is_alone ? 1 : grow_count(pool, class, stride));
    if (r < 0) {
        size_class_settle_for(class);
        pool_settle(pool); /* what ops->charge() had the application let go of */
    }
    if (!slot)
        slot = size_class_search(class, size, true);
    if (!slot) {
        pool_retire_idle(pool, 0);
        r = pool_make_arena(pool, class, stride, 1);
        if (r < 0)
            return r;
        slot = size_class_search(class, size, true);
    }
    slot_go_out(pool, slot);
    *ret_slot = slot;
    return 0;
}

static int pool_make_reserved(struct pool *pool, struct size_class *class, size_t size, uint32_t count) {
    size_t stride = block_stride(size);
    uint32_t most = size > SHARED_MAX ? 1 : (uint32_t) (ARENA_SIZE_MAX / stride), missing;
    int r = 0;
    while (r == 0 && (missing = pool_reserve_ready(pool, class, size, count)) > 0)
        r = pool_make_arena(pool, class, stride, missing < most ? missing : most);
    return r;
}

int pool_reserve(struct pool *pool, size_t size, uint32_t count) {
    struct size_class *class = size <= SIZE_CLASS_LARGEST ? pool_class(pool, size_class_number(size)) : NULL;
    if (!class)
        return -ENOMEM;
    pool_settle(pool);
    int r = pool_make_reserved(pool, class, size, count);
    if (r == 0 &&
        count > 0) /* with fewer than it rotates over the class would go on to grow; without room it does not */
        (void) pool_make_reserved(pool, class, size, class->target);
    return r;
}

static void pool_drop(struct pool *pool) {
    /* Release [POOL3] by each pairs with the acquire half by the last: nobody looks at it any more when it is freed. */
    if (atomic_fetch_sub_explicit(&pool->left, 1, memory_order_acq_rel) == 1)
        heap_free(pool);
}

/* ENDED only: one slot less is out. */
static void slot_drop(const struct pool_slot *slot) {
    struct home *home = home_of(slot);
    /* Release [POOL4] by each pairs with the acquire half by the last: all uses of the blocks happened before the arena is
     * unmapped. */
    if (atomic_fetch_sub_explicit(&home->left, 1, memory_order_acq_rel) != 1)
        return;
    const struct pool_ops *ops = home->pool->ops;
    void *owner = home->pool->owner;
    pool_drop(home->pool);
    home_free(home, ops, owner);
}

/* --- the public functions --- */

int pool_new(struct pool **ret_pool, const struct pool_options *options) {
    struct pool *pool = heap_new(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool->ops = options->ops;
    pool->owner = options->owner;
    pool->admission = options->admission;
    pool->audience = options->audience;
    pool->slot_size = sizeof(struct pool_slot) + round_up(options->extra, _Alignof(max_align_t));
    pool->retained_max = options->retained_max;
    pool->reuse_footprint = options->reuse_footprint;
    pool->reuse_least = options->reuse_least;
    pool->is_private = options->is_private;
    rotation_init(&pool->rotation, &options->policy);
    *ret_pool = pool;
    return 0;
}

/* Frees what is idle, and has each other arena count its slots. */
static void pool_begin_end(struct pool *pool) {
    uint32_t left = 1; /* the pool's own, until pool_end() has done with it */
    struct arena *arena;
    uint32_t place = 0;
    while ((arena = arenas_next(pool->audience, &place))) {
        struct home *home = (struct home *) arena;
        if (home->pool != pool)
            continue;
        arenas_remove(pool->audience, arena);
        atomic_store_explicit(&home->left, home->out, memory_order_relaxed);
        if (home->out > 0)
            left++;
        else
            home_free(home, pool->ops, pool->owner);
    }
    atomic_store_explicit(&pool->left, left, memory_order_relaxed);
    for (uint32_t i = 0; i < LEVELS; i++)
        pool->levels[i] = heap_free(pool->levels[i]);
    hot_close(pool);
    pool->is_ended = true;
}

struct pool *pool_end(struct pool *pool) {
    if (!pool)
        return NULL;
    assert(pool->leases.count == 0);
    pool_settle(pool);
    pool_begin_end(pool);
    struct pool_slot *slot = returns_end(&pool->returns);
    while (returns_is_slot(slot)) {
        struct pool_slot *next = slot->next;
        slot_drop(slot);
        slot = next;
    }
    pool_drop(pool);
    return NULL;
}

bool pool_has(const struct pool *pool, const struct pool_slot *slot) {
    return home_of(slot)->pool == pool;
}

/* The owner works again. What it puts in front from now on is looked after before it sleeps. */
static RARE void pool_wake(struct pool *pool) {
    if (pool_collect(pool))
        pool->ops->stirred(pool->owner);
}

struct pool_slot *pool_take_ready(struct pool *pool, size_t size) {
    if (size > SIZE_CLASS_LARGEST)
        return NULL;
    if (returns_glance(&pool->returns))
        pool_wake(pool);
    uint32_t number = size_class_number(size);
    struct size_class *level = pool->levels[number / CLASSES_PER_LEVEL];
    struct pool_slot *slot = level ? size_class_pick(&level[number % CLASSES_PER_LEVEL], size) : NULL;
    if (slot)
        slot_go_out(pool, slot);
    return slot;
}

/* A hot one goes out as it came back: unseen by all else. */
int pool_take(struct pool *pool, size_t size, struct pool_slot **ret_slot) {
    struct pool_slot *hot = pool_take_hot(pool, size);
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

/* The slot keeps pool and owner alive only until it is put: an owner that is to be told is held before. */
void pool_put(struct pool_slot *slot) {
    struct pool *pool = home_of(slot)->pool;
    if (thread_is_alone() && returns_glance(&pool->returns) != RETURNS_WATCHED) {
        pool_put_own(slot);
        return;
    }
    const struct pool_ops *ops = pool->ops;
    void *owner = pool->owner;
    bool tells = false;
    struct pool_slot *top = returns_look(&pool->returns);
    do {
        if (top == RETURNS_ENDED) {
            slot_drop(slot);
            break;
        }
        if (top == RETURNS_WATCHED && !tells) {
            ops->hold(owner);
            tells = true;
        }
    } while (!returns_try_put(&pool->returns, &top, slot));
    if (tells)
        ops->tell(owner);
}

void pool_put_own(struct pool_slot *slot) {
    struct pool *pool = home_of(slot)->pool;
    if (pool->is_ended) {
        slot_drop(slot);
        return;
    }
    bool is_watched = returns_glance(&pool->returns) == RETURNS_WATCHED;
    slot_come_back(pool, slot);
    if (is_watched)
        pool->ops->stirred(pool->owner);
}

void pool_trim(struct pool *pool, uint64_t keep) {
    pool_settle(pool);
    pool_retire_idle(pool, keep);
}

void pool_rotate(struct pool *pool) {
    pool_settle(pool);
    pool_begin_generation(pool);
}

static bool has_arenas(const struct pool *pool) {
    return pool->arenas > pool->draining.arenas;
}

/* Is something out whose return must not wait until something else happens? What is free already has a deadline. */
static bool waits_for_returns(const struct pool *pool) {
    bool is_all_reserved = pool->mapped == pool->reserved;
    return pool->draining.arenas > 0 ||
           (pool->bytes_out > 0 && pool->rotation.policy.keep && !pool->idle_head && !is_all_reserved);
}

uint64_t pool_rest(struct pool *pool, uint64_t now) {
    pool_trim(pool, pool->retained_max);
    enum rotation_wish wish =
        has_arenas(pool) ? rotation_look(&pool->rotation, pool->front.allocated, now) : ROTATION_NOTHING;
    if (wish == ROTATION_TRIM)
        pool_retire_idle(pool, 0);
    else if (wish == ROTATION_ROTATE)
        pool_begin_generation(pool);
    pool->is_waiting = waits_for_returns(pool);
    if (pool->is_waiting)
        pool_watch(pool);
    return rotation_deadline(&pool->rotation, has_arenas(pool), pool->idle_head);
}

bool pool_is_waiting(const struct pool *pool) {
    return pool->is_waiting;
}

uint64_t slot_lease(struct pool_slot *slot) {
    assert(!slot->is_free && !slot->is_leased);
    slot->is_leased = true;
    slot->leased_at = wait_now_coarse();
    slot->generation = handle_next_generation(slot->generation);
    slot_list_prepend(&home_of(slot)->pool->leases, slot);
    return handle_make(slot->arena->id, slot->index, slot->generation);
}

void pool_note_announced(struct arena *arena) {
    struct pool *pool = ((struct home *) arena)->pool;
    arena_note_announced(arena);
    pool->ops->uncharge_fd(pool->owner);
}

struct pool_slot *pool_find_lease(const struct arenas *audience, uint64_t handle) {
    const struct home *home = (const struct home *) arenas_find(audience, handle_arena(handle));
    uint32_t index = handle_index(handle);
    if (!home || index >= home->arena.count)
        return NULL;
    struct pool_slot *slot = home_slot(home, index);
    return slot->is_leased && slot->generation == handle_generation(handle) ? slot : NULL;
}

void slot_release(struct pool_slot *slot) {
    assert(slot->is_leased);
    slot->is_leased = false;
    slot_list_remove(&home_of(slot)->pool->leases, slot);
}

const struct pool_slot *pool_oldest_lease(const struct pool *pool) {
    return pool->leases.tail;
}

struct pool_slot *pool_next_lease(const struct pool *pool, const struct pool_slot *slot) {
    return slot ? slot->next : pool->leases.head;
}

uint64_t pool_oldest_generation(const struct pool *pool) {
    uint64_t oldest = pool->rotation.generation;
    struct arena *arena;
    uint32_t place = 0;
    while ((arena = arenas_next(pool->audience, &place))) {
        const struct home *home = (const struct home *) arena;
        if (home->pool == pool && home->generation < oldest)
            oldest = home->generation;
    }
    return oldest;
}

static void generation_leases(const struct pool *pool, uint64_t number, struct pool_gauges *sum) {
    for (const struct pool_slot *slot = pool->leases.head; slot; slot = slot->next) {
        if (home_of(slot)->generation != number)
            continue;
        sum->leases++;
        sum->leased += slot->arena->stride;
        sum->oldest_lease = slot;
    }
}

void pool_generation(struct pool *pool, uint64_t number, struct pool_gauges *ret_gauges) {
    struct pool_gauges sum = {.generation = number};
    struct arena *arena;
    uint32_t place = 0;
    pool_settle(pool);
    while ((arena = arenas_next(pool->audience, &place))) {
        const struct home *home = (const struct home *) arena;
        if (home->pool != pool || home->generation != number)
            continue;
        sum.arenas++;
        sum.mapped += arena->size;
        sum.blocks_out += home->out;
        sum.bytes_out += home->out * arena->stride;
        sum.retained += home->class ? arena->size - home->out * arena->stride : 0;
        sum.allocated = home->class ? pool->front.allocated - pool->rotation.first_byte : home->allocated;
    }
    generation_leases(pool, number, &sum);
    *ret_gauges = sum;
}

uint64_t pool_resident(const struct pool *pool, uint64_t generation) {
    struct arena *arena;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((arena = arenas_next(pool->audience, &place))) {
        const struct home *home = (const struct home *) arena;
        if (home->pool == pool && (!generation || home->generation == generation))
            sum += map_count_resident(arena->data, arena->size);
    }
    return sum;
}

/* Summed up only here: takes and puts have enough to count. */
static uint64_t pool_blocks_out(const struct pool *pool) {
    struct arena *arena;
    uint32_t place = 0;
    uint64_t sum = 0;
    while ((arena = arenas_next(pool->audience, &place)))
        if (((const struct home *) arena)->pool == pool)
            sum += ((const struct home *) arena)->out;
    return sum;
}

void pool_gauges(struct pool *pool, struct pool_gauges *ret_gauges) {
    pool_settle(pool);
    *ret_gauges = (struct pool_gauges){
        .mapped = pool->mapped,
        .arenas = pool->arenas,
        .blocks_out = pool_blocks_out(pool),
        .bytes_out = pool->bytes_out,
        .retained = pool_retained(pool),
        .reserved = pool->reserved,
        .leases = pool->leases.count,
        .allocated = pool->front.allocated,
        .mapped_peak = pool->mapped_peak,
        .out_peak = pool->out_peak,
        .draining_arenas = pool->draining.arenas,
        .draining_mapped = pool->draining.mapped,
        .draining_bytes_out = pool->draining.bytes_out,
        .generation = pool->rotation.generation,
    };
}

uint32_t pool_distance(size_t size, uint64_t footprint, uint64_t least) {
    const uint64_t distance_max = 64;
    if (size == 0 || size > footprint || size < least)
        return 1;
    return (uint32_t) (footprint / size < distance_max ? footprint / size : distance_max);
}
