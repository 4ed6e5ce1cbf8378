/* SPDX-License-Identifier: MIT */
/* registry/ctx: the context's limits, references, figures and users. */
#include "support/suite.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "registry/figures.h"
#include "unit/room_ctx.h"

START_TEST(test_the_version) {
    ck_assert_uint_eq(sea_version(), SEA_VERSION_NUMBER);
}
END_TEST

START_TEST(test_class_names) {
    ck_assert_str_eq(sea_class_name(SEA_INLINE), "inline");
    ck_assert_str_eq(sea_class_name(SEA_POOLED), "pooled");
    ck_assert_str_eq(sea_class_name(SEA_SEALED), "sealed");
    static const int others[] = {0, SEA_STABLE_ONLY, SEA_ANY_CLASS, 8, -1};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_str_eq(sea_class_name(others[i]), "none");
}
END_TEST

/* --- limits --- */

static void assert_limits(const struct limits *limits, uint64_t bytes, uint64_t blocks, uint64_t fds) {
    ck_assert_uint_eq(limits->bytes, bytes);
    ck_assert_uint_eq(limits->blocks, blocks);
    ck_assert_uint_eq(limits->fds, fds);
}

static void assert_quota_limits(const struct quota *quota, uint64_t bytes, uint64_t blocks, uint64_t fds) {
    ck_assert_uint_eq(quota->limit[QUOTA_BYTES], bytes);
    ck_assert_uint_eq(quota->limit[QUOTA_BLOCKS], blocks);
    ck_assert_uint_eq(quota->limit[QUOTA_FDS], fds);
}

/* Returns the bytes in `field` of /proc/meminfo. */
static uint64_t meminfo(const char *field) {
    char line[128];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ": %llu", &kilobytes);
    fclose(file);
    return kilobytes * 1024;
}

