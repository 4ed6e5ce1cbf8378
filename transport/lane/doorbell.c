/* SPDX-License-Identifier: MIT */
/* The doorbell. See doorbell.h. */
#include "lane/doorbell.h"

enum { EPISODE = 8 };

void doorbell_init(struct doorbell *doorbell, shared32 *own, const shared32 *peer) {
    *doorbell = (struct doorbell){.own = own, .peer = peer};
}

void doorbell_arm(struct doorbell *doorbell, uint32_t wants) {
    doorbell->episode += EPISODE;
    doorbell->is_armed = true;
    doorbell->wants = wants;
    shared32_store(doorbell->own, doorbell->episode | wants | DOORBELL_ASLEEP);
    shared_fence(); /* [SLP1], of the sleeper; partner in doorbell_is_wanted() */
}

void doorbell_disarm(struct doorbell *doorbell) {
    doorbell->is_armed = false;
    shared32_store(doorbell->own, doorbell->episode); /* late is harmless: one doorbell too many */
}

bool doorbell_is_wanted(struct doorbell *doorbell) {
    shared_fence(); /* [SLP1], of the waker; partner in doorbell_arm() */
    uint32_t word = doorbell->asked = shared32_load(doorbell->peer);
    bool is_wanted =
        word & DOORBELL_ASLEEP && word != doorbell->rung && (doorbell->due & DOORBELL_FRAMES || word & doorbell->due);
    if (!is_wanted)
        doorbell->due = 0;
    return is_wanted;
}

void doorbell_note_rung(struct doorbell *doorbell) {
    doorbell->rung =
        doorbell->asked; /* the word that was seen, not the present one: for a later episode no side has rung yet */
    doorbell->due = 0;
}
