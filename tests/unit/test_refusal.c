/* SPDX-License-Identifier: MIT */
/* memory/refusal: the newest refusal is kept, complete and as a copy. */
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "memory/refusal.h"

static struct refusal_log refusals;

static void make_log(void) {
    memset(&refusals, 0xff, sizeof refusals);
    refusal_init(&refusals);
}

static void drop_log(void) {
    refusal_deinit(&refusals);
}

static sea_refusal newest(void) {
    sea_refusal refusal;
    memset(&refusal, 0xff, sizeof refusal);
    refusal_read(&refusals, &refusal);
    return refusal;
}

START_TEST(test_at_first_nothing_was_refused) {
    sea_refusal refusal = newest();
    ck_assert_int_eq(refusal.error, 0);
    ck_assert_str_eq(refusal.limit, "");
    ck_assert_str_eq(refusal.advice, "");
    ck_assert_uint_eq(refusal.needed, 0);
    ck_assert_uint_eq(refusal.available, 0);
    ck_assert_uint_eq(refusals.count, 0);
}
END_TEST

START_TEST(test_a_note_is_kept_and_counted) {
    char limit[] = "RLIMIT_FSIZE", advice[] = "raise it";
    ck_assert_int_eq(refusal_note(&refusals, -ENOMEM, limit, UINT64_MAX, 7, advice), -ENOMEM);
    memset(limit, '#', sizeof limit); /* the log has copies */
    memset(advice, '#', sizeof advice);
    sea_refusal refusal = newest();
    ck_assert_int_eq(refusal.error, -ENOMEM);
    ck_assert_str_eq(refusal.limit, "RLIMIT_FSIZE");
    ck_assert_uint_eq(refusal.needed, UINT64_MAX);
    ck_assert_uint_eq(refusal.available, 7);
    ck_assert_str_eq(refusal.advice, "raise it");
    ck_assert_uint_eq(refusals.count, 1);
    ck_assert_int_eq(newest().error, -ENOMEM); /* reading does not remove it */
}
END_TEST

/* An error that no limit causes is kept in the same way, but does not count as a refusal. */
START_TEST(test_an_explanation_is_kept_and_not_counted) {
    refusal_note(&refusals, -EDQUOT, "budget (bytes)", 10, 9, "release blocks");
    ck_assert_int_eq(refusal_explain(&refusals, -EACCES, "unix:/here", "somebody else's"), -EACCES);
    sea_refusal refusal = newest();
    ck_assert_int_eq(refusal.error, -EACCES);
    ck_assert_str_eq(refusal.limit, "unix:/here");
    ck_assert_str_eq(refusal.advice, "somebody else's");
    ck_assert_uint_eq(refusal.needed, 0);
    ck_assert_uint_eq(refusal.available, 0);
    ck_assert_uint_eq(refusals.count, 1);
}
END_TEST

/* The names in doc/memory.md. */
static const struct {
    const char *limit;
    int cause;
} causes[] = {
    {"budget (blocks)", CAUSE_BUDGET},
    {"pool's bytes_max", CAUSE_POOL},
    {"peer quota (bytes)", CAUSE_PEER_QUOTA},
    {"fair share (bytes)", CAUSE_FAIR_SHARE},
    {"user quota (descriptors)", CAUSE_USER_QUOTA},
    {"peer's bytes_max", CAUSE_PEER},
    {"cgroup memory.high", CAUSE_CGROUP},
    {"cgroup memory.limit_in_bytes", CAUSE_CGROUP},
    {"MemAvailable", CAUSE_MACHINE},
    {"CommitLimit (vm.overcommit_memory is 2)", CAUSE_MACHINE},
    {"NUMA node 5", CAUSE_MACHINE},
    {"hugetlb pool", CAUSE_MACHINE},
    {"fs.file-max", CAUSE_MACHINE},
    {"RLIMIT_MEMLOCK", CAUSE_PROCESS},
    {"vm.max_map_count", CAUSE_PROCESS},
    {"address space", CAUSE_PROCESS},
    {"memory", CAUSE_OTHER},
    {"", CAUSE_OTHER},
};

START_TEST(test_each_limit_has_its_cause) {
    uint64_t by[CAUSES], expected[CAUSES] = {0}, n = 0;
    for (; n < sizeof causes / sizeof *causes; n++) {
        refusal_note(&refusals, -ENOMEM, causes[n].limit, 1, 0, "");
        expected[causes[n].cause]++;
        ck_assert_uint_eq(refusal_read_counts(&refusals, by), n + 1);
        ck_assert_mem_eq(by, expected, sizeof by);
    }
    refusal_keep(&refusals, -EAGAIN, "peer's blocks_max", 1, 0, "");
    refusal_explain(&refusals, -EINVAL, "budget ", "");
    ck_assert_uint_eq(refusal_read_counts(&refusals, by), n);
}
END_TEST

START_TEST(test_the_newest_wins_whole) {
    refusal_note(&refusals, -EDQUOT, "a limit with a long name", 10, 9, "a long advice");
    refusal_note(&refusals, -EMFILE, "b", 1, 0, "");
    sea_refusal refusal = newest();
    ck_assert_int_eq(refusal.error, -EMFILE);
    ck_assert_str_eq(refusal.limit, "b");
    ck_assert_str_eq(refusal.advice, "");
    ck_assert_uint_eq(refusal.needed, 1);
    ck_assert_uint_eq(refusal.available, 0);
    ck_assert_uint_eq(refusals.count, 2);
}
END_TEST

