/* SPDX-License-Identifier: MIT */
/*
 * registry/options: programs that are older or newer than the library, by the sizes of the structs that they pass; and
 * the fields of a method: its number, its own `user`, its largest payload.
 */
#include "support/suite.h"

#include <errno.h>
#include <string.h>

#include "registry/options.h"
#include "unit/conn_pair.h"

/* The first versions equal the headers' structs until the first release. After that, a struct that grows leaves this
 * test, and its constant stays. */
START_TEST(test_the_first_sizes) {
    ck_assert_uint_eq(CTX_OPTIONS_FIRST_SIZE, sizeof(sea_ctx_options));
    ck_assert_uint_eq(CONN_OPTIONS_FIRST_SIZE, sizeof(sea_options));
    ck_assert_uint_eq(POOL_OPTIONS_FIRST_SIZE, sizeof(sea_pool_options));
    ck_assert_uint_eq(METHOD_FIRST_SIZE, sizeof(sea_method));
}
END_TEST

/* A program with later headers than the library's. */
struct longer {
    sea_ctx_options options;
    char added_later[64];
};

START_TEST(test_a_newer_program) {
    struct longer given = {.options = {.size = sizeof given, .budget_bytes = 1 << 20}};
    sea_ctx_options taken;
    const char *why = "";
    ck_assert_int_eq(ctx_options_take(&given.options, &taken, &why), 0);
    ck_assert_uint_eq(taken.budget_bytes, 1 << 20);
    ck_assert_uint_eq(taken.size, sizeof taken);
    given.added_later[63] = 1;
    ck_assert_int_eq(ctx_options_take(&given.options, &taken, &why), -E2BIG);
    ck_assert_ptr_nonnull(strstr(why, "older than the program"));
    sea_ctx *ctx = NULL;
    ck_assert_int_eq(sea_ctx_new(&ctx, &given.options), -E2BIG);
    ck_assert_ptr_null(ctx);
    given.options.size = 0; /* so the library reads no field behind the first version */
    ck_assert_int_eq(ctx_options_take(&given.options, &taken, &why), 0);
}
END_TEST

START_TEST(test_an_older_program) {
    sea_ctx_options given = {.budget_bytes = 1 << 20, .budget_blocks = 7}, taken;
    const char *why = "";
    given.size = offsetof(sea_ctx_options, budget_blocks);
    ck_assert_int_eq(ctx_options_take(&given, &taken, &why), 0);
    ck_assert_uint_eq(taken.budget_bytes, 1 << 20);
    ck_assert_uint_eq(taken.budget_blocks, 0);
    given.size = sizeof(size_t) - 1;
    ck_assert_int_eq(ctx_options_take(&given, &taken, &why), -EINVAL);
    ck_assert_int_eq(ctx_options_take(NULL, &taken, &why), 0);
    ck_assert_uint_eq(taken.budget_bytes, 0);
}
END_TEST

struct longer_method {
    sea_method method;
    uint64_t added_later;
};

START_TEST(test_methods_of_a_newer_program) {
    struct longer_method given[] = {{.method = {.number = 1, .handler = end_on_echo}},
                                    {.method = {.number = 2, .handler = end_on_keep}}};
    const sea_options options = {
        .methods = &given[0].method, .methods_count = 2, .method_size = sizeof(struct longer_method)};
    sea_options taken;
    const char *why = "";
    ck_assert_int_eq(conn_options_take(&options, &taken, &why), 0);
    ck_assert_uint_eq(method_at(&taken, 1)->number, 2);
    given[1].added_later = 1;
    ck_assert_int_eq(conn_options_take(&options, &taken, &why), -E2BIG);
    ck_assert_ptr_nonnull(strstr(why, "method_size"));
}
END_TEST

START_TEST(test_sizes_of_methods_without_sense) {
    static const size_t sizes[] = {1, METHOD_FIRST_SIZE - 8, METHOD_FIRST_SIZE + 1};
    const sea_method method = {.number = 1, .handler = end_on_echo};
    const sea_options options = {.methods = &method, .methods_count = 1, .method_size = sizes[_i]};
    sea_options taken;
    const char *why = "";
    ck_assert_int_eq(conn_options_take(&options, &taken, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "method_size"));
}
END_TEST

START_TEST(test_methods_without_an_array) {
    static const size_t sizes[] = {0, sizeof(sea_method), sizeof(struct longer_method)};
    const sea_options options = {.methods_count = 1, .method_size = sizes[_i]};
    sea_options taken;
    const char *why = "";
    ck_assert_int_eq(conn_options_take(&options, &taken, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "methods_count"));
}
END_TEST

/* With the headers of a later version the second method would lie elsewhere. */
START_TEST(test_several_methods_say_their_size) {
    const sea_method methods[] = {{.number = 1, .handler = end_on_echo}, {.number = 2, .handler = end_on_keep}};
    const sea_options unsized = {.methods = methods, .methods_count = 2}, sized = {SEA_METHODS(methods)},
                      single = {.methods = methods, .methods_count = 1};
    sea_options taken;
    const char *why = "";
    ck_assert_int_eq(conn_options_take(&unsized, &taken, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "SEA_METHODS"));
    ck_assert_int_eq(conn_options_take(&sized, &taken, &why), 0);
    ck_assert_uint_eq(taken.methods_count, 2);
    ck_assert_ptr_eq(method_at(&taken, 1), &methods[1]);
    ck_assert_int_eq(conn_options_take(&single, &taken, &why), 0);
}
END_TEST

START_TEST(test_lists_that_are_missing) {
    static const sea_options without[] = {{.users_count = 1}, {.groups_count = 1}};
    static const char *names[] = {"users", "groups"};
    sea_options taken;
    const char *why = "";
    ck_assert_int_eq(conn_options_take(&without[_i], &taken, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, names[_i]));
}
END_TEST

