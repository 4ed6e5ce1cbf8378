/* SPDX-License-Identifier: MIT */
/* A server: method 1 takes a grey picture of 4096 x 4096 pixels, and answers with one of 512 x 512. */
#include <errno.h>
#include <sealane/sealane.h>
#include <stdint.h>
#include <stdio.h>

enum { MAKE_THUMBNAIL = 1, STEP = 8, SIDE = 4096, SMALL_SIDE = SIDE / STEP };

static void make_thumbnail(sea_msg *call, void *user) {
    const uint8_t *picture = sea_msg_data(call); /* the client's own pages, mapped read-only here */
    sea_block *thumbnail = NULL;
    uint8_t *pixel;
    (void) user;
    if (sea_msg_size(call) != SIDE * SIDE) {
        sea_reply_error(call, -EINVAL, "a picture has 4096 x 4096 bytes");
        return;
    }
    int r = sea_block_new(&thumbnail, sea_msg_conn(call), SMALL_SIDE * SMALL_SIDE);
    if (r < 0) {
        sea_reply_error(call, r, "no room for the thumbnail");
        return;
    }
    pixel = sea_block_data(thumbnail);
    for (int y = 0; y < SIDE; y += STEP)
        for (int x = 0; x < SIDE; x += STEP)
            *pixel++ = picture[y * SIDE + x];
    sea_reply(call, thumbnail); /* takes both */
}

int main(void) {
    const sea_method methods[] = {{.number = MAKE_THUMBNAIL, .name = "make_thumbnail", .handler = make_thumbnail}};
    const sea_options options = {SEA_METHODS(methods)};
    char why[256];
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && (r = sea_server_new(&server, ctx, "thumbnails", &options)) == 0)
        r = sea_server_run(server);
    sea_explain(ctx, NULL, r, why, sizeof why);
    fprintf(stderr, "thumbnail_server: %s\n", why);
    sea_server_free(server);
    sea_ctx_unref(ctx);
    return r < 0;
}
