/* SPDX-License-Identifier: MIT */
/* memory/calibration: the built-in table, a file's text, and the search for the file. Each test has a directory of
 * its own. */
#include "support/figures.h"
#include "support/suite.h"

#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory/calibration.h"
#include "registry/ctx.h"
#include "unit/fail.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

static const struct calibration some = {1, 2, 3, 4, 5, 6};
static const char MACHINE[] = "l2=1,l3=2";

static void assert_same(const struct calibration *table, const struct calibration *expected) {
    ck_assert_mem_eq(table, expected, sizeof *table);
}

/* --- built in --- */

START_TEST(test_built_in) {
    static const struct {
        size_t l2, l3;
        uint64_t footprint, least;
    } cases[] = {
        {MIB, 32 * MIB, 4 * MIB, 32 * KIB},  {MIB, 16 * MIB, 2 * MIB, 32 * KIB}, /* a smaller L3 cache holds less */
        {MIB, 256 * MIB, 4 * MIB, 32 * KIB}, {MIB, 0, 4 * MIB, 32 * KIB},        /* none */
        {256 * KIB, 8 * MIB, MIB, 8 * KIB},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct caches caches = {.l2 = cases[i].l2, .l3 = cases[i].l3};
        struct calibration table = calibration_built_in(&caches);
        ck_assert_uint_eq(table.reuse_footprint, cases[i].footprint);
        ck_assert_uint_eq(table.reuse_least, cases[i].least);
        ck_assert_uint_eq(table.inline_before_pooled, 1024);
        ck_assert_uint_eq(table.inline_before_snapshot, 1024);
        ck_assert_uint_eq(table.inline_before_sealed, 128 * KIB);
        ck_assert_uint_eq(table.snapshot_before_sealed, CALIBRATION_UNLIMITED);
    }
}
END_TEST

/* On any machine, a file could give the built-in values. */
START_TEST(test_built_in_is_in_bounds) {
    struct caches caches = caches_here();
    struct calibration table = calibration_built_in(&caches);
    for (size_t i = 0; i < CALIBRATION_KEYS; i++) {
        uint64_t value;
        memcpy(&value, (const char *) &table + calibration_keys[i].offset, sizeof value);
        ck_assert_uint_ge(value, calibration_keys[i].least);
        ck_assert_uint_le(value, calibration_keys[i].most);
    }
}
END_TEST

/* --- the text --- */

static const struct {
    const char *text;
    struct calibration table;
} good[] = {
    {"version 1\n", {1, 2, 3, 4, 5, 6}},
    {"version 1", {1, 2, 3, 4, 5, 6}},
    {"# first\n\n \t \n\tversion\t1 # of the form\nmachine l2=1,l3=2\n", {1, 2, 3, 4, 5, 6}},
    {"version 1\ninline_before_pooled 32\n", {32, 2, 3, 4, 5, 6}},
    {"version 1\nsnapshot_before_sealed unlimited\n", {1, 2, 3, CALIBRATION_UNLIMITED, 5, 6}},
    {"version 1\nreuse_least 0\nreuse_footprint 1G\n", {1, 2, 3, 4, 1024 * MIB, 0}},
    {"version 1\nsnapshot_before_sealed 18446744073709551615\n", {1, 2, 3, CALIBRATION_UNLIMITED, 5, 6}},
    {"version 1\ninline_before_pooled 512\ninline_before_snapshot 1K\ninline_before_sealed 64K\nsnapshot_before_sealed "
     "2M\n"
     "reuse_footprint 8M\nreuse_least 16384\n",
     {512, 1024, 65536, 2 * MIB, 8 * MIB, 16384}},
};

START_TEST(test_a_good_text) {
    struct calibration table = some;
    struct calibration_flaw flaw;
    char text[512];
    snprintf(text, sizeof text, "%s", good[_i].text);
    ck_assert_int_eq(calibration_parse(&table, text, MACHINE, &flaw), 0);
    assert_same(&table, &good[_i].table);
}
END_TEST

