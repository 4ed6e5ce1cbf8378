/* SPDX-License-Identifier: MIT */
/*
 * Exchanges fixed numbers of messages between two processes in lockstep, so that callgrind can count the library's
 * instructions: bench/run/instructions.py runs it, and says why the count is right.
 *
 * The library is built with bench/lockstep_pause.h in front of each file. Its waiting loops pause only after a look
 * that found nothing, and the pause is a trap: its handler hands over to the other side, and returns when that side
 * has paused in turn. So one side runs at a time, and each wait has exactly one look that finds nothing. The clock is
 * the program's own: it stands still but for a fixed step for each call and message.
 *
 * Prints one line "compiler NAME", one "libc NAME", and one "case NAME COUNT CLASS" for each case, in the order in
 * which both processes count: from count_begin() to count_end(), which callgrind is told to watch. Exit status: 0; 77
 * where both sides cannot spin; 1 for a failure.
 */
#include "auto.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <linux/futex.h>
#include <sched.h>
#include <sealane/sealane.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if !defined(__x86_64__)
/* cppcheck-suppress preprocessorErrorDirective */
#error "Only x86-64 has the pause that becomes a trap."
#endif

#if defined(__clang__)
#define COMPILER "" /* its version says its name */
#else
#define COMPILER "gcc "
#endif

enum { SKIPPED = 77, METHOD = 1, NEVER = -1, REPLY = 32, BATCH = 32, SIZE_MAX_HERE = 4096 };

/* Some hundred calls fill the pools; the counted ones last a millisecond or more by the program's clock, so that the
 * work that the library does once a millisecond has its share. */
enum { WARM_CALLS = 1000, CALLS = 4000, CALL_NS = 300, WARM_BATCHES = 100, BATCHES = 500, MESSAGE_NS = 70 };

enum { PATIENCE_S = 20 }; /* of a side that waits for the other one */

enum way { AUTO, BLOCK };

struct count_case {
    const char *name;
    size_t size;
    enum way way;
    bool is_call; /* otherwise one-way messages, in batches */
};

static const struct count_case CASES[] = {
    {"call-64", 64, AUTO, true},          {"call-256", 256, AUTO, true},        {"call-1k", 1024, AUTO, true},
    {"call-2k-block", 2048, BLOCK, true}, {"call-4k-block", 4096, BLOCK, true}, {"send-64", 64, AUTO, false},
    {"send-1k", 1024, AUTO, false},
};

enum side { CLIENT, SERVER };

/* Shared by both processes. */
static struct lockstep {
    _Atomic(uint32_t) turn; /* the side that runs; also a futex */
    _Atomic(bool) is_on;
    _Atomic(bool) is_counting; /* the messages that follow count */
    _Atomic(uint64_t) passed;  /* nanoseconds of the program's clock */
    _Atomic(uint32_t) wrong;   /* payloads that are not what was written */
    struct timespec monotonic, realtime;
} * lockstep;

static enum side own_side;

static _Noreturn void fail(const char *what, int error) {
    fprintf(stderr, "instructions: %s: %s: %s\n", own_side == CLIENT ? "client" : "server", what, strerror(-error));
    exit(1);
}

/* --- handing over --- */

/* Without the C library, whose instructions count as the library's. */
static long kernel(long number, const void *a, long b, long c, const void *d) {
    register const void *r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

static void hand_over(void) {
    static const struct timespec patience = {.tv_sec = PATIENCE_S};
    uint32_t other = own_side == CLIENT ? SERVER : CLIENT;
    atomic_store(&lockstep->turn, other);
    kernel(SYS_futex, &lockstep->turn, FUTEX_WAKE, 1, NULL);
    while (atomic_load(&lockstep->turn) == other)
        if (kernel(SYS_futex, &lockstep->turn, FUTEX_WAIT, other, &patience) == -ETIMEDOUT)
            fail("the other side", -ETIMEDOUT);
}

/* The trap in place of a pause. */
static void on_pause(int signal) {
    (void) signal;
    if (atomic_load(&lockstep->is_on))
        hand_over();
}

/* --- the clock of both sides, in place of the C library's --- */

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int clock_gettime(clockid_t clock, struct timespec *ret_time) {
    if (!atomic_load(&lockstep->is_on))
        return (int) kernel(SYS_clock_gettime, (const void *) (uintptr_t) clock, (long) ret_time, 0, NULL);
    uint64_t ns = atomic_load(&lockstep->passed);
    *ret_time = clock == CLOCK_REALTIME ? lockstep->realtime : lockstep->monotonic;
    ns += (uint64_t) ret_time->tv_nsec;
    ret_time->tv_sec += (time_t) (ns / 1000000000);
    ret_time->tv_nsec = (long) (ns % 1000000000);
    return 0;
}

static void time_pass(uint64_t ns) {
    atomic_store(&lockstep->passed, atomic_load(&lockstep->passed) + ns);
}

/* --- the marks that callgrind watches --- */

void count_begin(void);
void count_end(void);

__attribute__((noinline)) void count_begin(void) {
    __asm__ volatile("# begin");
}

__attribute__((noinline)) void count_end(void) {
    __asm__ volatile("# end");
}

/* --- the server --- */

/* It counts from the first counted message to the first that does not count again: as many times all that follows a
 * message as there are counted messages. */
static void note_phase(void) {
    static bool was_counting;
    bool is_counting = atomic_load(&lockstep->is_counting);
    if (is_counting == was_counting)
        return;
    was_counting = is_counting;
    if (is_counting)
        count_begin();
    else
        count_end();
}

static void handle(sea_msg *msg, void *user) {
    static const char reply[REPLY];
    const unsigned char *data = sea_msg_data(msg);
    size_t size = sea_msg_size(msg);
    (void) user;
    note_phase();
    if (size < 2 || data[0] != data[size - 1])
        atomic_fetch_add(&lockstep->wrong, 1);
    if (sea_msg_is_call(msg))
        sea_reply_bytes(msg, reply, sizeof(reply));
    else
        sea_msg_release(msg);
}

static _Noreturn void be_server(sea_ctx *ctx, const char *address) {
    const sea_method methods[] = {{.number = METHOD, .name = "count", .handler = handle}};
    const sea_options options = {SEA_METHODS(methods), .waiting = SEA_WAIT_SPIN};
    sea_server *server = NULL;
    int r = sea_server_new(&server, ctx, address, &options);
    if (r == 0)
        r = sea_server_run(server);
    fail("service", r);
}

/* --- the client --- */

/* Of the case that runs. */
static bool sends_bytes;
static int block_class; /* of its last block */

static void choose(sea_conn *conn, const struct count_case *one) {
    sends_bytes = one->way == AUTO && auto_sends_bytes(conn, one->size);
}

/* Both ends of a payload carry the number of the message. */
static void write_payload(void *data, size_t size, unsigned number) {
    ((unsigned char *) data)[0] = (unsigned char) number;
    ((unsigned char *) data)[size - 1] = (unsigned char) number;
}

static sea_block *block_written(sea_conn *conn, size_t size, unsigned number) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, conn, size);
    if (r < 0)
        fail("block", r);
    block_class = sea_block_class(block);
    write_payload(sea_block_data(block), size, number);
    return block;
}

