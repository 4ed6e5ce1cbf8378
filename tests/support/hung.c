/* SPDX-License-Identifier: MIT */
/*
 * A file of a FUSE file system with a daemon that hangs.
 *
 * The daemon is a child process, the only holder of /dev/fuse. When it is killed, the kernel aborts the file system,
 * and every call that hangs on it ends with an error. The daemon mounts with fsopen() and fsmount(), into no name
 * space, and sends the mount to the test as a descriptor. It answers INIT, LOOKUP and OPEN of the one file; from then
 * on it reads requests and answers none.
 */
#include "support/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define FILE_NODE 2
#define FILE_SIZE 65536
#define REQUEST_MAX (FUSE_MIN_READ_BUFFER + 65536)
#define PATIENCE_MS 5000

/* Attributes that expire at once, so that fstat() must ask the daemon, and hangs. */
static struct fuse_attr attr_of(uint64_t node) {
    return (struct fuse_attr){.ino = node,
                              .size = node == FILE_NODE ? FILE_SIZE : 0,
                              .blocks = FILE_SIZE / 512,
                              .mode = node == FILE_NODE ? S_IFREG | 0600 : S_IFDIR | 0700,
                              .nlink = 1,
                              .uid = (uint32_t) getuid(),
                              .gid = (uint32_t) getgid(),
                              .blksize = 4096};
}

static bool answer(int fuse, const struct fuse_in_header *request, int error, const void *data, size_t size) {
    struct {
        struct fuse_out_header head;
        char data[256];
    } out = {.head = {.len = (uint32_t) (sizeof out.head + size), .error = error, .unique = request->unique}};
    if (data)
        memcpy(out.data, data, size);
    return write(fuse, &out, out.head.len) == (ssize_t) out.head.len;
}

static bool answer_init(int fuse, const struct fuse_in_header *request) {
    const struct fuse_init_in *in = (const void *) (request + 1);
    const struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                      .minor =
                                          in->minor < FUSE_KERNEL_MINOR_VERSION ? in->minor : FUSE_KERNEL_MINOR_VERSION,
                                      .max_readahead = in->max_readahead,
                                      .max_background = 4,
                                      .congestion_threshold = 4,
                                      .max_write = 65536};
    return answer(fuse, request, 0, &out, sizeof out);
}

/* Answers one request. Returns false after the OPEN, which is the last request to be answered, or when no answer is
 * possible any more. */
static bool serve_request(int fuse, const struct fuse_in_header *request) {
    const struct fuse_entry_out entry = {.nodeid = FILE_NODE, .generation = 1, .attr = attr_of(FILE_NODE)};
    const struct fuse_attr_out attr = {.attr = attr_of(request->nodeid)};
    const struct fuse_open_out opened = {.fh = 1};
    switch (request->opcode) {
    case FUSE_INIT:
        return answer_init(fuse, request);
    case FUSE_LOOKUP:
        return answer(fuse, request, 0, &entry, sizeof entry);
    case FUSE_GETATTR:
        return answer(fuse, request, 0, &attr, sizeof attr);
    case FUSE_OPEN:
        answer(fuse, request, 0, &opened, sizeof opened);
        return false;
    default:
        return answer(fuse, request, -ENOSYS, NULL, 0);
    }
}

/* Returns the mount as a descriptor, or -1. */
static int mount_nowhere(int fuse) {
    char number[16], user[16];
    snprintf(number, sizeof number, "%d", fuse);
    snprintf(user, sizeof user, "%u", (unsigned) getuid());
    int context = fsopen("fuse", FSOPEN_CLOEXEC);
    if (context < 0)
        return -1;
    bool is_ready = fsconfig(context, FSCONFIG_SET_STRING, "fd", number, 0) == 0 &&
                    fsconfig(context, FSCONFIG_SET_STRING, "rootmode", "40700", 0) == 0 &&
                    fsconfig(context, FSCONFIG_SET_STRING, "user_id", user, 0) == 0 &&
                    fsconfig(context, FSCONFIG_SET_STRING, "group_id", "0", 0) == 0 &&
                    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
    int mount = is_ready ? fsmount(context, FSMOUNT_CLOEXEC, 0) : -1;
    close(context);
    return mount;
}

static int tell_failure(int line, const char *what) {
    char text[160];
    snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    line_tell(line, 0);
    line_tell_text(line, text);
    return 1;
}

static int daemon_run(int line, void *arg) {
    (void) arg;
    static _Alignas(struct fuse_in_header) char buf[REQUEST_MAX];
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0)
        return tell_failure(line, "/dev/fuse");
    int mount = mount_nowhere(fuse);
    if (mount < 0)
        return tell_failure(line, "mounting fuse");
    line_tell(line, 1);
    line_tell_fd(line, mount);
    close(mount);
    bool hangs = false;
    while (read(fuse, buf, sizeof buf) > 0)
        hangs = hangs || !serve_request(fuse, (const struct fuse_in_header *) buf);
    return 0;
}

bool trap_hung(struct trap *ret, char *ret_why, size_t size) {
    uint64_t works = 0;
    int mount = -1;
    *ret = (struct trap){.fd = -1, .other = -1};
    child_start(&ret->daemon, daemon_run, NULL);
    ret_why[0] = 0;
    if (!line_hear(ret->daemon.line, PATIENCE_MS, &works) || !works ||
        !line_hear_fd(ret->daemon.line, PATIENCE_MS, &mount)) {
        if (!line_hear_text(ret->daemon.line, PATIENCE_MS, ret_why, size))
            snprintf(ret_why, size, "the FUSE daemon does not start");
        trap_disarm(ret);
        return false;
    }
    ret->fd = openat(mount, "wreck", O_RDONLY | O_CLOEXEC);
    if (ret->fd < 0)
        snprintf(ret_why, size, "opening a file of FUSE: %s", strerror(errno));
    close(mount); /* the open file keeps the file system alive */
    if (ret->fd < 0)
        trap_disarm(ret);
    return ret->fd >= 0;
}
