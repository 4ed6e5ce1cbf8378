/* SPDX-License-Identifier: MIT */
/* The attacks: a table, and a small function for each line of the table. See attacks.h. */
#include "hostile/attacks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "support/suite.h"

#define SIZE ((size_t) 8192) /* size of a sealed payload that would be correct */
#define HANDLE ((uint64_t) 7)
#define TIB ((uint64_t) 1 << 40)

/* Composes a correctly declared sealed payload of SIZE bytes with the descriptor `fd`. */
static void carry(struct attempt *attempt, int fd) {
    draft_sealed(&attempt->draft, attempt->id, attempt->method, HANDLE, SIZE, fd);
}

static int good_memfd(void) {
    return trap_memfd(SIZE, TRAP_ALL_SEALS);
}

/* Descriptors of the wrong kind. */

static void unsealed(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE, 0));
}

static void unsealable(struct attempt *attempt) {
    int fd = memfd_create("unsealable", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, SIZE), 0);
    ck_assert_int_eq(fallocate(fd, 0, 0, SIZE), 0);
    carry(attempt, fd);
}

static void without_write(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE, TRAP_ALL_SEALS & ~F_SEAL_WRITE));
}

static void without_shrink(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE, TRAP_ALL_SEALS & ~F_SEAL_SHRINK));
}

static void without_grow(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE, TRAP_ALL_SEALS & ~F_SEAL_GROW));
}

static void without_seal(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE, TRAP_ALL_SEALS & ~F_SEAL_SEAL));
}

static void future_write_only(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE, (TRAP_ALL_SEALS & ~F_SEAL_WRITE) | F_SEAL_FUTURE_WRITE));
}

static void dev_zero(struct attempt *attempt) {
    carry(attempt, trap_dev_zero());
}

static void a_pipe(struct attempt *attempt) {
    carry(attempt, trap_pipe());
}

static void a_socket(struct attempt *attempt) {
    carry(attempt, trap_socket());
}

static void directory(struct attempt *attempt) {
    carry(attempt, trap_directory());
}

static void path_only(struct attempt *attempt) {
    carry(attempt, trap_path_only());
}

static void an_eventfd(struct attempt *attempt) {
    carry(attempt, trap_eventfd());
}

static void an_epoll(struct attempt *attempt) {
    carry(attempt, trap_epoll());
}

static void shm_file(struct attempt *attempt) {
    int fd = trap_shm_file(SIZE);
    if (fd < 0)
        snprintf(attempt->why_not, sizeof attempt->why_not, "no tmpfs on /dev/shm");
    else
        carry(attempt, fd);
}

static void lingering(struct attempt *attempt) {
    trap_lingering(&attempt->trap);
    carry(attempt, attempt->trap.fd);
    attempt->trap.fd = -1; /* the draft owns it now */
}

/* Even our own close() would hang: the trap keeps the descriptor until it is disarmed. */
static void hung(struct attempt *attempt) {
    if (trap_hung(&attempt->trap, attempt->why_not, sizeof attempt->why_not))
        carry(attempt, attempt->trap.fd);
}

static void huge(struct attempt *attempt, bool is_declared) {
    int fd = trap_hugetlb(SIZE);
    if (fd < 0) {
        snprintf(attempt->why_not, sizeof attempt->why_not, "no 2 MiB pages for the hugetlb pool");
        return;
    }
    carry(attempt, fd);
    draft_put(&attempt->draft, 49, 1, is_declared);
}

static void hugetlb_undeclared(struct attempt *attempt) {
    huge(attempt, false);
}

static void hugetlb_not_negotiated(struct attempt *attempt) {
    huge(attempt, true);
}

static void hugetlb_feigned(struct attempt *attempt) {
    carry(attempt, good_memfd());
    draft_put(&attempt->draft, 49, 1, 1);
}

static void padding_feigned(struct attempt *attempt) {
    carry(attempt, good_memfd());
    draft_put(&attempt->draft, 49, 1, 2);
}

static void padding_rounded_too_far(struct attempt *attempt) {
    carry(attempt, trap_memfd((size_t) 4 << 20, TRAP_ALL_SEALS));
    draft_put(&attempt->draft, 49, 1, 2);
}

