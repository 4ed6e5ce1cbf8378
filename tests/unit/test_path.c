/* SPDX-License-Identifier: MIT */
/* sys/path: the runtime directory, and lock files. Each test has a directory of its own. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/heap.h"
#include "sys/path.h"
#include "unit/fail.h"

static char dir[64], sealane[80], lock[80];

static void make_dir(void) {
    fail_off();
    strcpy(dir, "/tmp/sealane-path-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(sealane, sizeof sealane, "%s/sealane", dir);
    snprintf(lock, sizeof lock, "%s/lock", dir);
    setenv("XDG_RUNTIME_DIR", dir, 1);
}

static void remove_dir(void) {
    fail_off();
    unlink(lock);
    unlink(sealane);
    rmdir(sealane);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(test_the_directory_is_made) {
    char buf[100] = "untouched";
    ck_assert_int_eq(path_runtime_dir(false, buf, sizeof buf), -ENOENT);
    ck_assert_str_eq(buf, "untouched");
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), 0);
    ck_assert_str_eq(buf, sealane);
    struct stat status;
    ck_assert_int_eq(stat(sealane, &status), 0);
    ck_assert(S_ISDIR(status.st_mode));
    ck_assert_int_eq(status.st_mode & 07777, 0700);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), 0);
    ck_assert_int_eq(path_runtime_dir(false, buf, sizeof buf), 0);
}
END_TEST

START_TEST(test_a_buffer_that_is_too_small) {
    char buf[100] = "untouched";
    ck_assert_int_eq(path_runtime_dir(true, buf, strlen(sealane)), -ENAMETOOLONG);
    ck_assert_str_eq(buf, "untouched");
    ck_assert_int_eq(path_runtime_dir(true, buf, strlen(sealane) + 1), 0);
    ck_assert_str_eq(buf, sealane);
}
END_TEST

START_TEST(test_a_name_that_is_too_long) {
    char buf[8192], base[5000];
    memset(base, 'x', sizeof base);
    base[0] = '/';
    base[sizeof base - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", base, 1);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -ENAMETOOLONG);
}
END_TEST

START_TEST(test_the_users_configuration) {
    char buf[64] = "untouched";
    setenv("XDG_CONFIG_HOME", "/c", 1);
    setenv("HOME", "/h", 1);
    ck_assert_int_eq(path_user_config("name", buf, strlen("/c/sealane/name")), -ENAMETOOLONG);
    ck_assert_int_eq(path_user_config("name", buf, strlen("/c/sealane/name") + 1), 0);
    ck_assert_str_eq(buf, "/c/sealane/name");
    setenv("XDG_CONFIG_HOME", "c", 1);
    ck_assert_int_eq(path_user_config("name", buf, sizeof buf), 0);
    ck_assert_str_eq(buf, "/h/.config/sealane/name");
    setenv("HOME", "", 1);
    ck_assert_int_eq(path_user_config("name", buf, sizeof buf), -ENOENT);
    unsetenv("HOME");
    ck_assert_int_eq(path_user_config("name", buf, sizeof buf), -ENOENT);
}
END_TEST

/* A user that can write there could put a socket of its own in the place of ours. */
START_TEST(test_a_directory_that_others_can_write) {
    static const mode_t modes[] = {0770, 0707, 0777, 01777};
    char buf[100];
    ck_assert_int_eq(mkdir(sealane, 0700), 0);
    ck_assert_int_eq(chmod(sealane, modes[_i]), 0);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -EACCES);
    ck_assert_int_eq(path_runtime_dir(false, buf, sizeof buf), -EACCES);
    ck_assert_int_eq(chmod(sealane, 0755), 0);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), 0);
}
END_TEST

START_TEST(test_a_directory_of_another_user) {
    char buf[100];
    if (geteuid() != 0)
        test_skip("only root can give a directory away");
    ck_assert_int_eq(mkdir(sealane, 0700), 0);
    ck_assert_int_eq(chown(sealane, 12345, 12345), 0);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -EACCES);
}
END_TEST

START_TEST(test_paths_that_are_no_directory) {
    char buf[100];
    ck_assert_int_eq(symlink("/tmp", sealane), 0);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -ENOTDIR);
    ck_assert_int_eq(unlink(sealane), 0);
    fd_close(open(sealane, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -ENOTDIR);
}
END_TEST

/* Runs in a child, which gives up root for good. */
static int without_environment(void) {
    char buf[100];
    if (geteuid() == 0 && (setgid(12345) < 0 || setuid(12345) < 0))
        return 1;
    unsetenv("XDG_RUNTIME_DIR");
    if (path_runtime_dir(true, buf, sizeof buf) != -ENOENT)
        return 2;
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    return path_runtime_dir(true, buf, sizeof buf) == -ENOENT ? 0 : 3;
}

