/* SPDX-License-Identifier: MIT */
/*
 * The context. Its defaults are derived from the machine's real limits when it is made; see
 * <sealane/ctx.h> for them.
 */
#include "registry/ctx.h"

#include "registry/figures.h"
#include "registry/options.h"
#include "sys/disposal.h"
#include "sys/heap.h"
#include "sys/limits.h"
#include "sys/map.h"
#include "sys/meminfo.h"
#include "sys/wait.h"
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* At most: each block may take a mapping, and the program and the outboxes of its connections need some too. */
static const uint32_t BLOCKS_DEFAULT = 65536;
static const uint32_t PEER_BLOCKS_DEFAULT = 4096;
/* Bytes. The least budget, also of a context that began while the machine was short of memory: admission asks for the
 * memory that is there in any case. */
static const uint64_t BUDGET_LEAST = UINT64_C(32)
                                     << 20; /* and the budget where the kernel does not say how much memory there is */
enum { LOOKS_AGAIN_MAX = 2 };

/* What members keep saves them time: a connection that stays at a limit costs them that no more often. */
static const uint64_t TRIM_NS = UINT64_C(1000) * 1000 * 1000;

static const uint64_t LOW_MARK_MAX = UINT64_C(1) << 60; /* so that sums with it stay numbers */

unsigned sea_version(void) {
    return SEA_VERSION_NUMBER;
}

const char *sea_class_name(int payload_class) {
    switch (payload_class) {
    case SEA_INLINE:
        return "inline";
    case SEA_POOLED:
        return "pooled";
    case SEA_SEALED:
        return "sealed";
    default:
        return "none";
    }
}

static struct limits limits_or(struct limits asked, struct limits otherwise) {
    return (struct limits){
        .bytes = asked.bytes ? asked.bytes : otherwise.bytes,
        .blocks = asked.blocks ? asked.blocks : otherwise.blocks,
        .fds = asked.fds ? asked.fds : otherwise.fds,
    };
}

static uint32_t at_most(uint64_t n, uint32_t most) {
    return n < most ? (uint32_t) n : most;
}

static uint64_t at_least(uint64_t n, uint64_t least) {
    return n > least ? n : least;
}

static void ctx_set_limits(sea_ctx *ctx, const sea_ctx_options *options) {
    uint64_t maps = limits_maps();
    uint32_t fds = at_most(limits_nofile(), UINT32_MAX);
    uint32_t blocks = at_most(maps / 2, BLOCKS_DEFAULT), peer_blocks = at_most(maps / 8, PEER_BLOCKS_DEFAULT);
    struct admission_verdict verdict;
    admission_check(&ctx->admission, 0, &verdict);
    uint64_t memory = verdict.is_blind ? 0 : verdict.tightest.available / 4 * 3;
    struct limits budget =
        limits_or((struct limits){options->budget_bytes, options->budget_blocks, options->budget_fds},
                  (struct limits){at_least(memory, BUDGET_LEAST), blocks, fds / 2});
    ctx->peer_limits = limits_or((struct limits){options->peer_bytes, options->peer_blocks, options->peer_fds},
                                 (struct limits){budget.bytes / 2, peer_blocks, fds / 4});
    ctx->user_limits = limits_or((struct limits){options->user_bytes, options->user_blocks, options->user_fds}, budget);
    ctx->has_fair_shares = options->peer_bytes == 0 && options->user_bytes == 0;
    quota_init(&ctx->budget, "budget", NULL, &budget);
}

/* A bad file is no reason to fail: the built-in values do. */
static void ctx_calibrate(sea_ctx *ctx) {
    char why[sizeof(((sea_refusal *) NULL)->advice)];
    int r = calibration_load(&ctx->calibration, why, sizeof(why));
    if (r < 0)
        refusal_explain(&ctx->refusals, r, "calibration", why);
}

static bool are_options_valid(const sea_ctx_options *options) {
    const unsigned flags = SEA_MEMORY_LOCK | SEA_MEMORY_PREFAULT | SEA_MEMORY_NO_HUGE | SEA_MEMORY_DUMP;
    return !(options->memory_flags & ~flags) && (options->on_low_water || options->low_water == 0);
}

