/* SPDX-License-Identifier: MIT */
/*
 * The peer's acts, one at a time, chosen by the input's bytes. See evil_peer.h.
 *
 * Most draws give values that an honest peer might send; each act also has some that it would not. Where a byte
 * chooses, 0 is honest.
 */
#include "evil_peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "speaker.h"
#include "wire/handle.h"

/* Sizes in bytes: on each side of the borders of lines, classes and limits. */
static const uint32_t SIZES[] = {0, 5, 32, 33, 88, 89, 200, 256, 257, 500, 872, 873, 1000, 4096, 5000, 66000};

/* The host's methods, a missing one, and a reserved one. */
static const uint32_t METHODS[] = {0, 1, 2, 3, 4, 5, 99, 0xffff0001};

static const uint8_t BYTES[EVIL_DATAGRAM_MAX];

static const struct item *shelf_draw(const struct shelf *shelf, struct input *in) {
    return &shelf->items[draw_below(in, (uint32_t) shelf->count)];
}

static void put_fd(struct draft *draft, int fd) {
    draft->fds[draft->fds_count++] = fd;
}

/* Changes some bytes, and possibly the number of bytes and of descriptors. */
static void spoil(struct draft *draft, struct input *in) {
    uint8_t how = draw(in);
    for (unsigned i = 0; i < how % 4u; i++) {
        size_t at = draw_u16(in) % draft->size;
        draft->data[at] = draw(in);
    }
    if (how & 0x10)
        draft->size += draw(in);
    if (how & 0x20)
        draft->size = draw(in) % (draft->size + 1);
    if (how & 0x40)
        draft->fds_count = 0;
    if (how & 0x80)
        for (unsigned more = draw(in); more > 0 && draft->fds_count < 253; more--)
            put_fd(draft, shelf_draw(&cabinet.others, in)->fd);
}

static void draft_begin(struct draft *draft, size_t size) {
    draft->size = size;
    draft->fds_count = 0;
    draft->pid = 0;
}

/* --- handshakes --- */

enum {
    GREET_NO_OUTBOX = 1,
    GREET_SMALL = 2,
    GREET_FEW_CLASSES = 4,
    GREET_SNAPSHOT = 8,
    GREET_SERVICE = 16,
    GREET_CLOCK = 32,
    GREET_SPEAKER = 64,
    GREET_ODD = 128
};

static struct wire_hello hello_sound(void) {
    return (struct wire_hello){
        .magic = WIRE_MAGIC,
        .version_min = WIRE_VERSION,
        .version_max = WIRE_VERSION,
        .features = WIRE_FEATURE_OUTBOX,
        .accept = WIRE_CLASS_ANY,
        .inline_max = 65536,
        .block_max = (uint64_t) 1 << 30,
        .bytes_max = (uint64_t) 1 << 30,
        .blocks_max = 256,
        .calls_max = 256,
        .fds_max = 1,
        .service = "",
    };
}

static void hello_lessen(struct wire_hello *hello, struct input *in) {
    hello->inline_max = draw_of(in, SIZES);
    hello->block_max = draw_u16(in);
    hello->bytes_max = (uint64_t) draw(in) << 10;
    hello->blocks_max = draw(in);
    hello->calls_max = draw(in) % 8u;
    hello->fds_max = 1;
}

/* Names the clock of another time namespace, or an impossible clock. */
static void hello_name_clock(struct wire_hello *hello, struct input *in) {
    hello->features |= WIRE_FEATURE_CLOCK;
    hello->clock_epoch = (int64_t) draw_u64(in);
    hello->clock_space = draw_u32(in);
}

static void hello_vary(struct wire_hello *hello, uint8_t kind, struct input *in) {
    if (kind & GREET_NO_OUTBOX)
        hello->features = 0;
    if (kind & GREET_SMALL)
        hello_lessen(hello, in);
    if (kind & GREET_FEW_CLASSES)
        hello->accept = draw(in);
    if (kind & GREET_SNAPSHOT)
        hello->features |= WIRE_FEATURE_SNAPSHOT | (draw(in) & WIRE_FEATURE_HUGETLB);
    if (kind & GREET_SERVICE) {
        hello->service = draw(in) & 1 ? "uzz/" : "fuzz";
        hello->service_size = 4;
    }
    if (kind & GREET_CLOCK)
        hello_name_clock(hello, in);
}

