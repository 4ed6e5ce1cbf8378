/* SPDX-License-Identifier: MIT */
/* The peer's socket, its outbox, and its reading. See evil_peer.h; evil_acts.c has its acts. */
#include "evil_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/line.h"

/* A small outbox: more lines would allow no further behaviour, and a lap is short. */
enum {
    LINES = 64,
    RELEASES = 256,
    LINES_GROWN = 128,
    RELEASES_GROWN = 512,
    RING_GROWN = 8192,
    RINGS_AT = 1024,
    ASLEEP_AT = 64,
    CONSUMED_AT = 128,
    TAKEN_AT = 192,
    PAGE = 4096
};
static const uint32_t MAGIC = 0x424c4553;

struct evil_peer evil_peers[EVIL_PEERS];
struct draft evil_draft;

static shared32 nowhere; /* stands for the library's cursor before its outbox has come */

static void demand(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "the library sent what is not sound: %s\n", what);
    abort();
}

static size_t outbox_size(uint32_t lines, uint32_t releases) {
    size_t size = RINGS_AT + (size_t) lines * LINE_SIZE + (size_t) releases * sizeof(struct release_entry);
    return (size + PAGE - 1) & ~(size_t) (PAGE - 1);
}

static shared32 *word_at(const struct evil_outbox *outbox, size_t offset) {
    return (shared32 *) (void *) (outbox->page + offset);
}

static struct line *frames_of(const struct evil_outbox *outbox) {
    return (struct line *) (void *) (outbox->page + RINGS_AT);
}

static struct release_entry *releases_of(const struct evil_outbox *outbox) {
    return (struct release_entry *) (void *) (outbox->page + RINGS_AT + (size_t) outbox->lines * LINE_SIZE);
}

void evil_peers_make(void) {
    for (int i = 0; i < EVIL_PEERS; i++) {
        struct evil_outbox own = {.size = outbox_size(LINES, RELEASES), .lines = LINES, .releases = RELEASES};
        own.fd = cabinet_shared_memfd(own.size, &own.page);
        evil_peers[i].own = own;
        for (int k = 0; k < 2; k++) {
            struct evil_ring *ring = &evil_peers[i].own_rings[k];
            ring->size = RING_GROWN;
            ring->fd = cabinet_shared_memfd(ring->size, &ring->at);
        }
        evil_begin(&evil_peers[i], -1);
    }
}

void heard_add(struct heard *heard, uint64_t number) {
    heard->numbers[heard->count++ % EVIL_HEARD] = number;
}

uint64_t heard_draw(const struct heard *heard, struct input *in) {
    uint8_t which = draw(in);
    if (which >= 250)
        return draw_u64(in);
    return heard->numbers[(heard->count - 1 - which) % EVIL_HEARD];
}

void evil_begin(struct evil_peer *peer, int fd) {
    struct evil_outbox own = peer->own;
    struct evil_ring rings[2] = {peer->own_rings[0], peer->own_rings[1]};
    memset(own.page, 0, own.size);
    shared32_store(word_at(&own, 0), MAGIC);
    shared32_store(word_at(&own, 4), own.lines);
    shared32_store(word_at(&own, 8), own.releases);
    *peer = (struct evil_peer){.fd = fd, .own = own, .theirs = {.fd = -1}, .next_id = 1, .next_handle = 1};
    memcpy(peer->own_rings, rings, sizeof(rings));
    ring_out_init(&peer->out, frames_of(&own), own.lines, &nowhere);
    release_out_init(&peer->releases_out, releases_of(&own), own.releases, &nowhere);
}

static void forget_theirs(struct evil_peer *peer) {
    if (peer->theirs.page)
        munmap(peer->theirs.page, peer->theirs.size);
    peer->theirs = (struct evil_outbox){.fd = -1};
    for (int i = 0; i < 2; i++) {
        if (peer->their_rings[i].at)
            munmap(peer->their_rings[i].at, peer->their_rings[i].size);
        peer->their_rings[i].at = NULL;
    }
    peer->out.consumed = &nowhere;
}

void evil_end(struct evil_peer *peer) {
    forget_theirs(peer);
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
}

/* Room for all control data that a draft can have. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(253 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

/* Adds an item behind the existing ones. */
static void control_add(struct msghdr *msg, int type, const void *data, size_t size) {
    struct cmsghdr *item = (struct cmsghdr *) (void *) ((char *) msg->msg_control + msg->msg_controllen);
    *item = (struct cmsghdr){.cmsg_len = CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = type};
    memcpy(CMSG_DATA(item), data, size);
    msg->msg_controllen += CMSG_SPACE(size);
}

