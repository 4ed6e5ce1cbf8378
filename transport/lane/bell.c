/* SPDX-License-Identifier: MIT */
/* The bell. See bell.h. It decides; the lane sends the datagram. One thread. */
#include "lane/bell.h"

enum { ASLEEP = 1, EPISODE = 8 };

void bell_init(struct bell *bell, shared32 *own, const shared32 *peer) {
    *bell = (struct bell){.own = own, .peer = peer};
}

void bell_arm(struct bell *bell, uint32_t wants) {
    bell->episode += EPISODE;
    bell->is_armed = true;
    bell->wants = wants;
    shared32_store(bell->own, bell->episode | wants | ASLEEP);
    shared_fence(); /* [SLP1], of the sleeper; partner in bell_is_wanted() */
}

void bell_disarm(struct bell *bell) {
    bell->is_armed = false;
    shared32_store(bell->own, bell->episode); /* late is harmless: one doorbell too many */
}

bool bell_is_wanted(struct bell *bell) {
    if (!bell->due)
        return false;
    shared_fence(); /* [SLP1], of the waker; partner in bell_arm() */
    uint32_t word = bell->asked = shared32_load(bell->peer);
    bool is_wanted = word & ASLEEP && word != bell->rung && (bell->due & BELL_FRAMES || word & bell->due);
    if (!is_wanted)
        bell->due = 0;
    return is_wanted;
}

void bell_note_rung(struct bell *bell) {
    bell->rung = bell->asked; /* not the word of now: of a later episode nobody has rung yet */
    bell->due = 0;
}
