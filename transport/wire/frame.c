/* SPDX-License-Identifier: MIT */
/*
 * Frames, byte by byte, as wire/frame.h describes them.
 *
 * This file checks the properties of one frame alone. The lane and rpc check the ones that depend on the connection:
 * whether this class was negotiated, this call is in flight, this handle is on lease, the descriptor arrived.
 *
 * Invariant: of every datagram that wire_decode() accepts, the encoders make equal bytes again. The fuzzer and the unit
 * test check it, so no field is left unchecked and unreturned.
 */
#include "wire/frame.h"

#include <assert.h>
#include <string.h>

/* The properties of each type that the head alone determines. */
struct shape {
    uint16_t fixed; /* bytes of the fixed part, head included; 0: the type is unknown */
    bool has_id;
    bool has_fds;
};

static const struct shape shapes[] = {
    [WIRE_HELLO] = {WIRE_HELLO_SIZE, false, true},   [WIRE_GOODBYE] = {WIRE_GOODBYE_SIZE, false, false},
    [WIRE_CALL] = {WIRE_MESSAGE_SIZE, true, true},   [WIRE_ONEWAY] = {WIRE_MESSAGE_SIZE, false, true},
    [WIRE_REPLY] = {WIRE_MESSAGE_SIZE, true, true},  [WIRE_RELEASE] = {WIRE_RELEASE_SIZE, false, false},
    [WIRE_CANCEL] = {WIRE_CANCEL_SIZE, true, false}, [WIRE_DOORBELL] = {WIRE_DOORBELL_SIZE, false, false},
    [WIRE_ARENA] = {WIRE_ARENA_SIZE, false, true},   [WIRE_RETIRE] = {WIRE_RETIRE_SIZE, false, false},
    [WIRE_RING] = {WIRE_RING_SIZE, false, true},
};

static uint16_t get16(const uint8_t *p) {
    return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p) {
    return get16(p) | (uint32_t) get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p) {
    return get32(p) | (uint64_t) get32(p + 4) << 32;
}

/* Two's complement, without the implementation-defined conversion. */
static int32_t get32_signed(const uint8_t *p) {
    uint32_t bits = get32(p);
    return bits <= INT32_MAX ? (int32_t) bits : -(int32_t) (UINT32_MAX - bits) - 1;
}

static int64_t get64_signed(const uint8_t *p) {
    uint64_t bits = get64(p);
    return bits <= INT64_MAX ? (int64_t) bits : -(int64_t) (UINT64_MAX - bits) - 1;
}

static void put16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t) (value & 0xff);
    p[1] = (uint8_t) (value >> 8);
}

static void put32(uint8_t *p, uint32_t value) {
    put16(p, (uint16_t) (value & 0xffff));
    put16(p + 2, (uint16_t) (value >> 16));
}

static void put64(uint8_t *p, uint64_t value) {
    put32(p, (uint32_t) (value & 0xffffffff));
    put32(p + 4, (uint32_t) (value >> 32));
}

static bool service_is_valid(const uint8_t *p, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (p[i] < 0x21 || p[i] > 0x7e || p[i] == '/')
            return false;
    }
    return true;
}

/* Could a terminal take this byte for a command? C0, DEL, and C1 as UTF-8 writes it (c2 80 to c2 9f). */
static bool byte_is_control(uint8_t before, uint8_t byte) {
    return byte < 0x20 || byte == 0x7f || (before == 0xc2 && byte >= 0x80 && byte <= 0x9f);
}

static bool text_is_valid(const uint8_t *p, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (byte_is_control(i > 0 ? p[i - 1] : 0, p[i]))
            return false;
    }
    return true;
}

static bool status_is_valid(int32_t status) {
    return status <= 0 && status >= WIRE_STATUS_LEAST;
}

static const char *head_decode(const uint8_t *p, size_t size, struct wire_head *ret) {
    if (size < WIRE_HEAD_SIZE)
        return "shorter than a frame's head";

    ret->type = p[0];
    ret->fds = p[1];
    ret->size = get32(p + 4);
    ret->id = get64(p + 8);

    if (ret->type >= sizeof(shapes) / sizeof(shapes[0]) || shapes[ret->type].fixed == 0)
        return "unknown frame type";
    if (get16(p + 2) != 0)
        return "reserved bytes of the head are not zero";
    if (ret->size != size)
        return "the frame's size is not the datagram's";
    if (size < shapes[ret->type].fixed)
        return "shorter than its type's fixed part";
    if (ret->fds != 0 && !shapes[ret->type].has_fds)
        return "descriptors with a frame that takes none";
    if (ret->id != 0 && !shapes[ret->type].has_id)
        return "an id where there is no call";
    return NULL;
}

