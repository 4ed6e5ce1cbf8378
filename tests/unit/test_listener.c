/* SPDX-License-Identifier: MIT */
/* lane/listener: which process owns a path. There are live servers, killed servers, and files that are no servers. */
#include "support/suite.h"
#include "sys/failure.h"
#include "sys/reaper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sealane/ctx.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lane/listener.h"
#include "support/child.h"
#include "support/raw.h"
#include "support/trap.h"
#include "sys/fdpass.h"
#include "sys/heap.h"
#include "sys/path.h"
#include "sys/socket.h" /* this header is ours; NOLINT(readability-duplicate-include) */
#include "unit/fail.h"
#include "unit/valgrind.h"

/* The reaper closes an inherited descriptor: others may wait in its queue. */
static bool is_all_reaped(void) {
    for (int ms = 0; ms < test_timeout_ms(1000) && reaper_pending() > 0; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return reaper_pending() == 0;
}

enum { GUARD_MS = 10000 };

static char dir[64], path[80], lock[96], address[96];

static void make_dir(void) {
    fail_off();
    strcpy(dir, "/tmp/sealane-listener-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/socket", dir);
    snprintf(lock, sizeof lock, "%s.lock", path);
    snprintf(address, sizeof address, "unix:%s", path);
}

/* Checks that the test has left no file: the directory is empty. */
static void drop_dir(void) {
    fail_off();
    ck_assert_msg(rmdir(dir) == 0, "%s: %s", dir, strerror(errno));
}

static bool exists(const char *name) {
    struct stat status;
    return lstat(name, &status) == 0;
}

static mode_t mode_of(const char *name) {
    struct stat status;
    ck_assert_int_eq(lstat(name, &status), 0);
    return status.st_mode;
}

static const char *last_why; /* the newest reason */

static int listen_at(const char *where, struct listener *ret) {
    const char *why = NULL;
    int r = listener_open(ret, where, 0600, &why);
    if (r < 0) {
        ck_assert_msg(why != NULL && why[0] != '\0', "no reason given");
        ck_assert_msg(strlen(why) < sizeof(((sea_refusal *) NULL)->advice), "a refusal has no room for \"%s\"", why);
        last_why = why;
    }
    return r;
}

/* Returns whether a client that connects to `name` reaches this listener. */
static bool is_reached(const struct listener *listener, const char *name) {
    int client = -1, accepted = -1;
    bool is_it = socket_connect(name, &client) == 0 && socket_accept(listener->fd, &accepted) == 0;
    fd_close(client);
    fd_close(accepted);
    return is_it;
}

static void assert_refused(const char *where, int error) {
    struct listener listener = {.fd = -7, .lock_fd = -8};
    ck_assert_int_eq(failure_error(listen_at(where, &listener)), error);
    ck_assert_int_eq(listener.fd, -7);
    ck_assert_int_eq(listener.lock_fd, -8);
}

/* --- paths --- */

START_TEST(test_a_path_is_made_and_removed) {
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    ck_assert_str_eq(listener.address.name, path);
    ck_assert(S_ISSOCK(mode_of(path)));
    ck_assert(S_ISREG(mode_of(lock)));
    ck_assert(is_reached(&listener, path));
    ck_assert_int_eq(fcntl(listener.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(listener.lock_fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(listener.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    listener_close(&listener);
    ck_assert(!exists(path));
    ck_assert(!exists(lock));
    ck_assert_int_eq(listener.fd, -1);
    ck_assert_int_eq(listener.lock_fd, -1);
    listener_close(&listener); /* a second close does nothing */
}
END_TEST

START_TEST(test_closing_nothing) {
    struct listener listener = LISTENER_EMPTY;
    listener_close(&listener);
    ck_assert_int_eq(listener.fd, -1);
}
END_TEST

/* The socket gets the requested mode under any umask; only its owner can open the lock. */
START_TEST(test_modes) {
    static const mode_t modes[] = {0600, 0660, 0666, 0700}, masks[] = {0, 022, 0777};
    mode_t before = umask(masks[_i % 3]);
    struct listener listener;
    const char *why = NULL;
    int r = listener_open(&listener, address, modes[_i / 3], &why);
    umask(before);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(mode_of(path) & 07777, modes[_i / 3] | S_ISVTX);
    ck_assert_int_eq(mode_of(lock) & 0077, 0);
    ck_assert_int_eq(mode_of(lock) & S_ISVTX, S_ISVTX);
    listener_close(&listener);
}
END_TEST

START_TEST(test_again_and_again) {
    for (int i = 0; i < 10; i++) {
        struct listener listener;
        ck_assert_int_eq(listen_at(address, &listener), 0);
        ck_assert(is_reached(&listener, path));
        listener_close(&listener);
    }
}
END_TEST

START_TEST(test_two_in_one_process) {
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    assert_refused(address, -EADDRINUSE);
    ck_assert(is_reached(&listener, path)); /* the first listener still works */
    ck_assert(exists(lock));
    listener_close(&listener);
}
END_TEST

START_TEST(test_a_bare_name) {
    char made[80], name[100];
    snprintf(made, sizeof made, "%s/sealane", dir);
    snprintf(name, sizeof name, "%s/imaging", made);
    setenv("XDG_RUNTIME_DIR", dir, 1);
    struct listener listener;
    int r = listen_at("imaging", &listener);
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(r, 0);
    ck_assert_str_eq(listener.address.name, name);
    ck_assert(is_reached(&listener, name));
    listener_close(&listener);
    ck_assert_int_eq(rmdir(made), 0); /* the directory was empty again */
}
END_TEST

/* The lock's path may be longer than a socket's path can be. */
START_TEST(test_the_longest_path) {
    char where[150];
    snprintf(where, sizeof where, "unix:%s/", dir);
    size_t n = strlen(where);
    memset(where + n, 'x', 5 + 107 - n);
    where[5 + 107] = '\0';
    struct listener listener;
    ck_assert_int_eq(listen_at(where, &listener), 0);
    ck_assert(exists(where + 5));
    ck_assert(is_reached(&listener, where + 5));
    assert_refused(where, -EADDRINUSE);
    listener_close(&listener);
}
END_TEST

/* --- other servers --- */

/* A server in a child: sends the result of listener_open(), and serves until the parent ends it. */
static int serve(int line, void *arg) {
    struct listener listener = LISTENER_EMPTY;
    const char *why = NULL;
    uint64_t word;
    int r = listener_open(&listener, arg, 0600, &why);
    line_tell(line, (uint64_t) -r);
    line_hear(line, -1, &word);
    listener_close(&listener);
    return 0;
}

static void start_server(struct child *child) {
    uint64_t error = 1;
    child_start(child, serve, address);
    ck_assert(line_hear(child->line, GUARD_MS, &error));
    ck_assert_uint_eq(error, 0);
}

START_TEST(test_a_live_server_keeps_its_path) {
    struct child server;
    start_server(&server);
    assert_refused(address, -EADDRINUSE);
    int fd = raw_connect(path); /* the socket is still there */
    close(fd);
    ck_assert_int_eq(child_end(&server, GUARD_MS), 0);
    ck_assert(!exists(path));
}
END_TEST

START_TEST(test_a_killed_server_is_succeeded) {
    struct child server;
    start_server(&server);
    child_kill(&server);
    ck_assert(exists(path)); /* no process has removed it */
    ck_assert(exists(lock));
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    ck_assert(is_reached(&listener, path));
    listener_close(&listener);
}
END_TEST

/* A stopped server is alive: its lock proves that, without a message to it. */
START_TEST(test_a_stopped_server_keeps_its_path) {
    struct child server;
    start_server(&server);
    ck_assert_int_eq(kill(server.pid, SIGSTOP), 0);
    assert_refused(address, -EADDRINUSE);
    child_kill(&server);
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    listener_close(&listener);
}
END_TEST

/* A waiting client sent a descriptor whose close() hangs, and cannot be accepted, because our table is full. */
START_TEST(test_a_waiting_client_that_cannot_be_accepted) {
    if (is_under_valgrind()) { /* valgrind runs no other thread while one hangs in close() */
        test_skip("threads hang together here");
        return;
    }
    const struct linger forever = {.l_onoff = 1, .l_linger = 3600};
    const struct iovec byte = {.iov_base = "x", .iov_len = 1};
    struct listener listener;
    struct trap trap;
    int client = -1;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    ck_assert_int_eq(socket_connect(path, &client), 0);
    trap_lingering(&trap);
    ck_assert_int_eq(setsockopt(trap.fd, SOL_SOCKET, SO_LINGER, &forever, sizeof forever), 0);
    ck_assert_int_eq(fdpass_send(client, &byte, 1, &trap.fd, 1), 0);
    trap.fd = fd_close(trap.fd);
    fail_once(INJECT_ACCEPT, EMFILE);
    listener_close(&listener);
    ck_assert_uint_eq(reaper_pending(), 1);
    trap_free(&trap);
    ck_assert(is_all_reaped());
    fd_close(client);
}
END_TEST

/* Software without locks left this socket: it is stale all the same, unless its server lives. */
START_TEST(test_a_socket_without_a_lock) {
    int fd = raw_listen(path);
    close(fd);
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    ck_assert(is_reached(&listener, path));
    listener_close(&listener);
}
END_TEST

START_TEST(test_a_lock_without_a_socket) {
    int fd = open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    ck_assert(is_reached(&listener, path));
    listener_close(&listener);
}
END_TEST

/* The holder of the lock cannot be identified, because no server listens there, or its queue is full. The reason
 * says so, and fits into a refusal. */
START_TEST(test_a_lock_that_is_held) {
    CLEANUP_FD int held = -1;
    int listener = _i ? raw_listen(path) : -1, clients[128], count = 0;
    while (_i && count < 128 && socket_connect(path, &clients[count]) == 0)
        count++;
    ck_assert_int_lt(count, 128);
    ck_assert_int_eq(path_lock(lock, &held), 0);
    assert_refused(address, -EADDRINUSE);
    ck_assert_msg(strstr(last_why, _i ? "queue is full" : "nobody listens"), "%s", last_why);
    while (count > 0)
        close(clients[--count]);
    fd_close(listener);
    unlink(path);
    unlink(lock);
}
END_TEST

enum { RIVALS = 6, ROUNDS = 150 };

static atomic_int *servers; /* shared: number of processes that believe that they own the path */

/* Opens and closes without a pause; while a process has the path, no other process may have it. */
static int compete(int line, void *arg) {
    uint64_t word;
    const char *why;
    int won = 0;
    if (!line_hear(line, GUARD_MS, &word))
        return 1;
    for (int i = 0; i < ROUNDS || won == 0; i++) {
        struct listener listener;
        int r = listener_open(&listener, arg, 0600, &why);
        if (r == -EADDRINUSE)
            continue;
        if (r < 0)
            return 2;
        won++;
        bool is_alone = atomic_fetch_add(servers, 1) == 0 && is_reached(&listener, path);
        atomic_fetch_sub(servers, 1);
        listener_close(&listener);
        if (!is_alone)
            return 3;
    }
    return 0;
}

START_TEST(test_one_of_many_wins) {
    struct child rivals[RIVALS];
    servers = mmap(NULL, sizeof *servers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(servers != MAP_FAILED);
    int fd = raw_listen(path); /* the servers begin with a stale socket */
    close(fd);
    for (int i = 0; i < RIVALS; i++)
        child_start(&rivals[i], compete, address);
    for (int i = 0; i < RIVALS; i++)
        ck_assert(line_tell(rivals[i].line, 1));
    for (int i = 0; i < RIVALS; i++)
        ck_assert_int_eq(child_end(&rivals[i], GUARD_MS), 0);
    munmap(servers, sizeof *servers);
}
END_TEST

/* --- files that are no server's --- */

static void make_file(const char *name) {
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "precious", 8), 8);
    close(fd);
}

static void assert_precious(const char *name) {
    char text[16] = "";
    CLEANUP_FD int fd = open(name, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(read(fd, text, sizeof text), 8);
    ck_assert_str_eq(text, "precious");
}

/* A clean-up tool has removed the lock file, and a lock on a new file proves nothing. */
START_TEST(test_a_live_server_without_its_lock) {
    struct listener first;
    const char *why = NULL;
    ck_assert_int_eq(listen_at(address, &first), 0);
    ck_assert_int_eq(listener_check(&first, &why), 0);
    ck_assert_int_eq(unlink(lock), 0);
    assert_refused(address, -EADDRINUSE);
    assert_refused(address, -EADDRINUSE);
    ck_assert(!exists(lock));
    ck_assert(is_reached(&first, path));
    ck_assert_int_eq(listener_check(&first, &why), -ESTALE);
    ck_assert_ptr_nonnull(strstr(why, "lock file"));
    listener_close(&first);
    ck_assert(!exists(path));
}
END_TEST

/* Both files are gone, and a successor has made its own: the first server must not remove them. */
START_TEST(test_a_successors_files_stay) {
    struct listener first, second;
    const char *why = NULL;
    ck_assert_int_eq(listen_at(address, &first), 0);
    ck_assert_int_eq(unlink(lock), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(listener_check(&first, &why), -ESTALE);
    ck_assert_ptr_nonnull(strstr(why, "socket file"));
    ck_assert_int_eq(listen_at(address, &second), 0);
    ck_assert_int_eq(listener_check(&first, &why), -ESTALE);
    listener_close(&first);
    ck_assert(exists(lock));
    ck_assert(is_reached(&second, path));
    ck_assert_int_eq(listener_check(&second, &why), 0);
    listener_close(&second);
}
END_TEST

enum heir { IS_SILENT, RENEWS, ANSWERS, HEIRS };

__attribute__((noreturn)) static void answer_for_ever(int listener) {
    int fd;
    for (;;) {
        struct pollfd item = {.fd = listener, .events = POLLIN};
        poll(&item, 1, -1);
        if (socket_accept(listener, &fd) == 0 && send(fd, "hello", 5, MSG_NOSIGNAL) == 5)
            close(fd);
    }
}

/* A server's child, which lives on with every descriptor that the server had. */
static int listen_and_leave(int line, void *arg) {
    struct listener listener;
    enum heir heir = *(enum heir *) arg;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    fflush(NULL);
    if (fork() != 0)
        pause();
    alarm(120);
    if (heir == RENEWS)
        listener_renew(&listener);
    line_tell(line, (uint64_t) getpid());
    if (heir == ANSWERS)
        answer_for_ever(listener.fd);
    pause();
    return 0;
}

/* A child of a killed server keeps the path only if it serves there. */
START_TEST(test_an_heir_holds_no_path) {
    struct child child;
    struct listener listener;
    uint64_t heir = 0;
    child_start(&child, listen_and_leave, &_i);
    ck_assert(line_hear(child.line, GUARD_MS, &heir));
    assert_refused(address, -EADDRINUSE);
    child_kill(&child);
    int r = listen_at(address, &listener);
    ck_assert_int_eq(r, _i == IS_SILENT ? 0 : -EADDRINUSE);
    if (r == 0) {
        ck_assert(is_reached(&listener, path));
        ck_assert(exists(lock));
        assert_refused(address, -EADDRINUSE);
        listener_close(&listener);
        ck_assert(!exists(path)); /* they were its own files */
        ck_assert(!exists(lock));
    }
    kill((pid_t) heir, SIGKILL);
    unlink(path);
    unlink(lock);
}
END_TEST

/* A user that may read the directory may lock it for any time. Then the path is taken over by no server, and the
 * text says why. */
START_TEST(test_a_directory_that_another_process_has_locked) {
    struct child child;
    struct listener listener;
    enum heir kind = IS_SILENT;
    uint64_t heir = 0;
    child_start(&child, listen_and_leave, &kind);
    ck_assert(line_hear(child.line, GUARD_MS, &heir));
    child_kill(&child);
    int locked = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(locked, LOCK_EX | LOCK_NB), 0);
    assert_refused(address, -EADDRINUSE);
    ck_assert_msg(strstr(last_why, "directory is locked") != NULL, "it says: %s", last_why);
    close(locked);
    ck_assert_int_eq(listen_at(address, &listener), 0);
    listener_close(&listener);
    kill((pid_t) heir, SIGKILL);
}
END_TEST

/* No other server has taken over: the text must not claim that. */
START_TEST(test_a_lock_file_that_cannot_be_replaced) {
    struct child child;
    enum heir kind = IS_SILENT;
    uint64_t heir = 0;
    child_start(&child, listen_and_leave, &kind);
    ck_assert(line_hear(child.line, GUARD_MS, &heir));
    child_kill(&child);
    if (_i == 0)
        fail_call(INJECT_FLOCK, 2, 1, EBADF); /* the lock of the directory */
    else
        fail_call(INJECT_UNLINK, 1, 1, EACCES);
    assert_refused(address, _i == 0 ? -EBADF : -EACCES);
    fail_off();
    ck_assert_msg(strstr(last_why, "cannot be replaced") != NULL, "it says: %s", last_why);
    kill((pid_t) heir, SIGKILL);
    unlink(path);
    unlink(lock);
}
END_TEST

/* Before Linux 6.5 (no SO_PEERPIDFD) the heir is found by its process number. */
START_TEST(test_an_heir_is_known_by_its_parents_number) {
    struct child child;
    struct listener listener;
    enum heir kind = IS_SILENT;
    uint64_t heir = 0;
    if (is_under_valgrind())
        test_skip("valgrind does not know pidfd_open()");
    child_start(&child, listen_and_leave, &kind);
    ck_assert(line_hear(child.line, GUARD_MS, &heir));
    fail_call(INJECT_GETSOCKOPT, 2, 1, ENOPROTOOPT); /* the first getsockopt() is SO_PEERCRED */
    assert_refused(address, -EADDRINUSE);
    child_kill(&child);
    fail_call(INJECT_GETSOCKOPT, 2, 1, ENOPROTOOPT);
    ck_assert_int_eq(listen_at(address, &listener), 0);
    fail_off();
    listener_close(&listener);
    kill((pid_t) heir, SIGKILL);
    unlink(path);
    unlink(lock);
}
END_TEST

START_TEST(test_a_file_is_not_a_socket) {
    make_file(path);
    assert_refused(address, -ENOTSOCK);
    assert_precious(path);
    ck_assert(!exists(lock));
    unlink(path);
}
END_TEST

START_TEST(test_a_directory_is_not_a_socket) {
    ck_assert_int_eq(mkdir(path, 0700), 0);
    assert_refused(address, -ENOTSOCK);
    ck_assert(!exists(lock));
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* This holds even for a link to a socket: the listener must remove neither the link nor its target. */
START_TEST(test_a_link_is_not_a_socket) {
    char target[80];
    snprintf(target, sizeof target, "%s/target", dir);
    int fd = raw_listen(target);
    close(fd);
    ck_assert_int_eq(symlink(target, path), 0);
    assert_refused(address, -ENOTSOCK);
    ck_assert(exists(path));
    ck_assert(exists(target));
    ck_assert(!exists(lock));
    unlink(path);
    unlink(target);
}
END_TEST

START_TEST(test_a_lock_that_is_a_link) {
    char target[80];
    snprintf(target, sizeof target, "%s/target", dir);
    make_file(target);
    ck_assert_int_eq(symlink(target, lock), 0);
    assert_refused(address, -ELOOP);
    assert_precious(target);
    ck_assert(exists(lock));
    unlink(lock);
    unlink(target);
}
END_TEST

START_TEST(test_a_directory_that_is_missing) {
    char where[120];
    snprintf(where, sizeof where, "unix:%s/missing/socket", dir);
    assert_refused(where, -ENOENT);
    make_file(path);
    snprintf(where, sizeof where, "unix:%s/socket/socket", dir);
    assert_refused(where, -ENOTDIR);
    unlink(path);
}
END_TEST

START_TEST(test_bad_addresses) {
    assert_refused("", -EINVAL);
    assert_refused("unix:relative", -EINVAL);
    assert_refused("tcp:1", -EINVAL);
    assert_refused("fd:x", -EINVAL);
    unsetenv("LISTEN_PID");
    assert_refused("systemd", -ENOENT);
}
END_TEST

/* --- abstract names --- */

START_TEST(test_an_abstract_name) {
    char where[80];
    snprintf(where, sizeof where, "unix:%s", raw_name());
    struct listener listener;
    ck_assert_int_eq(listen_at(where, &listener), 0);
    ck_assert_int_eq(listener.lock_fd, -1);
    ck_assert(is_reached(&listener, where + 5));
    assert_refused(where, -EADDRINUSE);
    ck_assert(is_reached(&listener, where + 5));
    listener_close(&listener);
    ck_assert_int_eq(listen_at(where, &listener), 0); /* the name is free again at once */
    listener_close(&listener);
}
END_TEST

/* --- inherited descriptors --- */

static int open_listener(int type, const char *name) {
    struct listener listener;
    int fd = -1;
    if (type == SOCK_SEQPACKET) {
        char where[100];
        snprintf(where, sizeof where, "unix:%s", name);
        ck_assert_int_eq(listen_at(where, &listener), 0);
        return listener.fd;
    }
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

START_TEST(test_an_inherited_listener_is_taken) {
    const char *name = raw_name();
    int fd = open_listener(SOCK_SEQPACKET, name);
    ck_assert_int_eq(fcntl(fd, F_SETFD, 0), 0); /* inherited descriptors have no close-on-exec flag */
    ck_assert_int_eq(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
    char where[20];
    snprintf(where, sizeof where, "fd:%d", fd);
    struct listener listener;
    ck_assert_int_eq(listen_at(where, &listener), 0);
    ck_assert_int_eq(listener.fd, fd);
    ck_assert_int_eq(listener.lock_fd, -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    ck_assert(is_reached(&listener, name));
    listener_close(&listener);
    ck_assert(is_all_reaped());
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

/* The path of an inherited socket belongs to the process that made it. */
START_TEST(test_an_inherited_listeners_path_stays) {
    int fd = raw_listen(path);
    char where[20];
    snprintf(where, sizeof where, "fd:%d", fd);
    struct listener listener;
    ck_assert_int_eq(listen_at(where, &listener), 0);
    listener_close(&listener);
    ck_assert(exists(path));
    unlink(path);
}
END_TEST

/* A descriptor that cannot serve is not taken: it stays open, unchanged. */
START_TEST(test_inherited_descriptors_of_other_kinds) {
    static const int errors[] = {-EPROTOTYPE, -EINVAL, -ENOTSOCK, -EBADF};
    int pair[2] = {-1, -1}, fd = 1000000;
    if (_i == 0)
        fd = open_listener(SOCK_STREAM, NULL);
    if (_i == 1) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fd = pair[0];
    }
    if (_i == 2)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int flags = fcntl(fd, F_GETFL);
    char where[20];
    snprintf(where, sizeof where, "fd:%d", fd);
    assert_refused(where, errors[_i]);
    ck_assert_int_eq(fcntl(fd, F_GETFL), flags);
    if (_i < 3)
        close(fd);
    fd_close(pair[1]);
}
END_TEST

/* Descriptor 3 may be Check's: the test restores it before it judges. */
START_TEST(test_activation_by_systemd) {
    char pid[16];
    const char *name = raw_name();
    int fd = open_listener(SOCK_SEQPACKET, name);
    snprintf(pid, sizeof pid, "%d", (int) getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", "imaging", 1);
    int kept = fcntl(3, F_DUPFD_CLOEXEC, 10), flags = fcntl(3, F_GETFD);
    struct listener listener = LISTENER_EMPTY, other = LISTENER_EMPTY;
    const char *why = "";
    bool is_served = false;
    dup2(fd, 3);
    int r = listener_open(&listener, "systemd:imaging", 0600, &why);
    int taken = listener.fd, missing = listener_open(&other, "systemd:other", 0600, &why);
    if (r == 0)
        is_served = is_reached(&listener, name);
    listener_close(&listener);
    bool is_reaped = is_all_reaped();
    int after = fcntl(3, F_GETFD);
    if (kept >= 0)
        dup3(kept, 3, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
    fd_close(kept);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    close(fd);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(taken, 3);
    ck_assert(is_served && is_reaped);
    ck_assert_int_eq(after, -1);
    ck_assert_int_eq(missing, -ENOENT);
}
END_TEST

/* --- failures --- */

/* Each call that can fail fails alone: the error comes through, and no file or descriptor is left. */
START_TEST(test_failures_leave_nothing) {
    static const struct {
        enum inject_kind kind;
        int n, error;
    } cases[] = {{INJECT_OPEN, 1, EMFILE}, {INJECT_OPEN, 1, EACCES},    {INJECT_FLOCK, 1, ENOLCK},
                 {INJECT_FSTAT, 1, EIO},   {INJECT_FSTAT, 2, EACCES},   {INJECT_SOCKET, 1, EMFILE},
                 {INJECT_BIND, 1, EACCES}, {INJECT_LISTEN, 1, ENOBUFS}, {INJECT_OPEN, 2, EMFILE}};
    fail_call(cases[_i].kind, cases[_i].n, 1, cases[_i].error);
    assert_refused(address, -cases[_i].error);
    ck_assert_int_ge(fail_calls(cases[_i].kind), cases[_i].n);
    fail_off();
    ck_assert(!exists(path));
    unlink(lock); /* an unlocked lock file proves nothing: it may stay where the listener could not examine it */
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    listener_close(&listener);
}
END_TEST

START_TEST(test_a_stale_socket_that_cannot_be_removed) {
    int fd = raw_listen(path);
    close(fd);
    fail_once(INJECT_UNLINK, EPERM);
    assert_refused(address, -EPERM);
    ck_assert(exists(path));
    ck_assert(!exists(lock));
    unlink(path);
}
END_TEST

/* The lock ends with the process, whether or not its names could be removed. */
START_TEST(test_names_that_cannot_be_removed) {
    struct listener listener;
    ck_assert_int_eq(listen_at(address, &listener), 0);
    fail_always(INJECT_UNLINK, EROFS);
    listener_close(&listener);
    fail_off();
    ck_assert(exists(path));
    ck_assert_int_eq(listen_at(address, &listener), 0);
    ck_assert(is_reached(&listener, path));
    listener_close(&listener);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("listener");
    suite_fixture(s, make_dir, drop_dir);
    suite_add(s, test_a_path_is_made_and_removed);
    suite_add(s, test_closing_nothing);
    suite_add_loop(s, test_modes, 0, 12);
    suite_add(s, test_again_and_again);
    suite_add(s, test_two_in_one_process);
    suite_add(s, test_a_bare_name);
    suite_add(s, test_the_longest_path);
    suite_add(s, test_a_live_server_keeps_its_path);
    suite_add(s, test_a_killed_server_is_succeeded);
    suite_add(s, test_a_stopped_server_keeps_its_path);
    suite_add(s, test_a_socket_without_a_lock);
    suite_add(s, test_a_lock_without_a_socket);
    suite_add_loop(s, test_a_lock_that_is_held, 0, 2);
    suite_add(s, test_one_of_many_wins);
    suite_add(s, test_a_live_server_without_its_lock);
    suite_add(s, test_a_successors_files_stay);
    suite_add_loop(s, test_an_heir_holds_no_path, 0, HEIRS);
    suite_add(s, test_a_directory_that_another_process_has_locked);
    suite_add_loop(s, test_a_lock_file_that_cannot_be_replaced, 0, 2);
    suite_add(s, test_an_heir_is_known_by_its_parents_number);
    suite_add(s, test_a_file_is_not_a_socket);
    suite_add(s, test_a_directory_is_not_a_socket);
    suite_add(s, test_a_link_is_not_a_socket);
    suite_add(s, test_a_lock_that_is_a_link);
    suite_add(s, test_a_directory_that_is_missing);
    suite_add(s, test_bad_addresses);
    suite_add(s, test_an_abstract_name);
    suite_add(s, test_an_inherited_listener_is_taken);
    suite_add(s, test_an_inherited_listeners_path_stays);
    suite_add_loop(s, test_inherited_descriptors_of_other_kinds, 0, 4);
    suite_add(s, test_activation_by_systemd);
    suite_add_loop(s, test_failures_leave_nothing, 0, 9);
    suite_add(s, test_a_stale_socket_that_cannot_be_removed);
    suite_add(s, test_names_that_cannot_be_removed);
    suite_add(s, test_a_waiting_client_that_cannot_be_accepted);
    return suite_run(s);
}
