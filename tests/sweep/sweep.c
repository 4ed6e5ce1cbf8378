/* SPDX-License-Identifier: MIT */
/* The roles of the sweeps. See sweep.h. */
#include "sweep/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "support/holdings.h"
#include "support/service.h"
#include "support/suite.h"
#include "wire/frame.h"

#define PATIENCE_MS 5000
#define VOYAGE_MS 60000 /* a guard: no voyage takes this long, for any fault */

const char sweep_address[] = "sweep";

static struct board *the_board; /* hooks get no pointer */
static char directory[64];

struct board *sweep_begin(void) {
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(board, MAP_FAILED);
    snprintf(directory, sizeof directory, "/tmp/sealane-sweep-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    setenv("XDG_RUNTIME_DIR", directory, 1);
    return board;
}

void sweep_clean(void) {
    static const char *const names[] = {"sealane/sweep", "sealane/sweep.lock"};
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sealane", directory);
    rmdir(path);
}

/* Without the directory servers would not start and clients find none, which looks like many faults. */
static void assert_directory(void) {
    ck_assert_msg(access(directory, F_OK) == 0, "%s was removed while the test ran, by somebody else", directory);
}

void sweep_end(struct board *board) {
    assert_directory();
    sweep_clean();
    ck_assert_msg(rmdir(directory) == 0, "something was left in %s", directory);
    munmap(board, sizeof *board);
}

void sweep_aim(struct board *board, struct blow blow) {
    assert_directory();
    memset(board, 0, sizeof *board);
    board->blow = blow;
}

/* The next sendmsg() of this thread finds no room. */
static _Thread_local bool is_socket_full;

static bool is_doorbell(const struct msghdr *msg) {
    const struct iovec *head = msg->msg_iov;
    return msg->msg_iovlen > 0 && head->iov_len == WIRE_DOORBELL_SIZE &&
           *(const uint8_t *) head->iov_base == WIRE_DOORBELL;
}

/*
 * The library calls this function instead of the C library's. A socket without room holds datagrams that the peer has
 * not read, and those wake the peer: a shortage of room loses no wake-up. That holds here, too: the doorbell that finds
 * no room has another doorbell before it.
 */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (!is_socket_full)
        return syscall(SYS_sendmsg, fd, message, flags);
    is_socket_full = false;
    if (is_doorbell(message))
        (void) syscall(SYS_sendmsg, fd, message, flags);
    errno = EAGAIN;
    return -1;
}

/* Calls of several threads are counted together: the call that is struck is not the same in each run, and need not
 * be. */
static int strike(enum inject_kind kind) {
    struct board *board = the_board;
    if (board->blow.kind != INJECT_KINDS && board->blow.kind != kind)
        return 0;
    if (atomic_load(&board->is_paused) || atomic_fetch_add(&board->seen, 1) + 1 != board->blow.n)
        return 0;
    atomic_store(&board->struck_kind, (int) kind);
    atomic_store(&board->has_struck, true);
    if (board->blow.error == 0)
        kill(getpid(), SIGKILL);
    is_socket_full = kind == INJECT_SENDMSG && board->blow.error == EAGAIN;
    return is_socket_full ? 0 : board->blow.error;
}

void sweep_arm(struct board *board) {
    the_board = board;
    inject_set_hook(strike);
}

