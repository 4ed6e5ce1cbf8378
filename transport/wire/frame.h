/* SPDX-License-Identifier: MIT */
/*
 * The layouts of everything that crosses a connection's socket: encode, decode, validate. Pure
 * functions: no allocation, no system call, no state. doc/PROTOCOL.md is their specification.
 *
 * All integers are little-endian, signed ones in two's complement; they are read and written byte by
 * byte: no alignment is assumed. A decoder reads each integer of its input once, checks everything that can be
 * checked without a connection's state, and names what was wrong. Reserved bytes are zero, and are
 * checked. The input lies in private memory: it was received, never shared.
 *
 * Owns: nothing. A decoded frame borrows its datagram; an encoder fills the caller's buffer. Threads: any.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x4c414553u /* "SEAL" */
#define WIRE_VERSION 1
#define WIRE_HEAD_SIZE 16
#define WIRE_HELLO_SIZE 72   /* head included, service name and clock excluded */
#define WIRE_MESSAGE_SIZE 56 /* head included; then payload (inline only), then text (replies only) */
#define WIRE_GOODBYE_SIZE 24 /* head included; then text */
#define WIRE_RELEASE_SIZE 24 /* head included; then 8 bytes a handle */
#define WIRE_CANCEL_SIZE 16
#define WIRE_DOORBELL_SIZE 16
#define WIRE_ARENA_SIZE 40
#define WIRE_RETIRE_SIZE 24
#define WIRE_RING_SIZE 32
#define WIRE_SERVICE_MAX 63 /* bytes */
#define WIRE_CLOCK_SIZE 16  /* behind the service name of a HELLO with the feature CLOCK */
#define WIRE_HELLO_MOST (WIRE_HELLO_SIZE + WIRE_SERVICE_MAX + WIRE_CLOCK_SIZE)
#define WIRE_TEXT_MAX 255
#define WIRE_STATUS_LEAST (-4095)              /* the kernel's MAX_ERRNO: no errno value is larger */
#define WIRE_RELEASES_MAX 64                   /* handles in one frame */
#define WIRE_INLINE_CEILING (1u << 17)         /* no side may announce more */
#define WIRE_ARENA_MAX 65535                   /* largest id of an arena */
#define WIRE_ARENA_BLOCKS_MAX (1u << 24)       /* blocks of one: what a handle can name */
#define WIRE_BLOCK_CEILING (UINT64_C(1) << 62) /* bytes of one block: rounding it up never leaves off_t */

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_GOODBYE = 2, /* a refusal of the handshake, or the orderly end of a connection, with the reason */
    WIRE_CALL = 3,
    WIRE_ONEWAY = 4,
    WIRE_REPLY = 5,
    WIRE_RELEASE = 6,
    WIRE_CANCEL = 7,
    WIRE_DOORBELL =
        8,            /* wakes a sleeper: there is something in the sender's outbox. Only between sides with outboxes */
    WIRE_MARK = 9,    /* in rings only (wire/line.h) */
    WIRE_ARENA = 10,  /* brings an arena's descriptor */
    WIRE_RETIRE = 11, /* an arena will not be named any more: it can be unmapped once its last lease is released */
    WIRE_RING = 12    /* brings the descriptor of a larger ring, which follows one in the sender's outbox */
};

/* Which ring a RING is about, and how many entries it may have: a power of two. */
enum { WIRE_RING_FRAMES = 1, WIRE_RING_RELEASES = 2 };
#define WIRE_RING_LINES_MAX 16384
#define WIRE_RING_RELEASES_MAX 65536

/* How large a sealed payload's memfd is. */
enum {
    WIRE_PAGES_EXACT = 0,   /* as large as the payload */
    WIRE_PAGES_HUGETLB = 1, /* of hugetlb pages: the payload's size rounded up to 2 MiB */
    WIRE_PAGES_PADDED = 2   /* rounded up likewise, so that its last part can be a transparent huge page */
};

/* Payload classes on the wire; the same values as SEA_INLINE and its neighbours. */
enum { WIRE_CLASS_INLINE = 1, WIRE_CLASS_POOLED = 2, WIRE_CLASS_SEALED = 4, WIRE_CLASS_ANY = 7 };

/* Feature bits: the features that the sender of a HELLO takes. Frames of a feature go only to a peer that set its bit;
 * unknown bits are ignored. */
