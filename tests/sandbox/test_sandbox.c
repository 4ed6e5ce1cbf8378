/* SPDX-License-Identifier: MIT */
/*
 * Sandboxes: each system call that the library makes is forbidden in turn, with EPERM and with ENOSYS, to the client
 * and to the server. For each call: no process crashes or hangs; each step works, or fails with a text that names the
 * call; and a text never names a limit that is not the cause.
 *
 * SEALANE_SANDBOX_TABLE=1 prints the result for each call, as the table of doc/sandbox.md.
 *
 * The test's own process is the referee: client and server are its children.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sealane/sealane.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/child.h"
#include "support/figures.h"
#include "support/sandbox.h"
#include "support/suite.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define NONE (-1)

/* Older calls for a purpose that newer architectures serve by another call. */
#ifdef SYS_open
#define OLDER(call) SYS_##call
#else
#define OLDER(call) 0
#endif

/* System calls that are forbidden together: where several calls have one purpose, the C library chooses one. */
static const struct call {
    const char *name; /* the name in texts */
    long numbers[4];  /* up to the first 0 */
    long argument;    /* the second argument to forbid; 0: any */
    bool is_runtime;  /* sanitizers need it */
    bool is_silent;   /* a server without it starts, and no client hears from it */
} CALLS[] = {
#define CALL(n, ...)                            \
    {                                           \
        .name = (n), .numbers = { __VA_ARGS__ } \
    }
#define COMMAND(n, number, command) \
    { .name = (n), .numbers = {number}, .argument = (command) }
#define RUNTIME(n, ...) \
    { .name = (n), .numbers = {__VA_ARGS__}, .is_runtime = true }
#define SILENT(n, ...) \
    { .name = (n), .numbers = {__VA_ARGS__}, .is_silent = true }
    CALL("memfd_create", SYS_memfd_create),
    CALL("ftruncate", SYS_ftruncate),
    CALL("fallocate", SYS_fallocate),
    COMMAND("fcntl(F_ADD_SEALS)", SYS_fcntl, F_ADD_SEALS),
    COMMAND("fcntl(F_GET_SEALS)", SYS_fcntl, F_GET_SEALS),
    COMMAND("fcntl(F_DUPFD_CLOEXEC)", SYS_fcntl, F_DUPFD_CLOEXEC),
    RUNTIME("fcntl", SYS_fcntl),
    RUNTIME("madvise", SYS_madvise),
    CALL("mlock2", SYS_mlock2),
    CALL("mincore", SYS_mincore),
    CALL("mbind", SYS_mbind),
    CALL("pwrite", SYS_pwrite64),
    CALL("pread", SYS_pread64),
    CALL("lseek", SYS_lseek),
    CALL("sendfile", SYS_sendfile),
    CALL("copy_file_range", SYS_copy_file_range),
    CALL("splice", SYS_splice),
    RUNTIME("open", SYS_openat, OLDER(open)),
    RUNTIME("fstat", SYS_fstat, SYS_newfstatat, SYS_statx),
    CALL("fstatfs", SYS_fstatfs),
    CALL("fchmod", SYS_fchmod),
    CALL("fchmodat2", SYS_fchmodat2),
    CALL("fchownat", SYS_fchownat),
    CALL("pidfd_open", SYS_pidfd_open),
    CALL("mkdir", SYS_mkdirat, OLDER(mkdir)),
    CALL("unlink", SYS_unlinkat, OLDER(unlink)),
    CALL("flock", SYS_flock),
    CALL("socket", SYS_socket),
    CALL("bind", SYS_bind),
    CALL("listen", SYS_listen),
    SILENT("accept4", SYS_accept4),
    CALL("connect", SYS_connect),
    CALL("getsockopt", SYS_getsockopt),
    CALL("setsockopt", SYS_setsockopt),
    CALL("shutdown", SYS_shutdown),
    CALL("sendmsg", SYS_sendmsg),
    CALL("recvmsg", SYS_recvmsg),
    CALL("ppoll", SYS_ppoll),
    CALL("epoll_create1", SYS_epoll_create1),
    CALL("epoll_ctl", SYS_epoll_ctl),
    SILENT("epoll_wait", SYS_epoll_pwait, OLDER(epoll_wait)),
    CALL("eventfd", SYS_eventfd2),
    CALL("sysinfo", SYS_sysinfo),
    RUNTIME("sched_getscheduler", SYS_sched_getscheduler),
    RUNTIME("sched_getaffinity", SYS_sched_getaffinity),
    RUNTIME("prlimit", SYS_prlimit64),
    RUNTIME("getrandom", SYS_getrandom),
    RUNTIME("membarrier", SYS_membarrier),
};
#define CALLS_COUNT (sizeof CALLS / sizeof *CALLS)

