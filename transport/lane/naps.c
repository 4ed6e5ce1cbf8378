/* SPDX-License-Identifier: MIT */
/* Naps. See naps.h. */
#include "lane/naps.h"

/* Payloads between two sleeps. A side that is awake for many has stopped sleeping, for now. */
static const uint64_t FEW = 4, MANY = 64;

static bool judge(struct naps *naps) {
    bool before = naps->are_usual;
    naps->are_usual = before ? naps->score > 0 : naps->score == NAPS_USUAL;
    return naps->are_usual != before;
}

static void lower(struct naps *naps, uint64_t by) {
    naps->score -= by < naps->score ? (uint32_t) by : naps->score;
}

bool naps_note_sleep(struct naps *naps, uint64_t sent) {
    uint64_t count = sent - naps->sent;
    naps->sent = sent;
    if (count > FEW)
        lower(naps, count / FEW);
    else if (count > 0 && naps->score < NAPS_USUAL)
        naps->score++;
    return judge(naps);
}

bool naps_note_awake(struct naps *naps, uint64_t sent) {
    uint64_t count = sent - naps->sent;
    if (count < MANY)
        return false;
    naps->sent = sent;
    lower(naps, count / FEW);
    return judge(naps);
}