static uint64_t mappings(void) {
    unsigned long long most = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    ck_assert(file && fscanf(file, "%llu", &most) == 1);
    fclose(file);
    return most;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void set_nofile(rlim_t soft, rlim_t *ret_before) {
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    *ret_before = limit.rlim_cur;
    limit.rlim_cur = soft;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(test_defaults_come_from_the_machine) {
    rlim_t before;
    set_nofile(400, &before);
    ctx_anew(NULL);
    set_nofile(before, &before);
    uint64_t bytes = ctx->budget.limit[QUOTA_BYTES];
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_le(bytes, meminfo("MemTotal") / 4 * 3);
    uint64_t blocks = least(65536, mappings() / 2);
    assert_quota_limits(&ctx->budget, bytes, blocks, 200);
    assert_limits(&ctx->peer_limits, bytes / 2, least(4096, mappings() / 8), 100);
    assert_limits(&ctx->user_limits, bytes, blocks, 200);
    ck_assert_str_eq(ctx->budget.name, "budget");
    ck_assert_ptr_null(ctx->budget.parent);
}
END_TEST

/* When the machine's memory is unknown, the limits are small. */
START_TEST(test_an_unknown_machine_is_small) {
    fail_always(INJECT_OPEN, ENOENT);
    if (_i > 0)
        fail_always(INJECT_SYSINFO, ENOSYS);
    sea_ctx *other = NULL;
    ck_assert_int_eq(sea_ctx_new(&other, NULL), 0);
    assert_quota_limits(&other->budget, 32 << 20, 65530 / 2, other->budget.limit[QUOTA_FDS]);
    ck_assert_uint_eq(other->peer_limits.blocks, 4096);
    sea_ctx_unref(other);
}
END_TEST

START_TEST(test_limits_that_are_given) {
    const sea_ctx_options options = {
        .budget_bytes = 1,
        .budget_blocks = 2,
        .budget_fds = 3,
        .peer_bytes = 4,
        .peer_blocks = 5,
        .peer_fds = 6,
        .user_bytes = 7,
        .user_blocks = 8,
        .user_fds = 9,
    };
    ctx_anew(&options);
    assert_quota_limits(&ctx->budget, 1, 2, 3);
    assert_limits(&ctx->peer_limits, 4, 5, 6);
    assert_limits(&ctx->user_limits, 7, 8, 9);
}
END_TEST

/* A zero means the default of that field alone; the defaults for peers and users follow the budget that was given. */
START_TEST(test_limits_that_are_given_in_part) {
    const sea_ctx_options options = {.budget_bytes = 1000, .budget_fds = 30, .peer_blocks = 5, .user_fds = 9};
    rlim_t before;
    set_nofile(400, &before);
    ctx_anew(&options);
    set_nofile(before, &before);
    assert_quota_limits(&ctx->budget, 1000, least(65536, mappings() / 2), 30);
    assert_limits(&ctx->peer_limits, 500, 5, 100);
    assert_limits(&ctx->user_limits, 1000, least(65536, mappings() / 2), 9);
}
END_TEST

static void low(const sea_refusal *nearly, void *user) {
    (void) nearly, (void) user;
}

START_TEST(test_wishes_that_are_none) {
    const sea_ctx_options wrong[] = {{.memory_flags = 16}, {.memory_flags = UINT_MAX}, {.low_water = 1}};
    const sea_ctx_options right = {
        .memory_flags = 15, .numa_nodes = UINT64_MAX, .low_water = UINT64_MAX, .on_low_water = low};
    sea_ctx *other = ctx;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_int_eq(sea_ctx_new(&other, &wrong[i]), -EINVAL);
    ck_assert_ptr_eq(other, ctx);
    ck_assert_int_eq(sea_ctx_new(&other, &right), 0);
    sea_ctx_unref(other);
}
END_TEST

START_TEST(test_no_memory_for_a_context) {
    sea_ctx *other = ctx;
    fail_always(INJECT_ALLOC, ENOMEM);
    ck_assert_int_eq(sea_ctx_new(&other, NULL), -ENOMEM);
    ck_assert_ptr_eq(other, ctx);
}
END_TEST

/* --- references --- */

START_TEST(test_references) {
    ck_assert_ptr_null(sea_ctx_unref(NULL));
    ck_assert_ptr_eq(sea_ctx_ref(ctx), ctx);
    ck_assert_uint_eq(ctx->refs, 2);
    ck_assert_ptr_null(sea_ctx_unref(ctx));
    ck_assert_uint_eq(ctx->refs, 1);
}
END_TEST

enum { THREADS = 4, TURNS = 5000 };

static void *ref_and_unref(void *unused) {
    (void) unused;
    for (int i = 0; i < TURNS; i++) {
        sea_ctx_ref(ctx);
        sea_ctx_unref(ctx);
    }
    sea_ctx_unref(ctx);
    return NULL;
}

START_TEST(test_threads_hold_references) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        sea_ctx_ref(ctx);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(ctx->refs, 1);
}
END_TEST

/* --- figures and refusals --- */

START_TEST(test_a_new_context_has_nothing_to_tell) {
    struct figures nothing = {0}, figures;
    sea_refusal refusal;
    memset(&figures, 0xff, sizeof figures);
    memset(&refusal, 0xff, sizeof refusal);
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_uint_gt(figures.of[SEA_FIGURE_BUDGET_LIMIT_BYTES], 0);
    memset(&figures.of[SEA_FIGURE_BUDGET_LIMIT_BYTES], 0, 3 * sizeof figures.of[0]);
    ck_assert_mem_eq(&figures, &nothing, sizeof figures);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, 0);
    ck_assert_str_eq(refusal.limit, "");
}
END_TEST

/* A tally counts from its beginning to its end, and its counts stay in the figures. */
START_TEST(test_tallies) {
    struct tally one = {.is_listed = false}, other = {.is_listed = false};
    tally_begin(&one, ctx);
    tally_begin(&other, ctx);
    ctx_count(ctx, sent_inline, 1);
    tally_count(&one, sent_inline, 10);
    tally_count(&other, sent_inline, 100);
    tally_count(&one, calls_in, 3);
    tally_uncount(&other, calls_in, 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_SENT_INLINE_MESSAGES], 111);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_INCOMING_CALLS], 2);
    tally_end(&one, ctx);
    tally_end(&one, ctx);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_SENT_INLINE_MESSAGES], 111);
    tally_uncount(&other, sent_inline, 100);
    tally_end(&other, ctx);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_SENT_INLINE_MESSAGES], 11);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_INCOMING_CALLS], 2);
    ctx_uncount(ctx, calls_in, 2);
}
END_TEST

