/* SPDX-License-Identifier: MIT */
/* The voyage: a list of steps over one struct, which frees all resources after any step. See voyage.h. */
#include "sweep/voyage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sealane/sealane.h>

#include "support/service.h"
#include "support/suite.h"

#define SIZE ((size_t) 65539)       /* no multiple of a page or a line */
#define FROM_BUFFER ((size_t) 3000) /* where the piece from a buffer begins; the next lines are other pieces */
#define FROM_FILE ((size_t) 8192)
#define FROM_PIPE ((size_t) 20000)
#define PIECE ((size_t) 512)
#define PARCEL ((size_t) 300000)       /* pooled, as the next one: two of either size exceed the server's limit */
#define LARGE_PARCEL ((size_t) 700000) /* its arena does not fit beside the arenas of the smaller ones */
#define LETTER ((size_t) 20000)        /* pooled as well */
#define BURST 12                       /* more letters than the server holds at a time */
#define STEP_MS 2000
#define SLICE_MS 20
#define FAREWELL_MS 5000

struct voyage {
    const char *address;
    struct voyage_report *report;
    sea_ctx *ctx;
    sea_conn *conns[2];
    sea_block *cargo, *copy; /* ours */
    sea_msg *answer, *echo, *item, *parcel;
    int exported;
};

/* Returns byte `at` of the cargo. */
static unsigned char pattern(size_t at) {
    return (unsigned char) (at * 7 + (at >> 8));
}

static void pattern_fill(unsigned char *data, size_t at, size_t size) {
    for (size_t i = 0; i < size; i++)
        data[i] = pattern(at + i);
}

static bool is_pattern(const void *data, size_t size, unsigned char more) {
    const unsigned char *bytes = data;
    if (!data)
        return false;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char) (pattern(i) + more))
            return false;
    return true;
}

static bool is_cargo(const void *data, size_t size, unsigned char more) {
    return size == SIZE && is_pattern(data, size, more);
}

static bool is_cargo_message(const sea_msg *msg, unsigned char more) {
    return is_cargo(sea_msg_data(msg), sea_msg_size(msg), more);
}

/* Callbacks: `user` is the voyage; a connection is identified by its pointer, or by the fact that its pointer is not
 * known yet. */

static int index_of(const struct voyage *voyage, const sea_conn *conn) {
    return voyage->conns[0] && voyage->conns[0] != conn ? 1 : 0;
}

static void on_open(sea_conn *conn, void *user) {
    struct voyage *voyage = user;
    voyage->report->opened[index_of(voyage, conn)]++;
}

static void on_close(sea_conn *conn, const sea_close_event *event, void *user) {
    struct voyage *voyage = user;
    (void) event;
    voyage->report->closed[index_of(voyage, conn)]++;
}

static void on_item(sea_msg *msg, void *user) {
    struct voyage *voyage = user;
    sea_msg_release(voyage->item);
    voyage->item = msg;
}

/* Steps return 0, a negative errno value, or VOYAGE_WRONG. */

static int make_ctx(struct voyage *voyage) {
    return sea_ctx_new(&voyage->ctx, NULL);
}

static const sea_method methods[] = {{.number = SERVICE_ITEM, .name = "item", .handler = on_item}};

/* The second connection takes stable payloads only. */
static int connect_as(struct voyage *voyage, int which) {
    const sea_options options = {.accept = which == 1 ? SEA_STABLE_ONLY : 0,
                                 SEA_METHODS(methods),
                                 .user = voyage,
                                 .on_open = on_open,
                                 .on_close = on_close,
                                 .handshake_ms = test_timeout_ms(STEP_MS)};
    return sea_connect(&voyage->conns[which], voyage->ctx, voyage->address, &options);
}

static int connect_first(struct voyage *voyage) {
    return connect_as(voyage, 0);
}

static int make_cargo(struct voyage *voyage) {
    return sea_block_new_sealed(&voyage->cargo, voyage->ctx, SIZE, 0);
}

static int fill_from_buffer(struct voyage *voyage) {
    unsigned char piece[PIECE];
    pattern_fill(piece, FROM_BUFFER, PIECE);
    return sea_block_fill(voyage->cargo, FROM_BUFFER, piece, PIECE);
}