static void padding_with_holes(struct attempt *attempt) {
    carry(attempt, trap_holes((size_t) 2 << 20));
    draft_put(&attempt->draft, 49, 1, 2);
}

static void pages_unknown(struct attempt *attempt) {
    carry(attempt, good_memfd());
    draft_put(&attempt->draft, 49, 1, 3);
}

/* Descriptors of the right kind, with a wrong size. */

static void smaller_than_declared(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE / 2, TRAP_ALL_SEALS));
}

static void larger_than_declared(struct attempt *attempt) {
    carry(attempt, trap_memfd(2 * SIZE, TRAP_ALL_SEALS));
}

static void one_byte_off(struct attempt *attempt) {
    carry(attempt, trap_memfd(SIZE - 1, TRAP_ALL_SEALS));
}

static void empty_memfd(struct attempt *attempt) {
    carry(attempt, trap_memfd(0, TRAP_ALL_SEALS));
}

static void empty_payload(struct attempt *attempt) {
    draft_sealed(&attempt->draft, attempt->id, attempt->method, HANDLE, 0, trap_memfd(0, TRAP_ALL_SEALS));
}

static void sparse_giant(struct attempt *attempt) {
    draft_sealed(&attempt->draft, attempt->id, attempt->method, HANDLE, TIB, trap_sparse(TIB));
}

static void sparse_giant_in_disguise(struct attempt *attempt) {
    carry(attempt, trap_sparse(TIB));
}

static void size_of_all(struct attempt *attempt) {
    draft_sealed(&attempt->draft, attempt->id, attempt->method, HANDLE, UINT64_MAX, trap_sparse(INT64_MAX));
}

static void over_block_max(struct attempt *attempt) {
    uint64_t size = ATTACKED_BLOCK_MAX + 1;
    draft_sealed(&attempt->draft, attempt->id, attempt->method, HANDLE, size, trap_memfd(size, TRAP_ALL_SEALS));
}

static void sparse(struct attempt *attempt) {
    carry(attempt, trap_sparse(SIZE));
}

static void holes(struct attempt *attempt) {
    draft_sealed(&attempt->draft, attempt->id, attempt->method, HANDLE, 2 * SIZE, trap_holes(2 * SIZE));
}

/* The wrong number of descriptors. */

static void two_for_one(struct attempt *attempt) {
    carry(attempt, good_memfd());
    draft_add_fd(&attempt->draft, good_memfd());
}

static void all_that_fit(struct attempt *attempt) {
    carry(attempt, good_memfd());
    while (attempt->draft.fds_count < RAW_FDS_MAX)
        draft_add_fd(&attempt->draft, attempt->draft.fds[0]);
}

static void same_twice(struct attempt *attempt) {
    carry(attempt, good_memfd());
    draft_add_fd(&attempt->draft, attempt->draft.fds[0]);
}

static void two_declared(struct attempt *attempt) {
    two_for_one(attempt);
    draft_put(&attempt->draft, 1, 1, 2);
}

static void none_for_one(struct attempt *attempt) {
    carry(attempt, good_memfd());
    close(attempt->draft.fds[--attempt->draft.fds_count]);
}

static void one_for_none(struct attempt *attempt) {
    draft_inline(&attempt->draft, attempt->id, attempt->method, 64);
    draft_add_fd(&attempt->draft, good_memfd());
}

static void one_declared_for_inline(struct attempt *attempt) {
    one_for_none(attempt);
    draft_put(&attempt->draft, 1, 1, 1);
}

static void with_cancel(struct attempt *attempt) {
    draft_cancel(&attempt->draft, 1);
    draft_add_fd(&attempt->draft, trap_dev_zero());
}

/* Frames with wrong content. */

static void plain(struct attempt *attempt) {
    draft_inline(&attempt->draft, attempt->id, attempt->method, 64);
}

static void one_byte(struct attempt *attempt) {
    plain(attempt);
    attempt->draft.size = 1;
}

static void half_a_head(struct attempt *attempt) {
    plain(attempt);
    attempt->draft.size = WIRE_HEAD_SIZE - 1;
}

static void a_head_alone(struct attempt *attempt) {
    plain(attempt);
    attempt->draft.size = WIRE_HEAD_SIZE;
    draft_put(&attempt->draft, 4, 4, WIRE_HEAD_SIZE);
}

