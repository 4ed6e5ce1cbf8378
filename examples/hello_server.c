/* SPDX-License-Identifier: MIT */
/* A server: method 1 takes a name and answers "Hello, NAME!". Any signal may end it: the kernel cleans up. */
#include <errno.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <string.h>

static void greet(sea_msg *call, void *user) {
    size_t size = sea_msg_size(call); /* plain bytes without a final NUL */
    sea_block *reply = NULL;
    char *text = sea_block_new(&reply, sea_msg_conn(call), 7 + size + 1) == 0 ? sea_block_data(reply) : NULL;
    (void) user;
    if (text == NULL) {
        sea_block_unref(reply);
        sea_reply_error(call, -ENOMEM, "no room for a greeting");
        return;
    }
    memcpy(text, "Hello, ", 7);
    memcpy(text + 7, sea_msg_data(call), size);
    text[7 + size] = '!';
    sea_reply(call, reply); /* takes both references */
}

int main(void) {
    const sea_method methods[] = {{.number = 1, .name = "greet", .handler = greet}};
    const sea_options options = {SEA_METHODS(methods)};
    char why[256];
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && (r = sea_server_new(&server, ctx, "hello", &options)) == 0)
        r = sea_server_run(server);
    sea_explain(ctx, NULL, r, why, sizeof why);
    fprintf(stderr, "hello_server: %s\n", why);
    sea_server_free(server);
    sea_ctx_unref(ctx);
    return r < 0;
}