/* Returns a descriptor that gives PIECE bytes of the pattern: a file, or a pipe. */
static int source(bool is_pipe, size_t at) {
    unsigned char piece[PIECE];
    char path[] = "/tmp/sealane-cargo-XXXXXX";
    int ends[2] = {-1, -1};
    pattern_fill(piece, at, PIECE);
    if (is_pipe ? pipe2(ends, O_CLOEXEC) < 0 : (ends[0] = mkostemp(path, O_CLOEXEC)) < 0)
        return -1;
    if (!is_pipe)
        unlink(path);
    bool is_written = write(is_pipe ? ends[1] : ends[0], piece, PIECE) == (ssize_t) PIECE;
    if (is_pipe)
        close(ends[1]);
    if (is_written)
        return ends[0];
    close(ends[0]);
    return -1;
}

static int fill_from(struct voyage *voyage, bool is_pipe, size_t at) {
    int fd = source(is_pipe, at);
    if (fd < 0)
        return -EBADF;
    int64_t n = sea_block_fill_file(voyage->cargo, at, fd, is_pipe ? -1 : 0, PIECE);
    close(fd);
    if (n < 0)
        return (int) n;
    return n == (int64_t) PIECE ? 0 : -EIO; /* the size was given, so fewer bytes must be an error */
}

static int fill_from_file(struct voyage *voyage) {
    return fill_from(voyage, false, FROM_FILE);
}

static int fill_from_pipe(struct voyage *voyage) {
    return fill_from(voyage, true, FROM_PIPE);
}

/* Fills the rest of the block in place; the pieces that the other ways have filled are not touched. */
static int fill_in_place(struct voyage *voyage) {
    unsigned char *data = sea_block_data(voyage->cargo);
    static const size_t filled[] = {FROM_BUFFER, FROM_FILE, FROM_PIPE, SIZE};
    size_t at = 0;
    if (!data)
        return -ENOMEM;
    for (int i = 0; i < 4; i++) {
        pattern_fill(data + at, at, filled[i] - at);
        at = filled[i] + PIECE;
    }
    return is_cargo(data, SIZE, 0) ? 0 : VOYAGE_WRONG;
}

static int call(struct voyage *voyage, uint32_t method, sea_block *block, sea_msg **ret_reply) {
    return sea_call(voyage->conns[0], method, block, test_timeout_ms(STEP_MS), ret_reply);
}

static int call_answer(struct voyage *voyage) {
    int r = call(voyage, SERVICE_ANSWER, sea_block_ref(voyage->cargo), &voyage->answer);
    if (r < 0)
        return r;
    return is_cargo_message(voyage->answer, 1) ? 0 : VOYAGE_WRONG;
}

/* The server's own block goes back to it and comes here once more: two leases on one memfd. */
static int forward_answer(struct voyage *voyage) {
    int r = call(voyage, SERVICE_ECHO, sea_block_ref(sea_msg_block(voyage->answer)), &voyage->echo);
    if (r < 0)
        return r;
    return is_cargo_message(voyage->echo, 1) ? 0 : VOYAGE_WRONG;
}

static int release_answers(struct voyage *voyage) {
    voyage->echo = sea_msg_release(voyage->echo);
    voyage->answer = sea_msg_release(voyage->answer);
    return 0;
}

static int call_inline(struct voyage *voyage) {
    static const char text[] = "a few bytes";
    sea_block *block = NULL;
    int r = sea_block_new(&block, voyage->conns[0], sizeof text);
    if (r == 0)
        r = sea_block_fill(block, 0, text, sizeof text);
    if (r < 0) {
        sea_block_unref(block);
        return r;
    }
    r = call(voyage, SERVICE_ECHO, block, &voyage->echo);
    if (r < 0)
        return r;
    bool is_right = sea_msg_size(voyage->echo) == sizeof text && !memcmp(sea_msg_data(voyage->echo), text, sizeof text);
    voyage->echo = sea_msg_release(voyage->echo);
    return is_right ? 0 : VOYAGE_WRONG;
}

/* Returns whether the payload has the class that both sides of a connection choose. Where a system call is forbidden
 * they work without outboxes, and then sent and forwarded payloads have another class. */
static bool is_class(const struct voyage *voyage, int payload_class, int expected) {
    struct figures figures;
    sea_ctx_figures(voyage->ctx, figures.of, SEA_FIGURES);
    for (int i = 0; i < 2; i++) {
        struct conn_figures conn = {.of[SEA_CONN_FIGURE_ACCEPTS_POOLED] = 1};
        if (voyage->conns[i])
            sea_conn_figures(voyage->conns[i], conn.of, SEA_CONN_FIGURES);
        if (!conn.of[SEA_CONN_FIGURE_ACCEPTS_POOLED] && voyage->conns[i] &&
            (i == 0 || figures.of[SEA_FIGURE_FALLBACKS] > 0))
            return true;
    }
    return payload_class == expected;
}