static void truncated(struct attempt *attempt) {
    plain(attempt);
    attempt->draft.size--;
}

static void padded(struct attempt *attempt) {
    plain(attempt);
    attempt->draft.size++;
}

static void oversized(struct attempt *attempt) {
    plain(attempt);
    attempt->draft.size = WIRE_INLINE_CEILING + 8192;
    draft_put(&attempt->draft, 4, 4, attempt->draft.size);
}

static void unknown_type(struct attempt *attempt) {
    plain(attempt);
    draft_put(&attempt->draft, 0, 1, 99);
}

static void type_zero(struct attempt *attempt) {
    memset(attempt->draft.data, 0, 64);
    attempt->draft.size = 64;
}

static void all_ones(struct attempt *attempt) {
    memset(attempt->draft.data, 0xff, 512);
    attempt->draft.size = 512;
}

static void reserved_bytes(struct attempt *attempt) {
    plain(attempt);
    draft_put(&attempt->draft, 2, 2, 1);
}

static void lying_payload_size(struct attempt *attempt) {
    plain(attempt);
    draft_put(&attempt->draft, 40, 8, 63);
}

static void unknown_class(struct attempt *attempt) {
    plain(attempt);
    draft_put(&attempt->draft, 48, 1, 3);
}

static void pooled(struct attempt *attempt) {
    const struct wire_message message = {
        .method = attempt->method, .handle = HANDLE, .payload_size = SIZE, .payload_class = WIRE_CLASS_POOLED};
    draft_message(&attempt->draft, attempt->method ? WIRE_CALL : WIRE_REPLY, attempt->id, &message, NULL);
}

static void no_handle(struct attempt *attempt) {
    carry(attempt, good_memfd());
    draft_put(&attempt->draft, 32, 8, 0);
}

static void over_inline_max(struct attempt *attempt) {
    draft_inline(&attempt->draft, attempt->id, attempt->method, ATTACKED_INLINE_MAX + 1);
}

static void control_characters(struct attempt *attempt) {
    draft_goodbye(&attempt->draft, -EIO, "red");
    attempt->draft.data[WIRE_GOODBYE_SIZE] = '\033';
}

/* Correct frames at a wrong time. */

static void second_hello(struct attempt *attempt) {
    struct wire_hello hello = hello_sound();
    draft_hello(&attempt->draft, &hello);
}

static void reply_to_nothing(struct attempt *attempt) {
    draft_inline(&attempt->draft, 0xdead, 0, 16);
}

static void sealed_reply_to_nothing(struct attempt *attempt) {
    draft_sealed(&attempt->draft, 0xdead, 0, HANDLE, SIZE, good_memfd());
}

static void release_of_nothing(struct attempt *attempt) {
    draft_release(&attempt->draft, &(uint64_t){HANDLE}, 1);
}

static void release_beyond_table(struct attempt *attempt) {
    draft_release(&attempt->draft, &(uint64_t){UINT64_MAX}, 1);
}

static void release_none(struct attempt *attempt) {
    draft_release(&attempt->draft, &(uint64_t){HANDLE}, 1);
    attempt->draft.size = WIRE_RELEASE_SIZE;
    draft_put(&attempt->draft, 4, 4, WIRE_RELEASE_SIZE);
    draft_put(&attempt->draft, 16, 4, 0);
}

static void release_too_many(struct attempt *attempt) {
    draft_release(&attempt->draft, &(uint64_t){HANDLE}, 1);
    draft_put(&attempt->draft, 16, 4, 0x20000000); /* times 8 is 4 GiB, which is 0 in 32 bits */
}

/* Attacks before the handshake. */

static void hello_with(struct attempt *attempt, size_t offset, size_t size, uint64_t value) {
    second_hello(attempt);
    draft_put(&attempt->draft, offset, size, value);
}

static void bad_magic(struct attempt *attempt) {
    hello_with(attempt, 16, 4, 0x4b4e4f43);
}

static void bad_version(struct attempt *attempt) {
    hello_with(attempt, 20, 4, 0x00090008);
}

static void empty_versions(struct attempt *attempt) {
    hello_with(attempt, 20, 4, 0x00010002);
}

