/* SPDX-License-Identifier: MIT */
/* Has thumbnail_server make a picture of 16 MiB smaller, and prints the mean of the thumbnail's pixels. */
#include <sealane/sealane.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAKE_THUMBNAIL = 1, SIDE = 4096 };

int main(void) {
    sea_ctx *ctx = NULL;
    sea_conn *conn = NULL;
    sea_block *picture = NULL;
    sea_msg *reply = NULL;
    char why[256];
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_connect(&conn, ctx, "thumbnails", NULL);
    if (r == 0)
        r = sea_block_new(&picture, conn, SIDE * SIDE); /* a loan: shared pages, reserved from the kernel */
    if (r == 0) {
        for (int y = 0; y < SIDE; y++) /* written once, where the server will read */
            memset((uint8_t *) sea_block_data(picture) + y * SIDE, y / (SIDE / 256), SIDE);
        r = sea_call(conn, MAKE_THUMBNAIL, picture, 1000, &reply); /* takes the block; waits for at most a second */
    }
    if (r == 0) {
        const uint8_t *pixels = sea_msg_data(reply); /* the server's pages: read where the server wrote */
        unsigned long sum = 0;
        for (size_t i = 0; i < sea_msg_size(reply); i++)
            sum += pixels[i];
        printf("%zu pixels, mean %.1f\n", sea_msg_size(reply), (double) sum / (double) sea_msg_size(reply));
    } else {
        sea_explain(ctx, conn, r, why, sizeof why);
        fprintf(stderr, "thumbnail_client: %s\n", why);
    }
    sea_msg_release(reply); /* the server's lease goes back; NULL is fine */
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return r < 0;
}
