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
    sea_refusal refusal = {0};
    char why[256] = "out of memory";
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
    if (ctx)
        sea_ctx_refusal(ctx, &refusal, sizeof(refusal)), sea_refusal_format(&refusal, why, sizeof why);
    if (r == 0) {
        const uint8_t *pixels = sea_msg_data(reply); /* the server's pages: read where the server wrote */
        unsigned long sum = 0;
        for (size_t i = 0; i < sea_msg_size(reply); i++)
            sum += pixels[i];
        printf("%zu pixels, mean %.1f\n", sea_msg_size(reply), (double) sum / (double) sea_msg_size(reply));
    } else
        fprintf(stderr, "thumbnail_client: %s\n", refusal.error == r || !conn ? why : sea_conn_text(conn));
    sea_msg_release(reply); /* the server's lease goes back; NULL is fine */
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return r < 0;
}