static const int ERRORS[] = {EPERM, ENOSYS};

enum { CONTEXT, CONNECT, BYTES, FRAME, LARGE, SEALED, FROM_FILE, SOCKET_ONLY, STEPS };
static const char *const STEP_NAMES[STEPS] = {"context",       "connect", "call of 10 bytes", "call of 30 kB",
                                              "call of 1 MiB", "sealed",  "from file",        "socket_only"};
#define FRAME_SIZE 30000
#define LARGE_SIZE ((size_t) 1 << 20)

struct result {
    int r;
    char text[400];
};

/* Shared by the three processes. */
struct report {
    struct result steps[STEPS];
    struct result server; /* the server's start, or its newest refusal when it ended */
    bool has_started, has_sandbox;
    uint64_t fallbacks;
};

static struct report *report;
static char directory[64], address[128];
static const struct call *forbidden;
static int forbidden_error;
static bool is_server_silent; /* the client waits in vain: not for long */

static bool enter_sandbox(void) {
    for (int i = 0; i < 4 && forbidden->numbers[i]; i++)
        if (!sandbox_forbid(forbidden->numbers[i], forbidden->argument ? forbidden->argument : SANDBOX_ANY,
                            forbidden_error))
            return false;
    return report->has_sandbox = true;
}

static void note(struct result *result, sea_ctx *ctx, sea_conn *conn, int r) {
    sea_refusal refusal = {0};
    char why[300] = "";
    if (ctx)
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    if (refusal.error)
        sea_refusal_format(&refusal, why, sizeof why);
    result->r = r;
    snprintf(result->text, sizeof result->text, "%s%s%s", r < 0 ? why : "", conn && r < 0 ? " / " : "",
             conn && r < 0 ? sea_conn_text(conn) : "");
}

/* --- the client --- */

static int call_block(sea_conn *conn, sea_block *block) {
    sea_msg *reply = NULL;
    size_t size = sea_block_size(block);
    void *data = sea_block_data(block);
    if (!data)
        return sea_block_unref(block), -ENOMEM;
    memset(data, 'x', size);
    int r = sea_call(conn, 1, block, test_timeout_ms(3000), &reply);
    if (r == 0 && (sea_msg_size(reply) != size || ((const char *) sea_msg_data(reply))[size - 1] != 'x'))
        r = 1;
    sea_msg_release(reply);
    return r;
}

static int call_size(sea_conn *conn, size_t size) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, conn, size);
    return r < 0 ? r : call_block(conn, block);
}

static int call_sealed(sea_ctx *ctx, sea_conn *conn) {
    sea_block *block = NULL;
    int r = sea_block_new_sealed(&block, ctx, 300000, 0);
    return r < 0 ? r : call_block(conn, block);
}

static int call_bytes(sea_conn *conn) {
    sea_msg *reply = NULL;
    int r = sea_call_bytes(conn, 1, "ten bytes.", 10, test_timeout_ms(3000), &reply);
    sea_msg_release(reply);
    return r;
}