#define LONG_WORD "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *text, *flaw;
} bad[] = {
    {"", "line 1: it ends without 'version 1'"},
    {"# nothing\n\n", "line 3: it ends without 'version 1'"},
    {"version 2\n", "line 1: 'version 1' comes first, not 'version 2'"},
    {"inline_before_pooled 512\nversion 1\n", "line 1: 'version 1' comes first, not 'inline_before_pooled 512'"},
    {"version 1\nversion 1\n", "line 2: 'version' is no key"},
    {"version\n", "line 1: not a key and a value: 'version ...'"},
    {"version 1 2\n", "line 1: not a key and a value: 'version ...'"},
    {"version 1\n\nreuse_least # 5\n", "line 3: not a key and a value: 'reuse_least ...'"},
    {"version 1\nmachine l2=1,l3=3\n", "line 2: of another machine, 'l2=1,l3=3'"},
    {"version 1\ninline_before_poled 5\n", "line 2: 'inline_before_poled' is no key"},
    {"version 1\nreuse_least -1\n", "line 2: '-1' is no size"},
    {"version 1\nreuse_least +1\n", "line 2: '+1' is no size"},
    {"version 1\nreuse_least 1k\n", "line 2: '1k' is no size"},
    {"version 1\nreuse_least 1Kb\n", "line 2: '1Kb' is no size"},
    {"version 1\nreuse_least K\n", "line 2: 'K' is no size"},
    {"version 1\nreuse_least 0x10\n", "line 2: '0x10' is no size"},
    {"version 1\nreuse_least 1.5M\n", "line 2: '1.5M' is no size"},
    {"version 1\nreuse_least 4096\r\n", "line 2: '4096?' is no size"},
    {"version 1\nreuse_least 18446744073709551616\n", "line 2: '18446744073709551616' is no size"},
    {"version 1\nreuse_least 17179869184G\n", "line 2: '17179869184G' is no size"}, /* 2^64 */
    {"version 1\nreuse_least unlimited\n", "line 2: reuse_least: not from 0 to 1073741824"},
    {"version 1\ninline_before_pooled 31\n", "line 2: inline_before_pooled: not from 32 to 65536"},
    {"version 1\ninline_before_pooled 65537\n", "line 2: inline_before_pooled: not from 32 to 65536"},
    {"version 1\nsnapshot_before_sealed 4095\n",
     "line 2: snapshot_before_sealed: not from 4096 to 18446744073709551615"},
    {"version 1\nreuse_least 1\nreuse_footprint 1\nreuse_least 1\n", "line 4: reuse_least is given twice"},
    /* and no line of the file takes effect */
    {"version 1\nreuse_footprint 7\nreuse_least no\n", "line 3: 'no' is no size"},
    {"version 1\n\33[2J\377 1\n", "line 2: '?[2J?' is no key"},
    {"version 1\n" LONG_WORD " 1\n", "line 2: 'xxxxxxxxxxxxxxxxxxxxxxxx' is no key"},
    {"version 1\nreuse_least " LONG_WORD "\n", "line 2: 'xxxxxxxxxxxxxxxxxxxxxxxx' is no size"},
    {LONG_WORD " " LONG_WORD, "line 1: 'version 1' comes first, not 'xxxxxxxxxxxxxxxxxxxxxxxx xxxxxxxx'"},
};

START_TEST(test_a_bad_text) {
    struct calibration table = some;
    struct calibration_flaw flaw;
    char text[512];
    snprintf(text, sizeof text, "%s", bad[_i].text);
    ck_assert_int_eq(calibration_parse(&table, text, MACHINE, &flaw), -EINVAL);
    ck_assert_str_eq(flaw.text, bad[_i].flaw);
    assert_same(&table, &some);
}
END_TEST

/* --- the file --- */

static char dir[64], file[128], machine[64];
static struct calibration built_in;

static void make_dir(void) {
    struct caches caches = caches_here();
    fail_off();
    built_in = calibration_built_in(&caches);
    calibration_machine(&caches, machine, sizeof machine);
    strcpy(dir, "/tmp/sealane-calibration-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/table", dir);
    setenv("SEALANE_CALIBRATION", file, 1);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void) status, (void) kind, (void) where;
    return remove(path);
}

static void remove_dir(void) {
    fail_off();
    ck_assert_int_eq(nftw(dir, remove_one, 4, FTW_DEPTH | FTW_PHYS), 0);
}