static size_t clock_size(const struct wire_hello *hello) {
    return hello->features & WIRE_FEATURE_CLOCK ? WIRE_CLOCK_SIZE : 0;
}

static void clock_decode(const uint8_t *p, struct wire_hello *ret) {
    bool has_clock = clock_size(ret) != 0;
    ret->clock_epoch = has_clock ? get64_signed(p) : 0;
    ret->clock_space = has_clock ? get64(p + 8) : 0;
}

static const char *hello_decode(const uint8_t *p, size_t size, const struct wire_head *head, struct wire_hello *ret) {
    ret->magic = get32(p + 16);
    ret->version_min = get16(p + 20);
    ret->version_max = get16(p + 22);
    ret->features = get64(p + 24);
    ret->accept = get32(p + 32);
    ret->inline_max = get32(p + 36);
    ret->block_max = get64(p + 40);
    ret->bytes_max = get64(p + 48);
    ret->blocks_max = get32(p + 56);
    ret->calls_max = get32(p + 60);
    ret->fds_max = get32(p + 64);
    ret->service_size = p[68];
    ret->service = (const char *) p + WIRE_HELLO_SIZE;

    if (ret->magic != WIRE_MAGIC)
        return "HELLO without the magic";
    if (ret->version_min > ret->version_max)
        return "HELLO with an empty range of versions";
    if (ret->inline_max > WIRE_INLINE_CEILING)
        return "HELLO with an inline limit above the protocol's";
    if ((ret->accept & WIRE_CLASS_SEALED) != 0 && ret->fds_max == 0)
        return "HELLO that takes sealed payloads but no descriptors";
    if (head->fds != ((ret->features & WIRE_FEATURE_OUTBOX) != 0 ? 1 : 0))
        return "the number of descriptors does not fit the HELLO's features";
    if ((p[69] | p[70] | p[71]) != 0)
        return "reserved bytes of a HELLO are not zero";
    if (ret->service_size > WIRE_SERVICE_MAX)
        return "HELLO with a service name that is too long";
    if (size - WIRE_HELLO_SIZE != ret->service_size + clock_size(ret))
        return "HELLO whose sizes do not add up";
    clock_decode(p + WIRE_HELLO_SIZE + ret->service_size, ret);
    if (!service_is_valid(p + WIRE_HELLO_SIZE, ret->service_size))
        return "HELLO with a service name of forbidden characters";
    return NULL;
}

/* Which fields may be set in which type of message. */
static const char *message_check_type(enum wire_type type, const struct wire_message *message) {
    if (message->method != 0 && type == WIRE_REPLY)
        return "REPLY with a method";
    if (message->deadline != 0 && type != WIRE_CALL)
        return "a deadline where nobody waits";
    if (message->status != 0 && type != WIRE_REPLY)
        return "a status where nothing is answered";
    if (message->status > 0 || message->status < WIRE_STATUS_LEAST)
        return "REPLY with a status that is no errno value";
    if (message->text_size != 0 && message->status == 0)
        return "a text without an error";
    if (message->payload_class != 0 && message->status != 0)
        return "REPLY with both an error and a payload";
    return NULL;
}

/* Checks the other fields against the payload's class. */
static const char *message_check_payload(const struct wire_head *head, const struct wire_message *message) {
    uint8_t class = message->payload_class;
    bool is_sealed = class == WIRE_CLASS_SEALED, is_block = is_sealed || class == WIRE_CLASS_POOLED;

    if (class != 0 && class != WIRE_CLASS_INLINE && !is_block)
        return "unknown payload class";
    if (message->pages > WIRE_PAGES_PADDED)
        return "unknown pages";
    if (message->pages != WIRE_PAGES_EXACT && !is_sealed)
        return "pages are named of what has none of its own";
    if (head->fds != (is_sealed ? 1 : 0))
        return "the number of descriptors does not fit the payload's class";
    if ((message->handle != 0) != is_block)
        return is_block ? "a block without a handle" : "a handle without a block";
    if ((message->payload_size != 0) != (class != 0))
        return class != 0 ? "an empty payload with a class" : "a payload without a class";
    if (class == WIRE_CLASS_INLINE && message->payload_size > WIRE_INLINE_CEILING)
        return "an inline payload above the protocol's limit";
    if (is_block && message->payload_size > WIRE_BLOCK_CEILING)
        return "a block above the protocol's limit";
    return NULL;
}