static void pause_ms(int ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* Notes the resources that the process holds now and did not hold before; threads that close descriptors get their
 * time. */
static void note_leaks(char text[1024], struct holdings *before) {
    bool differs = true;
    for (int waited = 0; differs && waited < test_timeout_ms(PATIENCE_MS); waited++) {
        struct holdings *now = holdings_new();
        differs = holdings_differ(before, now, text, 1024);
        holdings_free(now);
        if (differs)
            pause_ms(1);
    }
    holdings_free(before);
}

struct server_role {
    struct board *board;
    bool is_victim;
};

static void check(struct board *board, struct service *service) {
    board->is_settled = service_has_failed(service) || service_settles(service, 0, PATIENCE_MS);
    for (int waited = 0; !(board->are_events_single = service_events_are_single(service)) && waited < PATIENCE_MS;)
        pause_ms(waited++ ? 1 : 0); /* on_close comes after the figures have changed */
    board->refusals = service_figures(service).of[SEA_FIGURE_REFUSALS];
}

static void obey(int line, struct board *board, struct service *service) {
    uint64_t word;
    while (line_hear(line, -1, &word) && word != SERVER_STOP) {
        if (word == SERVER_PAUSE)
            atomic_store(&board->is_paused, true);
        if (word == SERVER_CHECK)
            check(board, service);
        line_tell(line, SERVER_DONE);
    }
}

static int serve(int line, void *arg) {
    const struct server_role *role = arg;
    struct board *board = role->board;
    struct holdings *before = holdings_new();
    const sea_options options = {/* the values that the voyage expects */
                                 .handshake_ms = test_timeout_ms(2000),
                                 .bytes_max = 1 << 20,
                                 .blocks_max = 8};
    if (role->is_victim)
        sweep_arm(board);
    struct service *service = service_try_start(sweep_address, NULL, &options, &board->start_error);
    if (service) {
        line_tell(line, SERVER_STARTED);
        obey(line, board, service);
        atomic_store(&board->is_paused, false); /* the end belongs to the voyage, so it counts */
        board->run_result = service_stop(service);
    }
    note_leaks(board->leak, before);
    return 0;
}

bool sweep_serve(struct child *ret, struct board *board, bool is_victim) {
    struct server_role role = {.board = board, .is_victim = is_victim};
    uint64_t word = 0;
    child_start(ret, serve, &role);
    return line_hear(ret->line, PATIENCE_MS, &word) && word == SERVER_STARTED;
}

static bool ask(struct child *server, uint64_t word) {
    uint64_t done = 0;
    return line_tell(server->line, word) && line_hear(server->line, 2 * PATIENCE_MS, &done) && done == SERVER_DONE;
}

bool sweep_check(struct child *server) {
    return ask(server, SERVER_CHECK);
}

bool sweep_pause(struct child *server) {
    return ask(server, SERVER_PAUSE);
}

int sweep_stop(struct child *server) {
    line_tell(server->line, SERVER_STOP);
    return child_end(server, VOYAGE_MS);
}

static int sail(int line, void *arg) {
    struct board *board = arg;
    (void) line;
    struct holdings *before = holdings_new();
    sweep_arm(board);
    voyage_run(sweep_address, false, &board->voyage);
    inject_set_hook(NULL);
    note_leaks(board->leak, before);
    voyage_run(sweep_address, false, &board->second);
    return 0;
}

int sweep_sail(struct board *board) {
    struct child client;
    child_start(&client, sail, board);
    return child_end(&client, VOYAGE_MS);
}

struct visit {
    struct board *board;
    bool outlives;
    struct voyage_report *report;
};

static int visit(int line, void *arg) {
    const struct visit *self = arg;
    (void) line;
    struct holdings *before = holdings_new();
    voyage_run(sweep_address, self->outlives, self->report);
    note_leaks(self->board->client_leak, before);
    return 0;
}

int sweep_visit(struct board *board, bool outlives, struct voyage_report *report) {
    struct visit self = {.board = board, .outlives = outlives, .report = report};
    struct child client;
    child_start(&client, visit, &self);
    return child_end(&client, VOYAGE_MS);
}

static int rush(int line, void *arg) {
    struct board *board = arg;
    (void) line;
    struct holdings *before = holdings_new();
    voyage_rush(sweep_address, &board->strokes, &board->voyage);
    note_leaks(board->client_leak, before);
    return 0;
}

bool sweep_rush(struct child *ret, struct board *board) {
    child_start(ret, rush, board);
    for (int waited = 0; waited < test_timeout_ms(PATIENCE_MS); waited++) {
        if (atomic_load(&board->strokes) > 0)
            return true;
        pause_ms(1);
    }
    return false;
}

const char *blow_name(const struct board *board) {
    static char name[96];
    const struct blow *blow = &board->blow;
    const char *kind = inject_name((enum inject_kind) atomic_load(&board->struck_kind));
    if (blow->n == 0)
        snprintf(name, sizeof name, "killed after %u strokes, at \"%s\"", atomic_load(&board->strokes),
                 board->voyage.step);
    else if (blow->error == 0)
        snprintf(name, sizeof name, "killed at call %d (%s)", blow->n, kind);
    else
        snprintf(name, sizeof name, "%s %d: %s", inject_name(blow->kind), blow->n, strerrorname_np(blow->error));
    return name;
}
