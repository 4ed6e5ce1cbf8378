/* SPDX-License-Identifier: MIT */
/* Descriptors of all kinds. See cabinet.h. */
#include "cabinet.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wire/frame.h"

#define HUGE_SIZE ((size_t) 2 << 20)

/* MFD_HUGE_2MB of <linux/memfd.h>, which <sys/mman.h> lacks. */
static const unsigned HUGETLB = MFD_HUGETLB | 21u << 26;

static const unsigned SEALS_GOOD = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
static const unsigned SEALS_ARENA = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;

struct cabinet cabinet;

static void demand(bool holds, const char *what) {
    if (holds)
        return;
    perror(what);
    abort();
}

static void shelf_add(struct shelf *shelf, struct item item) {
    if (item.fd < 0)
        return;
    demand(shelf->count < sizeof(shelf->items) / sizeof(*shelf->items), "the shelf is full");
    shelf->items[shelf->count++] = item;
}

/* Returns a memfd of `size` bytes with pages for the first `filled` bytes. Returns -1 if these flags are impossible. */
static int memfd_filled(size_t size, size_t filled, unsigned flags) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
    if (fd < 0)
        return -1;
    bool is_good = ftruncate(fd, (off_t) size) == 0 && (filled == 0 || fallocate(fd, 0, 0, (off_t) filled) == 0);
    if (!is_good)
        close(fd);
    return is_good ? fd : -1;
}

static int memfd_sealed(size_t size, size_t filled, unsigned flags, unsigned seals) {
    int fd = memfd_filled(size, filled, flags);
    if (fd >= 0)
        demand(fcntl(fd, F_ADD_SEALS, seals) == 0, "F_ADD_SEALS");
    return fd;
}

int cabinet_shared_memfd(size_t size, uint8_t **ret_data) {
    int fd = memfd_filled(size, size, 0);
    demand(fd >= 0, "memfd_create");
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    demand(data != MAP_FAILED, "mmap");
    demand(fcntl(fd, F_ADD_SEALS, SEALS_ARENA) == 0, "F_ADD_SEALS");
    *ret_data = data;
    return fd;
}

static void fill_sealed(void) {
    static const size_t sizes[] = {1, 100, 4096, 5000, 65536, 100000, 300000, 1 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        shelf_add(&cabinet.sealed, (struct item){memfd_sealed(sizes[i], sizes[i], 0, SEALS_GOOD), sizes[i], 0, NULL});
    shelf_add(&cabinet.sealed, (struct item){memfd_sealed(HUGE_SIZE, HUGE_SIZE, 0, SEALS_GOOD), HUGE_SIZE - 4097,
                                             WIRE_PAGES_PADDED, NULL});
    shelf_add(&cabinet.sealed, (struct item){memfd_sealed(HUGE_SIZE, HUGE_SIZE, HUGETLB, SEALS_GOOD), HUGE_SIZE - 1,
                                             WIRE_PAGES_HUGETLB, NULL});
}

static void fill_arenas(void) {
    static const size_t sizes[] = {4096, 65536, 262144, 1 << 20, 8 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct item item = {.size = sizes[i]};
        item.fd = cabinet_shared_memfd(sizes[i], &item.data);
        shelf_add(&cabinet.arenas, item);
    }
    /* Sealed against its owner, too: equally good. */
    shelf_add(&cabinet.arenas, (struct item){memfd_sealed(65536, 65536, 0, SEALS_GOOD), 65536, 0, NULL});
}

/* Returns a memfd with more blocks than its size needs: they lie behind its end. */
static int memfd_faking_pages(void) {
    int fd = memfd_filled(65536, 0, 0);
    demand(fd >= 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 65536) == 0, "fallocate");
    demand(fcntl(fd, F_ADD_SEALS, SEALS_GOOD) == 0, "F_ADD_SEALS");
    return fd;
}

static void fill_spoiled(void) {
    struct shelf *shelf = &cabinet.spoiled;
    shelf_add(shelf, (struct item){memfd_filled(4096, 4096, 0), 4096, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(4096, 4096, 0, SEALS_GOOD & ~(unsigned) F_SEAL_SEAL), 4096, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(4096, 4096, 0, SEALS_GOOD & ~(unsigned) F_SEAL_SHRINK), 4096, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(4096, 4096, 0, SEALS_GOOD & ~(unsigned) F_SEAL_GROW), 4096, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(65536, 0, 0, SEALS_GOOD), 65536, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(65536, 0, 0, SEALS_ARENA), 65536, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(65536, 61440, 0, SEALS_GOOD), 65536, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed(0, 0, 0, SEALS_GOOD), 4096, 0, NULL});
    shelf_add(shelf, (struct item){memfd_sealed((size_t) 1 << 40, 4096, 0, SEALS_GOOD), (uint64_t) 1 << 40, 0, NULL});
    shelf_add(shelf,
              (struct item){memfd_sealed(HUGE_SIZE, 0, HUGETLB, SEALS_ARENA), HUGE_SIZE, WIRE_PAGES_HUGETLB, NULL});
    shelf_add(shelf, (struct item){memfd_faking_pages(), 65536, 0, NULL});
}

static void add_other(int fd) {
    shelf_add(&cabinet.others, (struct item){.fd = fd, .size = 4096});
}

static void fill_others(void) {
    int ends[2];
    char path[] = "/tmp/sealane-fuzz-XXXXXX";
    demand(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    add_other(ends[0]);
    add_other(ends[1]);
    demand(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    add_other(ends[0]);
    add_other(ends[1]);
    demand(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    add_other(ends[0]);
    add_other(ends[1]);
    add_other(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    add_other(open("/", O_PATH | O_CLOEXEC));
    add_other(open("/dev/null", O_RDWR | O_CLOEXEC));
    add_other(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    add_other(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
    add_other(eventfd(0, EFD_CLOEXEC));
    add_other(epoll_create1(EPOLL_CLOEXEC));
    add_other(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    int file = mkostemp(path, O_CLOEXEC);
    demand(file >= 0 && unlink(path) == 0 && ftruncate(file, 4096) == 0, path);
    add_other(file);
}

void cabinet_fill(void) {
    fill_sealed();
    fill_arenas();
    fill_spoiled();
    fill_others();
}
