/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes a whole connection: the input's bytes drive a peer that lies (evil_peer.h) against a real server or a real
 * client (host.h), and the application's acts there. After each input no resource may be left, and no turn may have
 * cost more than TURN_NS of CPU time.
 *
 * An input is: the scene, the peer's HELLO, then acts. An act's upper bit asks for a turn of the library after it.
 * Build with -fsanitize=fuzzer, and with or without address,undefined. doc/fuzzing.md says how it is run. Seeds:
 * fuzz/corpus/conn.hex.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "evil_peer.h"
#include "host.h"
#include "sys/inject.h"

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
#define SLOWNESS 10
#else
#define SLOWNESS 1
#endif

/* Limit of one turn: CPU time of its thread, without handlers. */
#define TURN_NS (UINT64_C(10000000) * SLOWNESS)

enum { ACTS_MOST = 300, RUNS_TO_JUDGE = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct {
    struct input in;
    struct evil_peer *peer; /* the acting peer */
} world;

/* --- calls that fail --- */

static struct {
    enum inject_kind kind;
    unsigned after; /* calls of the kind that succeed before */
    int error;
} fault;

/* True on the library's own thread: calls of the reaper's threads do not fail. */
static _Thread_local bool is_world;

static int fail_one(enum inject_kind kind) {
    if (!is_world || kind != fault.kind || fault.error == 0)
        return 0;
    if (fault.after-- > 0)
        return 0;
    int error = fault.error;
    fault.error = 0;
    return error;
}

static void act_fail(void) {
    static const int errors[] = {ENOMEM, EMFILE, EAGAIN, EINVAL, EPERM, ENOSYS, EINTR, ENOSPC, ETOOMANYREFS, ENOBUFS};
    uint8_t which = draw(&world.in);
    fault.kind = (enum inject_kind)(which % INJECT_KINDS);
    fault.after = draw_below(&world.in, 8);
    fault.error = fault.kind == INJECT_ALLOC ? ENOMEM : draw_of(&world.in, errors);
    inject_set_hook(fail_one);
}

/* --- acts that belong neither to the peer nor to the application --- */

static void act_meet(void) {
    int other;
    uint8_t kind = draw(&world.in);
    evil_end(world.peer);
    int fd = host_meet(&other);
    if (fd < 0)
        return;
    evil_begin(world.peer, fd);
    if (kind != 255)
        evil_greet(world.peer, kind, &world.in);
    host_join(other);
    if (kind == 255)
        return;
    host_turn(false);
    evil_read(world.peer, 1, false);
}

static void act_pass_time(void) {
    static const uint64_t ms[] = {1, 10, 100, 1000, 2500, 12000};
    clock_pass(draw_of(&world.in, ms) * 1000000);
}

static void act_choose_peer(void) {
    world.peer = &evil_peers[draw_below(&world.in, EVIL_PEERS)];
}

static void act_rest(void) {
    host_turn(true);
}

static void act_turns(void) {
    for (unsigned n = draw_below(&world.in, 16); n > 0; n--)
        host_turn(false);
}

/* While the library waits, no application code runs on its thread: only the peer acts. */
static void on_wait(unsigned rounds, bool is_endless) {
    bool has_more = world.in.left > 0 && rounds < WAIT_ROUNDS;
    if (has_more)
        evil_act(world.peer, &world.in);
    if (has_more || !is_endless || host_give_up())
        return;
    for (int i = 0; i < EVIL_PEERS; i++)
        evil_end(&evil_peers[i]);
}

static void act_once(void) {
    static void (*const others[])(void) = {act_rest,        act_turns,     host_run, act_meet,
                                           act_choose_peer, act_pass_time, act_fail};
    uint8_t op = draw(&world.in), kind = op & 0x7f;
    if (kind < 64)
        evil_act(world.peer, &world.in);
    else if (kind < 112)
        host_act();
    else
        others[kind % (sizeof(others) / sizeof(*others))]();
    if (op & 0x80)
        host_turn(false);
}

static void run(const uint8_t *data, size_t size) {
    world.in = (struct input){data, size};
    world.peer = &evil_peers[0];
    host_begin(&scenes[draw(&world.in) % scenes_count], &world.in);
    act_meet();
    for (int i = 0; i < ACTS_MOST && world.in.left > 0; i++)
        act_once();
    inject_set_hook(NULL);
    fault.error = 0;
    for (int i = 0; i < EVIL_PEERS; i++)
        evil_end(&evil_peers[i]);
    host_end();
}

/* A slow turn is a finding only if it is slow each time, because the machine has other work. */
static void judge_time(const uint8_t *data, size_t size) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < RUNS_TO_JUDGE && least > TURN_NS; i++) {
        stopwatch_use(true);
        run(data, size);
        least = stopwatch_longest() < least ? stopwatch_longest() : least;
        stopwatch_use(false);
    }
    if (least <= TURN_NS)
        return;
    fprintf(stderr, "one turn costs %.1f ms of CPU\n", (double) least / 1e6);
    abort();
}

/* Sanitizers start a program that resolves addresses when they first need it. */
extern void __sanitizer_symbolize_pc(void *pc, const char *format, char *text, size_t size) __attribute__((weak));

static void start_symbolizer(void) {
    char text[256];
    if (__sanitizer_symbolize_pc)
        __sanitizer_symbolize_pc(__builtin_return_address(0), "%f", text, sizeof(text));
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void) argc;
    (void) argv;
    is_world = true;
    clock_on_wait = on_wait;
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    cabinet_fill();
    evil_peers_make();
    host_make();
    start_symbolizer();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool is_begun;
    if (!is_begun) /* the fuzzer has opened its own files by now */
        host_check_holdings();
    is_begun = true;
    uint64_t before = clock_cpu();
    run(data, size);
    if (clock_cpu() - before > TURN_NS) /* the whole input; possibly one turn */
        judge_time(data, size);
    host_check_holdings();
    return 0;
}
