/* SPDX-License-Identifier: MIT */
/* One end of a pair of outboxes. See ring_end.h. */
#include "support/ring_end.h"

#include <poll.h>
#include <sys/socket.h>

#include "support/suite.h"

#define LOST_MS 20000 /* longer than any wait for data that was sent already */

void ring_end_init(struct ring_end *ret, const struct outbox *own, const struct outbox *theirs, int fd) {
    *ret = (struct ring_end){.fd = fd};
    ring_out_init(&ret->out, outbox_frames(own), own->lines, outbox_consumed(theirs));
    ring_in_init(&ret->in, outbox_frames(theirs), theirs->lines, outbox_consumed(own));
    release_out_init(&ret->releases_out, outbox_releases(own), own->releases, outbox_taken(theirs));
    release_in_init(&ret->releases_in, outbox_releases(theirs), theirs->releases, outbox_taken(own));
    doorbell_init(&ret->doorbell, outbox_asleep(own), outbox_asleep(theirs));
}

void ring_end_ring(struct ring_end *end, uint32_t due) {
    end->doorbell.due |= due;
    if (!doorbell_is_wanted(&end->doorbell))
        return;
    if (send(end->fd, "!", 1, MSG_NOSIGNAL) == 1)
        end->rung++;
    doorbell_note_rung(&end->doorbell);
}

bool ring_end_has(struct ring_end *end, uint32_t wants) {
    return ring_has_frame(&end->in) || (wants & DOORBELL_RELEASES && release_is_there(&end->releases_in)) ||
           (wants & DOORBELL_ROOM && ring_has_room(&end->out, (end->out.mask + 1) / 4) != 0);
}

static void doorbell_wait(struct ring_end *end) {
    struct pollfd item = {.fd = end->fd, .events = POLLIN};
    char byte;
    end->is_lost |= poll(&item, 1, test_timeout_ms(LOST_MS)) == 0;
    while (recv(end->fd, &byte, 1, 0) == 1)
        continue;
    end->is_gone |= (item.revents & POLLHUP) != 0;
}

void ring_end_sleep(struct ring_end *end, uint32_t wants) {
    if (ring_publish_consumed(&end->in))
        ring_end_ring(end, DOORBELL_ROOM);
    doorbell_arm(&end->doorbell, wants);
    end->arms++;
    if (!ring_end_has(end, wants))
        doorbell_wait(end);
    doorbell_disarm(&end->doorbell);
}

void ring_end_finish(struct ring_end *end) {
    ring_publish_consumed(&end->in);
    ring_end_ring(end, DOORBELL_ROOM | DOORBELL_FRAMES | DOORBELL_RELEASES);
}