static int fill_from(sea_ctx *ctx, int file) {
    sea_block *block = NULL;
    int r = sea_block_new_sealed(&block, ctx, 500, 0);
    if (r < 0)
        return r;
    int64_t n = sea_block_fill_file(block, 0, file, 0, 500);
    if (n == 500 && ((const char *) sea_block_view(block))[499] != 'f')
        n = 1;
    sea_block_unref(block);
    return n == 500 ? 0 : n < 0 ? (int) n : 1;
}

static int make_file(void) {
    char data[500];
    FILE *file = tmpfile();
    memset(data, 'f', sizeof data);
    ck_assert(file && fwrite(data, 1, sizeof data, file) == sizeof data && fflush(file) == 0);
    return fileno(file);
}

static int connect_to(sea_conn **ret, sea_ctx *ctx, bool socket_only) {
    const sea_options options = {.socket_only = socket_only,
                                 .handshake_ms = test_timeout_ms(is_server_silent ? 100 : 1000)};
    return sea_connect(ret, ctx, address, &options);
}

static void run_steps(sea_ctx *ctx, int file) {
    sea_conn *conn = NULL;
    struct result *steps = report->steps;
    note(&steps[CONNECT], ctx, NULL, connect_to(&conn, ctx, false));
    if (conn) {
        note(&steps[BYTES], ctx, conn, call_bytes(conn));
        note(&steps[FRAME], ctx, conn, call_size(conn, FRAME_SIZE));
        note(&steps[LARGE], ctx, conn, call_size(conn, LARGE_SIZE));
        note(&steps[SEALED], ctx, conn, call_sealed(ctx, conn));
    }
    sea_conn_free(conn);
    note(&steps[FROM_FILE], ctx, NULL, fill_from(ctx, file));
    conn = NULL;
    int r = connect_to(&conn, ctx, true);
    note(&steps[SOCKET_ONLY], ctx, conn, r == 0 ? call_size(conn, FRAME_SIZE) : r);
    sea_conn_free(conn);
}

static int be_client(int line, void *arg) {
    sea_ctx *ctx = NULL;
    int file = make_file();
    (void) line;
    if (arg && !enter_sandbox())
        return 0;
    for (int i = CONNECT; i < STEPS; i++)
        report->steps[i].r = NONE * 1000;
    note(&report->steps[CONTEXT], NULL, NULL, sea_ctx_new(&ctx, NULL));
    if (!ctx)
        return 0;
    run_steps(ctx, file);
    struct figures figures;
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    report->fallbacks = figures.of[SEA_FIGURE_FALLBACKS];
    sea_ctx_unref(ctx);
    return 0;
}

/* --- the server --- */

static void echo(sea_msg *msg, void *user) {
    (void) user;
    sea_block *block = sea_msg_block(msg);
    if (block)
        sea_reply(msg, sea_block_ref(block));
    else
        sea_reply_bytes(msg, NULL, 0);
}

static void *run_server(void *server) {
    int r = sea_server_run(server);
    if (r < 0)
        report->server.r = r;
    return NULL;
}

static void serve(int line, sea_ctx *ctx, sea_server *server) {
    uint64_t word;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_server, server), 0);
    report->has_started = true;
    line_tell(line, 1);
    while (read(line, &word, sizeof word) < 0 && errno == EINTR)
        ;
    sea_server_stop(server);
    pthread_join(thread, NULL);
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    if (refusal.error)
        sea_refusal_format(&refusal, report->server.text, sizeof report->server.text);
}

static int be_server(int line, void *arg) {
    static const sea_method methods[] = {{.number = 1, .name = "echo", .handler = echo}};
    const sea_options options = {SEA_METHODS(methods), .handshake_ms = test_timeout_ms(1000)};
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    if (arg && !enter_sandbox())
        return 0;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&server, ctx, address, &options);
    note(&report->server, ctx, NULL, r);
    if (r == 0)
        serve(line, ctx, server);
    else
        line_tell(line, 2);
    sea_server_free(server);
    sea_ctx_unref(ctx);
    return 0;
}

/* --- the referee --- */

static struct {
    int count;
    char text[6000];
} findings;

