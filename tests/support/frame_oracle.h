/* SPDX-License-Identifier: MIT */
/*
 * A second statement of the promises of wire/frame.h, for the unit test and the fuzzer: the properties of every decoded
 * frame, for any input bytes. It shares no code with the decoder but the struct definitions. Pure functions; frames and
 * datagrams are borrowed.
 */
#ifndef TESTS_SUPPORT_FRAME_ORACLE_H
#define TESTS_SUPPORT_FRAME_ORACLE_H

#include "wire/frame.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The largest datagram that a decoder accepts. */
#define FRAME_MAX (WIRE_MESSAGE_SIZE + WIRE_INLINE_CEILING)

/* Encodes a decoded frame with its payload into `buf` of FRAME_MAX bytes; returns the size. */
static inline size_t frame_encode_again(const struct wire_frame *frame, uint8_t *buf) {
    const struct wire_message *message = &frame->message;
    size_t size;

    switch ((enum wire_type) frame->head.type) {
    case WIRE_HELLO:
        return wire_encode_hello(buf, &frame->hello);
    case WIRE_GOODBYE: {
        char text[WIRE_TEXT_MAX + 1] = "";
        memcpy(text, frame->goodbye.text, frame->goodbye.text_size);
        return wire_encode_goodbye(buf, frame->goodbye.reason, text);
    }
    case WIRE_RELEASE:
        return wire_encode_release(buf, frame->release.handles, frame->release.count);
    case WIRE_CANCEL:
        return wire_encode_cancel(buf, frame->head.id);
    case WIRE_DOORBELL:
        return wire_encode_doorbell(buf);
    case WIRE_ARENA:
        return wire_encode_arena(buf, &frame->arena);
    case WIRE_RETIRE:
        return wire_encode_retire(buf, frame->retire.id);
    case WIRE_RING:
        return wire_encode_ring(buf, &frame->ring);
    case WIRE_MARK:
        break;
    case WIRE_CALL:
    case WIRE_ONEWAY:
    case WIRE_REPLY:
        size = wire_encode_message(buf, (enum wire_type) frame->head.type, frame->head.id, message);
        if (message->payload_class == WIRE_CLASS_INLINE) {
            memcpy(buf + size, message->payload, (size_t) message->payload_size);
            size += (size_t) message->payload_size;
        }
        if (message->text_size > 0)
            memcpy(buf + size, message->text, message->text_size);
        return size + message->text_size;
    }
    return 0;
}

/* Returns whether [part, part + part_size) is the end of the datagram. */
static inline bool oracle_is_tail(const void *data, size_t size, const void *part, size_t part_size) {
    return part_size <= size && (const uint8_t *) part == (const uint8_t *) data + (size - part_size);
}

static inline bool oracle_text_is_plain(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned byte = (unsigned char) text[i];
        unsigned next = i + 1 < size ? (unsigned char) text[i + 1] : 0;
        if (byte <= 0x1f || byte == 0x7f || (byte == 0xc2 && (next & 0xe0) == 0x80))
            return false;
    }
    return true;
}

static inline const char *oracle_hello(const void *data, size_t size, const struct wire_hello *hello) {
    if (hello->magic != WIRE_MAGIC || hello->version_max < hello->version_min)
        return "hello: magic or versions";
    if (hello->inline_max > WIRE_INLINE_CEILING || (hello->fds_max == 0 && (hello->accept & WIRE_CLASS_SEALED)))
        return "hello: limits";
    size_t clock = hello->features & 16 ? 16 : 0;
    if (!clock && (hello->clock_epoch || hello->clock_space))
        return "hello: clock";
    if (hello->service_size > WIRE_SERVICE_MAX || size != (size_t) WIRE_HELLO_SIZE + hello->service_size + clock ||
        !oracle_is_tail(data, size - clock, hello->service, hello->service_size))
        return "hello: sizes";
    for (size_t i = 0; i < hello->service_size; i++) {
        if (hello->service[i] <= ' ' || hello->service[i] > '~' || hello->service[i] == '/')
            return "hello: service";
    }
    return NULL;
}

static inline const char *oracle_payload(const struct wire_head *head, const struct wire_message *message) {
    uint64_t size = message->payload_size;
    bool is_plain = head->fds == 0 && message->handle == 0 && message->pages == 0;

    switch (message->payload_class) {
    case 0:
        return is_plain && size == 0 ? NULL : "none";
    case WIRE_CLASS_INLINE:
        return is_plain && size >= 1 && size <= WIRE_INLINE_CEILING && message->payload ? NULL : "inline";
    case WIRE_CLASS_POOLED:
        return head->fds == 0 && message->handle != 0 && message->pages == 0 && size >= 1 && size <= WIRE_BLOCK_CEILING
                   ? NULL
                   : "pooled";
    case WIRE_CLASS_SEALED:
        return head->fds == 1 && message->handle != 0 && message->pages <= 2 && size >= 1 && size <= WIRE_BLOCK_CEILING
                   ? NULL
                   : "sealed";
    default:
        return "unknown class";
    }
}