enum {
    WIRE_FEATURE_HUGETLB = 1,  /* sealed payloads in hugetlb pages */
    WIRE_FEATURE_OUTBOX = 2,   /* an outbox, and this HELLO brings its descriptor */
    WIRE_FEATURE_SNAPSHOT = 4, /* pooled payloads are copied before they are read: accepted payloads stay stable */
    /* 8: free */
    WIRE_FEATURE_CLOCK = 16 /* this HELLO says which clock its sender's deadlines are of */
};

struct wire_head { /* offset size */
    uint8_t type;  /*  0  1  enum wire_type */
    uint8_t fds;   /*  1  1  descriptors that travel with the frame */
                   /*  2  2  reserved */
    uint32_t size; /*  4  4  of the whole frame, head included */
    uint64_t id;   /*  8  8  CALL, REPLY, CANCEL: of the call, any value. MARK: of a datagram. Else 0 */
};

struct wire_hello {       /* after the head */
    uint32_t magic;       /* 16  4 */
    uint16_t version_min; /* 20  2 */
    uint16_t version_max; /* 22  2 */
    uint64_t features;    /* 24  8 */
    uint32_t accept;      /* 32  4  payload classes that it takes; unknown bits are ignored; may be 0 */
    uint32_t inline_max;  /* 36  4  bytes of inline payload that it takes; at most WIRE_INLINE_CEILING */
    uint64_t block_max;   /* 40  8  bytes of one sealed or pooled payload that it takes */
    uint64_t bytes_max;   /* 48  8  bytes of the peer's blocks that it holds at a time */
    uint32_t blocks_max;  /* 56  4  and how many */
    uint32_t calls_max;   /* 60  4  of the peer's calls in flight */
    uint32_t fds_max;     /* 64  4  descriptors in one frame; at least 1 if it takes sealed payloads */
    uint8_t service_size; /* 68  1 */
                          /* 69  3  reserved */
    const char *service;  /* 72  printable ASCII without '/', not terminated, borrowed from the frame */
    int64_t clock_epoch; /* then, with the feature CLOCK, 8: CLOCK_REALTIME less CLOCK_MONOTONIC, nanoseconds; else 0 */
    uint64_t clock_space; /* and 8: the number of the time namespace, 0 for unknown; else 0 */
};

/*
 * An empty payload is no payload, with any class of its block. A reply with an error brings no payload, and only a
 * reply with an error brings a text.
 */
struct wire_message {      /* CALL, ONEWAY, REPLY */
    uint32_t method;       /* 16  4  CALL, ONEWAY; 0 in REPLY */
    int32_t status;        /* 20  4  REPLY: 0, or a negative errno value (-4095 to -1); else 0 */
    uint64_t deadline;     /* 24  8  CALL: nanoseconds of CLOCK_MONOTONIC, 0 for none; else 0 */
    uint64_t handle;       /* 32  8  of a sealed or pooled payload, never 0; else 0 */
    uint64_t payload_size; /* 40  8  bytes; at most WIRE_INLINE_CEILING or WIRE_BLOCK_CEILING */
    uint8_t payload_class; /* 48  1  INLINE, POOLED, SEALED; 0 if and only if payload_size is 0 */
    uint8_t pages;         /* 49  1  SEALED: WIRE_PAGES_...; else 0 */
                           /* 50  2  reserved */
    uint16_t text_size;    /* 52  2  REPLY with a status other than 0: bytes of text, at most WIRE_TEXT_MAX; else 0 */
                           /* 54  2  reserved */
    const void *payload;   /* 56  INLINE: payload_size bytes, borrowed from the frame; else NULL */
    const char *text;      /* 56  text_size bytes, not terminated, borrowed from the frame */
};

struct wire_goodbye {
    int32_t reason;     /* 16  4  0, or a negative errno value (-4095 to -1) */
    uint16_t text_size; /* 20  2  at most WIRE_TEXT_MAX */
                        /* 22  2  reserved */
    const char *text;   /* 24  text_size bytes, not terminated, borrowed from the frame */
};

struct wire_release {
    uint32_t count;                      /* 16  4  1 to WIRE_RELEASES_MAX */
                                         /* 20  4  reserved */
    uint64_t handles[WIRE_RELEASES_MAX]; /* 24  `count` of them; never 0 */
};