/* The tally's blocks are made on one thread and end on another. */
static void *end_elsewhere(void *arg) {
    struct tally *tally = arg;
    for (int i = 0; i < TURNS * 20; i++) {
        tally_count(tally, blocks, 1);
        ctx_uncount(ctx, blocks, 1);
    }
    return NULL;
}

START_TEST(test_no_gauge_is_below_nothing) {
    enum { TALLIES = 300 };
    static struct tally tallies[TALLIES];
    struct tally *first = &tallies[0], *last = &tallies[TALLIES - 1]; /* in the order in which figures reads them */
    pthread_t one, other;
    bool is_below = false, was_still = false;
    memset(tallies, 0, sizeof tallies);
    for (int i = TALLIES; i-- > 0;)
        tally_begin(&tallies[i], ctx);
    ck_assert_int_eq(pthread_create(&one, NULL, end_elsewhere, first), 0);
    ck_assert_int_eq(pthread_create(&other, NULL, end_elsewhere, last), 0);
    while (first->counters.blocks < TURNS * 20 || last->counters.blocks < TURNS * 20) {
        struct figures figures;
        was_still |= sea_ctx_figures(ctx, figures.of, SEA_FIGURES) && figures.of[SEA_FIGURE_BLOCKS] > 2;
        is_below |= figures.of[SEA_FIGURE_BLOCKS] > 2 * TURNS * 20;
    }
    pthread_join(one, NULL);
    pthread_join(other, NULL);
    for (int i = 0; i < TALLIES; i++)
        tally_end(&tallies[i], ctx);
    ck_assert(!is_below);
    ck_assert(!was_still); /* there are at most two in one moment */
}
END_TEST

/* A read of the figures while no counter changes reports one moment. */
START_TEST(test_figures_of_one_moment) {
    struct figures figures;
    struct tally tally = {.is_listed = false};
    tally_begin(&tally, ctx);
    tally_count(&tally, sent_inline, 1);
    ck_assert(sea_ctx_figures(ctx, figures.of, SEA_FIGURES));
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_INLINE_MESSAGES], 1);
    tally_end(&tally, ctx);
}
END_TEST

START_TEST(test_the_budget_is_told) {
    const sea_ctx_options options = {.budget_bytes = 1000, .budget_blocks = 20, .budget_fds = 3};
    ctx_anew(&options);
    ck_assert_int_eq(quota_charge(&ctx->budget, 700, 2, 1, &ctx->refusals), 0);
    ck_assert_int_eq(quota_charge(&ctx->budget, 301, 1, 0, &ctx->refusals), -EDQUOT);
    quota_return(&ctx->budget, 700, 2, 1);
    ck_assert_int_eq(quota_charge(&ctx->budget, 100, 5, 0, &ctx->refusals), 0);
    static const uint64_t expected[] = {100, 5, 0, 700, 5, 1, 1000, 20, 3}; /* used, peak, limit */
    struct figures figures = ctx_figures();
    ck_assert_mem_eq(&figures.of[SEA_FIGURE_BUDGET_USED_BYTES], expected, sizeof expected);
    quota_return(&ctx->budget, 100, 5, 0);
}
END_TEST

