/* SPDX-License-Identifier: MIT */
/* lane/socket_error: each way in which a server cannot be reached, or cannot listen, through the public functions.
 * The tests check that the texts are true. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sealane/sealane.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/fail.h"

#define STRANGER 12345

static char dir[64], socket_path[80], address[96], runtime[80];
static sea_ctx *ctx;

static void before(void) {
    fail_off();
    strcpy(dir, "/tmp/sealane-reach-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chmod(dir, 0755), 0);
    snprintf(socket_path, sizeof socket_path, "%s/s", dir);
    snprintf(address, sizeof address, "unix:%s", socket_path);
    snprintf(runtime, sizeof runtime, "%s/run", dir);
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
}

static void after(void) {
    fail_off();
    sea_ctx_unref(ctx);
    static const char *const names[] = {"s", "s.lock", "run/sealane", "run"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        if (unlink(path) < 0)
            rmdir(path);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

static const char *advice(void) {
    static sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    return refusal.advice;
}

static void assert_says(int error, const char *word) {
    sea_refusal refusal;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    ck_assert_int_eq(refusal.error, error);
    ck_assert_msg(strstr(advice(), word) != NULL, "\"%s\" does not say \"%s\"", advice(), word);
}

static void assert_not_connected(const char *to, int error, const char *word) {
    sea_conn *conn = NULL;
    const sea_options options = {.handshake_ms = 200};
    ck_assert_int_eq(sea_connect(&conn, ctx, to, &options), error);
    ck_assert_ptr_null(conn);
    assert_says(error, word);
}

static void assert_not_listening(const char *at, int error, const char *word) {
    sea_server *server = NULL;
    ck_assert_int_eq(sea_server_new(&server, ctx, at, NULL), error);
    ck_assert_ptr_null(server);
    assert_says(error, word);
}

static int listen_there(int type) {
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    memcpy(where.sun_path, socket_path, strlen(socket_path) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &where, sizeof where), 0);
    ck_assert_int_eq(listen(fd, 0), type == SOCK_DGRAM ? -1 : 0);
    return fd;
}

static void become_stranger(void) {
    if (geteuid() != 0)
        test_skip("only root can be another user for a while");
    ck_assert_int_eq(seteuid(STRANGER), 0);
}

static void become_root(void) {
    ck_assert_int_eq(seteuid(0), 0);
}

/* --- connecting --- */

START_TEST(test_no_socket) {
    assert_not_connected(address, -ENOENT, "is the server running?");
    assert_not_connected("unix:@sealane-reach-nobody", -ECONNREFUSED, "is the server running?");
}
END_TEST

START_TEST(test_a_dead_server) {
    close(listen_there(SOCK_SEQPACKET));
    assert_not_connected(address, -ECONNREFUSED, "has ended");
}
END_TEST