/* Makes a block in the class that is chosen for it: pooled. */
static int new_parcel(struct voyage *voyage, size_t size, sea_block **ret_block) {
    sea_block *block = NULL;
    int r = sea_block_new(&block, voyage->conns[0], size);
    if (r < 0)
        return r;
    void *data = sea_block_data(block);
    if (!data)
        return sea_block_unref(block), -ENOMEM;
    pattern_fill(data, 0, size);
    *ret_block = block;
    return is_class(voyage, sea_block_class(block), SEA_POOLED) ? 0 : VOYAGE_WRONG;
}

/* Takes the block. The reply, which is a copy in an arena of the server's, stays in voyage->parcel. */
static int call_with_parcel(struct voyage *voyage, size_t size, sea_block *block) {
    sea_msg *reply = NULL;
    int r = call(voyage, SERVICE_ECHO, block, &reply);
    if (r < 0)
        return r;
    sea_msg_release(voyage->parcel);
    voyage->parcel = reply;
    bool is_right = is_class(voyage, sea_msg_class(reply), SEA_POOLED) && sea_msg_size(reply) == size;
    return is_right && is_pattern(sea_msg_data(reply), size, 0) ? 0 : VOYAGE_WRONG;
}

static int call_sized(struct voyage *voyage, size_t size) {
    sea_block *block = NULL;
    int r = new_parcel(voyage, size, &block);
    if (r == 0)
        return call_with_parcel(voyage, size, block);
    sea_block_unref(block);
    return r;
}

static int call_pooled(struct voyage *voyage) {
    return call_sized(voyage, PARCEL);
}

/* The parcel lies in the server's arena: the payload that goes back is a copy. */
static int forward_parcel(struct voyage *voyage) {
    return call_with_parcel(voyage, PARCEL, sea_block_ref(sea_msg_block(voyage->parcel)));
}

static int call_bytes(struct voyage *voyage) {
    static const char text[] = "fewer bytes than a line of the ring has";
    sea_msg *reply = NULL;
    int r = sea_call_bytes(voyage->conns[0], SERVICE_ECHO, text, sizeof text, test_timeout_ms(STEP_MS), &reply);
    if (r < 0)
        return r;
    bool is_right = sea_msg_size(reply) == sizeof text && !memcmp(sea_msg_data(reply), text, sizeof text);
    sea_msg_release(reply);
    return is_right ? 0 : VOYAGE_WRONG;
}

/* The largest messages that have lines of the ring and no block, or nearly. */
static int call_lines(struct voyage *voyage) {
    char text[1000];
    for (size_t size = sizeof text; size > 32; size -= 121) {
        sea_msg *reply = NULL;
        memset(text, (int) size & 0x7f, size);
        int r = sea_call_bytes(voyage->conns[0], SERVICE_ECHO, text, size, test_timeout_ms(STEP_MS), &reply);
        if (r < 0)
            return r;
        bool is_right = sea_msg_size(reply) == size && !memcmp(sea_msg_data(reply), text, size);
        sea_msg_release(reply);
        if (!is_right)
            return VOYAGE_WRONG;
    }
    return 0;
}

/* The arenas of the smaller parcels must go first: the next reply comes after their releases. */
static int call_pooled_larger(struct voyage *voyage) {
    int r = call_bytes(voyage);
    return r == 0 ? call_sized(voyage, LARGE_PARCEL) : r;
}

static int release_parcel(struct voyage *voyage) {
    voyage->parcel = sea_msg_release(voyage->parcel);
    return 0;
}

static int call_letter(struct voyage *voyage) {
    return call_sized(voyage, LETTER);
}

/* Sends frames of the ring, with one doorbell at most. */
static int send_notes(struct voyage *voyage) {
    static const char note[40] = "a note";
    int r = 0;
    sea_batch_begin(voyage->conns[0]);
    for (int i = 0; i < BURST && r == 0; i++)
        r = sea_send_bytes(voyage->conns[0], SERVICE_SINK, note, sizeof note, test_timeout_ms(STEP_MS));
    sea_batch_end(voyage->conns[0]);
    return r;
}

/* The letters wait for credit, which comes by the release ring. */
static int send_letters(struct voyage *voyage) {
    int r = 0;
    for (int i = 0; i < BURST && r == 0; i++) {
        sea_block *block = NULL;
        r = new_parcel(voyage, LETTER, &block);
        if (r == 0)
            r = sea_send(voyage->conns[0], SERVICE_SINK, block, test_timeout_ms(STEP_MS));
        else
            sea_block_unref(block);
    }
    return r;
}