static inline const char *oracle_message(const void *data, size_t size, const struct wire_head *head,
                                         const struct wire_message *message) {
    size_t inlined = message->payload_class == WIRE_CLASS_INLINE ? (size_t) message->payload_size : 0;

    if (oracle_payload(head, message))
        return oracle_payload(head, message);
    if (head->type != WIRE_CALL && message->deadline != 0)
        return "message: deadline";
    if (head->type == WIRE_REPLY ? message->method != 0 : message->status != 0)
        return "message: method or status";
    if (message->status > 0 || message->status < -4095)
        return "message: status";
    if (message->status == 0 ? message->text_size != 0 : message->payload_class != 0)
        return "message: text or payload";
    if (message->text_size > WIRE_TEXT_MAX || size != WIRE_MESSAGE_SIZE + inlined + message->text_size)
        return "message: sizes";
    if (!oracle_is_tail(data, size, message->text, message->text_size))
        return "message: text";
    if (inlined > 0 && !oracle_is_tail(data, size, message->payload, inlined))
        return "message: payload";
    return oracle_text_is_plain(message->text, message->text_size) ? NULL : "message: control characters";
}

static inline const char *oracle_goodbye(const void *data, size_t size, const struct wire_goodbye *goodbye) {
    if (goodbye->reason > 0 || goodbye->reason < -4095)
        return "goodbye: reason";
    if (goodbye->text_size > WIRE_TEXT_MAX || size != (size_t) WIRE_GOODBYE_SIZE + goodbye->text_size ||
        !oracle_is_tail(data, size, goodbye->text, goodbye->text_size))
        return "goodbye: sizes";
    return oracle_text_is_plain(goodbye->text, goodbye->text_size) ? NULL : "goodbye: control characters";
}

static inline const char *oracle_release(size_t size, const struct wire_release *release) {
    if (release->count == 0 || release->count > WIRE_RELEASES_MAX || size != WIRE_RELEASE_SIZE + 8 * release->count)
        return "release: sizes";
    for (uint32_t i = 0; i < release->count; i++) {
        if (release->handles[i] == 0)
            return "release: no handle";
    }
    return NULL;
}

static inline const char *oracle_arena(const struct wire_arena *arena) {
    if (arena->id < 1 || arena->id > WIRE_ARENA_MAX)
        return "arena: id";
    if (arena->count < 1 || arena->count > 1u << 24)
        return "arena: count";
    if (arena->stride == 0 || arena->stride % 64 != 0 || arena->size > WIRE_BLOCK_CEILING)
        return "arena: stride or size";
    return arena->stride > arena->size / arena->count ? "arena: blocks beyond its end" : NULL;
}

static inline const char *oracle_ring(const struct wire_ring *ring) {
    bool is_power = ring->count != 0 && (ring->count & (ring->count - 1)) == 0;
    if (ring->kind == WIRE_RING_FRAMES)
        return is_power && ring->count <= 16384 && ring->from == 0 ? NULL : "ring: frames";
    return ring->kind == WIRE_RING_RELEASES && is_power && ring->count <= 65536 ? NULL : "ring: releases";
}

/* Returns the promise that the frame breaks which wire_decode() made of [data, data + size), or NULL if it breaks
 * none. */
static inline const char *oracle_violation(const void *data, size_t size, const struct wire_frame *frame) {
    const struct wire_head *head = &frame->head;

    if (head->size != size)
        return "head: size";
    switch ((enum wire_type) head->type) {
    case WIRE_CALL:
    case WIRE_REPLY:
        return oracle_message(data, size, head, &frame->message);
    case WIRE_ONEWAY:
        return head->id == 0 ? oracle_message(data, size, head, &frame->message) : "oneway: id";
    case WIRE_CANCEL:
        return head->fds == 0 && size == WIRE_CANCEL_SIZE ? NULL : "cancel";
    case WIRE_HELLO:
        if (head->fds != ((frame->hello.features & WIRE_FEATURE_OUTBOX) != 0))
            return "hello: descriptors";
        return head->id == 0 ? oracle_hello(data, size, &frame->hello) : "hello: head";
    case WIRE_DOORBELL:
        return head->fds == 0 && head->id == 0 && size == WIRE_DOORBELL_SIZE ? NULL : "doorbell";
    case WIRE_ARENA:
        return head->fds == 1 && head->id == 0 && size == WIRE_ARENA_SIZE ? oracle_arena(&frame->arena) : "arena: head";
    case WIRE_RETIRE:
        if (head->fds != 0 || head->id != 0 || size != WIRE_RETIRE_SIZE)
            return "retire: head";
        return frame->retire.id >= 1 && frame->retire.id <= WIRE_ARENA_MAX ? NULL : "retire: id";
    case WIRE_RING:
        return head->fds == 1 && head->id == 0 && size == WIRE_RING_SIZE ? oracle_ring(&frame->ring) : "ring: head";
    case WIRE_MARK:
        break;
    case WIRE_GOODBYE:
        return head->fds == 0 && head->id == 0 ? oracle_goodbye(data, size, &frame->goodbye) : "goodbye: head";
    case WIRE_RELEASE:
        return head->fds == 0 && head->id == 0 ? oracle_release(size, &frame->release) : "release: head";
    }
    return "head: type";
}

#endif
