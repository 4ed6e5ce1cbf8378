/* SPDX-License-Identifier: MIT */
/* Addresses. See <sealane/conn.h> for their forms. */
#include "lane/address.h"

#include "sys/path.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first inherited descriptor of systemd's socket activation: sd_listen_fds(3). */
static const int LISTEN_FDS_START = 3;

static bool number_parse(const char *text, int *ret_number) {
    char *end = NULL;
    errno = 0;
    long n = strtol(text, &end, 10);
    bool is_plain = text[0] >= '0' && text[0] <= '9'; /* strtol() also takes blanks and signs */
    if (errno || !is_plain || *end || n > INT_MAX)
        return false;
    *ret_number = (int) n;
    return true;
}

/* The position of `name` in the colon-separated list, -1 if it is not there. */
static int list_find(const char *list, const char *name) {
    size_t length = strlen(name);
    for (int i = 0; list; i++) {
        size_t n = strcspn(list, ":");
        if (n == length && memcmp(list, name, n) == 0)
            return i;
        list = list[n] ? list + n + 1 : NULL;
    }
    return -1;
}

static const char SYSTEMD_IS_FOR_SERVERS[] =
    "only a server's address is \"systemd\": a client takes that of the socket unit (ListenSequentialPacket=), as "
    "unix:/PATH";

bool address_is_of_systemd(const char *text) {
    return strncmp(text, "systemd", 7) == 0 && (!text[7] || text[7] == ':');
}

/* "" or ":NAME" behind "systemd": which of LISTEN_FDS, if they are meant for this process. */
static int systemd_parse(const char *rest, struct address *ret, const char **ret_why) {
    int pid = 0, count = 0;
    const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
    *ret_why = "no inherited socket: LISTEN_PID and LISTEN_FDS are not set for this process";
    if (!pid_text || !count_text || !number_parse(pid_text, &pid) || !number_parse(count_text, &count) ||
        pid != getpid() || count < 1)
        return -ENOENT;
    int index = *rest ? list_find(getenv("LISTEN_FDNAMES"), rest + 1) : 0;
    *ret_why = "no inherited socket of that name in LISTEN_FDNAMES";
    if (index < 0 || index >= count)
        return -ENOENT;
    ret->fd = LISTEN_FDS_START + index;
    return 0;
}

static int name_copy(struct address *ret, const char *name, const char **ret_why) {
    if (strlen(name) >= sizeof(ret->name))
        return *ret_why = "a socket path holds 107 bytes", -ENAMETOOLONG;
    memcpy(ret->name, name, strlen(name) + 1);
    return 0;
}

static const char *runtime_explain(int error, bool for_server) {
    if (error != -ENOENT)
        return "the runtime directory is not ours alone, or its path is too long";
    if (for_server)
        return "no runtime directory: set XDG_RUNTIME_DIR (an absolute path), or use unix:/PATH";
    return "no runtime directory: is the server running, and with the same XDG_RUNTIME_DIR?"; /* it makes ours in there
                                                                                               */
}

static const char *kind_explain(bool for_server) {
    return for_server ? "unknown kind of address: use NAME, unix:/PATH, unix:@NAME, fd:N, systemd or systemd:NAME"
                      : "unknown kind of address: use NAME, unix:/PATH, unix:@NAME or fd:N";
}

static int runtime_parse(const char *name, bool for_server, struct address *ret, const char **ret_why) {
    char path[PATH_MAX];
    if (!*name || strchr(name, '/') || name[0] == '.')
        return *ret_why = "a bare name may not be empty, hold '/', or begin with '.'", -EINVAL;
    if (strchr(name, ':'))
        return *ret_why = kind_explain(for_server), -EINVAL;
    int r = path_runtime_dir(for_server, path, sizeof(path) - ADDRESS_NAME_SIZE - 1);
    if (r < 0)
        return *ret_why = runtime_explain(r, for_server), r;
    if (strlen(path) + 1 + strlen(name) >= sizeof(ret->name))
        return *ret_why = "a socket path holds 107 bytes", -ENAMETOOLONG;
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", name);
    return name_copy(ret, path, ret_why);
}

static int unix_parse(const char *name, struct address *ret, const char **ret_why) {
    if ((name[0] != '/' && name[0] != '@') || !name[1])
        return *ret_why = "unix: needs an absolute path, or '@' and a name", -EINVAL;
    return name_copy(ret, name, ret_why);
}

int address_parse(const char *text, bool for_server, struct address *ret_address, const char **ret_why) {
    struct address address = {.fd = -1};
    int r = 0;
    if (strncmp(text, "unix:", 5) == 0)
        r = unix_parse(text + 5, &address, ret_why);
    else if (strncmp(text, "fd:", 3) == 0)
        r = number_parse(text + 3, &address.fd) ? 0 : (*ret_why = "fd: needs a number", -EINVAL);
    else if (address_is_of_systemd(text))
        r = for_server ? systemd_parse(text + 7, &address, ret_why) : (*ret_why = SYSTEMD_IS_FOR_SERVERS, -EINVAL);
    else
        r = runtime_parse(text, for_server, &address, ret_why);
    if (r == 0)
        *ret_address = address;
    return r;
}
