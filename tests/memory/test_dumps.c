/* SPDX-License-Identifier: MIT */
/*
 * Core dumps: they contain no shared memory, neither ours nor the peer's, unless a context asks for it.
 *
 * Client and server are in one process, so that all kinds of mappings exist: outboxes, arenas and their views, sealed
 * blocks and imports. The test reads /proc/self/smaps, which shows MADV_DONTDUMP as "dd".
 */
#include "support/raw.h"
#include "support/service.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

#define MIB ((size_t) 1 << 20)

struct count {
    unsigned dumped, kept_out;
};

static struct count count_mappings(void) {
    struct count count = {0, 0};
    char line[512];
    bool is_memfd = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    if (!file)
        test_skip("no /proc here");
    while (fgets(line, sizeof line, file)) {
        unsigned long first, last;
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
            is_memfd = strstr(line, "/memfd:") != NULL;
        else if (is_memfd && strncmp(line, "VmFlags:", 8) == 0)
            (*(strstr(line, " dd") ? &count.kept_out : &count.dumped))++;
    }
    fclose(file);
    return count;
}

static sea_msg *echo(sea_conn *conn, sea_block *block) {
    sea_msg *reply = NULL;
    memset(sea_block_data(block), 7, sea_block_size(block));
    ck_assert_int_eq(sea_call(conn, SERVICE_ECHO, block, -1, &reply), 0);
    ck_assert_ptr_nonnull(sea_msg_data(reply));
    return reply;
}

/* Both sides hold one payload of each kind. */
static struct count count_in_use(const sea_ctx_options *options) {
    char address[80];
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_block *pooled = NULL, *sealed = NULL, *large = NULL;
    snprintf(address, sizeof address, "unix:%s", raw_name());
    struct service *service = service_start(address, NULL, NULL);
    ck_assert_int_eq(sea_ctx_new(&ctx, options), 0);
    ck_assert_int_eq(sea_connect(&conn, ctx, address, NULL), 0);
    ck_assert_int_eq(sea_block_new(&pooled, conn, 10000), 0);
    ck_assert_int_eq(sea_block_new_sealed(&sealed, ctx, 10000, 0), 0);
    ck_assert_int_eq(sea_block_new_sealed(&large, ctx, 5 * MIB, 0), 0);
    sea_msg *replies[] = {echo(conn, pooled), echo(conn, sealed), echo(conn, large)};
    struct count count = count_mappings();
    for (int i = 0; i < 3; i++)
        sea_msg_release(replies[i]);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    ck_assert_int_eq(service_stop(service), 0);
    return count;
}

START_TEST(test_payloads_are_in_no_dump) {
    struct count count = count_in_use(NULL);
    ck_assert_uint_eq(count.dumped, 0);
    ck_assert_uint_ge(count.kept_out, 8); /* four outboxes, an arena and its view, two blocks */
}
END_TEST

START_TEST(test_payloads_are_in_dumps_where_they_are_wanted) {
    const sea_ctx_options options = {.memory_flags = SEA_MEMORY_DUMP};
    struct count count = count_in_use(&options);
    ck_assert_uint_ge(count.dumped, 8);
    ck_assert_uint_eq(count.kept_out, 0);
    count = count_in_use(NULL); /* the context that asked for it is gone */
    ck_assert_uint_eq(count.dumped, 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("dumps");
    suite_add(s, test_payloads_are_in_no_dump);
    suite_add(s, test_payloads_are_in_dumps_where_they_are_wanted);
    return suite_run(s);
}