static void call(sea_conn *conn, const struct count_case *one, unsigned number) {
    static char bytes[SIZE_MAX_HERE];
    sea_msg *reply = NULL;
    int r;
    if (sends_bytes) {
        write_payload(bytes, one->size, number);
        r = sea_call_bytes(conn, METHOD, bytes, one->size, NEVER, &reply);
    } else {
        r = sea_call(conn, METHOD, block_written(conn, one->size, number), NEVER, &reply);
    }
    if (r < 0)
        fail("call", r);
    if (sea_msg_size(reply) != REPLY || *(const char *) sea_msg_data(reply) != 0)
        atomic_fetch_add(&lockstep->wrong, 1);
    sea_msg_release(reply);
    time_pass(CALL_NS);
}

static void tell(sea_conn *conn, const struct count_case *one, unsigned number) {
    static char bytes[SIZE_MAX_HERE];
    int r;
    if (sends_bytes) {
        write_payload(bytes, one->size, number);
        r = sea_send_bytes(conn, METHOD, bytes, one->size, NEVER);
    } else {
        r = sea_send(conn, METHOD, block_written(conn, one->size, number), NEVER);
    }
    if (r < 0)
        fail("message", r);
    time_pass(MESSAGE_NS);
}

/* One call, or one batch and the turn of the server. */
static void step(sea_conn *conn, const struct count_case *one, unsigned number) {
    if (one->is_call) {
        call(conn, one, number);
        return;
    }
    sea_batch_begin(conn);
    for (unsigned i = 0; i < BATCH; i++)
        tell(conn, one, number + i);
    sea_batch_end(conn);
    hand_over();
}

static void run_case(sea_conn *conn, const struct count_case *one) {
    unsigned warm = one->is_call ? WARM_CALLS : WARM_BATCHES, steps = one->is_call ? CALLS : BATCHES;
    choose(conn, one);
    for (unsigned i = 0; i < warm; i++)
        step(conn, one, i);
    atomic_store(&lockstep->is_counting, true);
    count_begin();
    for (unsigned i = 0; i < steps; i++)
        step(conn, one, i);
    count_end();
    atomic_store(&lockstep->is_counting, false);
    step(conn, one, 0);
    printf("case %s %u %s\n", one->name, one->is_call ? steps : steps * BATCH,
           sends_bytes ? "bytes" : sea_class_name(block_class));
}

static sea_conn *connect_to(sea_ctx *ctx, const char *address) {
    const sea_options options = {.waiting = SEA_WAIT_SPIN};
    sea_conn *conn = NULL;
    int r = -1;
    for (int tries = 0; r < 0 && tries < 1000; tries++) {
        r = sea_connect(&conn, ctx, address, &options);
        if (r < 0)
            usleep(10000);
    }
    if (r < 0)
        fail("connection", r);
    return conn;
}

static void be_client(sea_ctx *ctx, const char *address) {
    sea_conn *conn = connect_to(ctx, address);
    choose(conn, &CASES[0]);
    call(conn, &CASES[0], 0); /* both sides are done with the handshake */
    clock_gettime(CLOCK_MONOTONIC, &lockstep->monotonic);
    clock_gettime(CLOCK_REALTIME, &lockstep->realtime);
    atomic_store(&lockstep->turn, CLIENT);
    atomic_store(&lockstep->is_on, true);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        run_case(conn, &CASES[i]);
}

static bool can_spin(void) {
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_pause};
    char address[64];
    sea_ctx *ctx = NULL;
    if (!can_spin())
        return SKIPPED;
    lockstep = mmap(NULL, sizeof(*lockstep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lockstep == MAP_FAILED || sigaction(SIGTRAP, &action, NULL) < 0)
        return 1;
    snprintf(address, sizeof(address), "unix:@sealane-instructions-%d", getpid());
    printf("compiler " COMPILER __VERSION__ "\nlibc glibc %s\n", gnu_get_libc_version());
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return 1;
    if (child == 0) {
        own_side = SERVER;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    int r = sea_ctx_new(&ctx, NULL);
    if (r < 0)
        fail("context", r);
    if (child == 0)
        be_server(ctx, address);
    be_client(ctx, address);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return atomic_load(&lockstep->wrong) > 0;
}
