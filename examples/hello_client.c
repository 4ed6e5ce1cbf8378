/* SPDX-License-Identifier: MIT */
/* Asks hello_server for a greeting: hello_client [NAME]. */
#include <sealane/sealane.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "world";
    sea_block *block = NULL;
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && (r = sea_connect(&conn, ctx, "hello", NULL)) == 0)
        r = sea_block_new(&block, conn, strlen(name));
    if (r == 0 && (r = sea_block_fill(block, 0, name, strlen(name))) == 0)
        r = sea_call(conn, 1, sea_block_ref(block), 1000, &reply); /* takes a reference; waits for at most a second */
    if (r == 0)
        printf("%.*s\n", (int) sea_msg_size(reply), (const char *) sea_msg_data(reply));
    else
        fprintf(stderr, "hello_client: %s\n", strerror(-r));
    sea_msg_release(reply), sea_block_unref(block), sea_conn_free(conn), sea_ctx_unref(ctx); /* NULL is fine */
    return r < 0;
}