static void giant_inline(struct attempt *attempt) {
    hello_with(attempt, 36, 4, UINT32_MAX);
}

static void long_service(struct attempt *attempt) {
    hello_with(attempt, 68, 1, 255);
}

static void other_service(struct attempt *attempt) {
    struct wire_hello hello = hello_sound();
    hello.service = "lighthouse";
    hello.service_size = 10;
    draft_hello(&attempt->draft, &hello);
}

static void hello_cut(struct attempt *attempt) {
    second_hello(attempt);
    attempt->draft.size = WIRE_HELLO_SIZE - 8;
    draft_put(&attempt->draft, 4, 4, attempt->draft.size);
}

static void hello_with_fd(struct attempt *attempt) {
    second_hello(attempt);
    draft_add_fd(&attempt->draft, trap_dev_zero());
}

static void hello_with_all_fds(struct attempt *attempt) {
    hello_with_fd(attempt);
    while (attempt->draft.fds_count < RAW_FDS_MAX)
        draft_add_fd(&attempt->draft, attempt->draft.fds[0]);
}

#define NOT_MEMFD "not a memfd"
#define LACKS "F_SEAL_"

/* OPEN: on a connection after the greeting; EARLY: before the greeting. */
#define OPEN(name, compose, word) \
    { name, compose, word, -EPROTO, false }
#define EARLY(name, compose, word, reason) \
    { name, compose, word, reason, true }