START_TEST(test_users_need_the_variable) {
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(without_environment());
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_root_does_without) {
    char buf[100] = "untouched";
    if (geteuid() != 0)
        test_skip("not root");
    unsetenv("XDG_RUNTIME_DIR");
    int r = path_runtime_dir(false, buf, sizeof buf);
    struct stat status;
    if (lstat("/run/sealane", &status) < 0) {
        ck_assert_int_eq(r, -ENOENT);
        ck_assert_str_eq(buf, "untouched");
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_str_eq(buf, "/run/sealane");
    }
}
END_TEST

START_TEST(test_directory_failures) {
    char buf[100];
    fail_once(INJECT_MKDIR, EROFS);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -EROFS);
    fail_once(INJECT_FSTAT, EIO);
    ck_assert_int_eq(path_runtime_dir(true, buf, sizeof buf), -EIO);
}
END_TEST

START_TEST(test_a_lock_is_for_one) {
    int fd = -1, other = -7;
    ck_assert_int_eq(path_lock(lock, &fd), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 01600);
    ck_assert_int_eq(path_lock(lock, &other), -EADDRINUSE);
    ck_assert_int_eq(other, -7);
    fd_close(fd);
    ck_assert_int_eq(path_lock(lock, &other), 0);
    fd_close(other);
}
END_TEST

static int unlinks_left;

static void unlink_lock(void) {
    if (unlinks_left-- > 0)
        unlink(lock);
}

/* The last holder unlinked it between our open() and our flock(): that file is no lock any more. */
START_TEST(test_an_unlinked_lock_is_no_lock) {
    CLEANUP_FD int fd = -1;
    unlinks_left = 3;
    fail_never_but(INJECT_FLOCK, unlink_lock);
    ck_assert_int_eq(path_lock(lock, &fd), 0);
    ck_assert_int_eq(fail_calls(INJECT_FLOCK), 4);
    struct stat locked, named;
    ck_assert_int_eq(fstat(fd, &locked), 0);
    ck_assert_int_eq(stat(lock, &named), 0);
    ck_assert(locked.st_ino == named.st_ino);
}
END_TEST

START_TEST(test_unlinking_for_ever_is_given_up) {
    int fd = -7;
    unlinks_left = 1000000;
    fail_never_but(INJECT_FLOCK, unlink_lock);
    ck_assert_int_eq(path_lock(lock, &fd), -EADDRINUSE);
    ck_assert_int_eq(fd, -7);
    ck_assert_int_le(fail_calls(INJECT_FLOCK), 100);
}
END_TEST

