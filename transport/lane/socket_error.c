/* SPDX-License-Identifier: MIT */
/*
 * Reach. See socket_error.h.
 *
 * The text states only facts that were looked up. The file at a path may change between the failure and the look: then
 * the text describes the present file.
 */
#include "lane/socket_error.h"

#include "sys/cred.h"
#include "sys/failure.h"
#include "sys/path.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FORBIDDEN "is forbidden to this process (by seccomp, Landlock, AppArmor or SELinux): allow it"

/* --- the runtime directory, in which bare names live --- */

static bool is_bare(const char *text) {
    return !strchr(text, ':') && !strchr(text, '/') && text[0] && text[0] != '.' && !address_is_of_systemd(text);
}

static void describe_own_dir(const char *dir, const struct path_state *look, char *ret) {
    if (!look->is_dir)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "%.100s is no directory: remove it", dir);
    else
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "%.60s has to belong to us (user %u) alone: it is user %u's, mode %04o",
                 dir, cred_own_uid(), look->owner, look->mode);
}

static void describe_no_dir(const char *base, bool for_server, int error, char *ret) {
    struct path_state look;
    int r = path_inspect(base, &look);
    bool is_forbidden = error == -EPERM || error == -ENOSYS;
    if (r == -ENOENT)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "XDG_RUNTIME_DIR is %.70s, which does not exist: make it, or use unix:/PATH", base);
    else if (r < 0)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "XDG_RUNTIME_DIR is %.70s, which cannot be looked at: use unix:/PATH",
                 base);
    else if (!look.is_dir)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "XDG_RUNTIME_DIR is %.70s, which is no directory: use unix:/PATH", base);
    else if (!for_server)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "no server has been in %.70s: is the server running, with the same XDG_RUNTIME_DIR?", base);
    else if (!look.is_writable)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "XDG_RUNTIME_DIR is %.70s, in which we (user %u) may not write: use unix:/PATH", base, cred_own_uid());
    else
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "the directory %.70s/sealane cannot be made%s: use unix:/PATH", base,
                 is_forbidden ? ", a sandbox forbids mkdir" : "");
}

/* Is the runtime directory the cause? Then writes why. */
static bool describe_runtime(const char *text, bool for_server, int error, char *ret) {
    char dir[4096];
    struct path_state look;
    const char *base = path_runtime_base();
    if (!is_bare(text) || path_runtime_dir(false, dir, sizeof(dir)) == 0)
        return false;
    snprintf(dir, sizeof(dir), "%s/sealane", base ? base : "/run");
    int r = path_inspect(dir, &look);
    if (!base && cred_own_uid() != 0)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "no runtime directory: set XDG_RUNTIME_DIR%s (an absolute path), or use unix:/PATH",
                 for_server ? "" : " to that of the server");
    else if (r == 0)
        describe_own_dir(dir, &look, ret);
    else if (r == -ENOENT || r == -EACCES || r == -ENOTDIR)
        describe_no_dir(base ? base : "/run", for_server, error, ret);
    else
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "%.90s cannot be looked at: that " FORBIDDEN, dir);
    return true;
}

/* --- what a call says --- */

/* Of one that only the name of the call explains. */
static bool describe_call(int r, char *ret) {
    const char *call = failure_call(r);
    if (call && failure_is_forbidden(r))
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "%s " FORBIDDEN, call);
    else if (call)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "%s failed", call);
    return call;
}

/* What neither a path nor a server explains. */
static bool describe_process(int r, char *ret) {
    switch (failure_error(r)) {
    case -EAFNOSUPPORT:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "this process may not have sockets of AF_UNIX: allow them (systemd: RestrictAddressFamilies=, or a "
                 "seccomp filter)");
        return true;
    case -EMFILE:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "this process has as many descriptors as it may: close some, or raise RLIMIT_NOFILE (ulimit -n)");
        return true;
    case -ENFILE:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "the machine has as many open files as it may: end programs, or raise fs.file-max");
        return true;
    case -ENOMEM:
    case -ENOBUFS:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "out of memory for a socket");
        return true;
    default:
        return false;
    }
}

/* --- connecting --- */

/* The file's permissions are not the only ones. */
static void describe_closed(const struct address *where, char *ret) {
    struct path_state look;
    int r = where->name[0] == '/' ? path_inspect(where->name, &look) : -ENOENT;
    if (r == -EACCES)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "a directory on the way to it is closed to us (user %u): open it (chmod +x)", cred_own_uid());
    else if (r < 0 || look.is_writable)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "connect " FORBIDDEN);
    else
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "closed to us (user %u): it is user %u's and group %u's, mode %04o; set socket_mode, and users or "
                 "groups, in the server",
                 cred_own_uid(), look.owner, look.group, look.mode);
}