static void write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *out = fopen(path, "we");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, size, out), size);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(path, 0644), 0);
}

static void write_text(const char *path, const char *text) {
    write_bytes(path, text, strlen(text));
}

/* Returns the footprint of a new context; the refusal's text must contain `words`. */
static uint64_t footprint_of_ctx(int error, const char *words) {
    sea_ctx *ctx = NULL;
    sea_refusal refusal;
    struct figures figures;
    ck_assert_int_eq(sea_ctx_new(&ctx, NULL), 0);
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    sea_ctx_figures(ctx, figures.of, SEA_FIGURES);
    ck_assert_int_eq(refusal.error, error);
    ck_assert_str_eq(refusal.limit, error ? "calibration" : "");
    ck_assert_msg(strstr(refusal.advice, words), "'%s' is not in '%s'", words, refusal.advice);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_REFUSALS], 0); /* no limit refused anything */
    uint64_t footprint = ctx->calibration.reuse_footprint;
    sea_ctx_unref(ctx);
    return footprint;
}

static void assert_refused(int error, const char *words) {
    ck_assert_uint_eq(footprint_of_ctx(error, words), built_in.reuse_footprint);
}

START_TEST(test_a_file) {
    char text[160];
    snprintf(text, sizeof text, "version 1\nmachine %s\nreuse_footprint 12345\n", machine);
    write_text(file, text);
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 12345);
    ck_assert_int_eq(chmod(file, 0400), 0);
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 12345);
}
END_TEST

/* Writes the configuration file below `base`, and makes `base`. */
static void make_config(const char *base, const char *text) {
    static const char *const steps[] = {"", "/sealane", "/sealane/calibration"};
    char path[128];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s%s", dir, base, steps[i]);
        if (i < 2 && mkdir(path, 0700) < 0)
            ck_assert_int_eq(errno, EEXIST);
    }
    write_text(path, text);
}

START_TEST(test_no_file_is_wanted) {
    setenv("SEALANE_CALIBRATION", "", 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    make_config("", "version 1\nreuse_footprint 12345\n");
    assert_refused(0, "");
}
END_TEST

START_TEST(test_a_bad_file) {
    char words[200];
    write_text(file, "version 1\nreuse_footprint 12345\nreuse_leest 1\n");
    snprintf(words, sizeof words, "%s: line 3: 'reuse_leest' is no key", file);
    assert_refused(-EINVAL, words);
}
END_TEST

/* The text keeps the end of a long path, and the whole description of the error. */
START_TEST(test_a_long_path) {
    char path[512], slashes[300];
    memset(slashes, '/', sizeof slashes - 1);
    slashes[sizeof slashes - 1] = '\0';
    snprintf(path, sizeof path, "%s%stable", dir, slashes);
    setenv("SEALANE_CALIBRATION", path, 1);
    write_text(file, "version 1\nreuse_leest 1\n");
    assert_refused(-EINVAL, "///table: line 2: 'reuse_leest' is no key");
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    setenv("SEALANE_CALIBRATION", path, 1);
    assert_refused(-ENAMETOOLONG, "xxx: cannot be opened");
}
END_TEST

START_TEST(test_a_file_that_is_missing) {
    assert_refused(-ENOENT, "cannot be opened");
}
END_TEST

START_TEST(test_a_file_that_others_can_write) {
    static const mode_t modes[] = {0664, 0646, 0666};
    write_text(file, "version 1\nreuse_footprint 12345\n");
    ck_assert_int_eq(chmod(file, modes[_i]), 0);
    assert_refused(-EACCES, "others may write to it (chmod go-w)");
}
END_TEST

START_TEST(test_a_file_of_another_user) {
    if (geteuid() != 0)
        test_skip("only root can give a file to somebody else");
    write_text(file, "version 1\nreuse_footprint 12345\n");
    ck_assert_int_eq(chown(file, 12345, (gid_t) -1), 0);
    assert_refused(-EACCES, "belongs to somebody else");
}
END_TEST

/* Opening any of these must not wait. */
START_TEST(test_no_regular_file) {
    setenv("SEALANE_CALIBRATION", dir, 1);
    assert_refused(-EINVAL, "not a regular file");
    setenv("SEALANE_CALIBRATION", "/dev/zero", 1);
    assert_refused(-EINVAL, "not a regular file");
    setenv("SEALANE_CALIBRATION", file, 1);
    ck_assert_int_eq(mkfifo(file, 0600), 0);
    assert_refused(-EINVAL, "not a regular file");
}
END_TEST

START_TEST(test_a_file_at_the_limit) {
    static char text[CALIBRATION_FILE_MAX + 1];
    memset(text, '\n', sizeof text);
    memcpy(text, "version 1\nreuse_footprint 12345\n", 32);
    write_bytes(file, text, CALIBRATION_FILE_MAX);
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 12345);
    write_bytes(file, text, CALIBRATION_FILE_MAX + 1);
    assert_refused(-EFBIG, "too large");
}
END_TEST