__attribute__((format(printf, 1, 2))) static void find(const char *format, ...) {
    size_t used = strlen(findings.text);
    char what[700];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(findings.text + used, sizeof findings.text - used, "\n  %s %s: %s", forbidden->name,
             strerrorname_np(forbidden_error), what);
    findings.count++;
}

/* A text may name no limit: no limit is the cause when a call is forbidden. */
static bool has_false_words(const char *text) {
    static const char *const words[] = {"RLIMIT_",       "MemAvailable",  "available ",
                                        "max_map_count", "out of memory", "is the server running"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

/* Returns whether the text names the call; the call's purpose does not matter. */
static bool names_call(const char *text) {
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int) strcspn(forbidden->name, "("), forbidden->name);
    return strstr(text, name) || strstr(text, "forbid");
}

static void judge_step(const struct result *result, const char *name, const char *other_text) {
    if (result->r == NONE * 1000 || result->r == 0)
        return;
    if (result->r > 0)
        find("%s: wrong bytes", name);
    else if (!names_call(result->text) && !names_call(other_text))
        find("%s: %s, \"%s\"; the server: \"%s\"", name, strerrorname_np(-result->r), result->text, other_text);
    else if (has_false_words(result->text))
        find("%s: %s, untrue: \"%s\"", name, strerrorname_np(-result->r), result->text);
}

static void show(const char *role) {
    if (!getenv("SEALANE_SANDBOX_TABLE"))
        return;
    printf("%-10s %-24s %-7s", role, forbidden->name, strerrorname_np(forbidden_error));
    if (!report->has_started)
        printf(" no server: %s", report->server.text);
    for (int i = 0; i < STEPS && report->has_started; i++) {
        const struct result *step = &report->steps[i];
        if (step->r == NONE * 1000)
            printf(" | %s -", STEP_NAMES[i]);
        else if (step->r)
            printf(" | %s %s (%s)", STEP_NAMES[i], step->r < 0 ? strerrorname_np(-step->r) : "WRONG", step->text);
    }
    printf(" | fallbacks %llu | server: %s\n", (unsigned long long) report->fallbacks, report->server.text);
}

static void judge_child(const char *role, int status) {
    if (status != 0)
        find("the %s ended with %d", role, status);
}

static void try_once(bool is_server) {
    struct child server, client;
    uint64_t word = 0;
    memset(report, 0, sizeof *report);
    is_server_silent = is_server && forbidden->is_silent;
    child_start(&server, be_server, is_server ? report : NULL);
    line_hear(server.line, 5000, &word);
    if (word == 1) {
        child_start(&client, be_client, is_server ? NULL : report);
        judge_child("client", child_end(&client, 60000));
        line_tell(server.line, 1);
    }
    judge_child("server", child_end(&server, 5000));
    if (!report->has_sandbox)
        test_skip("this machine has no seccomp filters, or does not let us have one");
    show(is_server ? "server" : "client");
}

static void judge(bool is_server) {
    if (is_server && report->server.r < 0 && !names_call(report->server.text))
        find("the server: %s, \"%s\"", strerrorname_np(-report->server.r), report->server.text);
    if (is_server && has_false_words(report->server.text))
        find("the server, untrue: \"%s\"", report->server.text);
    if (!is_server && !report->has_started)
        find("the server did not start");
    for (int i = 0; i < STEPS && report->has_started; i++)
        judge_step(&report->steps[i], STEP_NAMES[i], is_server ? report->server.text : "");
}

static bool is_instrumented(void) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return true;
#else
    return false;
#endif
}