const char *wire_check_message(const struct wire_head *head, const struct wire_message *message) {
    const char *wrong = message_check_type((enum wire_type) head->type, message);
    if (!wrong)
        wrong = message_check_payload(head, message);
    if (!wrong && message->text_size > WIRE_TEXT_MAX)
        wrong = "a text that is too long";
    return wrong;
}

bool wire_text_is_clean(const char *text, size_t size) {
    return text_is_valid((const uint8_t *) text, size);
}

static const char *message_decode(const uint8_t *p, size_t size, const struct wire_head *head,
                                  struct wire_message *ret) {
    ret->method = get32(p + 16);
    ret->status = get32_signed(p + 20);
    ret->deadline = get64(p + 24);
    ret->handle = get64(p + 32);
    ret->payload_size = get64(p + 40);
    ret->payload_class = p[48];
    ret->pages = p[49];
    ret->text_size = get16(p + 52);

    if ((get16(p + 50) | get16(p + 54)) != 0)
        return "reserved bytes of a message are not zero";
    const char *wrong = wire_check_message(head, ret);
    if (wrong)
        return wrong;

    size_t inlined = ret->payload_class == WIRE_CLASS_INLINE ? (size_t) ret->payload_size : 0;
    if (size - WIRE_MESSAGE_SIZE != inlined + ret->text_size)
        return "a message whose sizes do not add up";
    ret->payload = inlined != 0 ? p + WIRE_MESSAGE_SIZE : NULL;
    ret->text = (const char *) p + WIRE_MESSAGE_SIZE + inlined;
    if (!text_is_valid(p + WIRE_MESSAGE_SIZE + inlined, ret->text_size))
        return "a text with control characters";
    return NULL;
}

static const char *goodbye_decode(const uint8_t *p, size_t size, struct wire_goodbye *ret) {
    ret->reason = get32_signed(p + 16);
    ret->text_size = get16(p + 20);
    ret->text = (const char *) p + WIRE_GOODBYE_SIZE;

    if (get16(p + 22) != 0)
        return "reserved bytes of a GOODBYE are not zero";
    if (!status_is_valid(ret->reason))
        return "GOODBYE with a reason that is no errno value";
    if (ret->text_size > WIRE_TEXT_MAX)
        return "a text that is too long";
    if (size - WIRE_GOODBYE_SIZE != ret->text_size)
        return "GOODBYE whose sizes do not add up";
    if (!text_is_valid(p + WIRE_GOODBYE_SIZE, ret->text_size))
        return "a text with control characters";
    return NULL;
}

static const char *release_decode(const uint8_t *p, size_t size, struct wire_release *ret) {
    ret->count = get32(p + 16);

    if (get32(p + 20) != 0)
        return "reserved bytes of a RELEASE are not zero";
    if (ret->count < 1 || ret->count > WIRE_RELEASES_MAX)
        return "RELEASE with a count out of range";
    if (size - WIRE_RELEASE_SIZE != 8 * (size_t) ret->count)
        return "RELEASE whose sizes do not add up";
    for (uint32_t i = 0; i < ret->count; i++) {
        ret->handles[i] = get64(p + WIRE_RELEASE_SIZE + 8 * i);
        if (ret->handles[i] == 0)
            return "RELEASE of no handle";
    }
    return NULL;
}

static const char *arena_decode(const uint8_t *p, size_t size, const struct wire_head *head, struct wire_arena *ret) {
    ret->id = get32(p + 16);
    ret->count = get32(p + 20);
    ret->stride = get64(p + 24);
    ret->size = get64(p + 32);

    if (size != WIRE_ARENA_SIZE)
        return "ARENA whose sizes do not add up";
    if (head->fds != 1)
        return "ARENA without its descriptor";
    if (ret->id < 1 || ret->id > WIRE_ARENA_MAX)
        return "ARENA with an id out of range";
    if (ret->count < 1 || ret->count > WIRE_ARENA_BLOCKS_MAX)
        return "ARENA with a count out of range";
    if (ret->size > WIRE_BLOCK_CEILING)
        return "ARENA above the protocol's limit";
    if (ret->stride == 0 || ret->stride % 64 != 0 || ret->stride > ret->size / ret->count)
        return "ARENA with a stride out of range";
    return NULL;
}

