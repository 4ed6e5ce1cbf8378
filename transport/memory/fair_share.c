/* SPDX-License-Identifier: MIT */
/* Fair shares. See fair_share.h. Rounding is of no importance here. */
#include "memory/fair_share.h"

bool fair_share_allows(const struct fair_share *share, uint64_t size) {
    if (size > share->left)
        return false;
    double left = (double) (share->left - size), user = (double) share->user + (double) size;
    double part = left * left / (double) share->budget;
    return (double) share->peer + (double) size <= part * part / (part + user);
}

uint64_t fair_share_room(const struct fair_share *share) {
    uint64_t room = 0;
    for (uint64_t step = UINT64_C(1) << 63; step > 0; step /= 2)
        if (fair_share_allows(share, room + step)) /* more is never allowed where less is not */
            room += step;
    return room;
}
