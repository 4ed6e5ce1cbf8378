/* SPDX-License-Identifier: MIT */
/*
 * The functions of libsealane that libsealane-uv calls.
 *
 * Owns: nothing. Touches: library_explain() keeps a text in the context. Threads: any.
 */
#ifndef LOOP_LIBRARY_H
#define LOOP_LIBRARY_H

#include "rpc/loop_interface.h"
#include <stdio.h>

/* The table of functions (static), or NULL if libsealane and libsealane-uv are not of one version. */
static inline const struct loop_interface *library_interface(void) {
    const struct loop_interface *library = sea_private_loop_interface(SEA_VERSION_NUMBER);
    bool is_ours = library && library->size == sizeof(*library) && library->poller_size == sizeof(struct poller) &&
                   library->watch_size == sizeof(struct watch);
    return is_ours ? library : NULL;
}

/* Keeps the text of an error that a function is about to return. Returns the error. */
static inline int library_explain(const struct loop_interface *library, sea_ctx *ctx, int error, const char *what,
                                  const char *why) {
    sea_refusal refusal = {.error = error};
    snprintf(refusal.limit, sizeof(refusal.limit), "%s", what);
    snprintf(refusal.advice, sizeof(refusal.advice), "%s", why);
    return library->explanation_keep(ctx, &refusal);
}

#endif