/* Sends another descriptor than the outbox, or an outbox with another beginning. */
static void greet_oddly(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    switch (draw_below(in, 4)) {
    case 0:
        spoil(draft, in);
        break;
    case 1:
        if (draft->fds_count)
            draft->fds[0] = shelf_draw(&cabinet.spoiled, in)->fd;
        break;
    case 2:
        if (draft->fds_count)
            draft->fds[0] = shelf_draw(draw(in) & 1 ? &cabinet.arenas : &cabinet.others, in)->fd;
        break;
    default:
        shared32_store((shared32 *) (void *) (peer->own.page + 4 * draw_below(in, 3)), draw_u32(in));
    }
}

void evil_greet(struct evil_peer *peer, uint8_t kind, struct input *in) {
    struct draft *draft = &evil_draft;
    struct wire_hello hello = hello_sound();
    hello_vary(&hello, kind, in);
    draft_begin(draft, wire_encode_hello(draft->data, &hello));
    if (hello.features & WIRE_FEATURE_OUTBOX)
        put_fd(draft, peer->own.fd);
    if (kind & GREET_SPEAKER)
        draft->pid = speaker_begin();
    if (kind & GREET_ODD)
        greet_oddly(peer, in);
    evil_send(peer, draft, false, false);
}

static void act_greet(struct evil_peer *peer, struct input *in) {
    evil_greet(peer, draw(in), in);
}

/* --- frames in the ring, and datagrams --- */

static const enum wire_type MESSAGES[] = {WIRE_CALL, WIRE_ONEWAY, WIRE_REPLY};

static uint64_t deadline_draw(struct input *in) {
    struct timespec now;
    uint8_t kind = draw_below(in, 5);
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
    return kind == 0 ? 0 : kind == 1 ? ns + 1000000 : kind == 2 ? ns + 10000000000u : kind == 3 ? 1 : UINT64_MAX;
}

/* Returns the id that the library's next call will have in a slot that was used before: its answer can be there
 * before the call is. */
static uint64_t next_call_of(const struct evil_peer *peer, struct input *in) {
    uint8_t known = draw(in);
    return known ? known : peer->answered + ((uint64_t) 1 << 32);
}

/* Draws method and status for the type. Returns the id. */
static uint64_t message_draw(struct evil_peer *peer, enum wire_type type, struct wire_message *ret, struct input *in) {
    uint8_t kind = draw(in);
    *ret = (struct wire_message){.method = type == WIRE_REPLY ? 0 : METHODS[kind % 8u]};
    if (type == WIRE_REPLY) {
        ret->status = kind & 0x80 ? -(int) (draw(in) + 1) : 0;
        return kind & 0x40 ? next_call_of(peer, in) : heard_draw(&peer->calls, in);
    }
    if (type == WIRE_ONEWAY)
        return 0;
    if (kind & 0x40)
        ret->deadline = deadline_draw(in);
    uint64_t id = kind & 0x20 ? heard_draw(&peer->own_ids, in) : peer->next_id++;
    heard_add(&peer->own_ids, id);
    return id;
}

static void message_put_inline(struct wire_message *message, uint32_t size, uint32_t most) {
    if (message->status)
        message->text_size = (uint16_t) (size < WIRE_TEXT_MAX ? size : WIRE_TEXT_MAX);
    else if (size)
        message->payload_class = WIRE_CLASS_INLINE;
    message->payload_size = message->payload_class ? (size < most ? size : most) : 0;
}

/* A text contains no zeros. */
static const void *bytes_of(const struct wire_message *message) {
    static char text[WIRE_TEXT_MAX];
    memset(text, 'x', sizeof(text));
    return message->text_size ? (const void *) text : BYTES;
}

static void act_say_inline(struct evil_peer *peer, struct input *in) {
    struct wire_message message;
    uint64_t words[LINE_WORDS];
    enum wire_type type = draw_of(in, MESSAGES);
    uint64_t id = message_draw(peer, type, &message, in);
    message_put_inline(&message, draw_of(in, SIZES), ring_bytes_max(peer->own.lines));
    line_encode(words, type, id, &message);
    evil_say(peer, words, bytes_of(&message), (uint32_t) message.payload_size + message.text_size);
}

