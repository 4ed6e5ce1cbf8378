/* SPDX-License-Identifier: MIT */
/* lane/address: every form of an address, and every way to get one wrong. Each test has a runtime directory of its
 * own. */
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sealane/ctx.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lane/address.h"
#include "unit/fail.h"

static char runtime[64], sealane[80];

static void forget_environment(void) {
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

static void make_runtime(void) {
    fail_off();
    strcpy(runtime, "/tmp/sealane-address-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(runtime));
    snprintf(sealane, sizeof sealane, "%s/sealane", runtime);
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    forget_environment();
}

static void drop_runtime(void) {
    fail_off();
    rmdir(sealane);
    ck_assert_int_eq(rmdir(runtime), 0);
    unsetenv("XDG_RUNTIME_DIR");
    forget_environment();
}

enum who { CLIENT, SERVER };

/* Parses; checks that a failure writes only the reason, which is some text. */
static int parse(const char *text, enum who who, struct address *ret) {
    const char *why = NULL;
    struct address before;
    memset(ret, 0x5a, sizeof *ret);
    before = *ret;
    int r = address_parse(text, who == SERVER, ret, &why);
    if (r < 0) {
        ck_assert_mem_eq(ret, &before, sizeof before);
        ck_assert_ptr_nonnull(why);
        ck_assert_str_ne(why, "");
        ck_assert_uint_lt(strlen(why), sizeof(((sea_refusal *) NULL)->advice));
    }
    return r;
}

static void assert_name(const char *text, enum who who, const char *name) {
    struct address address;
    ck_assert_msg(parse(text, who, &address) == 0, "%s", text);
    ck_assert_int_eq(address.fd, -1);
    ck_assert_str_eq(address.name, name);
}

static void assert_fd(const char *text, enum who who, int fd) {
    struct address address;
    ck_assert_msg(parse(text, who, &address) == 0, "%s", text);
    ck_assert_int_eq(address.fd, fd);
    ck_assert_str_eq(address.name, "");
}

static void assert_error(const char *text, enum who who, int error) {
    struct address address;
    int r = parse(text, who, &address);
    ck_assert_msg(r == error, "%s: %d instead of %d", text, r, error);
}

static const char *many(char *text, const char *begin, char c, size_t length) {
    size_t n = strlen(begin);
    memcpy(text, begin, n);
    memset(text + n, c, length);
    text[n + length] = '\0';
    return text;
}

/* --- unix: --- */

START_TEST(test_paths_and_abstract_names) {
    for (enum who who = CLIENT; who <= SERVER; who++) {
        assert_name("unix:/run/a", who, "/run/a");
        assert_name("unix:/a b:c", who, "/a b:c");
        assert_name("unix:/..", who, "/..");
        assert_name("unix:@a", who, "@a");
        assert_name("unix:@/a/b", who, "@/a/b");
    }
}
END_TEST

START_TEST(test_bad_paths) {
    static const char *const bad[] = {"unix:", "unix:/", "unix:@", "unix:a", "unix:./a", "unix: /a", "unix:~/a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_error(bad[i], CLIENT, -EINVAL);
        assert_error(bad[i], SERVER, -EINVAL);
    }
}
END_TEST

START_TEST(test_the_longest_path) {
    char text[200];
    struct address address;
    ck_assert_int_eq(parse(many(text, "unix:/", 'x', 106), SERVER, &address), 0);
    ck_assert_str_eq(address.name, text + 5);
    assert_error(many(text, "unix:/", 'x', 107), SERVER, -ENAMETOOLONG);
    ck_assert_int_eq(parse(many(text, "unix:@", 'x', 106), CLIENT, &address), 0);
    ck_assert_str_eq(address.name, text + 5);
    assert_error(many(text, "unix:@", 'x', 107), CLIENT, -ENAMETOOLONG);
    assert_error(many(text, "unix:@", 'x', 190), CLIENT, -ENAMETOOLONG);
}
END_TEST

/* --- fd: --- */

START_TEST(test_inherited_descriptors) {
    for (enum who who = CLIENT; who <= SERVER; who++) {
        assert_fd("fd:0", who, 0);
        assert_fd("fd:3", who, 3);
        assert_fd("fd:007", who, 7);
        assert_fd("fd:9", who, 9);
        assert_fd("fd:2147483647", who, 2147483647);
    }
}
END_TEST

START_TEST(test_bad_descriptors) {
    static const char *const bad[] = {
        "fd:",    "fd:x",         "fd:3x",  "fd:-1",         "fd:0x3",         "fd:3.0", "fd:3 ",
        "fd: 3",  "fd:+3",        "fd:\t3", "fd:2147483648", "fd:-2147483649", "fd:3:3", "fd:99999999999999999999",
        "fd:--1", "fd:4294967299"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_error(bad[i], CLIENT, -EINVAL);
        assert_error(bad[i], SERVER, -EINVAL);
    }
}
END_TEST

/* --- bare names --- */

START_TEST(test_a_server_makes_the_runtime_directory) {
    char path[200];
    struct stat status;
    snprintf(path, sizeof path, "%s/imaging", sealane);
    assert_error("imaging", CLIENT, -ENOENT);
    ck_assert_int_eq(stat(sealane, &status), -1);
    assert_name("imaging", SERVER, path);
    ck_assert_int_eq(stat(sealane, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0700);
    assert_name("imaging", CLIENT, path);
}
END_TEST

START_TEST(test_bare_names) {
    static const char *const good[] = {"a", "imaging.v2", "two words", "@x", "unix", "fd", "-", "a.", "systemdx"};
    static const char *const bad[] = {"",  ".",    "..",  ".hidden", "a/b",      "/a",
                                      "/", "../a", "a:b", ":",       "tcp:host", "Unix:/a"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", sealane, good[i]);
        assert_name(good[i], SERVER, path);
        assert_name(good[i], CLIENT, path);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_error(bad[i], SERVER, -EINVAL);
        assert_error(bad[i], CLIENT, -EINVAL);
    }
}
END_TEST

/* A bad name must not make a directory. */
START_TEST(test_a_bad_name_leaves_nothing) {
    assert_error("a/b", SERVER, -EINVAL);
    assert_error("http://a", SERVER, -EINVAL);
    ck_assert_int_eq(access(sealane, F_OK), -1);
}
END_TEST

START_TEST(test_the_longest_bare_name) {
    char text[400];
    size_t most = 107 - strlen(sealane) - 1;
    struct address address;
    ck_assert_int_eq(parse(many(text, "", 'x', most), SERVER, &address), 0);
    ck_assert_uint_eq(strlen(address.name), 107);
    assert_error(many(text, "", 'x', most + 1), SERVER, -ENAMETOOLONG);
    assert_error(many(text, "", 'x', 300), SERVER, -ENAMETOOLONG);
}
END_TEST

START_TEST(test_a_long_runtime_directory) {
    char text[5000];
    setenv("XDG_RUNTIME_DIR", many(text, "/", 'x', 200), 1);
    assert_error("a", CLIENT, -ENOENT);
    setenv("XDG_RUNTIME_DIR", many(text, "/", 'x', 4800), 1);
    assert_error("a", CLIENT, -ENAMETOOLONG);
    char deep[200];
    /* the directory exists, but its path is too long for a socket */
    snprintf(deep, sizeof deep, "%s/%s", runtime, many(text, "", 'd', 100));
    ck_assert_int_eq(mkdir(deep, 0700), 0);
    setenv("XDG_RUNTIME_DIR", deep, 1);
    assert_error("a", SERVER, -ENAMETOOLONG);
    char made[220];
    snprintf(made, sizeof made, "%s/sealane", deep);
    ck_assert_int_eq(rmdir(made), 0);
    ck_assert_int_eq(rmdir(deep), 0);
}
END_TEST

START_TEST(test_a_runtime_directory_that_is_missing) {
    char gone[100];
    snprintf(gone, sizeof gone, "%s/gone", runtime);
    setenv("XDG_RUNTIME_DIR", gone, 1);
    assert_error("a", SERVER, -ENOENT);
    assert_error("a", CLIENT, -ENOENT);
}
END_TEST

START_TEST(test_a_runtime_directory_that_others_may_write_to) {
    ck_assert_int_eq(mkdir(sealane, 0700), 0);
    ck_assert_int_eq(chmod(sealane, 0770), 0);
    assert_error("a", SERVER, -EACCES);
    assert_error("a", CLIENT, -EACCES);
    ck_assert_int_eq(chmod(sealane, 0755), 0);
    char path[200];
    snprintf(path, sizeof path, "%s/a", sealane);
    assert_name("a", CLIENT, path);
}
END_TEST

START_TEST(test_a_runtime_directory_of_another_user) {
    if (geteuid() != 0)
        test_skip("only root can give a directory away");
    ck_assert_int_eq(mkdir(sealane, 0700), 0);
    ck_assert_int_eq(chown(sealane, 65534, 65534), 0);
    assert_error("a", SERVER, -EACCES);
    assert_error("a", CLIENT, -EACCES);
}
END_TEST

/* A user other than root without XDG_RUNTIME_DIR has no runtime directory. The other forms do not need one. */
START_TEST(test_no_runtime_directory) {
    unsetenv("XDG_RUNTIME_DIR");
    assert_name("unix:/run/a", SERVER, "/run/a");
    assert_name("unix:@a", CLIENT, "@a");
    assert_fd("fd:3", SERVER, 3);
    bool is_root = geteuid() == 0;
    if (is_root && seteuid(65534) < 0)
        test_skip("cannot be somebody else");
    struct address address;
    const char *why = NULL;
    int r = address_parse("a", true, &address, &why);
    if (is_root)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(r, -ENOENT);
    ck_assert_ptr_nonnull(strstr(why, "XDG_RUNTIME_DIR (an absolute path)"));
}
END_TEST

/* The variable is set, but no server has run yet. */
START_TEST(test_a_client_before_any_server) {
    struct address address;
    const char *why = NULL;
    ck_assert_int_eq(address_parse("a", false, &address, &why), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why, "is the server running"));
}
END_TEST

/* --- systemd --- */

static void activate(const char *pid, const char *count, const char *names) {
    char own[16];
    forget_environment();
    snprintf(own, sizeof own, "%d", (int) getpid());
    if (pid)
        setenv("LISTEN_PID", strcmp(pid, "own") == 0 ? own : pid, 1);
    if (count)
        setenv("LISTEN_FDS", count, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
}

START_TEST(test_activation_by_systemd) {
    activate("own", "1", NULL);
    assert_fd("systemd", SERVER, 3);
    activate("own", "3", "control:imaging:");
    assert_fd("systemd", SERVER, 3);
    assert_fd("systemd:control", SERVER, 3);
    assert_fd("systemd:imaging", SERVER, 4);
    assert_fd("systemd:", SERVER, 5); /* the descriptor without a name */
}
END_TEST

START_TEST(test_names_match_whole) {
    activate("own", "5", "imaging2:ima:imaging:imaging:x");
    assert_fd("systemd:imaging", SERVER, 5); /* the first descriptor with that name */
    assert_fd("systemd:ima", SERVER, 4);
    assert_fd("systemd:imaging2", SERVER, 3);
    assert_fd("systemd:x", SERVER, 7);
    assert_error("systemd:im", SERVER, -ENOENT);
    assert_error("systemd:imaging:imaging", SERVER, -ENOENT);
    assert_error("systemd:", SERVER, -ENOENT);
}
END_TEST

START_TEST(test_a_name_without_a_descriptor) {
    activate("own", "2", "a:b:c"); /* more names than descriptors */
    assert_fd("systemd:b", SERVER, 4);
    assert_error("systemd:c", SERVER, -ENOENT);
    activate("own", "2", NULL);
    assert_error("systemd:a", SERVER, -ENOENT);
    activate("own", "2", "");
    assert_error("systemd:a", SERVER, -ENOENT);
}
END_TEST

START_TEST(test_no_activation) {
    static const struct {
        const char *pid, *count;
    } cases[] = {{NULL, NULL}, {"own", NULL},         {NULL, "1"}, {"1", "1"},    {"own", "0"}, {"own", "-1"},
                 {"own", ""},  {"own", "x"},          {"", "1"},   {"own", "1x"}, {"0", "1"},   {"own", " 1"},
                 {"x", "1"},   {"own", "99999999999"}};
    activate(cases[_i].pid, cases[_i].count, "a");
    assert_error("systemd", SERVER, -ENOENT);
    assert_error("systemd:a", SERVER, -ENOENT);
    ck_assert_int_eq(access(sealane, F_OK), -1);
}
END_TEST

/* A server cannot listen at the bare name "systemd": a client that passes it has confused it with the server's
 * address. */
START_TEST(test_activation_is_for_servers) {
    static const char *const both[] = {"systemd", "systemd:", "systemd:a"};
    struct address address;
    char path[200];
    const char *why = NULL;
    activate("own", "1", "a");
    ck_assert_int_eq(mkdir(sealane, 0700), 0);
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        ck_assert_int_eq(address_parse(both[i], false, &address, &why), -EINVAL);
        ck_assert_ptr_nonnull(strstr(why, "only a server's address"));
    }
    snprintf(path, sizeof path, "%s/systemd2", sealane);
    assert_name("systemd2", SERVER, path);
}
END_TEST

START_TEST(test_an_unknown_kind_is_told_which_there_are) {
    struct address address;
    const char *why = NULL;
    ck_assert_int_eq(address_parse("tcp:host", true, &address, &why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "systemd:NAME"));
    ck_assert_int_eq(address_parse("tcp:host", false, &address, &why), -EINVAL);
    ck_assert_ptr_null(strstr(why, "systemd"));
}
END_TEST

START_TEST(test_nothing_is_opened) {
    fail_always(INJECT_OPEN, EIO);
    fail_always(INJECT_SOCKET, EIO);
    assert_name("unix:/run/a", SERVER, "/run/a");
    assert_fd("fd:3", SERVER, 3);
    ck_assert_int_eq(fail_calls(INJECT_OPEN) + fail_calls(INJECT_SOCKET), 0);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("address");
    suite_fixture(s, make_runtime, drop_runtime);
    suite_add(s, test_paths_and_abstract_names);
    suite_add(s, test_bad_paths);
    suite_add(s, test_the_longest_path);
    suite_add(s, test_inherited_descriptors);
    suite_add(s, test_bad_descriptors);
    suite_add(s, test_a_server_makes_the_runtime_directory);
    suite_add(s, test_bare_names);
    suite_add(s, test_a_bad_name_leaves_nothing);
    suite_add(s, test_the_longest_bare_name);
    suite_add(s, test_a_long_runtime_directory);
    suite_add(s, test_a_runtime_directory_that_is_missing);
    suite_add(s, test_a_runtime_directory_that_others_may_write_to);
    suite_add(s, test_a_runtime_directory_of_another_user);
    suite_add(s, test_no_runtime_directory);
    suite_add(s, test_a_client_before_any_server);
    suite_add(s, test_activation_by_systemd);
    suite_add(s, test_names_match_whole);
    suite_add(s, test_a_name_without_a_descriptor);
    suite_add_loop(s, test_no_activation, 0, 14);
    suite_add(s, test_activation_is_for_servers);
    suite_add(s, test_an_unknown_kind_is_told_which_there_are);
    suite_add(s, test_nothing_is_opened);
    return suite_run(s);
}
