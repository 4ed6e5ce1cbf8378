/* SPDX-License-Identifier: MIT */
/* The shared library in a plug-in: loaded, used, and unloaded, while its threads may still be closing descriptors. */
#include "support/child.h"
#include "unit/host.h"

#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

enum { SPEAK = 1, HEARD = 2, ROUNDS = 25 };

/* The functions that a plug-in calls. */
struct library {
    void *handle;
    int (*ctx_new)(sea_ctx **, const sea_ctx_options *);
    sea_ctx *(*ctx_unref)(sea_ctx *);
    int (*connect)(sea_conn **, sea_ctx *, const char *, const sea_options *);
    sea_conn *(*conn_free)(sea_conn *);
    int (*call_bytes)(sea_conn *, uint32_t, const void *, size_t, int, sea_msg **);
    sea_msg *(*msg_release)(sea_msg *);
};

static void find(void *handle, const char *name, void *ret_function) {
    void *symbol = dlsym(handle, name);
    ck_assert_ptr_nonnull(symbol);
    memcpy(ret_function, &symbol, sizeof symbol);
}

static void library_load(struct library *library) {
    library->handle = dlopen(SHARED_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library->handle != NULL, "%s", dlerror());
    find(library->handle, "sea_ctx_new", &library->ctx_new);
    find(library->handle, "sea_ctx_unref", &library->ctx_unref);
    find(library->handle, "sea_connect", &library->connect);
    find(library->handle, "sea_conn_free", &library->conn_free);
    find(library->handle, "sea_call_bytes", &library->call_bytes);
    find(library->handle, "sea_msg_release", &library->msg_release);
}

/* Leaves a message of the server unread: a thread of the library closes the socket then. */
static void library_use(const struct library *library, const char *address) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    const sea_options options = {.handshake_ms = test_timeout_ms(10000)};
    ck_assert_int_eq(library->ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(library->connect(&conn, ctx, address, &options), 0);
    ck_assert_int_eq(library->call_bytes(conn, SPEAK, "hello", 5, -1, &reply), 0);
    library->msg_release(reply);
    library->conn_free(conn);
    library->ctx_unref(ctx);
}

static int load_and_unload(int line, void *address) {
    uint64_t word;
    ck_assert(line_hear(line, 10000, &word));
    for (int i = 0; i < ROUNDS; i++) {
        struct library library;
        library_load(&library);
        library_use(&library, address);
        ck_assert_int_eq(dlclose(library.handle), 0);
        nap();
    }
    return 0;
}

/* Replies, and sends one more message that the client never reads. */
static void on_speak(sea_msg *msg, void *user) {
    sea_conn *conn = sea_msg_conn(msg);
    sea_block *block = NULL;
    (void) user;
    ck_assert_int_eq(sea_reply_bytes(msg, "ok", 2), 0);
    ck_assert_int_eq(sea_block_new_sealed(&block, sea_conn_ctx(conn), 100, 0), 0);
    sea_send(conn, HEARD, block, 0);
}

START_TEST(test_unloaded_while_its_threads_work) {
    static const sea_method methods[] = {{.number = SPEAK, .name = "speak", .handler = on_speak}};
    struct host host = {.options = {SEA_METHODS(methods)}};
    struct child child;
    snprintf(host.address, sizeof host.address, "unix:%s", raw_name());
    child_start(&child, load_and_unload, host.address);
    host_start(&host);
    ck_assert(line_tell(child.line, 0));
    ck_assert_int_eq(child_end(&child, 20000), 0);
    host_stop(&host);
}
END_TEST

static void stays_loaded(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(handle != NULL, "%s", dlerror());
    ck_assert_int_eq(dlclose(handle), 0);
    handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    ck_assert_msg(handle != NULL, "%s was unmapped", path);
    dlclose(handle);
}

START_TEST(test_the_libraries_stay_mapped) {
    stays_loaded(SHARED_LIBRARY);
    if (WITH_UV)
        stays_loaded(SHARED_UV_LIBRARY);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("unload");
    suite_add(s, test_the_libraries_stay_mapped);
    suite_add(s, test_unloaded_while_its_threads_work);
    return suite_run(s);
}