/* The caller's refusal may be shorter, or longer, than the library's. */
START_TEST(test_sizes_of_filled_structures) {
    struct {
        sea_refusal refusal;
        char added_later[64];
    } longer;
    sea_ctx *ctx = NULL;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    refusal_note(&ctx->refusals, -EDQUOT, "budget (bytes)", 5, 4, "release blocks");
    memset(&longer, 0xff, sizeof longer);
    sea_ctx_refusal(ctx, &longer.refusal, sizeof longer);
    ck_assert_str_eq(longer.refusal.limit, "budget (bytes)");
    for (size_t i = 0; i < sizeof longer.added_later; i++)
        ck_assert_int_eq(longer.added_later[i], 0);
    memset(&longer, 0xff, sizeof longer);
    sea_ctx_refusal(ctx, &longer.refusal, sizeof(int));
    ck_assert_int_eq(longer.refusal.error, -EDQUOT);
    ck_assert_int_eq(longer.refusal.limit[0], (char) 0xff);
    sea_shared shared = {.files = 1, .reserved = 7};
    sea_ctx_shared(ctx, &shared, sizeof shared.files);
    ck_assert_uint_eq(shared.files, 0);
    ck_assert_uint_eq(shared.reserved, 7);
    sea_ctx_unref(ctx);
}
END_TEST

/* --- the fields of a method --- */

struct seen {
    uint32_t method;
    int count;
};

static void on_seen(sea_msg *msg, void *user) {
    struct seen *seen = user;
    seen->method = sea_msg_method(msg);
    seen->count++;
    sea_msg_release(msg);
}

enum { LIMITED = 5, OTHER = 6, LARGEST = 1000 };

static struct ends ends;
static struct seen own, any;

static void methods_open(uint32_t accept) {
    static const sea_method methods[] = {
        {.number = LIMITED, .handler = on_seen, .user = &own, .payload_max = LARGEST},
        {.number = SEA_METHOD_ANY, .handler = on_seen, .user = &any},
    };
    own = any = (struct seen){0};
    memset(&ends, 0, sizeof ends);
    ends.b.options.accept = accept;
    ends_init(&ends);
    ends.b.conn->options.methods = methods;
    ends.b.conn->options.methods_count = 2;
    ends.b.conn->options.method_size = sizeof *methods;
    ends_settle(&ends);
    ck_assert(sea_conn_is_open(ends.a.conn));
}

static int outcome_of(uint32_t method, size_t size) {
    sea_block *block = size ? end_block(&ends.a, size, 1) : NULL;
    ck_assert_int_eq(end_call(&ends.a, method, block, -1, 0, NULL), 0);
    ends_settle(&ends);
    ck_assert_uint_eq(ends.a.outcomes_count, 1);
    int status = ends.a.outcomes[0].status;
    sea_msg_release(ends.a.outcomes[--ends.a.outcomes_count].reply);
    return status;
}

/* For each class, and for a payload that would have to be copied first: no byte of it is copied. */
START_TEST(test_the_largest_payload) {
    static const size_t too_large[] = {LARGEST + 1, 100000, 1 << 20};
    methods_open(_i ? SEA_STABLE_ONLY : 0);
    /* the call arrived, and its handler did not answer it */
    ck_assert_int_eq(outcome_of(LIMITED, LARGEST), -ECANCELED);
    ck_assert_int_eq(own.count, 1);
    uint64_t copied = end_figures(&ends.b).of[SEA_FIGURE_COPIED_BYTES];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(outcome_of(LIMITED, too_large[i]), -EMSGSIZE);
    ck_assert_uint_lt(end_figures(&ends.b).of[SEA_FIGURE_COPIED_BYTES], copied + 100000);
    ck_assert_str_eq(sea_conn_text(ends.a.conn), "method 5 takes payloads of at most 1000 bytes");
    ck_assert_int_eq(sea_send(ends.a.conn, LIMITED, end_block(&ends.a, LARGEST + 1, 1), 0), 0);
    ends_settle(&ends);
    ck_assert_int_eq(own.count, 1);
    ck_assert(sea_conn_is_open(ends.a.conn));
    ends_deinit(&ends);
}
END_TEST

START_TEST(test_any_other_method) {
    methods_open(0);
    ck_assert_int_eq(outcome_of(LIMITED, 8), -ECANCELED);
    ck_assert_int_eq(own.count, 1);
    ck_assert_int_eq(any.count, 0);
    ck_assert_int_eq(outcome_of(OTHER, 8), -ECANCELED);
    ck_assert_int_eq(outcome_of(OTHER, 8), -ECANCELED); /* also on the short way */
    ck_assert_int_eq(any.count, 2);
    ck_assert_uint_eq(any.method, OTHER);
    ck_assert_int_eq(outcome_of(SEA_METHOD_RESERVED, 8), -ENOSYS);
    ck_assert_int_eq(outcome_of(SEA_METHOD_ANY, 8), -ENOSYS);
    ck_assert_int_eq(any.count, 2);
    ends_deinit(&ends);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("options");
    suite_add(s, test_the_first_sizes);
    suite_add(s, test_a_newer_program);
    suite_add(s, test_an_older_program);
    suite_add(s, test_methods_of_a_newer_program);
    suite_add_loop(s, test_sizes_of_methods_without_sense, 0, 3);
    suite_add_loop(s, test_methods_without_an_array, 0, 3);
    suite_add(s, test_several_methods_say_their_size);
    suite_add_loop(s, test_lists_that_are_missing, 0, 2);
    suite_add(s, test_sizes_of_filled_structures);
    suite_add_loop(s, test_the_largest_payload, 0, 2);
    suite_add(s, test_any_other_method);
    return suite_run(s);
}