static const char *retire_decode(const uint8_t *p, size_t size, struct wire_retire *ret) {
    ret->id = get32(p + 16);

    if (size != WIRE_RETIRE_SIZE)
        return "RETIRE whose sizes do not add up";
    if (get32(p + 20) != 0)
        return "reserved bytes of a RETIRE are not zero";
    if (ret->id < 1 || ret->id > WIRE_ARENA_MAX)
        return "RETIRE with an id out of range";
    return NULL;
}

static const char *ring_decode(const uint8_t *p, size_t size, const struct wire_head *head, struct wire_ring *ret) {
    ret->kind = get32(p + 16);
    ret->count = get32(p + 20);
    ret->from = get32(p + 24);

    uint32_t most = ret->kind == WIRE_RING_FRAMES ? WIRE_RING_LINES_MAX : WIRE_RING_RELEASES_MAX;
    if (size != WIRE_RING_SIZE)
        return "RING whose sizes do not add up";
    if (head->fds != 1)
        return "RING without its descriptor";
    if (ret->kind != WIRE_RING_FRAMES && ret->kind != WIRE_RING_RELEASES)
        return "RING of an unknown kind";
    if (ret->count == 0 || ret->count > most || (ret->count & (ret->count - 1)) != 0)
        return "RING with a count out of range";
    if (ret->from != 0 && ret->kind == WIRE_RING_FRAMES)
        return "RING of frames with a number";
    if (get32(p + 28) != 0)
        return "reserved bytes of a RING are not zero";
    return NULL;
}

const char *wire_decode(const void *data, size_t size, struct wire_frame *ret) {
    const char *wrong = head_decode(data, size, &ret->head);
    if (wrong)
        return wrong;

    switch ((enum wire_type) ret->head.type) {
    case WIRE_HELLO:
        return hello_decode(data, size, &ret->head, &ret->hello);
    case WIRE_GOODBYE:
        return goodbye_decode(data, size, &ret->goodbye);
    case WIRE_CALL:
    case WIRE_ONEWAY:
    case WIRE_REPLY:
        return message_decode(data, size, &ret->head, &ret->message);
    case WIRE_RELEASE:
        return release_decode(data, size, &ret->release);
    case WIRE_CANCEL:
        return size == WIRE_CANCEL_SIZE ? NULL : "CANCEL whose sizes do not add up";
    case WIRE_DOORBELL:
        return size == WIRE_DOORBELL_SIZE ? NULL : "DOORBELL whose sizes do not add up";
    case WIRE_ARENA:
        return arena_decode(data, size, &ret->head, &ret->arena);
    case WIRE_RETIRE:
        return retire_decode(data, size, &ret->retire);
    case WIRE_RING:
        return ring_decode(data, size, &ret->head, &ret->ring);
    case WIRE_MARK:
        break;
    }
    return "unknown frame type";
}

static size_t head_encode(uint8_t *p, enum wire_type type, uint8_t fds, uint64_t id, size_t size) {
    p[0] = (uint8_t) type;
    p[1] = fds;
    put16(p + 2, 0);
    put32(p + 4, (uint32_t) size);
    put64(p + 8, id);
    return size;
}

size_t wire_encode_hello(uint8_t buf[WIRE_HELLO_MOST], const struct wire_hello *hello) {
    assert(hello->service_size <= WIRE_SERVICE_MAX);

    put32(buf + 16, hello->magic);
    put16(buf + 20, hello->version_min);
    put16(buf + 22, hello->version_max);
    put64(buf + 24, hello->features);
    put32(buf + 32, hello->accept);
    put32(buf + 36, hello->inline_max);
    put64(buf + 40, hello->block_max);
    put64(buf + 48, hello->bytes_max);
    put32(buf + 56, hello->blocks_max);
    put32(buf + 60, hello->calls_max);
    put32(buf + 64, hello->fds_max);
    put32(buf + 68, hello->service_size);
    if (hello->service_size > 0)
        memcpy(buf + WIRE_HELLO_SIZE, hello->service, hello->service_size);
    if (clock_size(hello) > 0) {
        put64(buf + WIRE_HELLO_SIZE + hello->service_size, (uint64_t) hello->clock_epoch);
        put64(buf + WIRE_HELLO_SIZE + hello->service_size + 8, hello->clock_space);
    }
    return head_encode(buf, WIRE_HELLO, (hello->features & WIRE_FEATURE_OUTBOX) != 0, 0,
                       WIRE_HELLO_SIZE + hello->service_size + clock_size(hello));
}