/* Only root may name another process as the sender. */
static int try_send(int fd, const struct draft *draft) {
    static union control control;
    const struct ucred sender = {.pid = draft->pid, .uid = geteuid(), .gid = getegid()};
    struct iovec piece = {.iov_base = (void *) (uintptr_t) draft->data, .iov_len = draft->size};
    struct msghdr msg = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes};
    if (draft->fds_count)
        control_add(&msg, SCM_RIGHTS, draft->fds, draft->fds_count * sizeof(int));
    size_t without_sender = msg.msg_controllen;
    if (draft->pid)
        control_add(&msg, SCM_CREDENTIALS, &sender, sizeof(sender));
    ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EPERM && draft->pid) {
        msg.msg_controllen = without_sender;
        sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    return sent < 0 ? -errno : 0;
}

void evil_send(struct evil_peer *peer, const struct draft *draft, bool is_numbered, bool has_mark) {
    if (peer->fd < 0 || try_send(peer->fd, draft) < 0 || !is_numbered)
        return;
    peer->marks++;
    if (has_mark)
        evil_say_mark(peer, peer->marks);
}

void evil_ring_bell(struct evil_peer *peer) {
    static struct draft bell;
    if (!peer->theirs.page || !(shared32_load(word_at(&peer->theirs, ASLEEP_AT)) & 1))
        return;
    bell.size = wire_encode_doorbell(bell.data);
    evil_send(peer, &bell, false, false);
}

void evil_say(struct evil_peer *peer, const uint64_t words[LINE_WORDS], const void *bytes, uint32_t size) {
    if (size > ring_bytes_max(peer->own.lines) || ring_has_room(&peer->out, line_count(size)) != 1)
        return;
    ring_write(&peer->out, words, bytes, size);
    evil_ring_bell(peer);
}

void evil_say_mark(struct evil_peer *peer, uint64_t number) {
    uint64_t words[LINE_WORDS];
    line_encode(words, WIRE_MARK, number, NULL);
    evil_say(peer, words, NULL, 0);
}

void evil_give_back(struct evil_peer *peer, uint64_t handle) {
    release_write(&peer->releases_out, handle);
    evil_ring_bell(peer);
}

static void announce_ring(struct evil_peer *peer, const struct wire_ring *ring) {
    static struct draft draft;
    draft.size = wire_encode_ring(draft.data, ring);
    draft.fds_count = 1;
    draft.fds[0] = peer->own_rings[ring->kind - 1].fd;
    evil_send(peer, &draft, true, true);
}

/* The frame ring keeps no line for the mark: where it has no room, the library waits for the mark, or ends the
 * connection. */
void evil_grow(struct evil_peer *peer, uint32_t kind) {
    const struct evil_ring *memory = &peer->own_rings[kind - 1];
    bool is_frames = kind == WIRE_RING_FRAMES;
    const struct wire_ring ring = {.kind = kind,
                                   .count = is_frames ? LINES_GROWN : RELEASES_GROWN,
                                   .from = is_frames ? 0 : (uint32_t) peer->releases_out.tail};
    if (peer->has_grown[kind - 1])
        return;
    peer->has_grown[kind - 1] = true;
    memset(memory->at, 0, memory->size);
    announce_ring(peer, &ring);
    if (is_frames)
        ring_out_move(&peer->out, (struct line *) (void *) memory->at, ring.count);
    else
        release_out_move(&peer->releases_out, (struct release_entry *) (void *) memory->at, ring.count);
}

/* --- reading --- */

static void follow_releases(struct evil_peer *peer) {
    struct evil_ring *ring = &peer->their_rings[WIRE_RING_RELEASES - 1];
    if (peer->their_entries == 0 || (uint32_t) peer->releases_in.head != peer->their_from)
        return;
    release_in_move(&peer->releases_in, (struct release_entry *) (void *) ring->at, peer->their_entries);
    peer->their_entries = 0;
}

static void follow_frames(struct evil_peer *peer, uint64_t number) {
    struct evil_ring *ring = &peer->their_rings[WIRE_RING_FRAMES - 1];
    if (peer->their_mark == 0 || number != peer->their_mark)
        return;
    ring_in_move(&peer->in, (struct line *) (void *) ring->at, peer->their_lines);
    peer->theirs.lines = peer->their_lines;
    peer->their_mark = 0;
}

static void open_ring(struct evil_peer *peer, const struct wire_ring *announced, int fd) {
    struct evil_ring *ring = &peer->their_rings[announced->kind - 1];
    bool is_frames = announced->kind == WIRE_RING_FRAMES;
    demand(!ring->at, "a ring that has grown already");
    ring->size = announced->count * (is_frames ? (size_t) LINE_SIZE : sizeof(struct release_entry));
    void *data = mmap(NULL, ring->size, PROT_READ, MAP_SHARED, fd, 0);
    demand(data != MAP_FAILED, "a ring");
    ring->at = data;
    if (is_frames) {
        peer->their_mark = peer->datagrams_in;
        peer->their_lines = announced->count;
    } else {
        peer->their_entries = announced->count;
        peer->their_from = announced->from;
        follow_releases(peer);
    }
}

