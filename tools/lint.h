/* SPDX-License-Identifier: MIT */
/*
 * For clang-tidy alone, included before everything: declares errno positive after a failure. Otherwise the analyzer
 * believes that `return -errno` may return 0, and reports the consequences. It cannot negate a range (clang 14), so
 * these are values: two that the code often treats separately, and one for all others.
 */
#include <errno.h>

extern int lint_any(void);

static inline int *lint_errno(void) {
    static int value;
    int any = lint_any();
    value = any == 0 ? EINTR : any == 1 ? EAGAIN : EIO;
    return &value;
}

#undef errno
#define errno (*lint_errno())