/* Small payloads, so that most of the time goes into rings, and not into copying. */
static int call_often(struct voyage *voyage) {
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++)
        r = call_bytes(voyage);
    return r;
}

static int export_cargo(struct voyage *voyage) {
    return sea_block_export(voyage->cargo, &voyage->exported);
}

static int import_copy(struct voyage *voyage) {
    int fd = voyage->exported;
    voyage->exported = -1;
    int r = sea_block_import(&voyage->copy, voyage->ctx, fd, SIZE);
    if (r < 0)
        return r;
    return is_cargo(sea_block_view(voyage->copy), sea_block_size(voyage->copy), 0) ? 0 : VOYAGE_WRONG;
}

static int send_copy(struct voyage *voyage) {
    sea_block *copy = voyage->copy;
    voyage->copy = NULL;
    return sea_send(voyage->conns[0], SERVICE_SINK, copy, test_timeout_ms(STEP_MS));
}

static int connect_second(struct voyage *voyage) {
    return connect_as(voyage, 1);
}

static int subscribe(struct voyage *voyage) {
    sea_msg *reply = NULL;
    int r = sea_call(voyage->conns[1], SERVICE_SUBSCRIBE, NULL, test_timeout_ms(STEP_MS), &reply);
    sea_msg_release(reply);
    return r;
}

static int publish(struct voyage *voyage) {
    return sea_send(voyage->conns[0], SERVICE_PUBLISH, sea_block_ref(voyage->cargo), test_timeout_ms(STEP_MS));
}

/* The published block may not even have reached the server: then the other connection has ended. */
static int publisher_status(struct voyage *voyage) {
    int r;
    while ((r = sea_conn_wait(voyage->conns[0], 0)) > 0)
        ;
    return r;
}

static int await_item(struct voyage *voyage) {
    int r = 0;
    for (int waited = 0; !voyage->item && r >= 0; waited += SLICE_MS) {
        if (waited >= STEP_MS)
            return -ETIMEDOUT;
        r = sea_conn_wait(voyage->conns[1], test_timeout_ms(SLICE_MS));
        if (r == 0)
            r = publisher_status(voyage);
    }
    return voyage->item ? 0 : r;
}

static int take_item(struct voyage *voyage) {
    int r = await_item(voyage);
    return r < 0 || is_cargo_message(voyage->item, 0) ? r : VOYAGE_WRONG;
}

/* The letter goes pooled to the server, pooled on to the second connection, and is copied there. */
static int publish_letter(struct voyage *voyage) {
    sea_block *block = NULL;
    voyage->item = sea_msg_release(voyage->item);
    int r = new_parcel(voyage, LETTER, &block);
    if (r == 0)
        return sea_send(voyage->conns[0], SERVICE_PUBLISH, block, test_timeout_ms(STEP_MS));
    sea_block_unref(block);
    return r;
}

static int take_letter(struct voyage *voyage) {
    int r = await_item(voyage);
    if (r < 0)
        return r;
    bool is_right = is_class(voyage, sea_msg_class(voyage->item), SEA_INLINE) && sea_msg_size(voyage->item) == LETTER;
    return is_right && is_pattern(sea_msg_data(voyage->item), LETTER, 0) ? 0 : VOYAGE_WRONG;
}

/* Makes a last call on both connections, so that all releases have arrived when the voyage is over. */
static int say_farewell(struct voyage *voyage) {
    voyage->item = sea_msg_release(voyage->item);
    int r = call_inline(voyage);
    return r == 0 ? subscribe(voyage) : r;
}

static const struct {
    const char *name;
    int (*run)(struct voyage *voyage);
} steps[] = {
    {"context", make_ctx},
    {"connect", connect_first},
    {"block", make_cargo},
    {"fill", fill_from_buffer},
    {"fill from file", fill_from_file},
    {"fill from pipe", fill_from_pipe},
    {"fill in place", fill_in_place},
    {"call", call_answer},
    {"forward", forward_answer},
    {"release", release_answers},
    {"inline call", call_inline},
    {"call with bytes", call_bytes},
    {"pooled call", call_pooled},
    {"pooled forward", forward_parcel},
    {"pooled release", release_parcel},
    {"larger pooled call", call_pooled_larger},
    {"notes", send_notes},
    {"letters", send_letters},
    {"export", export_cargo},
    {"import", import_copy},
    {"send", send_copy},
    {"connect again", connect_second},
    {"subscribe", subscribe},
    {"publish", publish},
    {"take", take_item},
    {"publish pooled", publish_letter},
    {"take copied", take_letter},
    {"farewell", say_farewell},
};

