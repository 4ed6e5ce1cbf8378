/* SPDX-License-Identifier: MIT */
/* Asks hello_server for a greeting: hello_client [NAME]. */
#include <sealane/sealane.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "world";
    char why[256];
    sea_conn *conn = NULL;
    sea_msg *reply = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && (r = sea_connect(&conn, ctx, "hello", NULL)) == 0)
        r = sea_call_bytes(conn, 1, name, strlen(name), 1000, &reply); /* waits for at most a second */
    if (r == 0)
        printf("%.*s\n", (int) sea_msg_size(reply), (const char *) sea_msg_data(reply));
    else
        sea_explain(ctx, conn, r, why, sizeof why), fprintf(stderr, "hello_client: %s\n", why);
    sea_msg_release(reply), sea_conn_free(conn), sea_ctx_unref(ctx); /* NULL is allowed */
    return r < 0;
}