START_TEST(test_a_file_with_a_nul) {
    write_bytes(file, "version 1\n\0reuse_footprint 1\n", 29);
    assert_refused(-EINVAL, "a NUL");
}
END_TEST

START_TEST(test_failures_leave_the_built_in_values) {
    static const enum inject_kind kinds[] = {INJECT_OPEN, INJECT_FSTAT, INJECT_PREAD};
    caches_here(); /* it opens files too, but only once */
    write_text(file, "version 1\nreuse_footprint 12345\n");
    fail_always(kinds[_i], EIO);
    assert_refused(-EIO, "cannot be");
}
END_TEST

/* --- where it is looked for --- */

START_TEST(test_the_order_of_places) {
    char xdg[80];
    snprintf(xdg, sizeof xdg, "%s/xdg", dir);
    unsetenv("SEALANE_CALIBRATION");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir, 1);
    make_config("/.config", "version 1\nreuse_footprint 1\n");
    make_config("/xdg", "version 1\nreuse_footprint 2\n");
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 1);
    setenv("XDG_CONFIG_HOME", xdg, 1);
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 2);
    setenv("XDG_CONFIG_HOME", "relative", 1); /* a relative path is ignored */
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 1);
    write_text(file, "version 1\nreuse_footprint 3\n");
    setenv("SEALANE_CALIBRATION", file, 1);
    ck_assert_uint_eq(footprint_of_ctx(0, ""), 3);
}
END_TEST

START_TEST(test_nothing_is_set) {
    if (access(SYSCONFDIR "/sealane/calibration", F_OK) == 0)
        test_skip("this machine has a " SYSCONFDIR "/sealane/calibration");
    unsetenv("SEALANE_CALIBRATION");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir, 1);
    assert_refused(0, ""); /* without a file there is no report */
    unsetenv("HOME");
    assert_refused(0, "");
}
END_TEST

START_TEST(test_a_bad_file_in_a_usual_place) {
    unsetenv("SEALANE_CALIBRATION");
    setenv("XDG_CONFIG_HOME", dir, 1);
    make_config("", "version 3\n");
    assert_refused(-EINVAL, "/sealane/calibration: line 1: 'version 1' comes first, not 'version 3'");
}
END_TEST

int main(void) {
    struct suite *s = suite_new("calibration");
    suite_add(s, test_built_in);
    suite_add(s, test_built_in_is_in_bounds);
    suite_add_loop(s, test_a_good_text, 0, sizeof good / sizeof *good);
    suite_add_loop(s, test_a_bad_text, 0, sizeof bad / sizeof *bad);
    suite_fixture(s, make_dir, remove_dir);
    suite_add(s, test_a_file);
    suite_add(s, test_no_file_is_wanted);
    suite_add(s, test_a_bad_file);
    suite_add(s, test_a_long_path);
    suite_add(s, test_a_file_that_is_missing);
    suite_add_loop(s, test_a_file_that_others_can_write, 0, 3);
    suite_add(s, test_a_file_of_another_user);
    suite_add(s, test_no_regular_file);
    suite_add(s, test_a_file_at_the_limit);
    suite_add(s, test_a_file_with_a_nul);
    suite_add_loop(s, test_failures_leave_the_built_in_values, 0, 3);
    suite_add(s, test_the_order_of_places);
    suite_add(s, test_nothing_is_set);
    suite_add(s, test_a_bad_file_in_a_usual_place);
    return suite_run(s);
}
