/* SPDX-License-Identifier: MIT */
/*
 * loop/uv with another version of libsealane: every function of libsealane-uv refuses, and changes nothing. The linker
 * directs calls of libsealane's internal functions to this file (--wrap).
 */
#include "support/suite.h"

#include <errno.h>
#include <uv.h>

#include "rpc/loop_interface.h"

#include <sealane/sealane.h>
#include <sealane/uv.h>

const struct loop_interface *__real_sea_private_loop_interface(unsigned version);
const struct loop_interface *__wrap_sea_private_loop_interface(unsigned version);

static const struct loop_interface *offered;
static unsigned asked_for;

const struct loop_interface *__wrap_sea_private_loop_interface(unsigned version) {
    asked_for = version;
    return offered;
}

static void on_made(int status, sea_block *block, void *user) {
    (void) user;
    ck_abort_msg("made: %d, %p", status, (void *) block);
}

static void all_refuse(void) {
    uv_loop_t loop;
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    sea_conn *conn = NULL;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    asked_for = 0;
    ck_assert_int_eq(sea_uv_server_new(&server, ctx, &loop, "unix:@sealane-uv-library", NULL), -ELIBBAD);
    ck_assert_uint_eq(asked_for, SEA_VERSION_NUMBER);
    ck_assert_int_eq(sea_uv_connect(&conn, ctx, &loop, "unix:@sealane-uv-library", NULL), -ELIBBAD);
    ck_assert_int_eq(sea_uv_block_new_sealed(ctx, &loop, 100, 0, on_made, NULL), -ELIBBAD);
    ck_assert(!server && !conn);
    sea_ctx_unref(ctx);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

START_TEST(test_the_own_version) {
    ck_assert_ptr_nonnull(__real_sea_private_loop_interface(SEA_VERSION_NUMBER));
    ck_assert_ptr_null(__real_sea_private_loop_interface(SEA_VERSION_NUMBER + 1));
    ck_assert_ptr_null(__real_sea_private_loop_interface(SEA_VERSION_NUMBER - 1));
    ck_assert_ptr_null(__real_sea_private_loop_interface(0));
}
END_TEST

START_TEST(test_another_version) {
    offered = NULL;
    all_refuse();
}
END_TEST

/* The version number is ours, but a structure has another size, as between two releases. */
START_TEST(test_another_layout) {
    struct loop_interface other = *__real_sea_private_loop_interface(SEA_VERSION_NUMBER);
    size_t *const sizes[] = {&other.size, &other.poller_size, &other.watch_size};
    offered = &other;
    *sizes[_i] += 8;
    all_refuse();
}
END_TEST

/* libuv opens descriptors of its own with its first loop, and keeps them. */
static void prepare_uv(void) {
    uv_loop_t loop;
    if (uv_loop_init(&loop) == 0)
        uv_loop_close(&loop);
}

int main(void) {
    struct suite *s = suite_new("uv_library");
    prepare_uv();
    suite_add(s, test_the_own_version);
    suite_add(s, test_another_version);
    suite_add_loop(s, test_another_layout, 0, 3);
    return suite_run(s);
}
