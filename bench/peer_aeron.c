/* SPDX-License-Identifier: MIT */
/*
 * Aeron, its C client and IPC: an exclusive publication in each direction. A payload that fits into one fragment, of 64
 * KiB here, is claimed in the log, written there and read there; a larger one is offered, which copies it, and put
 * together from its fragments, which copies it again. The largest message is 16 MiB.
 *
 * Aeron cannot be waited for: it is polled. In the spinning mode both sides poll without a pause, in the sleeping one
 * they do what its own idle strategy "sleep-ns" does: a shortest possible sleep after each poll that found nothing.
 *
 *     default   terms of 64 MiB, as Aeron's IPC has them, or of eight messages: three of them are written in turn
 *     small     terms of 1 MiB, or of eight messages: the log may stay in the caches
 *
 * Its media driver, aeronmd, has to run: the program starts and ends one of its own, with a folder of its own on
 * /dev/shm. The driver tells a publication how far its reader has come, so it needs a CPU now and then.
 */
#include "work.h"

#include <aeronc.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef AERONMD
#define AERONMD "aeronmd"
#endif

enum {
    REQUESTS = 1001, /* numbers of streams */
    REPLIES = 1002,
    MTU = 65504, /* the largest that Aeron has */
    FRAGMENTS = 64,
    MESSAGE_MOST = 16 << 20,
    TERM_MESSAGES = 8, /* a message is an eighth of a term at most */
    PATIENCE_MS = 10000
};

static const size_t TERM_DEFAULT = (size_t) 64 << 20, TERM_SMALL = (size_t) 1 << 20;
static const char *const VARIANTS[] = {"default", "small", NULL};

/* Prints what Aeron says, and returns a negative errno value. */
static int explain(const char *what) {
    fprintf(stderr, "bench: aeron: %s: %s\n", what, aeron_errmsg());
    return aeron_errcode() > 0 ? -aeron_errcode() : -EIO;
}

/* --- the driver --- */

static pid_t driver;
static char driver_dir[64];

static _Noreturn void become_driver(pid_t parent, int told) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (null < 0 || getppid() != parent)
        _exit(1);
    setenv("AERON_DIR", driver_dir, 1);
    setenv("AERON_DIR_DELETE_ON_START", "1", 1);
    setenv("AERON_DIR_DELETE_ON_SHUTDOWN", "1", 1);
    setenv("AERON_THREADING_MODE", "SHARED", 1);
    setenv("AERON_SHARED_IDLE_STRATEGY", "backoff", 1);
    setenv("AERON_TERM_BUFFER_SPARSE_FILE", "0", 1);
    dup2(null, STDOUT_FILENO);
    execlp(AERONMD, AERONMD, (char *) NULL);
    int error = errno;
    if (write(told, &error, sizeof(error)) < 0)
        _exit(2);
    _exit(1);
}

/* The pipe closes when the driver's program runs, and tells the error when it does not. */
static int start_driver(struct cell *cell) {
    int told[2], error = 0;
    pid_t parent = getpid();
    if (cell->size > MESSAGE_MOST)
        return -EMSGSIZE;
    snprintf(driver_dir, sizeof(driver_dir), "/dev/shm/sealane-bench-aeron-%d", (int) parent);
    if (pipe2(told, O_CLOEXEC) < 0)
        return -errno;
    driver = fork();
    if (driver == 0)
        become_driver(parent, told[1]);
    close(told[1]);
    ssize_t n = read(told[0], &error, sizeof(error));
    close(told[0]);
    if (driver < 0 || n != (ssize_t) sizeof(error))
        return driver < 0 ? -EAGAIN : 0;
    fprintf(stderr, "bench: aeron: the media driver %s cannot be started\n", AERONMD);
    return -error;
}

static void end_driver(void) {
    if (driver > 0 && kill(driver, SIGTERM) == 0)
        waitpid(driver, NULL, 0);
}

/* --- both sides --- */

