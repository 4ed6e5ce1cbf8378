/* SPDX-License-Identifier: MIT */
/* A server and a client on one libuv loop, with the public interface alone: loop ADDRESS. 0: a call went well. */
#include <sealane/sealane.h>
#include <sealane/uv.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static sea_server *server;
static int result = 1;

static void on_echo(sea_msg *call, void *user) {
    (void) user;
    sea_reply_bytes(call, sea_msg_data(call), sea_msg_size(call));
}

static void on_reply(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) user;
    result = status == 0 && sea_msg_size(reply) == 5 && !memcmp(sea_msg_data(reply), "hello", 5) ? 0 : 1;
    sea_msg_release(reply);
    sea_conn_close(conn);
    server = sea_server_free(server);
}

static void on_open(sea_conn *conn, void *user) {
    sea_block *block = NULL;
    (void) user;
    if (sea_block_new(&block, conn, 5) == 0)
        memcpy(sea_block_data(block), "hello", 5);
    if (sea_call_start(conn, 1, block, 10000, on_reply, NULL, NULL) < 0)
        server = sea_server_free(server);
}

int main(int argc, char **argv) {
    const sea_method methods[] = {{.number = 1, .name = "echo", .handler = on_echo}};
    const sea_options serving = {SEA_METHODS(methods)}, calling = {.on_open = on_open};
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    uv_loop_t loop;
    if (argc != 2 || uv_loop_init(&loop) < 0 || sea_ctx_new(&ctx, NULL) < 0 ||
        sea_uv_server_new(&server, ctx, &loop, argv[1], &serving) < 0 ||
        sea_uv_connect(&conn, ctx, &loop, argv[1], &calling) < 0)
        return 1;
    uv_run(&loop, UV_RUN_DEFAULT);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) < 0)
        return 1;
    printf("%s\n", result == 0 ? "a call on a libuv loop" : "no call");
    return result;
}
