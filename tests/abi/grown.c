/* SPDX-License-Identifier: MIT */
/*
 * A program that uses every public struct, for tests/abi/test_grown.sh: grown ADDRESS. It is built with the headers of
 * the tree, or with later ones, and runs with a library that has larger public structs, with additions at their ends.
 * Exits with 0 if each value arrived.
 */
#include <errno.h>
#include <pthread.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if WITH_UV
#include <sealane/uv.h>
#include <uv.h>
#endif

#define MUST(what)                                                            \
    do {                                                                      \
        if (!(what)) {                                                        \
            fprintf(stderr, "grown: line %d: not so: %s\n", __LINE__, #what); \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

enum { METHOD_ECHO = 1, METHOD_SMALL = 2, METHOD_UNKNOWN = 77, GUARD_BYTES = 64 };

static int common_user, small_user;
static int opened, closed, allowed, running_low;

static void on_echo(sea_msg *call, void *user) {
    MUST(user == &common_user);
    MUST(sea_reply_bytes(call, sea_msg_data(call), sea_msg_size(call)) == 0);
}

static void on_small(sea_msg *call, void *user) {
    MUST(user == &small_user);
    MUST(sea_reply_bytes(call, "small", 5) == 0);
}

static void on_any(sea_msg *call, void *user) {
    uint32_t method = sea_msg_method(call);
    MUST(user == &common_user);
    MUST(sea_reply_bytes(call, &method, sizeof method) == 0);
}

static const sea_method methods[] = {
    {.number = METHOD_ECHO, .name = "echo", .description = "answers with what came", .handler = on_echo},
    {.number = METHOD_SMALL, .name = "small", .handler = on_small, .user = &small_user, .payload_max = 8},
    {.number = SEA_METHOD_ANY, .name = "any", .handler = on_any},
};

static void on_open(sea_conn *conn, void *user) {
    MUST(user == &common_user && sea_conn_peer(conn)->pid == getpid());
    opened++;
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn;
    MUST(user == &common_user);
    MUST(event->reason == 0 && event->text[0] == '\0');
    MUST(event->reclaimed_blocks == 0 && event->reclaimed_bytes == 0 && event->ended_calls == 0);
    closed++;
}

static int on_allow(const sea_peer *peer, void *user) {
    MUST(user == &common_user && peer->uid == getuid() && !peer->is_uid_ambiguous);
    allowed++;
    return 0;
}

static void on_low_water(const sea_refusal *nearly, void *user) {
    MUST(user == &common_user && nearly->error == 0 && nearly->limit[0] && nearly->needed > 0);
    running_low++;
}

static void *serve(void *server) {
    MUST(sea_server_run(server) == 0);
    return NULL;
}

/* Fills a struct, and the bytes behind it, and checks that the library writes no further than the program asks. */
#define GUARDED(type)                      \
    struct {                               \
        type it;                           \
        unsigned char behind[GUARD_BYTES]; \
    }

static void is_untouched(const unsigned char *behind) {
    for (int i = 0; i < GUARD_BYTES; i++)
        MUST(behind[i] == 0xa5);
}

static void refusals_and_shared(sea_ctx *ctx) {
    GUARDED(sea_refusal) refusal;
    GUARDED(sea_shared) shared;
    sea_block *block = NULL;
    char line[400];
    memset(&refusal, 0xa5, sizeof refusal);
    memset(&shared, 0xa5, sizeof shared);
    MUST(sea_block_new_sealed(&block, ctx, (size_t) 1 << 40, 0) < 0);
    sea_ctx_refusal(ctx, &refusal.it, sizeof refusal.it);
    is_untouched(refusal.behind);
    MUST(refusal.it.error < 0 && refusal.it.needed >= (uint64_t) 1 << 40 && refusal.it.advice[0]);
    MUST(sea_refusal_format(&refusal.it, line, sizeof line) > 0 && strstr(line, refusal.it.advice));
    sea_ctx_shared(ctx, &shared.it, sizeof shared.it);
    is_untouched(shared.behind);
    MUST(shared.it.files > 0 && shared.it.reserved > 0 && shared.it.untold <= shared.it.reserved);
}

static void figures(sea_ctx *ctx, sea_conn *conn, sea_pool *pool) {
    GUARDED(uint64_t) value;
    uint64_t values[SEA_FIGURE_CONNECTIONS + 1];
    unsigned count = 0;
    while (sea_ctx_figure(count)) {
        const sea_figure *figure = sea_ctx_figure(count++);
        MUST(figure->name[0] && figure->help[0] && figure->unit);
        MUST(figure->kind == SEA_GAUGE || figure->kind == SEA_COUNTER);
    }
    MUST(count > SEA_FIGURE_CONNECTIONS && sea_conn_figure(0)->name[0] && sea_pool_figure(0)->name[0]);
    sea_ctx_figures(ctx, values, SEA_FIGURE_CONNECTIONS + 1);
    MUST(values[SEA_FIGURE_CONNECTIONS] >= 1);
    memset(&value, 0xa5, sizeof value);
    sea_ctx_figures(ctx, &value.it, 1);
    sea_conn_figures(conn, &value.it, 1);
    sea_pool_figures(pool, &value.it, 1);
    is_untouched(value.behind);
}

static void call_is(sea_conn *conn, uint32_t method, const void *data, size_t size, const void *answer,
                    size_t answer_size) {
    sea_msg *reply = NULL;
    MUST(sea_call_bytes(conn, method, data, size, 20000, &reply) == 0);
    MUST(sea_msg_size(reply) == answer_size && !memcmp(sea_msg_data(reply), answer, answer_size));
    sea_msg_release(reply);
}

static void calls(sea_conn *conn) {
    const uint32_t unknown = METHOD_UNKNOWN;
    sea_msg *reply = NULL;
    call_is(conn, METHOD_ECHO, "hello", 5, "hello", 5);
    call_is(conn, METHOD_SMALL, "12345678", 8, "small", 5);
    call_is(conn, METHOD_UNKNOWN, NULL, 0, &unknown, sizeof unknown);
    MUST(sea_call_bytes(conn, METHOD_SMALL, "123456789", 9, 20000, &reply) == -EMSGSIZE);
    sea_msg_release(reply);
}

static void pools(sea_conn *conn, size_t size) {
    const sea_pool_options options = {
        .size = size, .name = "long", .bytes_max = 64 << 20, .retained_ms = -1, .rotate_bytes = 1 << 20};
    sea_pool *pool = NULL;
    sea_block *block = NULL;
    MUST(sea_pool_new(&pool, conn, &options) == 0);
    MUST(!strcmp(sea_pool_name(pool), "long") && !strcmp(sea_pool_name(sea_conn_pool(conn)), "own"));
    MUST(sea_pool_block(&block, pool, 100000) == 0);
    sea_block_unref(block);
    figures(sea_conn_ctx(conn), conn, pool);
    sea_pool_free(pool);
}

/* Uses the sizes of the headers, or (0) the sizes of the first version. */
static void blocking(const char *address, bool has_sizes) {
    const sea_ctx_options ctx_options = {.size = has_sizes ? sizeof ctx_options : 0,
                                         .budget_bytes = 256 << 20,
                                         .low_water = 200 << 20,
                                         .on_low_water = on_low_water,
                                         .low_water_user = &common_user};
    const sea_pool_options pool_options = {.size = has_sizes ? sizeof pool_options : 0, .name = "own"};
    sea_options options = {.size = has_sizes ? sizeof options : 0,
                           SEA_METHODS(methods),
                           .user = &common_user,
                           .on_open = on_open,
                           .on_close = on_close,
                           .allow = on_allow,
                           .service = "grown",
                           .pool = &pool_options};
    pthread_t thread;
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    sea_conn *conn = NULL;
    opened = closed = allowed = running_low = 0;
    MUST(sea_ctx_new(&ctx, &ctx_options) == 0);
    MUST(sea_server_new(&server, ctx, address, &options) == 0);
    MUST(pthread_create(&thread, NULL, serve, server) == 0);
    options.on_open = NULL;
    options.on_close = NULL;
    MUST(sea_connect(&conn, ctx, address, &options) == 0);
    MUST(!strcmp(sea_conn_service(conn), "grown"));
    MUST(sea_conn_peer(conn)->pid == getpid() && sea_conn_peer(conn)->uid == getuid());
    calls(conn);
    pools(conn, has_sizes ? sizeof(sea_pool_options) : 0);
    refusals_and_shared(ctx);
    sea_block *large = NULL;
    MUST(sea_block_new_sealed(&large, ctx, 100 << 20, 0) == 0); /* beyond the mark */
    sea_block_unref(large);
    MUST(running_low > 0);
    MUST(sea_conn_interrupt(conn) == 0 && sea_conn_wait(conn, 20000) == -EINTR);
    sea_conn_close(conn);
    while (sea_conn_wait(conn, 20000) >= 0)
        ;
    sea_conn_free(conn);
    sea_server_stop(server);
    MUST(pthread_join(thread, NULL) == 0);
    sea_server_free(server);
    sea_ctx_unref(ctx);
    MUST(opened == 1 && closed == 1);
}

/* Built with one version and run with another, the second method would lie elsewhere. */
static void methods_without_size(const char *address) {
    const sea_options options = {.methods = methods, .methods_count = 3};
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    char why[300];
    MUST(sea_ctx_new(&ctx, NULL) == 0);
    MUST(sea_server_new(&server, ctx, address, &options) == -EINVAL);
    MUST(sea_explain(ctx, NULL, -EINVAL, why, sizeof why) > 0 && strstr(why, "SEA_METHODS"));
    sea_ctx_unref(ctx);
}

#if WITH_UV

static sea_server *uv_server;

static void on_uv_reply(sea_conn *conn, int status, sea_msg *reply, void *user) {
    (void) user;
    MUST(status == 0 && sea_msg_size(reply) == 5);
    sea_msg_release(reply);
    sea_conn_close(conn);
    uv_server = sea_server_free(uv_server);
}

static void on_uv_open(sea_conn *conn, void *user) {
    (void) user;
    MUST(sea_call_start_bytes(conn, METHOD_ECHO, "hello", 5, 20000, on_uv_reply, NULL, NULL) == 0);
}

static void on_uv_close(sea_conn *conn, const sea_close_event *event, void *user) {
    (void) conn;
    (void) user;
    MUST(event->text != NULL);
    closed++;
}

static void with_uv(const char *address) {
    const sea_options serving = {.size = sizeof serving, SEA_METHODS(methods), .user = &common_user};
    const sea_options calling = {.size = sizeof calling, .on_open = on_uv_open, .on_close = on_uv_close};
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    uv_loop_t loop;
    closed = 0;
    MUST(uv_loop_init(&loop) == 0 && sea_ctx_new(&ctx, NULL) == 0);
    MUST(sea_uv_server_new(&uv_server, ctx, &loop, address, &serving) == 0);
    MUST(sea_uv_connect(&conn, ctx, &loop, address, &calling) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    MUST(closed == 1);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    uv_run(&loop, UV_RUN_DEFAULT);
    MUST(uv_loop_close(&loop) == 0);
}

#else

static void with_uv(const char *address) {
    (void) address;
}

#endif

int main(int argc, char **argv) {
    MUST(argc == 2 && sea_version() == SEA_VERSION_NUMBER);
    blocking(argv[1], true);
    blocking(argv[1], false);
    methods_without_size(argv[1]);
    with_uv(argv[1]);
    return 0;
}