/* Calls again and again, at full speed, through one connection; some payloads are held while others come and go. */
static const struct {
    const char *name;
    int (*run)(struct voyage *voyage);
} strokes[] = {
    {"calls with bytes", call_often},   {"letter", call_letter},          {"notes", send_notes},
    {"inline call", call_inline},       {"calls with bytes", call_often}, {"pooled call", call_pooled},
    {"pooled forward", forward_parcel}, {"letters", send_letters},        {"call", call_answer},
    {"calls with bytes", call_often},   {"forward", forward_answer},      {"larger pooled call", call_pooled_larger},
    {"release", release_answers},       {"calls with lines", call_lines}, {"calls with bytes", call_often},
};

/* Waits until both connections have ended, and handles the messages that still come. */
static void outlive(struct voyage *voyage) {
    for (int i = 0; i < 2; i++) {
        int r = 0;
        for (int turn = 0; voyage->conns[i] && r >= 0 && turn < FAREWELL_MS / 100; turn++)
            r = sea_conn_wait(voyage->conns[i], test_timeout_ms(100));
        if (voyage->conns[i] && r >= 0)
            voyage->report->is_left_open = true;
    }
}

static void note_refusals(struct voyage *voyage) {
    struct figures figures = {0};
    if (voyage->ctx)
        sea_ctx_figures(voyage->ctx, figures.of, SEA_FIGURES);
    voyage->report->refusals = figures.of[SEA_FIGURE_REFUSALS];
}

/* Notes the texts that the application can read about the step that failed. */
static void note_why(struct voyage *voyage) {
    char text[300] = "";
    sea_refusal refusal = {0};
    if (voyage->ctx)
        sea_ctx_refusal(voyage->ctx, &refusal, sizeof(refusal));
    if (refusal.error)
        sea_refusal_format(&refusal, text, sizeof text);
    snprintf(voyage->report->why, sizeof voyage->report->why, "%s / ", text);
    for (int i = 0; i < 2; i++) {
        size_t used = strlen(voyage->report->why);
        snprintf(voyage->report->why + used, sizeof voyage->report->why - used, "%s",
                 voyage->conns[i] ? sea_conn_text(voyage->conns[i]) : "");
    }
}

static void tidy(struct voyage *voyage) {
    sea_msg_release(voyage->item);
    sea_msg_release(voyage->parcel);
    sea_msg_release(voyage->echo);
    sea_msg_release(voyage->answer);
    sea_block_unref(voyage->copy);
    sea_block_unref(voyage->cargo);
    if (voyage->exported >= 0)
        close(voyage->exported);
    sea_conn_free(voyage->conns[1]);
    sea_conn_free(voyage->conns[0]);
    sea_ctx_unref(voyage->ctx);
}

void voyage_run(const char *address, bool outlives, struct voyage_report *ret) {
    struct voyage voyage = {.address = address, .report = ret, .exported = -1};
    *ret = (struct voyage_report){0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps && ret->status == 0; i++) {
        ret->status = steps[i].run(&voyage);
        snprintf(ret->step, sizeof ret->step, "%s", steps[i].name);
    }
    if (ret->status != 0)
        note_why(&voyage);
    if (outlives && ret->status != 0)
        outlive(&voyage);
    note_refusals(&voyage);
    tidy(&voyage);
}

static int prepare_rush(struct voyage *voyage) {
    int (*const first[])(struct voyage *) = {make_ctx,       connect_first,  make_cargo,   fill_from_buffer,
                                             fill_from_file, fill_from_pipe, fill_in_place};
    int r = 0;
    for (size_t i = 0; i < sizeof first / sizeof *first && r == 0; i++)
        r = first[i](voyage);
    return r;
}

void voyage_rush(const char *address, _Atomic unsigned *strokes_done, struct voyage_report *ret) {
    struct voyage voyage = {.address = address, .report = ret, .exported = -1};
    *ret = (struct voyage_report){.step = "start"};
    ret->status = prepare_rush(&voyage);
    for (size_t i = 0; ret->status == 0; i = (i + 1) % (sizeof strokes / sizeof *strokes)) {
        snprintf(ret->step, sizeof ret->step, "%s", strokes[i].name);
        ret->status = strokes[i].run(&voyage);
        atomic_fetch_add_explicit(strokes_done, ret->status == 0, memory_order_relaxed);
    }
    outlive(&voyage);
    note_refusals(&voyage);
    tidy(&voyage);
}