/* Each figure has the value of its own counter. */
START_TEST(test_every_figure_is_its_counter) {
/* clang-format off */
#define EACH(X) \
    X(blocks, BLOCKS) X(bytes, BYTES) X(leased_blocks, LEASED_BLOCKS) X(leased_bytes, LEASED_BYTES) \
    X(imported_blocks, IMPORTED_BLOCKS) X(imported_bytes, IMPORTED_BYTES) X(arena_bytes, ARENA_BYTES) \
    X(active_bytes, ACTIVE_BYTES) X(retained_bytes, RETAINED_BYTES) \
    X(imported_arena_bytes, IMPORTED_ARENA_BYTES) X(outbox_bytes, OUTBOX_BYTES) X(connections, CONNECTIONS) \
    X(calls_out, OUTGOING_CALLS) X(calls_in, INCOMING_CALLS) X(sent_inline, SENT_INLINE_MESSAGES) \
    X(sent_pooled, SENT_POOLED_MESSAGES) X(sent_sealed, SENT_SEALED_MESSAGES) \
    X(received_inline, RECEIVED_INLINE_MESSAGES) X(received_pooled, RECEIVED_POOLED_MESSAGES) \
    X(received_sealed, RECEIVED_SEALED_MESSAGES) X(sent_bytes, SENT_BYTES) X(received_bytes, RECEIVED_BYTES) \
    X(copied_bytes, COPIED_BYTES) X(fallbacks, FALLBACKS) X(snapshots, SNAPSHOTS) X(doorbells, DOORBELLS) \
    X(huge_blocks, HUGE_BLOCKS) X(faults, FAULTS) X(reclaimed_blocks, RECLAIMED_BLOCKS) \
    X(reclaimed_bytes, RECLAIMED_BYTES)
/* clang-format on */
#define COUNT(name, figure) ctx_count(ctx, name, ++n);
#define CHECK(name, figure) ck_assert_msg(figures.of[SEA_FIGURE_##figure] == ++n, #name);
#define UNCOUNT(name, figure) ctx_uncount(ctx, name, ++n);
    uint64_t n = 0;
    EACH(COUNT)
    /* The other figures: refusals come from the log, the budget from a quota, the oldest lease and the peak from
     * peers. */
    ck_assert_uint_eq(n, SEA_FIGURES - (1 + CAUSES) - FIGURES_OF_QUOTA - 2);
    struct figures figures = ctx_figures();
    n = 0;
    EACH(CHECK)
    ck_assert_uint_eq(figures.of[SEA_FIGURE_REFUSALS], 0);
    n = 0;
    EACH(UNCOUNT)
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_RECLAIMED_BYTES], 0);
}
END_TEST

START_TEST(test_refusals_are_told_and_counted) {
    refusal_note(&ctx->refusals, -EDQUOT, "budget (bytes)", 5, 4, "release blocks");
    refusal_note(&ctx->refusals, -EMFILE, "RLIMIT_NOFILE", 1, 0, "close descriptors");
    refusal_explain(&ctx->refusals, -EINVAL, "sea_block_import", "not a memfd");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_REFUSALS], 2);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_BUDGET_REFUSALS], 1);
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_PROCESS_REFUSALS], 1);
    ck_assert_int_eq(ctx_refusal().error, -EINVAL);
    ck_assert_str_eq(ctx_refusal().advice, "not a memfd");
}
END_TEST

START_TEST(test_contexts_are_apart) {
    sea_ctx *other = NULL;
    ck_assert_int_eq(sea_ctx_new(&other, NULL), 0);
    ctx_count(other, faults, 3);
    refusal_note(&other->refusals, -EDQUOT, "budget (bytes)", 5, 4, "release blocks");
    ck_assert_uint_eq(ctx_figures().of[SEA_FIGURE_FAULTS], 0);
    ck_assert_int_eq(ctx_refusal().error, 0);
    sea_ctx_unref(other);
}
END_TEST

/* --- users --- */

START_TEST(test_a_user_has_one_account) {
    const sea_ctx_options options = {.user_bytes = 7, .user_blocks = 8, .user_fds = 9};
    ctx_anew(&options);
    struct user *one = user_get(ctx, 1000), *other = user_get(ctx, 1001), *again = user_get(ctx, 1000);
    ck_assert_ptr_nonnull(one);
    ck_assert_ptr_eq(again, one);
    ck_assert_ptr_ne(other, one);
    ck_assert_uint_eq(one->name, 1000);
    ck_assert_uint_eq(other->name, 1001);
    assert_quota_limits(&one->quota, 7, 8, 9);
    ck_assert_str_eq(one->quota.name, "user quota");
    ck_assert_ptr_null(one->quota.parent);
    user_put(ctx, one);
    ck_assert_ptr_eq(user_get(ctx, 1000), one); /* another reference kept it */
    user_put(ctx, one);
    user_put(ctx, again);
    ck_assert_ptr_eq(ctx->users, other);
    user_put(ctx, other);
    ck_assert_ptr_null(ctx->users);
}
END_TEST

/* A user with an ambiguous id gets an account for each process: an equal number does not make two processes one
 * user. */
