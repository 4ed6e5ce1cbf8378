/* SPDX-License-Identifier: MIT */
/* Users that cannot be told apart: all users that our user namespace does not map have one id, and one of them may
 * be a stranger. */
#include "support/child.h"
#include "support/raw.h"
#include "support/suite.h"
#include "support/userns.h"

#include <errno.h>
#include <poll.h>
#include <sealane/sealane.h>

enum { OVERFLOW_ID = 65534, CANNOT_ENTER = 77 };

static const uint32_t overflow_id[] = {OVERFLOW_ID};

static int let_in_whom_it_knows(const sea_peer *peer, void *user) {
    (void) user;
    return peer->is_uid_ambiguous && peer->is_gid_ambiguous ? 0 : -EPERM;
}

static const struct {
    const char *what;
    sea_options options;
    bool is_let_in;
} policies[] = {
    {.what = "our own user's number"},
    {.what = "a listed user", .options = {.users = overflow_id, .users_count = 1}},
    {.what = "a listed group", .options = {.groups = overflow_id, .groups_count = 1}},
    {.what = "an application that knows what it does", .options = {.allow = let_in_whom_it_knows}, .is_let_in = true},
};
#define POLICIES ((int) (sizeof policies / sizeof *policies))

struct place {
    const char *name; /* of the socket, with its '@' */
    sea_options options;
    char address[160];
};

static void place_init(struct place *place, int policy) {
    *place = (struct place){.name = raw_name(), .options = policies[policy].options};
    place->options.handshake_ms = test_timeout_ms(10000);
    snprintf(place->address, sizeof place->address, "unix:%s", place->name);
}

/* Serves until the line is closed, in a namespace that maps no user: its own user is the overflow id. */
static int serve_unmapped(int line, void *arg) {
    const struct place *place = arg;
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    if (!userns_enter())
        return CANNOT_ENTER;
    ck_assert_uint_eq(geteuid(), OVERFLOW_ID);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_server_new(&server, ctx, place->address, &place->options), 0);
    ck_assert(line_tell(line, 1));
    struct pollfd items[] = {{.fd = sea_server_fd(server), .events = POLLIN}, {.fd = line, .events = POLLIN}};
    while (!items[1].revents) {
        ck_assert_int_ge(poll(items, 2, sea_server_prepare(server)), 0);
        ck_assert_int_eq(sea_server_dispatch(server), 0);
    }
    sea_server_free(server);
    sea_ctx_unref(ctx);
    return 0;
}

static void start(struct child *child, child_run *run, struct place *place) {
    uint64_t word;
    child_start(child, run, place);
    if (line_hear(child->line, 10000, &word))
        return;
    ck_assert_int_eq(child_end(child, 10000), CANNOT_ENTER);
    test_skip("user namespaces are forbidden here, or this process has several threads");
}

static void check_refused(int r, sea_ctx *ctx, const char *text) {
    sea_refusal refusal;
    ck_assert_int_eq(r, -EACCES);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_msg(strstr(refusal.advice, text) != NULL, "it says: %s", refusal.advice);
}

/* We are strangers to the server, and have the same overflow id. */
START_TEST(test_a_server_without_a_mapped_user) {
    struct place place;
    struct child child;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    place_init(&place, _i);
    start(&child, serve_unmapped, &place);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    int r = sea_connect(&conn, ctx, place.address, &(sea_options){.handshake_ms = test_timeout_ms(10000)});
    if (policies[_i].is_let_in)
        ck_assert_int_eq(r, 0);
    else
        check_refused(r, ctx, "user namespace does not map");
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    ck_assert_int_eq(child_end(&child, 10000), 0);
}
END_TEST

/* Connects from a namespace that maps no user, and reports the result. */
static int connect_unmapped(int line, void *arg) {
    const struct place *place = arg;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    uint64_t word;
    if (!userns_enter())
        return CANNOT_ENTER;
    ck_assert(line_tell(line, 1));
    ck_assert(line_hear(line, 10000, &word));
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    int r = sea_connect(&conn, ctx, place->address, &place->options);
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    line_tell_text(line, refusal.advice);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return -r;
}

static int serve_all(const sea_peer *peer, void *user) {
    (void) peer;
    (void) user;
    return 0;
}

static void serve_until(sea_server *server, struct child *child) {
    struct pollfd items[] = {{.fd = sea_server_fd(server), .events = POLLIN}, {.fd = child->line, .events = POLLIN}};
    while (!items[1].revents) {
        ck_assert_int_ge(poll(items, 2, sea_server_prepare(server)), 0);
        ck_assert_int_eq(sea_server_dispatch(server), 0);
    }
}

/* A client must not greet a server when it only knows that neither user is mapped: the server may be a stranger
 * and would get the client's secrets. */
START_TEST(test_a_client_without_a_mapped_user) {
    struct place place;
    struct child child;
    sea_ctx *ctx = NULL;
    sea_server *server = NULL;
    char text[256] = "";
    place_init(&place, _i);
    start(&child, connect_unmapped, &place);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    ck_assert_int_eq(sea_server_new(&server, ctx, place.address, &(sea_options){.allow = serve_all}), 0);
    ck_assert(line_tell(child.line, 0));
    serve_until(server, &child);
    ck_assert(line_hear_text(child.line, 10000, text, sizeof text));
    int r = child_end(&child, 10000);
    ck_assert_int_eq(r, policies[_i].is_let_in ? 0 : EACCES);
    if (!policies[_i].is_let_in)
        ck_assert_msg(strstr(text, "cannot be told from others") != NULL, "it says: %s", text);
    sea_server_free(server);
    sea_ctx_unref(ctx);
}
END_TEST

/* Connects, reports the result, and stays. */
static int connect_and_stay(int line, void *arg) {
    const struct place *place = arg;
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    uint64_t word;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    line_tell(line, (uint64_t) -sea_connect(&conn, ctx, place->address, &place->options));
    line_hear(line, -1, &word);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return 0;
}

/* Each client is a process of its own, and all may be one user: together they get the share of one user. */
START_TEST(test_indistinguishable_users_share) {
    enum { SLOTS = 8 };
    struct place place;
    struct child server, clients[SLOTS];
    uint64_t outcomes[SLOTS];
    place_init(&place, 0);
    place.options.allow = serve_all;
    place.options.connections_max = SLOTS;
    start(&server, serve_unmapped, &place);
    for (int i = 0; i < SLOTS; i++) {
        child_start(&clients[i], connect_and_stay, &place);
        ck_assert(line_hear(clients[i].line, 20000, &outcomes[i]));
    }
    for (int i = 0; i < SLOTS; i++)
        ck_assert_int_eq(child_end(&clients[i], 10000), 0);
    ck_assert_int_eq(child_end(&server, 10000), 0);
    for (int i = 0; i < SLOTS; i++)
        ck_assert_uint_eq(outcomes[i], i < SLOTS / 2 ? 0 : EUSERS);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("hostile_users");
    suite_add_loop(s, test_a_server_without_a_mapped_user, 0, POLICIES);
    suite_add_loop(s, test_a_client_without_a_mapped_user, 0, POLICIES);
    suite_add(s, test_indistinguishable_users_share);
    return suite_run(s);
}
