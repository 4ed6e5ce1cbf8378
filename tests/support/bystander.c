/* SPDX-License-Identifier: MIT */
/* The honest client. Its thread owns the connection; the test reads only `calls` while the thread runs. */
#include "support/bystander.h"

#include <pthread.h>
#include <sealane/sealane.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/service.h"
#include "support/suite.h"

#define CALL_GUARD_MS 10000
#define SEALED_EVERY 8 /* calls */
#define SEALED_SIZE 65536

struct bystander {
    const char *address;
    pthread_t thread;
    _Atomic bool must_stop;
    _Atomic unsigned calls;
    struct bystander_report report; /* written by the thread; read when the thread has ended */
};

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t) at.tv_sec * 1000000000u + (uint64_t) at.tv_nsec;
}

static void note(struct bystander_report *report, const char *what, int error) {
    if (report->failures++ == 0)
        snprintf(report->what, sizeof report->what, "%s: %s", what, strerror(-error));
}

static int block_for(sea_conn *conn, unsigned number, sea_block **ret_block) {
    sea_block *block = NULL;
    bool is_sealed = number % SEALED_EVERY == 0;
    int r = is_sealed ? sea_block_new_sealed(&block, sea_conn_ctx(conn), SEALED_SIZE, 0)
                      : sea_block_new(&block, conn, sizeof number);
    if (r == 0)
        r = sea_block_fill(block, 0, &number, sizeof number);
    if (r < 0) {
        sea_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

static void call_once(struct bystander *self, sea_conn *conn, unsigned number) {
    sea_block *block = NULL;
    sea_msg *reply = NULL;
    int r = block_for(conn, number, &block);
    if (r < 0) {
        note(&self->report, "block", r);
        return;
    }
    uint64_t begun = now_ns();
    r = sea_call(conn, SERVICE_ECHO, block, test_timeout_ms(CALL_GUARD_MS), &reply);
    uint64_t took = now_ns() - begun;
    if (took > self->report.worst_ns)
        self->report.worst_ns = took;
    if (r < 0)
        note(&self->report, "call", r);
    else if (memcmp(sea_msg_data(reply), &number, sizeof number) != 0)
        note(&self->report, "another answer than its own", 0);
    else
        atomic_fetch_add(&self->calls, 1);
    sea_msg_release(reply);
}

static void *call_on_and_on(void *arg) {
    struct bystander *self = arg;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    const sea_options options = {.service = service_name};
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&conn, ctx, self->address, &options);
    if (r < 0)
        note(&self->report, "connect", r);
    for (unsigned number = 1; conn && !atomic_load(&self->must_stop) && self->report.failures == 0; number++)
        call_once(self, conn, number);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    self->report.calls = atomic_load(&self->calls);
    return NULL;
}

struct bystander *bystander_start(const char *address) {
    struct bystander *self = calloc(1, sizeof *self);
    ck_assert_ptr_nonnull(self);
    self->address = address;
    ck_assert_int_eq(pthread_create(&self->thread, NULL, call_on_and_on, self), 0);
    ck_assert_msg(bystander_sees(self, 1, CALL_GUARD_MS), "the honest client gets no answer");
    return self;
}

int bystander_sees(struct bystander *self, unsigned calls, int ms) {
    unsigned until = atomic_load(&self->calls) + calls;
    int patience = test_timeout_ms(ms);
    for (int waited = 0; atomic_load(&self->calls) < until; waited++) {
        if (waited >= patience)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 1;
}

struct bystander_report bystander_stop(struct bystander *self) {
    atomic_store(&self->must_stop, true);
    pthread_join(self->thread, NULL);
    struct bystander_report report = self->report;
    free(self);
    return report;
}