struct side {
    struct cell *cell;
    aeron_t *aeron;
    aeron_exclusive_publication_t *out; /* NULL: nothing is sent */
    aeron_image_t *in;                  /* NULL: nothing is received */
    aeron_fragment_assembler_t *assembler;
    uint8_t *copy; /* of a payload that is too large for a claim; else NULL */
    int wrong;     /* an error of a handler, or 0 */
    bool has_come; /* client: the reply */
};

static void moment(void) {
    const struct timespec ms = {.tv_nsec = 1000000};
    nanosleep(&ms, NULL);
}

/* After a poll that found nothing. */
static void idle(const struct cell *cell) {
    const struct timespec shortest = {.tv_nsec = 1};
    if (cell->mode == WORK_SLEEP)
        nanosleep(&shortest, NULL);
}

static size_t largest(const struct cell *cell, int stream) {
    return stream == REQUESTS ? cell->size : cell->reply;
}

static bool is_claimed(size_t size) {
    return size <= MTU - sizeof(aeron_header_values_frame_t);
}

static void channel_of(const struct cell *cell, int stream, char ret_channel[static 96]) {
    size_t term = strcmp(cell->variant, "small") == 0 ? TERM_SMALL : TERM_DEFAULT;
    while (term < TERM_MESSAGES * largest(cell, stream))
        term *= 2;
    snprintf(ret_channel, 96, "aeron:ipc?term-length=%zu|mtu=%d", term, MTU);
}

static int join(struct side *side, struct cell *cell) {
    aeron_context_t *context;
    char dir[sizeof(driver_dir)];
    *side = (struct side){.cell = cell};
    snprintf(dir, sizeof(dir), "/dev/shm/sealane-bench-aeron-%d", (int) getppid());
    if (aeron_context_init(&context) < 0 || aeron_context_set_dir(context, dir) < 0 ||
        aeron_context_set_driver_timeout_ms(context, PATIENCE_MS) < 0 ||
        aeron_context_set_pre_touch_mapped_memory(context, true) < 0)
        return explain("context");
    if (aeron_init(&side->aeron, context) < 0 || aeron_start(side->aeron) < 0)
        return explain("client");
    return 0;
}

static int publish_on(struct side *side, int stream) {
    aeron_async_add_exclusive_publication_t *adding;
    char channel[96];
    int r;
    channel_of(side->cell, stream, channel);
    if (aeron_async_add_exclusive_publication(&adding, side->aeron, channel, stream) < 0)
        return explain("publication");
    while ((r = aeron_async_add_exclusive_publication_poll(&side->out, adding)) == 0)
        moment();
    if (r < 0)
        return explain("publication");
    if (!is_claimed(largest(side->cell, stream)) && !(side->copy = malloc(largest(side->cell, stream))))
        return -ENOMEM;
    return 0;
}

static int subscribe_to(struct side *side, int stream, aeron_subscription_t **ret_subscription) {
    aeron_async_add_subscription_t *adding;
    char channel[96];
    int r;
    channel_of(side->cell, stream, channel);
    if (aeron_async_add_subscription(&adding, side->aeron, channel, stream, NULL, NULL, NULL, NULL) < 0)
        return explain("subscription");
    while ((r = aeron_async_add_subscription_poll(ret_subscription, adding)) == 0)
        moment();
    return r < 0 ? explain("subscription") : 0;
}

/* The publication of the other side; `handler` gets whole messages. */
static int await_image(struct side *side, aeron_subscription_t *subscription, aeron_fragment_handler_t handler) {
    while (aeron_subscription_image_count(subscription) == 0)
        moment();
    side->in = aeron_subscription_image_at_index(subscription, 0);
    if (!side->in || aeron_fragment_assembler_create(&side->assembler, handler, side) < 0)
        return explain("image");
    return 0;
}

static void await_reader(const struct side *side) {
    while (!aeron_exclusive_publication_is_connected(side->out))
        moment();
}

/* Is it worth to try again? */
static bool is_full(int64_t position) {
    return position == AERON_PUBLICATION_BACK_PRESSURED || position == AERON_PUBLICATION_ADMIN_ACTION;
}