struct wire_arena {  /* after the head */
    uint32_t id;     /* 16  4  1 to WIRE_ARENA_MAX: the first 16 bits of its blocks' handles */
    uint32_t count;  /* 20  4  blocks, at least 1 and at most 2^24 */
    uint64_t stride; /* 24  8  bytes of a block, a multiple of 64 and not 0 */
    uint64_t size;   /* 32  8  of the memfd, bytes; at least stride * count; at most WIRE_BLOCK_CEILING */
};

struct wire_retire {
    uint32_t id; /* 16  4  of an arena */
                 /* 20  4  reserved */
};

struct wire_ring {
    uint32_t kind;  /* 16  4  WIRE_RING_... */
    uint32_t count; /* 20  4  lines or release entries: a power of two, at most WIRE_RING_..._MAX */
    uint32_t from;  /* 24  4  RELEASES: number, modulo 2^32, of the first entry that lies there; FRAMES: 0 */
                    /* 28  4  reserved */
};

struct wire_frame {
    struct wire_head head;
    union {
        struct wire_hello hello;
        struct wire_message message;
        struct wire_goodbye goodbye;
        struct wire_release release;
        struct wire_arena arena;
        struct wire_retire retire;
        struct wire_ring ring;
    };
};

/*
 * Decodes one datagram of `size` bytes; the result borrows from it. Returns NULL, or the static text that names the
 * error; then *ret is undefined. After NULL:
 *   - head.size == size; the type is known; sizes add up exactly; every enumerated field has a known value; fields that
 * a type does not use are 0, reserved bytes too;
 *   - a HELLO has the magic, and version_min <= version_max. A HELLO of a version that we do not speak is decoded too,
 * so that it can be refused with a text: all versions have one layout of it;
 *   - a sealed payload, an arena, a ring and a HELLO with the OUTBOX feature come with exactly one descriptor declared,
 * all others with none;
 *   - payload_class, payload_size, handle: as the struct says. The decoder does not check whether the class was
 * negotiated;
 *   - texts have no control characters (bytes below 0x20, 0x7f, and U+0080 to U+009F in UTF-8). They may be invalid
 * UTF-8;
 *   - the encoders make equal bytes of it again.
 */
const char *wire_decode(const void *data, size_t size, struct wire_frame *ret);

/*
 * Encoders write the fixed part and the small variable parts into `buf` (each byte of them, reserved ones as 0) and
 * return the number of bytes; head.size and head.fds are computed. Inline payload and text of a message are
 * not copied: whichever there is follows as a further piece of the datagram. A field that the type does
 * not use is 0 in `message`: encoders do not clear it. A goodbye's text is cleaned as by wire_text_clean().
 */
size_t wire_encode_hello(uint8_t buf[WIRE_HELLO_MOST], const struct wire_hello *hello);
size_t wire_encode_message(uint8_t buf[WIRE_MESSAGE_SIZE], enum wire_type type, uint64_t id,
                           const struct wire_message *message);
size_t wire_encode_goodbye(uint8_t buf[WIRE_GOODBYE_SIZE + WIRE_TEXT_MAX], int reason, const char *text);
size_t wire_encode_release(uint8_t buf[WIRE_RELEASE_SIZE + 8 * WIRE_RELEASES_MAX], const uint64_t *handles,
                           uint32_t count);
size_t wire_encode_cancel(uint8_t buf[WIRE_CANCEL_SIZE], uint64_t id);
size_t wire_encode_doorbell(uint8_t buf[WIRE_DOORBELL_SIZE]);
size_t wire_encode_arena(uint8_t buf[WIRE_ARENA_SIZE], const struct wire_arena *arena);
size_t wire_encode_retire(uint8_t buf[WIRE_RETIRE_SIZE], uint32_t id);
size_t wire_encode_ring(uint8_t buf[WIRE_RING_SIZE], const struct wire_ring *ring);

/* Checks a message's fields like wire_decode(), for fields that came by another way. NULL, or the text that names the
 * error. */
const char *wire_check_message(const struct wire_head *head, const struct wire_message *message);

/* Has it no control characters, as wire_decode() asks of every text? */
bool wire_text_is_clean(const char *text, size_t size);

/*
 * Makes a text that the decoder accepts of any string (NULL: ""): bytes beyond WIRE_TEXT_MAX are cut off between two
 * characters, control characters become '?'. Returns its size; it is not terminated.
 */
size_t wire_text_clean(char buf[WIRE_TEXT_MAX], const char *text);

#endif
