/* SPDX-License-Identifier: MIT */
/* The peer's socket, outbox and ears. See evil_peer.h; what it does with them is in evil_acts.c. */
#include "evil_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/line.h"

/* A small outbox: what the input can do with more lines it can do with these, and a lap is soon made. */
enum { LINES = 64, RELEASES = 256, RINGS_AT = 1024, ASLEEP_AT = 64, CONSUMED_AT = 128, TAKEN_AT = 192, PAGE = 4096 };
static const uint32_t MAGIC = 0x424c4553;

struct evil_peer evil_peers[EVIL_PEERS];
struct draft evil_draft;

static shared32 nowhere; /* their cursor, before their outbox has come */

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
    memset(own.page, 0, own.size);
    shared32_store(word_at(&own, 0), MAGIC);
    shared32_store(word_at(&own, 4), own.lines);
    shared32_store(word_at(&own, 8), own.releases);
    *peer = (struct evil_peer){.fd = fd, .own = own, .theirs = {.fd = -1}, .next_id = 1, .next_handle = 1};
    ring_out_init(&peer->out, frames_of(&own), own.lines, &nowhere);
    release_out_init(&peer->releases_out, releases_of(&own), own.releases, &nowhere);
}

static void forget_theirs(struct evil_peer *peer) {
    if (peer->theirs.page)
        munmap(peer->theirs.page, peer->theirs.size);
    peer->theirs = (struct evil_outbox){.fd = -1};
    peer->out.consumed = &nowhere;
}

void evil_end(struct evil_peer *peer) {
    forget_theirs(peer);
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
}

static int try_send(int fd, const struct draft *draft) {
    static union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control;
    struct iovec piece = {.iov_base = (void *) (uintptr_t) draft->data, .iov_len = draft->size};
    struct msghdr msg = {.msg_iov = &piece, .msg_iovlen = 1};
    if (draft->fds_count) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(draft->fds_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        *head = (struct cmsghdr){CMSG_LEN(draft->fds_count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(head), draft->fds, draft->fds_count * sizeof(int));
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
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
    if (frame.head.type == WIRE_HELLO && count)
        open_theirs(peer, fds[0]);
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
    peer->in.head += line_count(size);
    hear(peer, &frame);
    return true;
}

static void read_releases(struct evil_peer *peer) {
    uint64_t handle;
    while (peer->theirs.page && release_read(&peer->releases_in, &handle))
        demand(handle != 0, "a release of nothing");
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