START_TEST(test_no_socket_but_a_file) {
    close(open(socket_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_not_connected(address, -ECONNREFUSED, "no socket");
}
END_TEST

START_TEST(test_another_kind_of_socket) {
    int fd = listen_there(_i ? SOCK_STREAM : SOCK_DGRAM);
    assert_not_connected(address, -EPROTOTYPE, "another kind");
    close(fd);
}
END_TEST

/* The most frequent mistake: the server runs as another user, and its socket is for that user alone. */
START_TEST(test_a_socket_of_another_user) {
    int fd = listen_there(SOCK_SEQPACKET);
    ck_assert_int_eq(chmod(socket_path, 0600), 0);
    become_stranger();
    assert_not_connected(address, -EACCES, "user 0's and group 0's, mode 0600");
    ck_assert_ptr_nonnull(strstr(advice(), "user 12345"));
    ck_assert_ptr_nonnull(strstr(advice(), "socket_mode"));
    become_root();
    close(fd);
}
END_TEST

START_TEST(test_a_closed_directory) {
    int fd = listen_there(SOCK_SEQPACKET);
    ck_assert_int_eq(chmod(socket_path, 0666), 0);
    ck_assert_int_eq(chmod(dir, 0700), 0);
    become_stranger();
    assert_not_connected(address, -EACCES, "a directory on the way");
    become_root();
    close(fd);
}
END_TEST

START_TEST(test_a_full_backlog) {
    int server = listen_there(SOCK_SEQPACKET), clients[8];
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    memcpy(where.sun_path, socket_path, strlen(socket_path) + 1);
    int count = 0;
    do {
        clients[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    } while (connect(clients[count++], (struct sockaddr *) &where, sizeof where) == 0 && count < 8);
    assert_not_connected(address, -ETIMEDOUT, "does not accept them in time");
    while (count > 0)
        close(clients[--count]);
    close(server);
}
END_TEST

/* Errors that only another machine, or another process, would make the kernel return. */
static const struct {
    enum inject_kind kind;
    int error;
    const char *word;
} calls[] = {
    {INJECT_SOCKET, EAFNOSUPPORT, "AF_UNIX"},        {INJECT_SOCKET, EPERM, "socket is forbidden"},
    {INJECT_SOCKET, EACCES, "socket is forbidden"},  {INJECT_SOCKET, EMFILE, "RLIMIT_NOFILE"},
    {INJECT_SOCKET, ENFILE, "fs.file-max"},          {INJECT_SOCKET, ENOBUFS, "out of memory"},
    {INJECT_CONNECT, EPERM, "connect is forbidden"}, {INJECT_CONNECT, EACCES, "connect is forbidden"},
    {INJECT_CONNECT, EIO, "connect failed"},         {INJECT_CONNECT, ENOTDIR, "the path leads nowhere"},
};

/* In the last case but one the file permits the connection, so the text must not blame the file. */
START_TEST(test_kernel_errors_of_connecting) {
    int fd = listen_there(SOCK_SEQPACKET);
    fail_once(calls[_i].kind, calls[_i].error);
    assert_not_connected(address, -calls[_i].error, calls[_i].word);
    close(fd);
}
END_TEST

/* --- the runtime directory --- */

START_TEST(test_no_runtime_directory) {
    assert_not_connected("name", -ENOENT, runtime);
    assert_says(-ENOENT, "does not exist");
    assert_not_listening("name", -ENOENT, runtime);
    assert_says(-ENOENT, "does not exist");
}
END_TEST

/* The library ignores a relative XDG_RUNTIME_DIR: a text that only asks to set the variable would not help. */
START_TEST(test_a_relative_runtime_directory) {
    setenv("XDG_RUNTIME_DIR", "run", 1);
    become_stranger();
    assert_not_connected("name", -ENOENT, "an absolute path");
    assert_not_listening("name", -ENOENT, "an absolute path");
    become_root();
}
END_TEST

/* A socket of systemd's is missing, or the client's address is wrong: a runtime directory would not help. */
START_TEST(test_systemd_and_no_runtime_directory) {
    unsetenv("LISTEN_PID");
    assert_not_listening("systemd", -ENOENT, "LISTEN_PID");
    assert_not_connected("systemd", -EINVAL, "only a server's address");
    assert_not_connected("systemd:a", -EINVAL, "only a server's address");
}
END_TEST

START_TEST(test_a_runtime_directory_that_is_none) {
    close(open(runtime, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_not_listening("name", -ENOTDIR, runtime);
    assert_says(-ENOTDIR, "no directory");
}
END_TEST

START_TEST(test_a_runtime_directory_of_another_user) {
    ck_assert_int_eq(mkdir(runtime, 0755), 0);
    become_stranger();
    assert_not_listening("name", -EACCES, "may not write");
    ck_assert_ptr_nonnull(strstr(advice(), runtime));
    become_root();
}
END_TEST

START_TEST(test_no_server_was_ever_there) {
    ck_assert_int_eq(mkdir(runtime, 0700), 0);
    assert_not_connected("name", -ENOENT, "is the server running, with the same XDG_RUNTIME_DIR?");
    ck_assert_ptr_nonnull(strstr(advice(), runtime));
}
END_TEST

START_TEST(test_a_directory_that_is_not_ours_alone) {
    char path[96];
    snprintf(path, sizeof path, "%s/sealane", runtime);
    ck_assert_int_eq(mkdir(runtime, 0700), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chmod(path, 0777), 0);
    assert_not_listening("name", -EACCES, "mode 0777");
    ck_assert_ptr_nonnull(strstr(advice(), path));
}
END_TEST

/* --- listening --- */

START_TEST(test_no_directory_to_listen_in) {
    char missing[128];
    snprintf(missing, sizeof missing, "unix:%s/nothing/s", dir);
    assert_not_listening(missing, -ENOENT, "there is no directory");
}
END_TEST

START_TEST(test_a_directory_of_another_user) {
    become_stranger();
    assert_not_listening(address, -EACCES, "may not write in");
    ck_assert_ptr_nonnull(strstr(advice(), dir));
    become_root();
}
END_TEST

static const struct {
    enum inject_kind kind;
    int error;
    const char *word;
} listens[] = {
    {INJECT_BIND, EPERM, "bind is forbidden"},      {INJECT_BIND, EIO, "bind failed"},
    {INJECT_BIND, EROFS, "read-only file system"},  {INJECT_BIND, ENOSPC, "is full"},
    {INJECT_LISTEN, EPERM, "listen is forbidden"},  {INJECT_SOCKET, EAFNOSUPPORT, "AF_UNIX"},
    {INJECT_SOCKET, EMFILE, "RLIMIT_NOFILE"},       {INJECT_FLOCK, ENOLCK, "cannot be locked"},
    {INJECT_FLOCK, EOPNOTSUPP, "cannot be locked"},
};

START_TEST(test_kernel_errors_of_listening) {
    fail_once(listens[_i].kind, listens[_i].error);
    assert_not_listening(address, -listens[_i].error, listens[_i].word);
}
END_TEST

START_TEST(test_an_abstract_name_that_is_taken) {
    sea_server *server = NULL;
    char name[96];
    snprintf(name, sizeof name, "unix:@%s", dir + 5);
    ck_assert_int_eq(sea_server_new(&server, ctx, name, NULL), 0);
    assert_not_listening(name, -EADDRINUSE, "abstract name");
    sea_server_free(server);
}
END_TEST

/* The socket has the right type: a text that denies it would be untrue. */
START_TEST(test_an_inherited_socket_whose_flags_cannot_be_set) {
    char inherited[16];
    int fd = listen_there(SOCK_SEQPACKET);
    snprintf(inherited, sizeof inherited, "fd:%d", fd);
    fail_once(INJECT_SET_FLAGS, EPERM);
    assert_not_listening(inherited, -EPERM, "fcntl(F_SETFL) is forbidden");
    fail_once(INJECT_GETSOCKOPT, EPERM);
    assert_not_listening(inherited, -EPERM, "getsockopt is forbidden");
    close(fd);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("socket_error");
    suite_fixture(s, before, after);
    suite_add(s, test_no_socket);
    suite_add(s, test_a_dead_server);
    suite_add(s, test_no_socket_but_a_file);
    suite_add_loop(s, test_another_kind_of_socket, 0, 2);
    suite_add(s, test_a_socket_of_another_user);
    suite_add(s, test_a_closed_directory);
    suite_add(s, test_a_full_backlog);
    suite_add_loop(s, test_kernel_errors_of_connecting, 0, sizeof calls / sizeof *calls);
    suite_add(s, test_no_runtime_directory);
    suite_add(s, test_a_relative_runtime_directory);
    suite_add(s, test_systemd_and_no_runtime_directory);
    suite_add(s, test_a_runtime_directory_that_is_none);
    suite_add(s, test_a_runtime_directory_of_another_user);
    suite_add(s, test_no_server_was_ever_there);
    suite_add(s, test_a_directory_that_is_not_ours_alone);
    suite_add(s, test_no_directory_to_listen_in);
    suite_add(s, test_a_directory_of_another_user);
    suite_add_loop(s, test_kernel_errors_of_listening, 0, sizeof listens / sizeof *listens);
    suite_add(s, test_an_abstract_name_that_is_taken);
    suite_add(s, test_an_inherited_socket_whose_flags_cannot_be_set);
    return suite_run(s);
}
