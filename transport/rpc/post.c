/* SPDX-License-Identifier: MIT */
/*
 * Functions that any thread has called on a connection's thread. See sea_conn_post() in <sealane/conn.h>.
 *
 * Owns: a post, until it has run. Touches: the mailbox; conn->told, when it runs. Threads: sea_conn_post() any; the
 * function runs on the connection's. What waits when the connection ends is told -EPIPE or -ECANCELED by the thread
 * that closes the mailbox; later posts are refused.
 */
#include "rpc/conn.h"
#include "sys/heap.h"
#include <errno.h>

struct post {
    struct mail mail; /* the first member */
    sea_conn *conn;   /* borrowed: it stays until its mailbox is closed, with this mail in it */
    sea_posted *function;
    void *user;
};

static int post_status(const sea_conn *conn) {
    return !conn->is_ended ? 0 : conn->is_freed ? -ECANCELED : -EPIPE;
}

/* The post is freed first: an exception may leave the function. */
static void post_run(struct mail *mail) {
    struct post *post = (struct post *) (void *) mail, own = *post;
    int status = post_status(own.conn);
    heap_free(post);
    if (status == 0)
        own.conn->told++;
    own.function(own.conn, status, own.user);
}

int sea_conn_post(sea_conn *conn, sea_posted *function, void *user) {
    struct refusal_log *log = &conn->ctx->refusals;
    struct post *post = function ? heap_new(1, sizeof(*post)) : NULL;
    if (!post)
        return refusal_explain(log, function ? -ENOMEM : -EINVAL, "post", function ? "out of memory" : "no function");
    *post = (struct post){.mail = {.run = post_run}, .conn = conn, .function = function, .user = user};
    if (mailbox_put(conn->box, &post->mail))
        return 0;
    heap_free(post);
    return refusal_explain(log, -EPIPE, "post", "the connection has ended; sea_conn_text() says why");
}
