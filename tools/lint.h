/* SPDX-License-Identifier: MIT */
/*
 * For clang-tidy alone, included before everything: errno is positive after a failure. Without that its analyzer
 * believes that `return -errno` may return 0, and reports what would happen then. It cannot negate a range (clang 14),
 * so these are values: two that are often treated apart, and one for all others.
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