static void replace_lock(void) {
    unlink(lock);
    fd_close(open(lock, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
}

START_TEST(test_a_replaced_lock_is_no_lock) {
    int fd = -7;
    fail_never_but(INJECT_FLOCK, replace_lock);
    ck_assert_int_eq(path_lock(lock, &fd), -EADDRINUSE);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_a_lock_is_not_followed) {
    int fd = -7;
    ck_assert_int_eq(symlink("/dev/null", lock), 0);
    ck_assert_int_eq(path_lock(lock, &fd), -ELOOP);
    ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_lock_failures) {
    static const struct {
        enum inject_kind kind;
        int n, error, result;
    } cases[] = {{INJECT_OPEN, 1, EMFILE, -EMFILE},  {INJECT_OPEN, 1, EINTR, 0},   {INJECT_FLOCK, 1, EINTR, 0},
                 {INJECT_FLOCK, 1, ENOLCK, -ENOLCK}, {INJECT_FSTAT, 1, EIO, -EIO}, {INJECT_FSTAT, 2, EIO, -EIO}};
    CLEANUP_FD int fd = -1;
    fail_call(cases[_i].kind, cases[_i].n, 1, cases[_i].error);
    ck_assert_int_eq(path_lock(lock, &fd), cases[_i].result);
    ck_assert_int_eq(fd >= 0, cases[_i].result == 0);
}
END_TEST

static int locked_meanwhile;

static void lock_by_another(void) {
    locked_meanwhile = open(lock, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(flock(locked_meanwhile, LOCK_EX | LOCK_NB), 0);
}

/* Our flock() fails after another process has locked the file that we made: the file must keep its name. */
START_TEST(test_a_failure_takes_nobodys_lock_away) {
    int fd = -7;
    fail_once(INJECT_FLOCK, ENOLCK);
    fail_orders[INJECT_FLOCK].also = lock_by_another;
    ck_assert_int_eq(path_lock(lock, &fd), -ENOLCK);
    fail_off();
    ck_assert_int_eq(path_lock(lock, &fd), -EADDRINUSE);
    fd_close(locked_meanwhile);
    ck_assert_int_eq(path_lock(lock, &fd), 0);
    fd_close(fd);
}
END_TEST

static void bind_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
}

/* Names a new file, while the old file lives on under another name, so that its inode number is not used again. */
static void replace_socket(void) {
    char old[100];
    snprintf(old, sizeof old, "%s/old", dir);
    ck_assert_int_eq(rename(sealane, old), 0);
    bind_socket(sealane);
    ck_assert_int_eq(unlink(old), 0);
}

static struct path_tenancy judge(void) {
    struct path_tenancy judged = {.lock = lock, .socket = sealane};
    ck_assert_int_eq(path_identify(lock, &judged.lock_id), 0);
    ck_assert_int_eq(path_identify(sealane, &judged.socket_id), 0);
    return judged;
}

/* The old socket goes with the lock: the next successor cannot judge the new lock by it. */
START_TEST(test_a_lock_is_taken_over) {
    CLEANUP_FD int held = -1, fd = -1;
    ck_assert_int_eq(path_lock(lock, &held), 0);
    bind_socket(sealane);
    struct path_tenancy judged = judge();
    ck_assert_int_eq(path_take_lock(&judged, &fd), 0);
    ck_assert(!path_names(lock, &judged.lock_id));
    ck_assert_int_eq(access(sealane, F_OK), -1);
    int other = -7;
    ck_assert_int_eq(path_take_lock(&judged, &other), -EADDRINUSE);
    ck_assert_int_eq(other, -7);
}
END_TEST

/* The holder has bound its socket since: it is not the server that was judged. */
START_TEST(test_a_lock_with_another_socket_stays) {
    CLEANUP_FD int held = -1;
    int fd = -7;
    ck_assert_int_eq(path_lock(lock, &held), 0);
    bind_socket(sealane);
    struct path_tenancy judged = judge();
    replace_socket();
    ck_assert_int_eq(path_take_lock(&judged, &fd), -EADDRINUSE);
    ck_assert_int_eq(fd, -7);
    ck_assert(path_names(lock, &judged.lock_id));
    ck_assert_int_eq(access(sealane, F_OK), 0);
}
END_TEST

START_TEST(test_unlink) {
    fd_close(open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(path_unlink(lock), 0);
    ck_assert_int_eq(access(lock, F_OK), -1);
    ck_assert_int_eq(path_unlink(lock), 0);
    fail_once(INJECT_UNLINK, EROFS);
    ck_assert_int_eq(path_unlink(lock), -EROFS);
}
END_TEST

/* The socket that a dead server left is removed; a file that another process put there is not. */
START_TEST(test_unlink_a_socket) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, lock, strlen(lock));
    ck_assert_int_eq(path_unlink_socket(lock), 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
    fd_close(fd);
    fail_once(INJECT_FSTAT, EIO);
    ck_assert_int_eq(path_unlink_socket(lock), -EIO);
    fail_once(INJECT_UNLINK, EROFS);
    ck_assert_int_eq(path_unlink_socket(lock), -EROFS);
    ck_assert_int_eq(path_unlink_socket(lock), 0);
    ck_assert_int_eq(access(lock, F_OK), -1);

    fd_close(open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(path_unlink_socket(lock), -ENOTSOCK);
    ck_assert_int_eq(access(lock, F_OK), 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("path");
    suite_fixture(s, make_dir, remove_dir);
    suite_add(s, test_the_directory_is_made);
    suite_add(s, test_a_buffer_that_is_too_small);
    suite_add(s, test_a_name_that_is_too_long);
    suite_add(s, test_the_users_configuration);
    suite_add_loop(s, test_a_directory_that_others_can_write, 0, 4);
    suite_add(s, test_a_directory_of_another_user);
    suite_add(s, test_paths_that_are_no_directory);
    suite_add(s, test_users_need_the_variable);
    suite_add(s, test_root_does_without);
    suite_add(s, test_directory_failures);
    suite_add(s, test_a_lock_is_for_one);
    suite_add(s, test_an_unlinked_lock_is_no_lock);
    suite_add(s, test_unlinking_for_ever_is_given_up);
    suite_add(s, test_a_replaced_lock_is_no_lock);
    suite_add(s, test_a_lock_is_not_followed);
    suite_add_loop(s, test_lock_failures, 0, 6);
    suite_add(s, test_a_failure_takes_nobodys_lock_away);
    suite_add(s, test_a_lock_is_taken_over);
    suite_add(s, test_a_lock_with_another_socket_stays);
    suite_add(s, test_unlink);
    suite_add(s, test_unlink_a_socket);
    return suite_run(s);
}