/* Sends a payload of an arena: number n lies in arena n of the cabinet when the peer is honest. */
static void act_say_pooled(struct evil_peer *peer, struct input *in) {
    static const uint32_t sizes[] = {1, 64, 300, 4096, 65536, 1 << 20, 8 << 20, 100000};
    struct wire_message message;
    uint64_t words[LINE_WORDS];
    enum wire_type type = draw_of(in, MESSAGES);
    uint64_t id = message_draw(peer, type, &message, in);
    uint8_t where = draw(in);
    uint32_t generation = where & 0x80 ? draw(in) : ++peer->generation;
    message.status = 0;
    message.payload_class = WIRE_CLASS_POOLED;
    message.payload_size = where & 0x40 ? draw_u32(in) : draw_of(in, sizes);
    message.handle = handle_make(1 + where % 8u, where >> 3 & 7, generation);
    line_encode(words, type, id, &message);
    evil_say(peer, words, NULL, 0);
}

static void act_say_cancel(struct evil_peer *peer, struct input *in) {
    uint64_t words[LINE_WORDS];
    line_encode(words, WIRE_CANCEL, heard_draw(&peer->own_ids, in), NULL);
    evil_say(peer, words, NULL, 0);
}

static void act_say_mark(struct evil_peer *peer, struct input *in) {
    evil_say_mark(peer, peer->marks + (uint64_t) (int64_t) (int8_t) draw(in));
}

/* Writes a line with some arbitrary words. */
static void act_say_words(struct evil_peer *peer, struct input *in) {
    uint64_t words[LINE_WORDS];
    struct wire_message message;
    uint64_t id = message_draw(peer, WIRE_CALL, &message, in);
    line_encode(words, WIRE_CALL, id, &message);
    for (unsigned n = 1 + draw_below(in, 3); n > 0; n--) {
        uint8_t at = draw_below(in, 64);
        words[at / 8] = (words[at / 8] & ~((uint64_t) 0xff << at % 8 * 8)) | (uint64_t) draw(in) << at % 8 * 8;
    }
    evil_say(peer, words, BYTES, draw_of(in, SIZES) % 900);
}

static void act_send_inline(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    struct wire_message message;
    enum wire_type type = draw_of(in, MESSAGES);
    uint64_t id = message_draw(peer, type, &message, in);
    message_put_inline(&message, draw_of(in, SIZES), WIRE_INLINE_CEILING);
    draft_begin(draft, wire_encode_message(draft->data, type, id, &message));
    size_t size = message.payload_size + message.text_size;
    memcpy(draft->data + draft->size, bytes_of(&message), size);
    draft->size += size;
    uint8_t odd = draw(in);
    if (odd & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, !(odd & 1), !(odd & 2));
}

static void act_send_sealed(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    struct wire_message message;
    enum wire_type type = draw_of(in, MESSAGES);
    uint64_t id = message_draw(peer, type, &message, in);
    uint8_t odd = draw(in);
    const struct shelf *shelf = odd & 0x40 ? &cabinet.spoiled : odd & 0x20 ? &cabinet.others : &cabinet.sealed;
    const struct item *item = shelf_draw(shelf, in);
    message.status = 0;
    message.payload_class = WIRE_CLASS_SEALED;
    message.payload_size = odd & 0x10 ? draw_u32(in) : item->size;
    message.pages = odd & 8 ? draw_below(in, 4) : item->pages;
    message.handle = odd & 4 ? draw_u64(in) : peer->next_handle++;
    draft_begin(draft, wire_encode_message(draft->data, type, id, &message));
    put_fd(draft, item->fd);
    if (odd & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, !(odd & 1), !(odd & 2));
}

static void act_send_arena(struct evil_peer *peer, struct input *in) {
    static const uint32_t counts[] = {1, 2, 4, 8, 64, 3, 1 << 24, 0};
    struct draft *draft = &evil_draft;
    uint8_t which = draw(in), odd = draw(in);
    const struct item *item =
        odd & 0x40 ? shelf_draw(&cabinet.spoiled, in) : &cabinet.arenas.items[which % 8u % cabinet.arenas.count];
    struct wire_arena arena = {.id = 1 + which % 8u, .count = counts[which >> 3 & 7], .size = item->size};
    arena.count = arena.count ? arena.count : draw_u32(in);
    arena.stride = arena.count ? item->size / arena.count & ~(uint64_t) 63 : 64;
    if (odd & 8)
        arena.stride = draw_u64(in);
    if (odd & 0x10)
        arena.size = draw_u64(in);
    draft_begin(draft, wire_encode_arena(draft->data, &arena));
    put_fd(draft, odd & 0x20 ? shelf_draw(&cabinet.others, in)->fd : item->fd);
    if (odd & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, !(odd & 1), !(odd & 2));
}