static void ctx_set_wishes(sea_ctx *ctx, const sea_ctx_options *options) {
    struct admission *admission = &ctx->admission;
    uint64_t mark = options->low_water ? options->low_water : ctx->budget.limit[QUOTA_BYTES] / 16;
    admission->wishes = (struct admission_wishes){.flags = options->memory_flags, .nodes = options->numa_nodes};
    admission->low_mark = !options->on_low_water ? 0 : mark < LOW_MARK_MAX ? mark : LOW_MARK_MAX;
    admission->on_low = options->on_low_water;
    admission->user = options->low_water_user;
    admission->allowance = admission->stale = 0; /* of a look that knew of no mark */
}

int sea_ctx_new(sea_ctx **ret_ctx, const sea_ctx_options *given) {
    sea_ctx_options taken, *options = &taken;
    const char *why;
    int r = ctx_options_take(given, options, &why);
    if (r < 0 || !are_options_valid(options))
        return r < 0 ? r : -EINVAL;
    sea_ctx *ctx = heap_new(1, sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    atomic_store_explicit(&ctx->refs, 1, memory_order_relaxed);
    refusal_init(&ctx->refusals);
    ctx->refusals.recent = &ctx->recent;
    admission_init(&ctx->admission, &ctx->refusals, &ctx->budget);
    ctx_set_limits(ctx, options);
    ctx_set_wishes(ctx, options);
    if (options->memory_flags & SEA_MEMORY_DUMP)
        map_dump_begin();
    ctx_calibrate(ctx);
    stock_init(&ctx->stock, &ctx->budget, &ctx->admission);
    census_init(&ctx->census);
    pthread_mutex_init(&ctx->lock, NULL);
    *ret_ctx = ctx;
    return 0;
}

sea_ctx *sea_ctx_ref(sea_ctx *ctx) {
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

sea_ctx *sea_ctx_unref(sea_ctx *ctx) {
    /* Release [CTX1] pairs with the acquire half of the same operation by the thread that drops the last reference:
     * the writes of all other holders happened before the destruction. Weaker: a use after free on other CPUs. */
    if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    if (ctx->admission.wishes.flags & SEA_MEMORY_DUMP)
        map_dump_end();
    stock_deinit(&ctx->stock);
    census_deinit(&ctx->census);
    admission_deinit(&ctx->admission);
    refusal_deinit(&ctx->refusals);
    pthread_mutex_destroy(&ctx->lock);
    ctx_drop_scratch(ctx);
    heap_free(ctx);
    disposal_await(-1); /* nothing of it is mapped any more */
    return NULL;
}

/* Acquire and release [SCR1] pair with each other: a thread that takes the place writes after the former one has read.
 */
static void *scratch_swap(sea_ctx *ctx, void *scratch) {
    return atomic_exchange_explicit(&ctx->scratch, scratch, memory_order_acq_rel);
}

void *ctx_lend_scratch(sea_ctx *ctx, size_t size) {
    void *kept = scratch_swap(ctx, NULL);
    return kept ? kept : heap_resize(NULL, 1, size);
}

void ctx_return_scratch(sea_ctx *ctx, void *scratch) {
    heap_free(scratch_swap(ctx, scratch));
}

void ctx_drop_scratch(sea_ctx *ctx) {
    heap_free(scratch_swap(ctx, NULL));
}

void sea_ctx_refusal(sea_ctx *ctx, sea_refusal *ret_refusal, size_t size) {
    sea_refusal newest;
    refusal_read(&ctx->refusals, &newest);
    sized_copy(&newest, sizeof(newest), ret_refusal, size);
}

void ctx_join(sea_ctx *ctx, struct ctx_member *member) {
    pthread_mutex_lock(&ctx->lock);
    LIST_PUSH(&ctx->members, member, link);
    pthread_mutex_unlock(&ctx->lock);
}

void ctx_leave(sea_ctx *ctx, struct ctx_member *member) {
    pthread_mutex_lock(&ctx->lock);
    if (LIST_HAS(member, link))
        LIST_REMOVE(member, link);
    member->wake = NULL;
    pthread_mutex_unlock(&ctx->lock);
}

void ctx_set_wake(sea_ctx *ctx, struct ctx_member *member, void (*wake)(void *waker), void *waker) {
    pthread_mutex_lock(&ctx->lock);
    member->wake = wake;
    member->waker = waker;
    pthread_mutex_unlock(&ctx->lock);
}

/* Returns whether a member was asked. */
static bool ask_to_trim(sea_ctx *ctx, const struct ctx_member *but, enum trim trim) {
    bool is_told = false;
    pthread_mutex_lock(&ctx->lock);
    for (struct ctx_member *member = ctx->members; member; member = member->link.next) {
        bool has_memory = atomic_load_explicit(&member->has_memory, memory_order_relaxed);
        if (member == but || (trim == TRIM_FREE && !has_memory))
            continue;
        if (atomic_load_explicit(&member->trim, memory_order_relaxed) < (int) trim)
            atomic_store_explicit(&member->trim, (int) trim, memory_order_relaxed);
        ctx_wake(member);
        is_told = true;
    }
    pthread_mutex_unlock(&ctx->lock);
    return is_told;
}

void sea_ctx_trim(sea_ctx *ctx) {
    stock_drop(&ctx->stock);
    ask_to_trim(ctx, NULL, TRIM_ALL);
}

void ctx_ask_others(sea_ctx *ctx, const struct ctx_member *but) {
    stock_drop(&ctx->stock);
    uint64_t now = wait_now();
    if (now < atomic_load_explicit(&ctx->next_trim, memory_order_relaxed))
        return;
    if (ask_to_trim(ctx, but, TRIM_FREE))
        atomic_store_explicit(&ctx->next_trim, now + TRIM_NS, memory_order_relaxed);
}

enum trim ctx_take_trim(struct ctx_member *member) {
    int trim = atomic_load_explicit(&member->trim, memory_order_relaxed);
    if (trim != TRIM_NOTHING)
        trim = atomic_exchange_explicit(&member->trim, TRIM_NOTHING, memory_order_relaxed);
    return (enum trim) trim;
}

uint64_t ctx_age(uint64_t then) {
    uint64_t now = wait_now_coarse();
    return !then ? 0 : now > then ? now - then : 1;
}

/* Of the oldest lease of all members. */
static uint64_t oldest_age(sea_ctx *ctx) {
    uint64_t oldest = 0;
    pthread_mutex_lock(&ctx->lock);
    for (const struct ctx_member *member = ctx->members; member; member = member->link.next) {
        const uint64_t times[] = {atomic_load_explicit(&member->oldest_sealed, memory_order_relaxed),
                                  atomic_load_explicit(&member->oldest_pooled, memory_order_relaxed)};
        for (int i = 0; i < 2; i++)
            if (times[i] && (!oldest || times[i] < oldest))
                oldest = times[i];
    }
    pthread_mutex_unlock(&ctx->lock);
    return ctx_age(oldest);
}

/* Every counter is a part of a figure, mostly the whole of it. Bytes of inline payloads are copied bytes, too. */
static const struct {
    size_t counter;
    unsigned figure;
    bool is_copied;
} FIGURES[] = {
#define FIGURE(name, figure) \
    { offsetof(struct ctx_counters, name), SEA_FIGURE_##figure, false }
#define COPIED(name, figure) \
    { offsetof(struct ctx_counters, name), SEA_FIGURE_##figure, true }
    FIGURE(blocks, BLOCKS),
    FIGURE(bytes, BYTES),
    FIGURE(leased_blocks, LEASED_BLOCKS),
    FIGURE(leased_bytes, LEASED_BYTES),
    FIGURE(imported_blocks, IMPORTED_BLOCKS),
    FIGURE(imported_bytes, IMPORTED_BYTES),
    FIGURE(arena_bytes, ARENA_BYTES),
    FIGURE(active_bytes, ACTIVE_BYTES),
    FIGURE(retained_bytes, RETAINED_BYTES),
    FIGURE(imported_arena_bytes, IMPORTED_ARENA_BYTES),
    FIGURE(outbox_bytes, OUTBOX_BYTES),
    FIGURE(connections, CONNECTIONS),
    FIGURE(calls_out, OUTGOING_CALLS),
    FIGURE(calls_in, INCOMING_CALLS),
    FIGURE(sent_inline, SENT_INLINE_MESSAGES),
    FIGURE(sent_pooled, SENT_POOLED_MESSAGES),
    FIGURE(sent_sealed, SENT_SEALED_MESSAGES),
    FIGURE(received_inline, RECEIVED_INLINE_MESSAGES),
    FIGURE(received_pooled, RECEIVED_POOLED_MESSAGES),
    FIGURE(received_sealed, RECEIVED_SEALED_MESSAGES),
    COPIED(sent_inline_bytes, SENT_BYTES),
    COPIED(received_inline_bytes, RECEIVED_BYTES),
    FIGURE(sent_bytes, SENT_BYTES),
    FIGURE(received_bytes, RECEIVED_BYTES),
    FIGURE(copied_bytes, COPIED_BYTES),
    FIGURE(fallbacks, FALLBACKS),
    FIGURE(snapshots, SNAPSHOTS),
    FIGURE(doorbells, DOORBELLS),
    FIGURE(huge_blocks, HUGE_BLOCKS),
    FIGURE(faults, FAULTS),
    FIGURE(reclaimed_blocks, RECLAIMED_BLOCKS),
    FIGURE(reclaimed_bytes, RECLAIMED_BYTES),
#undef FIGURE
#undef COPIED
};

static_assert(sizeof(FIGURES) / sizeof(FIGURES[0]) == sizeof(struct ctx_counters) / sizeof(uint64_t),
              "none is left out");

static _Atomic uint64_t *counter_at(const struct ctx_counters *counters, size_t offset) {
    return (_Atomic uint64_t *) ((uintptr_t) counters + offset);
}

enum { COUNTERS = sizeof(FIGURES) / sizeof(FIGURES[0]) };

struct sums {
    uint64_t sums[COUNTERS];
    uint64_t checksum; /* of each number that was summed up: sums alone do not show what moves from one to another */
};

static void look_at(struct sums *sums, const struct ctx_counters *counters) {
    for (size_t i = 0; i < COUNTERS; i++) {
        /* Acquire [FIG1], in the context's own counters, pairs with the release in ctx_uncount(): what another thread
         * takes off there, a tally has counted before. Weaker: a gauge below 0. */
        uint64_t n = atomic_load_explicit(counter_at(counters, FIGURES[i].counter), memory_order_acquire);
        sums->sums[i] += n;
        sums->checksum = (sums->checksum ^ n) * 0x9e3779b97f4a7c15u;
    }
}

/* The context's own come first. */
static struct sums sum_all(const sea_ctx *ctx) {
    struct sums sums = {.checksum = 0};
    look_at(&sums, &ctx->counters);
    for (const struct tally *tally = ctx->tallies; tally; tally = tally->link.next)
        look_at(&sums, &tally->counters);
    return sums;
}

/* Until nothing has moved since the look before, or it had to look too often. */
static bool counters_read(sea_ctx *ctx, struct sums *ret_sums) {
    bool is_still = false;
    pthread_mutex_lock(&ctx->lock);
    *ret_sums = sum_all(ctx);
    for (int i = 0; i < LOOKS_AGAIN_MAX && !is_still; i++) {
        uint64_t before = ret_sums->checksum;
        *ret_sums = sum_all(ctx);
        is_still = ret_sums->checksum == before;
    }
    pthread_mutex_unlock(&ctx->lock);
    return is_still;
}

bool sea_ctx_figures(sea_ctx *ctx, uint64_t *ret_values, size_t count) {
    uint64_t values[SEA_FIGURES] = {0};
    struct sums sums;
    bool is_still = counters_read(ctx, &sums);
    for (size_t i = 0; i < COUNTERS; i++) {
        values[FIGURES[i].figure] += sums.sums[i];
        values[SEA_FIGURE_COPIED_BYTES] += FIGURES[i].is_copied ? sums.sums[i] : 0;
    }
    values[SEA_FIGURE_OLDEST_LEASE_NANOSECONDS] = oldest_age(ctx);
    figures_of_quota(&ctx->budget, &values[SEA_FIGURE_BUDGET_USED_BYTES]);
    values[SEA_FIGURE_IMPORTED_ARENA_PEAK_BYTES] =
        atomic_load_explicit(&ctx->imported_arena_peak, memory_order_relaxed);
    values[SEA_FIGURE_REFUSALS] = refusal_read_counts(&ctx->refusals, &values[SEA_FIGURE_BUDGET_REFUSALS]);
    figures_copy(values, SEA_FIGURES, ret_values, count);
    return is_still;
}

static_assert(SEA_FIGURE_OTHER_REFUSALS - SEA_FIGURE_BUDGET_REFUSALS == CAUSE_OTHER, "in the order of the causes");

uint64_t sea_ctx_resident(const sea_ctx *ctx) {
    return meminfo_read_shared(ctx->admission.proc);
}

void sea_ctx_shared(sea_ctx *ctx, sea_shared *ret_shared, size_t size) {
    struct census_sums sums;
    census_count(&ctx->census, &sums);
    const sea_shared shared = {.files = sums.files,
                               .reserved = sums.reserved,
                               .resident = sums.resident,
                               .added = sums.added,
                               .untold = sums.untold};
    sized_copy(&shared, sizeof(shared), ret_shared, size);
}

void tally_begin(struct tally *tally, sea_ctx *ctx) {
    tally->is_listed = true;
    pthread_mutex_lock(&ctx->lock);
    LIST_PUSH(&ctx->tallies, tally, link);
    pthread_mutex_unlock(&ctx->lock);
}

void tally_end(struct tally *tally, sea_ctx *ctx) {
    if (!tally->is_listed)
        return;
    tally->is_listed = false;
    pthread_mutex_lock(&ctx->lock);
    LIST_REMOVE(tally, link);
    for (size_t i = 0; i < COUNTERS; i++)
        atomic_fetch_add_explicit(
            counter_at(&ctx->counters, FIGURES[i].counter),
            atomic_load_explicit(counter_at(&tally->counters, FIGURES[i].counter), memory_order_relaxed),
            memory_order_relaxed);
    pthread_mutex_unlock(&ctx->lock);
}

/* User ids are below 2^32, and the first of these names follow them. */
static const uint64_t NAME_OF_PROCESS = UINT64_C(1) << 32, NAME_OF_STRANGER = UINT64_C(1) << 33;

uint64_t user_name(sea_ctx *ctx, const sea_peer *peer) {
    if (!peer->is_uid_ambiguous)
        return peer->uid;
    return peer->pid > 0 ? NAME_OF_PROCESS + (uint32_t) peer->pid
                         : NAME_OF_STRANGER + atomic_fetch_add_explicit(&ctx->strangers, 1, memory_order_relaxed);
}

struct user *user_get(sea_ctx *ctx, uint64_t name) {
    pthread_mutex_lock(&ctx->lock);
    struct user *user = ctx->users;
    while (user && user->name != name)
        user = user->link.next;
    if (!user && (user = heap_new(1, sizeof(*user)))) {
        quota_init(&user->quota, "user quota", NULL, &ctx->user_limits);
        user->name = name;
        LIST_PUSH(&ctx->users, user, link);
    }
    if (user)
        user->refs++;
    pthread_mutex_unlock(&ctx->lock);
    return user;
}

struct user *user_ref(sea_ctx *ctx, struct user *user) {
    pthread_mutex_lock(&ctx->lock);
    user->refs++;
    pthread_mutex_unlock(&ctx->lock);
    return user;
}

void user_put(sea_ctx *ctx, struct user *user) {
    pthread_mutex_lock(&ctx->lock);
    if (--user->refs == 0) {
        LIST_REMOVE(user, link);
        heap_free(user);
    }
    pthread_mutex_unlock(&ctx->lock);
}