static int send_claimed(const struct side *side, size_t size) {
    aeron_buffer_claim_t claim;
    int64_t position;
    while ((position = aeron_exclusive_publication_try_claim(side->out, size, &claim)) < 0)
        if (is_full(position))
            idle(side->cell);
        else
            return explain("claim");
    cell_write(side->cell, claim.data, size);
    return aeron_buffer_claim_commit(&claim) < 0 ? explain("commit") : 0;
}

static int send_copied(const struct side *side, size_t size) {
    int64_t position;
    cell_write(side->cell, side->copy, size);
    while ((position = aeron_exclusive_publication_offer(side->out, side->copy, size, NULL, NULL)) < 0)
        if (is_full(position))
            idle(side->cell);
        else
            return explain("offer");
    return 0;
}

static int send_next(const struct side *side, size_t size) {
    return side->copy ? send_copied(side, size) : send_claimed(side, size);
}

/* Handles what has come, or idles. A message of one fragment goes through the assembler without a copy. */
static int poll_once(struct side *side, aeron_fragment_handler_t handler, size_t size) {
    bool is_whole = is_claimed(size);
    int n = aeron_image_poll(side->in, is_whole ? handler : aeron_fragment_assembler_handler,
                             is_whole ? (void *) side : (void *) side->assembler, FRAGMENTS);
    if (n < 0)
        return explain("poll");
    if (n == 0)
        idle(side->cell);
    return side->wrong;
}

/* --- the server --- */

static void on_request(void *user, const uint8_t *data, size_t size, aeron_header_t *header) {
    struct side *side = user;
    (void) header;
    cell_read(side->cell, data, size);
    if (side->cell->kind == WORK_ONEWAY)
        cell_arrived(side->cell);
    else if (side->wrong == 0)
        side->wrong = send_next(side, side->cell->reply);
}

static int serve(struct cell *cell) {
    aeron_subscription_t *requests;
    struct side side;
    int r = join(&side, cell);
    if (r == 0)
        r = subscribe_to(&side, REQUESTS, &requests);
    if (r == 0 && cell->kind == WORK_ROUNDTRIP)
        r = publish_on(&side, REPLIES);
    if (r < 0)
        return r;
    cell_ready(cell);
    r = await_image(&side, requests, on_request);
    while (r == 0 && !aeron_image_is_closed(side.in))
        r = poll_once(&side, on_request, cell->size);
    return r < 0 ? r : -EPIPE;
}

/* --- the client --- */

static void on_reply(void *user, const uint8_t *data, size_t size, aeron_header_t *header) {
    struct side *side = user;
    (void) header;
    cell_read(side->cell, data, size);
    side->has_come = true;
}

static int one_call(struct side *side) {
    side->has_come = false;
    int r = send_next(side, side->cell->size);
    while (r == 0 && !side->has_come)
        r = poll_once(side, on_reply, side->cell->reply);
    return r;
}

static int measure_calls(struct side *side) {
    aeron_subscription_t *replies;
    int r = subscribe_to(side, REPLIES, &replies);
    if (r == 0)
        r = await_image(side, replies, on_reply);
    while (r == 0 && cell_next(side->cell))
        r = one_call(side);
    return r;
}

static int measure_messages(struct side *side) {
    int r = 0;
    while (r == 0 && cell_next(side->cell))
        r = send_next(side, side->cell->size);
    while (r == 0 && !cell_all_arrived(side->cell)) /* the driver drops what a client that has left did not deliver */
        moment();
    return r;
}

static int measure(struct cell *cell) {
    struct side side;
    int r = join(&side, cell);
    if (r == 0)
        r = publish_on(&side, REQUESTS);
    if (r < 0)
        return r;
    await_reader(&side);
    cell_note(cell, side.copy ? "offered, copied" : "claimed, in place");
    return cell->kind == WORK_ONEWAY ? measure_messages(&side) : measure_calls(&side);
}

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "aeron",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .variants = VARIANTS,
                                           .prepare = start_driver,
                                           .serve = serve,
                                           .measure = measure};
    int status = work_main(argc, argv, &adapter, 1);
    end_driver();
    return status;
}