static void act_send_retire(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    uint8_t which = draw(in);
    draft_begin(draft, wire_encode_retire(draft->data, 1 + which % 8u));
    if (which & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, true, !(which & 0x40));
}

/* Announces a larger ring, or a descriptor that is none. Unless the ring is sound, the peer goes on writing in the
 * old one: the library then reads the arena's contents as frames. */
static void act_send_ring(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    uint8_t odd = draw(in);
    if (odd & 0x10) {
        evil_grow(peer, odd & 1 ? WIRE_RING_FRAMES : WIRE_RING_RELEASES);
        return;
    }
    const struct wire_ring ring = {
        .kind = odd & 1 ? WIRE_RING_FRAMES : WIRE_RING_RELEASES,
        .count = UINT32_C(1) << draw(in) % 17u,
        .from = odd & 1 ? 0 : (uint32_t) peer->releases_out.tail + (odd & 2 ? (uint32_t) (int8_t) draw(in) : 0)};
    draft_begin(draft, wire_encode_ring(draft->data, &ring));
    put_fd(draft, shelf_draw(odd & 0x20 ? &cabinet.others : &cabinet.arenas, in)->fd);
    if (odd & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, true, !(odd & 0x40));
}

static void act_send_release(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    uint64_t handles[WIRE_RELEASES_MAX];
    uint8_t how = draw(in);
    uint32_t count = 1 + how % WIRE_RELEASES_MAX;
    for (uint32_t i = 0; i < count; i++)
        handles[i] = heard_draw(&peer->handles, in);
    draft_begin(draft, wire_encode_release(draft->data, handles, count));
    if (how & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, true, !(how & 0x40));
}

static void act_send_cancel(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    draft_begin(draft, wire_encode_cancel(draft->data, heard_draw(&peer->own_ids, in)));
    evil_send(peer, draft, true, true);
}

static void act_send_doorbell(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    draft_begin(draft, wire_encode_doorbell(draft->data));
    if (draw(in) & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, false, false);
}

static void act_send_goodbye(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    uint8_t how = draw(in);
    draft_begin(draft, wire_encode_goodbye(draft->data, -(int) (how & 0x7f), how & 1 ? "farewell" : ""));
    if (how & 0x80)
        spoil(draft, in);
    evil_send(peer, draft, false, false);
}

/* Sends bytes that are no frame. */
static void act_send_noise(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    draft_begin(draft, 1 + draw(in));
    for (size_t i = 0; i < draft->size; i++)
        draft->data[i] = i < 32 ? draw(in) : 0;
    evil_send(peer, draft, !(draw(in) & 1), true);
}

/* Sends so many datagrams that the socket, or the turn, is full. */
static void act_send_many(struct evil_peer *peer, struct input *in) {
    struct draft *draft = &evil_draft;
    struct wire_message message = {.method = draw_of(in, METHODS)};
    unsigned count = draw(in);
    uint32_t size = draw_of(in, SIZES);
    message_put_inline(&message, size, WIRE_INLINE_CEILING);
    draft_begin(draft, wire_encode_message(draft->data, WIRE_ONEWAY, 0, &message));
    memset(draft->data + draft->size, 0, message.payload_size);
    draft->size += message.payload_size;
    while (count--)
        evil_send(peer, draft, true, true);
}

/* Sends one call again and again. */
static void act_say_many(struct evil_peer *peer, struct input *in) {
    struct wire_message message = {.method = draw_of(in, METHODS)};
    uint64_t words[LINE_WORDS];
    for (unsigned count = draw_below(in, 70); count > 0; count--) {
        line_encode(words, WIRE_CALL, peer->next_id++, &message);
        evil_say(peer, words, NULL, 0);
    }
}

/* Names one large payload again and again: for a side that copies, each is a copy. */
static void act_say_pooled_many(struct evil_peer *peer, struct input *in) {
    struct wire_message message = {.method = draw_of(in, METHODS), .payload_class = WIRE_CLASS_POOLED};
    uint64_t words[LINE_WORDS];
    uint32_t arena = 1 + draw_below(in, 8);
    message.payload_size = (uint64_t) 1 << draw_below(in, 24);
    for (unsigned count = draw_below(in, 70); count > 0; count--) {
        message.handle = handle_make(arena, 0, ++peer->generation);
        line_encode(words, WIRE_CALL, peer->next_id++, &message);
        evil_say(peer, words, NULL, 0);
    }
}