static void open_theirs(struct evil_peer *peer, int fd) {
    void *data = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    struct evil_outbox theirs = {.fd = -1, .page = data};
    demand(data != MAP_FAILED && !peer->theirs.page, "an outbox");
    theirs.lines = shared32_load(word_at(&theirs, 4));
    theirs.releases = shared32_load(word_at(&theirs, 8));
    theirs.size = outbox_size(theirs.lines, theirs.releases);
    munmap(data, PAGE);
    data = mmap(NULL, theirs.size, PROT_READ, MAP_SHARED, fd, 0);
    demand(data != MAP_FAILED, "the size of an outbox");
    theirs.page = data;
    peer->theirs = theirs;
    peer->out.consumed = word_at(&theirs, CONSUMED_AT);
    ring_in_init(&peer->in, frames_of(&theirs), theirs.lines, word_at(&peer->own, CONSUMED_AT));
    peer->releases_out.taken = word_at(&theirs, TAKEN_AT);
    release_in_init(&peer->releases_in, releases_of(&theirs), theirs.releases, word_at(&peer->own, TAKEN_AT));
}

static void hear(struct evil_peer *peer, const struct wire_frame *frame) {
    bool is_message =
        frame->head.type == WIRE_CALL || frame->head.type == WIRE_ONEWAY || frame->head.type == WIRE_REPLY;
    if (frame->head.type == WIRE_CALL)
        heard_add(&peer->calls, frame->head.id);
    if (is_message && frame->message.handle)
        heard_add(&peer->handles, frame->message.handle);
}

static size_t collect_fds(struct msghdr *msg, int fds[253]) {
    struct cmsghdr *head = CMSG_FIRSTHDR(msg);
    if (!head || head->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(head), count * sizeof(int));
    return count;
}

static void datagram_arrived(struct evil_peer *peer, const uint8_t *data, size_t size, int *fds, size_t count) {
    struct wire_frame frame;
    const char *wrong = wire_decode(data, size, &frame);
    demand(!wrong, wrong);
    demand(frame.head.fds == count, "the number of descriptors");
    hear(peer, &frame);
    if (frame.head.type != WIRE_HELLO && frame.head.type != WIRE_GOODBYE && frame.head.type != WIRE_DOORBELL)
        peer->datagrams_in++;
    if (frame.head.type == WIRE_HELLO && count)
        open_theirs(peer, fds[0]);
    if (frame.head.type == WIRE_RING && count)
        open_ring(peer, &frame.ring, fds[0]);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static bool read_datagram(struct evil_peer *peer) {
    static uint8_t data[WIRE_MESSAGE_SIZE + WIRE_INLINE_CEILING + WIRE_TEXT_MAX + 1];
    static union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control;
    int fds[253];
    struct iovec piece = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr msg = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)};
    ssize_t size = peer->fd < 0 ? -1 : recvmsg(peer->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size <= 0)
        return false;
    datagram_arrived(peer, data, (size_t) size, fds, collect_fds(&msg, fds));
    return true;
}

static bool read_frame(struct evil_peer *peer) {
    static uint8_t bytes[WIRE_INLINE_CEILING];
    struct wire_frame frame;
    uint64_t words[LINE_WORDS];
    uint32_t size;
    if (!peer->theirs.page || !ring_has_frame(&peer->in))
        return false;
    ring_peek(&peer->in, words);
    const char *wrong = line_decode(words, &frame, &size);
    demand(!wrong, wrong);
    demand(size <= ring_bytes_max(peer->theirs.lines), "a frame that is larger than a quarter of the ring");
    ring_collect(&peer->in, bytes, size);
    ring_in_seek(&peer->in, peer->in.head + line_count(size));
    if (frame.head.type == WIRE_MARK)
        follow_frames(peer, frame.head.id);
    hear(peer, &frame);
    return true;
}

static void read_releases(struct evil_peer *peer) {
    uint64_t handle;
    while (peer->theirs.page && release_read(&peer->releases_in, &handle)) {
        demand(handle != 0, "a release of nothing");
        follow_releases(peer);
    }
}

void evil_read(struct evil_peer *peer, unsigned most, bool is_honest) {
    for (unsigned i = 0; i < most && read_datagram(peer); i++)
        ;
    for (unsigned i = 0; i < most && read_frame(peer); i++)
        ;
    read_releases(peer);
    if (is_honest && peer->theirs.page && ring_publish_consumed(&peer->in))
        evil_ring_bell(peer);
}