START_TEST(test_long_texts_are_cut) {
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    refusal_note(&refusals, -ENOMEM, text, 1, 0, text);
    sea_refusal refusal = newest();
    ck_assert_uint_eq(strlen(refusal.limit), sizeof refusal.limit - 1);
    ck_assert_uint_eq(strlen(refusal.advice), sizeof refusal.advice - 1);
    refusal_explain(&refusals, -ENOMEM, text, text);
    refusal = newest();
    ck_assert_uint_eq(strlen(refusal.limit), sizeof refusal.limit - 1);
    ck_assert_uint_eq(strlen(refusal.advice), sizeof refusal.advice - 1);
}
END_TEST

/* The texts come from paths and from peers: none is used as a format. */
START_TEST(test_texts_are_taken_literally) {
    refusal_explain(&refusals, -EINVAL, "%s%n", "%d%%");
    ck_assert_str_eq(newest().limit, "%s%n");
    ck_assert_str_eq(newest().advice, "%d%%");
}
END_TEST

/* --- in words --- */

START_TEST(test_a_refusal_in_words) {
    static const struct {
        sea_refusal refusal;
        const char *line;
    } cases[] = {
        {{.error = 0, .limit = "left over"}, "nothing was refused"},
        {{0, "budget (bytes)", 11, 12, "release blocks"},
         "Running low (budget (bytes): needed 11, available 12; release blocks)"},
        {{-ENOMEM, "RLIMIT_FSIZE", 11, 7, "raise it"},
         "Cannot allocate memory (RLIMIT_FSIZE: needed 11, available 7; raise it)"},
        {{-EMFILE, "RLIMIT_NOFILE", 1, 0, ""}, "Too many open files (RLIMIT_NOFILE: needed 1, available 0)"},
        {{-EACCES, "unix:/here", 0, 0, "not yours"}, "Permission denied (unix:/here: not yours)"},
        {{-EACCES, "unix:/here", 0, 0, ""}, "Permission denied (unix:/here)"},
        {{-EINVAL, "a\nb\x1b[2J", 0, 0, "%s\x7f"}, "Invalid argument (a?b?[2J: %s?)"},
    };
    char line[512];
    errno = EXDEV;
    int length = sea_refusal_format(&cases[_i].refusal, line, sizeof line);
    ck_assert_int_eq(errno, EXDEV);
    ck_assert_str_eq(line, cases[_i].line);
    ck_assert_int_eq(length, (int) strlen(cases[_i].line));
}
END_TEST

/* Behaves as snprintf() does: the text is cut to fit, and no byte behind the buffer is written. */
START_TEST(test_a_short_buffer) {
    const sea_refusal refusal = {-ENOMEM, "memory\n", 11, 7, "raise it"};
    char line[512], cut[16];
    int length = sea_refusal_format(&refusal, line, sizeof line);
    for (size_t size = 0; size < sizeof cut; size++) {
        memset(cut, '#', sizeof cut);
        ck_assert_int_eq(sea_refusal_format(&refusal, cut, size), length);
        ck_assert_int_eq(cut[size], '#');
        if (size > 0) {
            ck_assert_uint_eq(strlen(cut), size - 1);
            ck_assert_int_eq(memcmp(cut, line, size - 1), 0);
        }
    }
    ck_assert_int_eq(sea_refusal_format(&refusal, NULL, 0), length);
}
END_TEST

enum { WRITERS = 3, NOTES = 3000 };

static void *note_the_same_everywhere(void *arg) {
    uint64_t number = (uint64_t) (uintptr_t) arg;
    char text[16];
    snprintf(text, sizeof text, "%d", (int) number);
    for (int i = 0; i < NOTES; i++)
        refusal_note(&refusals, -(int) number, text, number, number, text);
    return NULL;
}

START_TEST(test_readers_see_one_refusal_not_two_halves) {
    pthread_t threads[WRITERS];
    for (uintptr_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, note_the_same_everywhere, (void *) (i + 1)), 0);
    bool is_torn = false;
    while (refusals.count < WRITERS * NOTES) {
        sea_refusal refusal = newest();
        char text[16] = "";
        if (refusal.error != 0)
            snprintf(text, sizeof text, "%d", -refusal.error);
        is_torn = is_torn || refusal.needed != (uint64_t) -refusal.error || refusal.available != refusal.needed ||
                  strcmp(refusal.limit, text) != 0 || strcmp(refusal.advice, text) != 0;
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(!is_torn);
    ck_assert_uint_eq(refusals.count, WRITERS * NOTES);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("refusal");
    suite_fixture(s, make_log, drop_log);
    suite_add(s, test_at_first_nothing_was_refused);
    suite_add(s, test_a_note_is_kept_and_counted);
    suite_add(s, test_an_explanation_is_kept_and_not_counted);
    suite_add(s, test_each_limit_has_its_cause);
    suite_add(s, test_the_newest_wins_whole);
    suite_add(s, test_long_texts_are_cut);
    suite_add(s, test_texts_are_taken_literally);
    suite_add_loop(s, test_a_refusal_in_words, 0, 6);
    suite_add(s, test_a_short_buffer);
    suite_add(s, test_readers_see_one_refusal_not_two_halves);
    return suite_run(s);
}
