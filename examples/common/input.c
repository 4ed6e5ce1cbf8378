/* SPDX-License-Identifier: MIT */
/* Input that is ready, and several files as one input; see input.h. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

/* for devices that do not report an amount: one with ready input never runs out of it (/dev/zero) */
#define UNKNOWN 65536

bool input_is_file(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

size_t input_ready(int fd) {
    int bytes = 0;
    if (ioctl(fd, FIONREAD, &bytes) < 0)
        return UNKNOWN;
    return bytes > 0 ? (size_t) bytes : 1;
}

void input_init(struct input *input, char **names, uint64_t repeat) {
    *input = (struct input){.names = names, .repeat = repeat, .fd = -1};
}

static void close_file(struct input *input) {
    if (input->fd > STDIN_FILENO)
        close(input->fd);
    input->fd = -1;
}

void input_deinit(struct input *input) {
    close_file(input);
}

static int open_file(const char *name) {
    if (strcmp(name, "-") == 0)
        return STDIN_FILENO;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

static void end_round(struct input *input) {
    input->rounds++;
    input->is_ended = input->rounds == input->repeat || input->bytes == input->round_began;
    input->round_began = input->bytes;
    input->next = 0;
}

int input_fd(struct input *input) {
    while (input->fd < 0 && !input->is_ended) {
        if (input->names[input->next] == NULL) {
            end_round(input);
            continue;
        }
        const char *name = input->names[input->next++];
        int fd = open_file(name);
        if (fd >= 0) {
            input->fd = fd;
        } else {
            program_say("%s: %s", name, strerror(-fd));
            input->has_failed = true;
        }
    }
    return input->fd;
}

const char *input_name(const struct input *input) {
    return input->names[input->next - 1];
}

void input_next(struct input *input) {
    close_file(input);
}