/* --- words of its outbox --- */

static void act_sleep(struct evil_peer *peer, struct input *in) {
    shared32_store((shared32 *) (void *) (peer->own.page + 64), draw(in));
}

static void act_write_word(struct evil_peer *peer, struct input *in) {
    size_t at = draw_u16(in) % peer->own.size & ~(size_t) 3;
    shared32_store((shared32 *) (void *) (peer->own.page + at), draw_u32(in));
}

static void act_move_cursor(struct evil_peer *peer, struct input *in) {
    shared32_store((shared32 *) (void *) (peer->own.page + 128),
                   (uint32_t) peer->in.head + (uint32_t) (int8_t) draw(in));
}

/* Writes the tags of many lines at once: every line counts as a frame then. */
static void act_write_tags(struct evil_peer *peer, struct input *in) {
    struct line *lines = (struct line *) (void *) (peer->own.page + 1024);
    uint32_t tag = draw(in), type = draw(in), count = draw_below(in, 64);
    for (uint32_t i = 0; i < count; i++)
        shared64_store(&lines[i].words[0], (uint64_t) type << 32 | tag);
}

static void act_give_back(struct evil_peer *peer, struct input *in) {
    evil_give_back(peer, heard_draw(&peer->handles, in));
}

static void act_give_back_all(struct evil_peer *peer, struct input *in) {
    (void) in;
    for (int i = 0; i < EVIL_HEARD; i++)
        if (peer->handles.numbers[i])
            evil_give_back(peer, peer->handles.numbers[i]);
    peer->handles = (struct heard){.count = 0};
}

/* Writes into an arena, while the library may be reading it. */
static void act_scribble(struct evil_peer *peer, struct input *in) {
    (void) peer;
    const struct item *item = shelf_draw(&cabinet.arenas, in);
    if (item->data)
        item->data[draw_u16(in) % item->size] = draw(in);
}

/* --- other acts --- */

static void act_read(struct evil_peer *peer, struct input *in) {
    uint8_t how = draw(in);
    evil_read(peer, how & 0x80 ? 1 : 64, !(how & 0x40));
}

static void act_answer_all(struct evil_peer *peer, struct input *in) {
    struct wire_message message = {.status = draw(in) & 0x80 ? -EDQUOT : 0};
    uint64_t words[LINE_WORDS];
    evil_read(peer, 64, true);
    for (int i = 0; i < EVIL_HEARD; i++) {
        if (!peer->calls.numbers[i])
            continue;
        line_encode(words, WIRE_REPLY, peer->calls.numbers[i], &message);
        evil_say(peer, words, NULL, 0);
        peer->answered = peer->calls.numbers[i];
        peer->calls.numbers[i] = 0;
    }
}

static void act_shut_down(struct evil_peer *peer, struct input *in) {
    static const int hows[] = {SHUT_WR, SHUT_RD, SHUT_RDWR};
    uint8_t how = peer->fd >= 0 ? draw(in) : 0;
    if (how & 0x80)
        speaker_end();
    else if (peer->fd >= 0)
        shutdown(peer->fd, hows[how % 3]);
}

static void act_hang_up(struct evil_peer *peer, struct input *in) {
    (void) in;
    evil_end(peer);
}

void evil_act(struct evil_peer *peer, struct input *in) {
    static void (*const acts[])(struct evil_peer *, struct input *) = {
        act_read,          act_say_inline, act_say_pooled, act_send_sealed,     act_send_arena,   act_answer_all,
        act_give_back_all, act_send_ring,  act_say_cancel, act_send_inline,     act_send_retire,  act_give_back,
        act_say_mark,      act_say_words,  act_sleep,      act_move_cursor,     act_write_word,   act_write_tags,
        act_send_cancel,   act_send_many,  act_say_many,   act_say_pooled_many, act_send_release, act_send_doorbell,
        act_send_goodbye,  act_send_noise, act_scribble,   act_greet,           act_shut_down,    act_hang_up,
    };
    uint8_t which = draw_below(in, sizeof(acts) / sizeof(*acts));
    acts[which](peer, in);
}
