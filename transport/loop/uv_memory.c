/* SPDX-License-Identifier: MIT */
/*
 * Memory that a thread of libuv's pool makes. See <sealane/uv.h>.
 *
 * The loop's thread makes a request and ends it. In between, a thread of the pool has the request alone, and uses
 * nothing else but the context, which is thread-safe. uv_queue_work() orders the writes of both threads.
 *
 * Owns: a request, and with it a reference of the context until its callback has returned, and the block until the
 * callback takes it. Touches: the budget, and the texts of the thread that asks for them. Threads: as above.
 */
#include "loop/library.h"
#include <errno.h>
#include <sealane/block.h>
#include <sealane/ctx.h>
#include <sealane/uv.h>
#include <uv.h>

struct request {
    uv_work_t work;
    const struct loop_interface *library; /* borrowed, static */
    sea_ctx *ctx;                         /* owned reference */
    size_t size;
    unsigned flags;
    int status;
    sea_refusal why; /* of the status, as the thread that got it was told */
    bool has_why;
    sea_block *block; /* owned */
    sea_uv_made *made;
    void *user;
};

/* On a thread of libuv's pool. */
static void request_work(uv_work_t *work) {
    struct request *request = work->data;
    request->status = sea_block_new_sealed(&request->block, request->ctx, request->size, request->flags);
    request->has_why =
        request->status < 0 && request->library->explanation_find(request->ctx, request->status, &request->why);
}

/* On the loop's thread. `status` would be UV_ECANCELED after uv_cancel(), which is never called. */
static void request_done(uv_work_t *work, int status) {
    struct request *request = work->data;
    (void) status;
    if (request->has_why)
        request->library->explanation_keep(request->ctx, &request->why);
    request->made(request->status, request->block, request->user);
    sea_ctx_unref(request->ctx);
    request->library->heap_free(request);
}

int sea_uv_block_new_sealed(sea_ctx *ctx, struct uv_loop_s *loop, size_t size, unsigned flags, sea_uv_made *made,
                            void *user) {
    const struct loop_interface *library = library_interface();
    if (!library)
        return -ELIBBAD;
    if (!made)
        return library_explain(library, ctx, -EINVAL, "sea_uv_block_new_sealed", "no function that takes the block");
    struct request *request = library->heap_new(1, sizeof(*request));
    if (!request)
        return library_explain(library, ctx, -ENOMEM, "sea_uv_block_new_sealed", "out of memory");
    *request = (struct request){
        .work.data = request,
        .library = library,
        .ctx = sea_ctx_ref(ctx),
        .size = size,
        .flags = flags | SEA_BLOCK_PREFAULT,
        .made = made,
        .user = user,
    };
    return uv_queue_work(loop, &request->work, request_work, request_done);
}