const struct attack attacks[] = {
    OPEN("unsealed memfd", unsealed, LACKS),
    OPEN("memfd that cannot be sealed", unsealable, LACKS),
    OPEN("memfd without F_SEAL_WRITE", without_write, LACKS),
    OPEN("shrinkable memfd", without_shrink, LACKS),
    OPEN("growable memfd", without_grow, LACKS),
    OPEN("memfd without F_SEAL_SEAL", without_seal, LACKS),
    OPEN("memfd that only future writes are sealed of", future_write_only, LACKS),
    OPEN("/dev/zero", dev_zero, NOT_MEMFD),
    OPEN("pipe", a_pipe, NOT_MEMFD),
    OPEN("socket", a_socket, NOT_MEMFD),
    OPEN("directory", directory, NOT_MEMFD),
    OPEN("O_PATH", path_only, NOT_MEMFD),
    OPEN("eventfd", an_eventfd, NOT_MEMFD),
    OPEN("epoll", an_epoll, NOT_MEMFD),
    OPEN("file on /dev/shm", shm_file, LACKS),
    OPEN("lingering TCP socket", lingering, NOT_MEMFD),
    OPEN("FUSE file that hangs", hung, NOT_MEMFD),
    OPEN("hugetlb memfd, undeclared", hugetlb_undeclared, "hugetlb"),
    OPEN("hugetlb memfd, not negotiated", hugetlb_not_negotiated, "hugetlb"),
    OPEN("hugetlb declared, and is not", hugetlb_feigned, "hugetlb"),
    OPEN("padding declared, and there is none", padding_feigned, "size"),
    OPEN("padding rounded too far", padding_rounded_too_far, "size"),
    OPEN("padded memfd with holes", padding_with_holes, "holes"),
    OPEN("pages of an unknown kind", pages_unknown, "unknown pages"),
    OPEN("memfd smaller than declared", smaller_than_declared, "size"),
    OPEN("memfd larger than declared", larger_than_declared, "size"),
    OPEN("memfd a byte off", one_byte_off, "size"),
    OPEN("empty memfd", empty_memfd, "size"),
    OPEN("empty payload with a memfd", empty_payload, "empty payload"),
    OPEN("sparse giant", sparse_giant, "limit"),
    OPEN("sparse giant, declared small", sparse_giant_in_disguise, "size"),
    OPEN("size of 2^64 - 1", size_of_all, "limit"),
    OPEN("block over the limit", over_block_max, "limit"),
    OPEN("memfd without pages", sparse, "holes"),
    OPEN("memfd with holes", holes, "holes"),
    OPEN("two descriptors for one", two_for_one, "more descriptors"),
    OPEN("253 descriptors for one", all_that_fit, "more descriptors"),
    OPEN("the same descriptor twice", same_twice, "more descriptors"),
    OPEN("two descriptors declared", two_declared, "descriptors"),
    OPEN("too few descriptors", none_for_one, "fewer descriptors"),
    OPEN("undeclared descriptor", one_for_none, "more descriptors"),
    OPEN("descriptor declared for an inline payload", one_declared_for_inline, "descriptors"),
    OPEN("descriptor with a CANCEL", with_cancel, "descriptors"),
    OPEN("one byte", one_byte, "shorter"),
    OPEN("half a head", half_a_head, "shorter"),
    OPEN("a head alone", a_head_alone, "shorter"),
    OPEN("truncated frame", truncated, "size"),
    OPEN("padded frame", padded, "size"),
    OPEN("oversized datagram", oversized, "larger than any frame"),
    OPEN("unknown type", unknown_type, "type"),
    OPEN("type zero", type_zero, "type"),
    OPEN("all ones", all_ones, "type"),
    OPEN("reserved bytes", reserved_bytes, "reserved"),
    OPEN("payload size that lies", lying_payload_size, "sizes"),
    OPEN("unknown class", unknown_class, "class"),
    OPEN("pooled payload", pooled, "pooled"),
    OPEN("sealed payload without a handle", no_handle, "handle"),
    OPEN("inline payload over the limit", over_inline_max, "inline"),
    OPEN("GOODBYE with control characters", control_characters, "control characters"),
    OPEN("second HELLO", second_hello, "second handshake"),
    OPEN("REPLY to nothing", reply_to_nothing, "reply"),
    OPEN("sealed REPLY to nothing", sealed_reply_to_nothing, "reply"),
    OPEN("RELEASE of nothing", release_of_nothing, "released"),
    OPEN("RELEASE beyond the table", release_beyond_table, "released"),
    OPEN("RELEASE of no handles", release_none, "RELEASE"),
    OPEN("RELEASE of too many", release_too_many, "RELEASE"),
    EARLY("bad magic", bad_magic, "magic", -EPROTO),
    EARLY("bad version", bad_version, "version", -EPROTONOSUPPORT),
    EARLY("empty range of versions", empty_versions, "version", -EPROTO),
    EARLY("HELLO with a giant inline limit", giant_inline, "inline limit", -EPROTO),
    EARLY("HELLO with a long service name", long_service, "service name", -EPROTO),
    EARLY("HELLO cut short", hello_cut, "shorter", -EPROTO),
    EARLY("HELLO with a descriptor", hello_with_fd, "more descriptors", -EPROTO),
    EARLY("HELLO with 253 descriptors", hello_with_all_fds, "more descriptors", -EPROTO),
    EARLY("message before HELLO", plain, "before the handshake", -EPROTO),
    EARLY("sealed message before HELLO", unsealed, "before the handshake", -EPROTO),
    EARLY("RELEASE before HELLO", release_of_nothing, "before the handshake", -EPROTO),
    EARLY("garbage before HELLO", all_ones, "type", -EPROTO),
    /* from here on: attacks on a server only */
    EARLY("HELLO to another service", other_service, "service", -ENOENT),
};
const int attacks_count = sizeof attacks / sizeof *attacks;
const int attacks_on_client_count = sizeof attacks / sizeof *attacks - 1;

bool attempt_compose(struct attempt *attempt, const struct attack *attack, uint64_t id, uint32_t method) {
    memset(attempt, 0, sizeof *attempt);
    attempt->id = id;
    attempt->method = method;
    attempt->trap = (struct trap){.fd = -1, .other = -1, .daemon.line = -1};
    attack->compose(attempt);
    return attempt->why_not[0] == 0;
}

void attempt_let_go(struct attempt *attempt) {
    int last = -1;
    for (size_t i = 0; i < attempt->draft.fds_count; i++) {
        int fd = attempt->draft.fds[i];
        if (fd != last && fd != attempt->trap.fd)
            close(fd);
        last = fd;
    }
    attempt->draft.fds_count = 0;
}

void attempt_deinit(struct attempt *attempt) {
    attempt_let_go(attempt);
    trap_free(&attempt->trap);
    trap_hugetlb_done();
}

bool text_names(const char *text, const char *word) {
    return strcasestr(text, word) != NULL;
}
