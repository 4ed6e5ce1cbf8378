/* SPDX-License-Identifier: MIT */
/*
 * Writes down which functions one call of the library enters, on both sides: calls [CALLS].
 *
 * The library has to be built with -finstrument-functions, and this file without: ./dev trace does that. A client and a
 * server, two processes that spin, exchange CALLS calls of 64 bytes, and then CALLS calls of 1 MiB in a pooled block. A
 * client's trace begins before the request is made and ends after its reply is released. A server's trace begins when
 * its handler is called and ends when its handler is called again.
 *
 * Prints one line for each trace: "SIZE SIDE ADDRESS...", one address for each function entered, in their order,
 * relative to the start of the program, and "-" where a function returns. bench/run/calls.py reads the lines.
 */
#include <sealane/sealane.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TRACE_MOST = 2000,
    RETURNED = 0, /* in place of an address */
    CALLS = 400,
    CALLS_MOST = 4000,
    SIZES = 2,
    SMALL = 64,
    LARGE = 1 << 20,
    METHOD_SMALL = 1,
    METHOD_LARGE = 2
};

struct trace {
    uint32_t count;              /* TRACE_MOST: it may be longer, and is not printed */
    uint32_t events[TRACE_MOST]; /* addresses of functions entered, and RETURNED */
};

struct traces {
    uint32_t count;
    struct trace traces[CALLS_MOST];
};

/* Shared between both processes; each writes the traces of its own side. */
struct results {
    struct traces client[SIZES], server[SIZES];
};

extern const char __executable_start[];

static struct results *results;
static struct trace *current; /* of this process; NULL: it traces nothing */

void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

static void note(uint32_t event) {
    if (current && current->count < TRACE_MOST)
        current->events[current->count++] = event;
}

void __cyg_profile_func_enter(void *function, void *caller) {
    (void) caller;
    note((uint32_t) ((uintptr_t) function - (uintptr_t) __executable_start));
}

void __cyg_profile_func_exit(void *function, void *caller) {
    (void) function;
    (void) caller;
    note(RETURNED);
}

static void trace_begin(struct traces *traces) {
    current = traces->count < CALLS_MOST ? &traces->traces[traces->count] : NULL;
}

static void trace_end(struct traces *traces) {
    traces->count += current != NULL;
    current = NULL;
}

static void fail(const char *what, int error) {
    fprintf(stderr, "calls: %s: %s\n", what, strerror(-error));
    exit(1);
}

static void serve(sea_msg *call, void *user) {
    static struct traces *before;
    (void) user;
    if (before)
        trace_end(before);
    before = &results->server[sea_msg_method(call) == METHOD_LARGE];
    trace_begin(before);
    sea_reply_bytes(call, "", 1);
}

static void run_server(sea_ctx *ctx, const char *address) {
    const sea_method methods[] = {{.number = METHOD_SMALL, .name = "small", .handler = serve},
                                  {.number = METHOD_LARGE, .name = "large", .handler = serve}};
    const sea_options options = {SEA_METHODS(methods), .waiting = SEA_WAIT_SPIN};
    sea_server *server = NULL;
    int r = sea_server_new(&server, ctx, address, &options);
    if (r == 0)
        r = sea_server_run(server);
    fail("server", r);
}

static void call_small(sea_conn *conn) {
    static const char bytes[SMALL];
    sea_msg *reply = NULL;
    trace_begin(&results->client[0]);
    int r = sea_call_bytes(conn, METHOD_SMALL, bytes, sizeof(bytes), 5000, &reply);
    sea_msg_release(reply);
    trace_end(&results->client[0]);
    if (r < 0)
        fail("small call", r);
}

static void call_large(sea_conn *conn) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    trace_begin(&results->client[1]);
    int r = sea_block_new(&block, conn, LARGE);
    if (r == 0) {
        *(char *) sea_block_data(block) = 1;
        r = sea_call(conn, METHOD_LARGE, block, 5000, &reply);
    }
    sea_msg_release(reply);
    trace_end(&results->client[1]);
    if (r < 0)
        fail("large call", r);
}

static void run_client(sea_ctx *ctx, const char *address, int calls) {
    const sea_options options = {.waiting = SEA_WAIT_SPIN};
    sea_conn *conn = NULL;
    int r = -1;
    for (int tries = 0; r < 0 && tries < 500; tries++) {
        r = sea_connect(&conn, ctx, address, &options);
        if (r < 0)
            usleep(10000);
    }
    if (r < 0)
        fail("connection", r);
    for (int i = 0; i < calls; i++)
        call_small(conn);
    for (int i = 0; i < calls; i++)
        call_large(conn);
    sea_conn_free(conn);
}

static void print_traces(const char *side, uint32_t size, const struct traces *traces) {
    for (uint32_t n = 0; n < traces->count; n++) {
        const struct trace *trace = &traces->traces[n];
        if (trace->count == TRACE_MOST)
            continue;
        printf("%u %s", size, side);
        for (uint32_t i = 0; i < trace->count; i++)
            if (trace->events[i] == RETURNED)
                printf(" -");
            else
                printf(" 0x%x", trace->events[i]);
        printf("\n");
    }
}

int main(int argc, char **argv) {
    int calls = argc > 1 ? atoi(argv[1]) : CALLS;
    char address[64];
    sea_ctx *ctx = NULL;
    results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED)
        return 1;
    snprintf(address, sizeof(address), "unix:@sealane-calls-%d", getpid());
    pid_t child = fork();
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    int r = sea_ctx_new(&ctx, NULL);
    if (r < 0)
        fail("context", r);
    if (child == 0)
        run_server(ctx, address);
    run_client(ctx, address, calls);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    static const uint32_t sizes[SIZES] = {SMALL, LARGE};
    for (int i = 0; i < SIZES; i++) {
        print_traces("client", sizes[i], &results->client[i]);
        print_traces("server", sizes[i], &results->server[i]);
    }
    sea_ctx_unref(ctx);
    return 0;
}