size_t wire_encode_message(uint8_t buf[WIRE_MESSAGE_SIZE], enum wire_type type, uint64_t id,
                           const struct wire_message *message) {
    size_t inlined = message->payload_class == WIRE_CLASS_INLINE ? (size_t) message->payload_size : 0;
    assert(inlined <= WIRE_INLINE_CEILING && message->text_size <= WIRE_TEXT_MAX);

    put32(buf + 16, message->method);
    put32(buf + 20, (uint32_t) message->status);
    put64(buf + 24, message->deadline);
    put64(buf + 32, message->handle);
    put64(buf + 40, message->payload_size);
    buf[48] = message->payload_class;
    buf[49] = message->pages;
    put16(buf + 50, 0);
    put16(buf + 52, message->text_size);
    put16(buf + 54, 0);
    head_encode(buf, type, message->payload_class == WIRE_CLASS_SEALED, id,
                WIRE_MESSAGE_SIZE + inlined + message->text_size);
    return WIRE_MESSAGE_SIZE;
}

/* Bytes of `text` to send: whole, or as many as fit without cutting a UTF-8 character in two. */
static size_t text_fitting(const char *text) {
    size_t size = strnlen(text, WIRE_TEXT_MAX + 1);
    if (size <= WIRE_TEXT_MAX)
        return size;
    size = WIRE_TEXT_MAX;
    while (size > WIRE_TEXT_MAX - 3 && ((uint8_t) text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

size_t wire_text_clean(char buf[WIRE_TEXT_MAX], const char *text) {
    size_t size = text ? text_fitting(text) : 0;
    uint8_t before = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t) text[i];
        buf[i] = byte_is_control(before, byte) ? '?' : text[i];
        before = byte;
    }
    return size;
}

size_t wire_encode_goodbye(uint8_t buf[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX], int reason, const char *text) {
    assert(status_is_valid(reason));

    size_t text_size = wire_text_clean((char *) buf + WIRE_GOODBYE_SIZE, text);
    put32(buf + 16, (uint32_t) reason);
    put16(buf + 20, (uint16_t) text_size);
    put16(buf + 22, 0);
    return head_encode(buf, WIRE_GOODBYE, 0, 0, WIRE_GOODBYE_SIZE + text_size);
}

size_t wire_encode_release(uint8_t buf[WIRE_RELEASE_SIZE + 8 * WIRE_RELEASES_MAX], const uint64_t *handles,
                           uint32_t count) {
    assert(count >= 1 && count <= WIRE_RELEASES_MAX);

    put32(buf + 16, count);
    put32(buf + 20, 0);
    for (uint32_t i = 0; i < count; i++)
        put64(buf + WIRE_RELEASE_SIZE + 8 * i, handles[i]);
    return head_encode(buf, WIRE_RELEASE, 0, 0, WIRE_RELEASE_SIZE + 8 * (size_t) count);
}

size_t wire_encode_cancel(uint8_t buf[WIRE_CANCEL_SIZE], uint64_t id) {
    return head_encode(buf, WIRE_CANCEL, 0, id, WIRE_CANCEL_SIZE);
}

size_t wire_encode_doorbell(uint8_t buf[WIRE_DOORBELL_SIZE]) {
    return head_encode(buf, WIRE_DOORBELL, 0, 0, WIRE_DOORBELL_SIZE);
}

size_t wire_encode_arena(uint8_t buf[WIRE_ARENA_SIZE], const struct wire_arena *arena) {
    put32(buf + 16, arena->id);
    put32(buf + 20, arena->count);
    put64(buf + 24, arena->stride);
    put64(buf + 32, arena->size);
    return head_encode(buf, WIRE_ARENA, 1, 0, WIRE_ARENA_SIZE);
}

size_t wire_encode_retire(uint8_t buf[WIRE_RETIRE_SIZE], uint32_t id) {
    put32(buf + 16, id);
    put32(buf + 20, 0);
    return head_encode(buf, WIRE_RETIRE, 0, 0, WIRE_RETIRE_SIZE);
}

size_t wire_encode_ring(uint8_t buf[WIRE_RING_SIZE], const struct wire_ring *ring) {
    put32(buf + 16, ring->kind);
    put32(buf + 20, ring->count);
    put32(buf + 24, ring->from);
    put32(buf + 28, 0);
    return head_encode(buf, WIRE_RING, 1, 0, WIRE_RING_SIZE);
}
