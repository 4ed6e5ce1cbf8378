/* SPDX-License-Identifier: MIT */
/*
 * The text of an error. See sea_explain() in <sealane/conn.h>.
 *
 * Texts are kept in two places: with the connection (the peer's answer, a deadline, the end), and in the context's
 * refusal log, of each thread its own. All of them carry stamps of one counter, and the newest one for the error holds.
 * A function that fails without a text leaves an empty explanation, which hides older texts of the same error.
 *
 * Owns: nothing. Touches: reads both places, and changes neither. Threads: any, for what the context keeps for it; a
 * `conn` only on its own thread, also after its end.
 */
#include "rpc/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int word(int error, const char *text, char *buf, size_t size) {
    int saved = errno;
    errno = -error; /* for %m, which is strerror() without its static buffer */
    int length = text[0] ? snprintf(buf, size, "%m (%s)", text) : snprintf(buf, size, "%m");
    errno = saved;
    for (char *p = buf; size > 0 && *p != '\0'; p++)
        if ((unsigned char) *p < 0x20 || *p == 0x7f)
            *p = '?';
    return length;
}

int sea_explain(sea_ctx *ctx, const sea_conn *conn, int error, char *ret_buf, size_t size) {
    sea_refusal refusal;
    bool is_empty = true;
    if (error >= 0)
        return snprintf(ret_buf, size, "no error");
    if (!ctx && conn)
        ctx = conn->ctx;
    uint64_t stamp = ctx ? refusal_find(&ctx->refusals, error, &refusal, &is_empty) : 0;
    if (conn && conn->text_error == error && conn->text_stamp > stamp)
        return word(error, conn->text, ret_buf, size);
    return stamp && !is_empty ? sea_refusal_format(&refusal, ret_buf, size) : word(error, "", ret_buf, size);
}