START_TEST(test_the_names_of_accounts) {
    const sea_peer user = {.pid = 7, .uid = 65534}, again = {.pid = 8, .uid = 65534},
                   process = {.pid = 7, .uid = 65534, .is_uid_ambiguous = true},
                   other = {.pid = 8, .uid = 65534, .is_uid_ambiguous = true},
                   hidden = {.pid = 0, .uid = 65534, .is_uid_ambiguous = true};
    ck_assert_uint_eq(user_name(ctx, &user), 65534);
    ck_assert_uint_eq(user_name(ctx, &again), 65534);
    uint64_t names[] = {65534, user_name(ctx, &process), user_name(ctx, &other), user_name(ctx, &hidden),
                        user_name(ctx, &hidden)};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(names[i], names[k]);
    for (int i = 1; i < 5; i++)
        ck_assert_uint_gt(names[i], UINT32_MAX);
    ck_assert_uint_eq(user_name(ctx, &process), names[1]);
}
END_TEST

START_TEST(test_accounts_go_in_any_order) {
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct user *users[3];
    bool is_gone[3] = {false};
    for (uint32_t i = 0; i < 3; i++)
        users[i] = user_get(ctx, i);
    for (int i = 0; i < 3; i++) {
        int gone = orders[_i][i], count = 0;
        user_put(ctx, users[gone]);
        is_gone[gone] = true;
        for (struct user *user = ctx->users; user; user = user->link.next, count++)
            ck_assert(!is_gone[user->name]);
        ck_assert_int_eq(count, 2 - i);
    }
}
END_TEST

START_TEST(test_no_memory_for_a_user) {
    fail_once(INJECT_ALLOC, ENOMEM);
    ck_assert_ptr_null(user_get(ctx, 1000));
    ck_assert_ptr_null(ctx->users);
}
END_TEST

static void *get_and_put(void *unused) {
    (void) unused;
    for (uint32_t i = 0; i < TURNS; i++) {
        struct user *user = user_get(ctx, i % 3);
        bool is_his = user && user->name == i % 3 && quota_charge(&user->quota, 1, 1, 0, &ctx->refusals) == 0;
        if (!is_his)
            return (void *) "no account, or somebody else's";
        quota_return(&user->quota, 1, 1, 0);
        user_put(ctx, user);
    }
    return NULL;
}

START_TEST(test_threads_share_accounts) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_and_put, NULL), 0);
    void *complaint, *first = NULL;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &complaint);
        first = first ? first : complaint;
    }
    ck_assert_ptr_null(first);
    ck_assert_ptr_null(ctx->users);
}
END_TEST

/* What is made ahead goes at each shortage, not only where others are asked as well. */
START_TEST(test_a_shortage_takes_the_stock) {
    struct stock_form form = {.size = 4096};
    struct sealed none;
    while (!stock_is_wanted(&ctx->stock))
        ck_assert(!stock_take(&ctx->stock, &form, &none));
    stock_make(&ctx->stock);
    ctx->next_trim = UINT64_MAX;
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BYTES), 4096);
    ctx_ask_others(ctx, NULL);
    ck_assert_uint_eq(quota_used(&ctx->budget, QUOTA_BYTES), 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("ctx");
    suite_fixture(s, ctx_before, ctx_after);
    suite_add(s, test_the_version);
    suite_add(s, test_class_names);
    suite_add(s, test_defaults_come_from_the_machine);
    suite_add_loop(s, test_an_unknown_machine_is_small, 0, 2);
    suite_add(s, test_limits_that_are_given);
    suite_add(s, test_limits_that_are_given_in_part);
    suite_add(s, test_wishes_that_are_none);
    suite_add(s, test_no_memory_for_a_context);
    suite_add(s, test_references);
    suite_add(s, test_threads_hold_references);
    suite_add(s, test_a_new_context_has_nothing_to_tell);
    suite_add(s, test_tallies);
    suite_add(s, test_no_gauge_is_below_nothing);
    suite_add(s, test_figures_of_one_moment);
    suite_add(s, test_the_budget_is_told);
    suite_add(s, test_every_figure_is_its_counter);
    suite_add(s, test_refusals_are_told_and_counted);
    suite_add(s, test_contexts_are_apart);
    suite_add(s, test_a_user_has_one_account);
    suite_add(s, test_the_names_of_accounts);
    suite_add_loop(s, test_accounts_go_in_any_order, 0, 6);
    suite_add(s, test_no_memory_for_a_user);
    suite_add(s, test_threads_share_accounts);
    suite_add(s, test_a_shortage_takes_the_stock);
    return suite_run(s);
}