static void describe_unheard(const struct address *where, char *ret) {
    struct path_state look;
    if (where->name[0] != '/' || path_inspect(where->name, &look) < 0)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "nobody listens there: is the server running?");
    else if (look.is_socket)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "nobody listens there: the socket's server has ended; is a new one running?");
    else
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "nobody listens there: what has this path is no socket; use another, or remove it");
}

static bool describe_connect(const struct address *where, int r, char *ret) {
    switch (failure_error(r)) {
    case -ENOENT:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "nobody listens there, there is no such socket: is the server running?");
        return true;
    case -ECONNREFUSED:
        describe_unheard(where, ret);
        return true;
    case -EACCES:
        describe_closed(where, ret);
        return true;
    case -EPROTOTYPE:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "another kind of socket listens there (stream or datagram): it is no server of this kind");
        return true;
    case -ENOTDIR:
    case -ELOOP:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "the path leads nowhere: a part of it is no directory, or a circle of links");
        return true;
    case -EAGAIN:
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "as many clients wait there as the kernel lets: the server does not accept them in time");
        return true;
    default:
        return describe_process(r, ret) || describe_call(r, ret);
    }
}

static bool is_call(int r, enum inject_kind kind) {
    return failure_call(r) == failure_call_name(kind);
}

void socket_error_describe_connect(const char *text, int r, const char *why, char ret_text[SOCKET_ERROR_TEXT_SIZE]) {
    struct address where;
    const char *unused;
    bool is_known = address_parse(text, false, &where, &unused) == 0;
    if (!is_known && describe_runtime(text, false, r, ret_text))
        return;
    if (is_known && where.fd >= 0 && describe_call(r, ret_text))
        return;
    bool is_at_fault = is_known && where.fd < 0 && failure_error(r) != -EINVAL;
    if (is_at_fault && is_call(r, INJECT_SOCKET) && (describe_process(r, ret_text) || describe_call(r, ret_text)))
        return;
    if (!is_at_fault || !describe_connect(&where, r, ret_text))
        snprintf(ret_text, SOCKET_ERROR_TEXT_SIZE, "%s", why);
}

/* --- listening --- */

/* Of a path, the directory in which it lies. */
static void dir_of(const struct address *where, char dir[ADDRESS_NAME_SIZE]) {
    snprintf(dir, ADDRESS_NAME_SIZE, "%s", where->name);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
}

static bool describe_dir(const struct address *where, int error, char *ret) {
    char dir[ADDRESS_NAME_SIZE];
    struct path_state look;
    dir_of(where, dir);
    int r = path_inspect(dir, &look);
    if (r < 0 || !look.is_dir)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "the socket cannot be made: there is no directory %s, or it is closed to us", dir);
    else if (error == -EROFS)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "the socket cannot be made: %s is on a read-only file system", dir);
    else if (error == -ENOSPC || error == -EDQUOT)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "the socket cannot be made: the file system of %s is full", dir);
    else if (!look.is_writable)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "the socket cannot be made: we (user %u) may not write in %s, which is user %u's, mode %04o",
                 cred_own_uid(), dir, look.owner, look.mode);
    else
        return false;
    return true;
}

static bool describe_listen(const struct address *where, int r, char *ret) {
    int error = failure_error(r);
    bool is_path = where->name[0] == '/';
    if (error == -ENOTSOCK || (error == -EADDRINUSE && is_path))
        return false;
    if (error == -EADDRINUSE) {
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "another socket has this abstract name: stop its server (`ss -xl` lists it), or use another name");
        return true;
    }
    if (error == -ELOOP) {
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE,
                 "the lock file beside the socket is a symbolic link, or the path has a circle of them: remove it");
        return true;
    }
    return describe_process(r, ret) ||
           (is_path && error != -EPERM && error != -ENOSYS && describe_dir(where, error, ret)) || describe_call(r, ret);
}

/* For calls without a known name: `why` names the object of the call. */
static bool describe_step(int r, const char *why, char *ret) {
    bool is_forbidden = r == -EPERM || r == -ENOSYS;
    if (is_forbidden)
        snprintf(ret, SOCKET_ERROR_TEXT_SIZE, "%.100s (or a seccomp filter forbids a call on it)", why);
    return is_forbidden;
}

void socket_error_describe_listen(const char *text, int r, const char *why, char ret_text[SOCKET_ERROR_TEXT_SIZE]) {
    struct address where;
    const char *unused;
    bool is_known = address_parse(text, true, &where, &unused) == 0;
    if (!is_known && describe_runtime(text, true, r, ret_text))
        return;
    if (is_known && where.fd >= 0 && describe_call(r, ret_text))
        return;
    bool is_ours = is_known && where.fd < 0 && failure_error(r) != -EINVAL;
    if (!is_ours || !(describe_step(r, why, ret_text) || describe_listen(&where, r, ret_text)))
        snprintf(ret_text, SOCKET_ERROR_TEXT_SIZE, "%s", why);
}