static void setup(void) {
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(report, MAP_FAILED);
    snprintf(directory, sizeof directory, "/tmp/sealane-sandbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    setenv("XDG_RUNTIME_DIR", directory, 1);
    snprintf(address, sizeof address, "sandbox");
}

static void teardown(void) {
    static const char *const names[] = {"sealane/sandbox", "sealane/sandbox.lock"};
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sealane", directory);
    rmdir(path);
    rmdir(directory);
    munmap(report, sizeof *report);
}

static void try_call(int index, bool is_server) {
    forbidden = &CALLS[index];
    if (forbidden->is_runtime && is_instrumented())
        test_skip("sanitizers cannot do without %s", forbidden->name);
    findings.count = 0;
    for (int i = 0; i < 2; i++) {
        forbidden_error = ERRORS[i];
        try_once(is_server);
        judge(is_server);
    }
    ck_assert_msg(findings.count == 0, "%d findings:%s", findings.count, findings.text);
}

START_TEST(test_client) {
    try_call(_i, false);
}
END_TEST

START_TEST(test_server) {
    try_call(_i, true);
}
END_TEST

/* Steps that must work: all that need no memfd; and all others where there is another way. */
static const struct must {
    const char *name;
    unsigned steps; /* bits */
} MUSTS[] = {
#define INLINE_STEPS (1u << CONTEXT | 1u << CONNECT | 1u << BYTES | 1u << FRAME | 1u << SOCKET_ONLY)
#define ALL_STEPS ((1u << STEPS) - 1)
    {"memfd_create", INLINE_STEPS},
    {"ftruncate", INLINE_STEPS},
    {"fcntl(F_ADD_SEALS)", INLINE_STEPS},
    {"fcntl(F_GET_SEALS)", INLINE_STEPS},
    {"fstatfs", INLINE_STEPS},
    {"fallocate", ALL_STEPS},
    {"pwrite", ALL_STEPS},
    {"madvise", ALL_STEPS},
    {"sendfile", ALL_STEPS},
    {"copy_file_range", ALL_STEPS},
    {"splice", ALL_STEPS},
    {"mbind", ALL_STEPS},
    {"mincore", ALL_STEPS},
    {"mlock2", ALL_STEPS},
    {"fchmodat2", ALL_STEPS},
    {"fchownat", ALL_STEPS},
    {"pidfd_open", ALL_STEPS},
    {"setsockopt", ALL_STEPS},
    {"ppoll", ALL_STEPS},
    {"sysinfo", ALL_STEPS},
    {"sched_getaffinity", ALL_STEPS},
    {"sched_getscheduler", ALL_STEPS},
    {"prlimit", ALL_STEPS},
    {"membarrier", ALL_STEPS},
};

static void judge_must(const struct must *must, const char *role) {
    for (int i = 0; i < STEPS; i++)
        if (must->steps & 1u << i && (!report->has_started || report->steps[i].r != 0))
            find("%s: %s does not go on: \"%s\" \"%s\"", role, STEP_NAMES[i], report->steps[i].text,
                 report->server.text);
    if (must->steps != ALL_STEPS && strcmp(role, "client") == 0 && report->fallbacks == 0)
        find("the fallback was not counted");
}

START_TEST(test_goes_on) {
    const struct must *must = &MUSTS[_i];
    findings.count = 0;
    for (size_t i = 0; i < CALLS_COUNT; i++)
        if (strcmp(CALLS[i].name, must->name) == 0)
            forbidden = &CALLS[i];
    if (forbidden->is_runtime && is_instrumented())
        test_skip("sanitizers cannot do without %s", forbidden->name);
    for (int i = 0; i < 4; i++) {
        forbidden_error = ERRORS[i / 2];
        try_once(i % 2);
        judge_must(must, i % 2 ? "server" : "client");
    }
    ck_assert_msg(findings.count == 0, "%d findings:%s", findings.count, findings.text);
}
END_TEST

int main(void) {
    struct suite *suite = suite_new("sandbox");
    suite_guard(suite, 600);
    suite_fixture(suite, setup, teardown);
    suite_add_loop(suite, test_client, 0, CALLS_COUNT);
    suite_add_loop(suite, test_server, 0, CALLS_COUNT);
    suite_add_loop(suite, test_goes_on, 0, sizeof MUSTS / sizeof *MUSTS);
    return suite_run(suite);
}
