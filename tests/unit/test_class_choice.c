/* SPDX-License-Identifier: MIT */
/* lane/class_choice: the class that a payload gets, by rule, and over a connection by the table that a file gave. */
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/conn_pair.h"

/* Values that no two keys share. */
static const struct calibration table = {.inline_before_pooled = 100,
                                         .inline_before_snapshot = 200,
                                         .inline_before_sealed = 5000,
                                         .snapshot_before_sealed = 9000};

static struct negotiated negotiation_of(uint32_t accept, bool snapshots) {
    return (struct negotiated){
        .accept = accept, .peer_snapshots = snapshots, .inline_max = 10000, .block_max = 50000, .bytes_max = 50000};
}

START_TEST(test_choices) {
    static const struct {
        uint32_t accept;
        bool snapshots;
        size_t size;
        int class;
    } cases[] = {
        {SEA_ANY_CLASS, false, 100, SEA_INLINE},
        {SEA_ANY_CLASS, false, 101, SEA_POOLED},
        {SEA_ANY_CLASS, false, 50000, SEA_POOLED}, /* where the peer may read in place, pooled is cheapest */
        {SEA_ANY_CLASS, false, 50001, 0},
        {SEA_ANY_CLASS, true, 200, SEA_INLINE},
        {SEA_ANY_CLASS, true, 201, SEA_POOLED},
        {SEA_ANY_CLASS, true, 9000, SEA_POOLED},
        {SEA_ANY_CLASS, true, 9001, SEA_SEALED},
        {SEA_INLINE | SEA_POOLED, true, 9001, SEA_POOLED}, /* sealed payloads are not accepted */
        {SEA_STABLE_ONLY, false, 5000, SEA_INLINE},
        {SEA_STABLE_ONLY, false, 5001, SEA_SEALED},
        {SEA_INLINE, false, 5001, SEA_INLINE}, /* there is one class only */
        {SEA_INLINE, false, 10001, 0},
        {SEA_SEALED, false, 1, SEA_SEALED},
        {SEA_POOLED, false, 1, SEA_POOLED},
        {SEA_POOLED | SEA_SEALED, true, 9001, SEA_SEALED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct negotiated negotiated = negotiation_of(cases[i].accept, cases[i].snapshots);
        struct class_choice choice = class_choice_make(&table, &negotiated, 4096);
        int class = class_choice_for(&choice, &negotiated, cases[i].size);
        ck_assert_msg(class == cases[i].class, "case %zu: %d", i, class);
    }
}
END_TEST

/* Plain bytes must fit into a frame. */
START_TEST(test_plain_bytes) {
    static const struct {
        uint32_t accept;
        bool snapshots;
        uint32_t ring_bytes;
        uint64_t most;
    } cases[] = {
        {SEA_ANY_CLASS, false, 4096, 100},    {SEA_ANY_CLASS, true, 4096, 200},  {SEA_ANY_CLASS, true, 150, 150},
        {SEA_STABLE_ONLY, false, 4096, 4096}, {SEA_INLINE, false, 20000, 10000}, {SEA_ANY_CLASS, false, 0, 0},
        {SEA_STABLE_ONLY, false, 0, 0},       {SEA_SEALED, false, 4096, 0},      {SEA_POOLED, false, 4096, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct negotiated negotiated = negotiation_of(cases[i].accept, cases[i].snapshots);
        uint64_t most = class_choice_make(&table, &negotiated, cases[i].ring_bytes).bytes_most;
        ck_assert_msg(most == cases[i].most, "case %zu: %ju", i, (uintmax_t) most);
    }
}
END_TEST

/* --- what a file changes --- */

/* Makes new contexts read this table. It has no name in any file system; close the descriptor. */
static int use_table(const char *text) {
    char path[64];
    int fd = memfd_create("table", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    ck_assert_int_eq(fchmod(fd, 0600), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    setenv("SEALANE_CALIBRATION", path, 1);
    return fd;
}

static void no_table(void) {
    setenv("SEALANE_CALIBRATION", "", 1);
}

/* Checks how many messages of each class `end` has sent. */
static void assert_sent(const struct end *end, uint64_t in_line, uint64_t pooled, uint64_t sealed) {
    struct figures figures = end_figures(end);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_INLINE_MESSAGES], in_line);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_POOLED_MESSAGES], pooled);
    ck_assert_uint_eq(figures.of[SEA_FIGURE_SENT_SEALED_MESSAGES], sealed);
}

static void send_some(struct ends *ends, const size_t *sizes, size_t count) {
    static char bytes[4096];
    ends_open(ends);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(sea_send(ends->a.conn, END_KEEP, end_block(&ends->a, sizes[i], 5), 0), 0);
        if (sizes[i] <= sizeof bytes)
            ck_assert_int_eq(sea_send_bytes(ends->a.conn, END_KEEP, bytes, sizes[i], 0), 0);
    }
    ends_settle(ends);
}

START_TEST(test_inline_before_pooled) {
    static const size_t sizes[] = {100, 1000, 2000};
    for (int is_set = 0; is_set < 2; is_set++) {
        struct ends ends = {0};
        int fd = is_set ? use_table("version 1\ninline_before_pooled 500\n") : -1;
        send_some(&ends, sizes, 3);
        assert_sent(&ends.a, is_set ? 2 : 4, is_set ? 4 : 2, 0);
        ends_deinit(&ends);
        no_table();
        close(fd);
    }
}
END_TEST

START_TEST(test_a_stable_only_receiver) {
    static const size_t sizes[] = {100, 600, 5000, 50000};
    struct ends ends = {.b.options.accept = SEA_STABLE_ONLY};
    int fd = use_table("version 1\ninline_before_snapshot 32\nsnapshot_before_sealed 5000\n");
    send_some(&ends, sizes, 4);
    assert_sent(&ends.a, 0, 5, 1);
    ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_SNAPSHOTS], 5);
    for (unsigned i = 0; i < ends.b.kept_count; i++)
        ck_assert(sea_msg_is_stable(ends.b.kept[i]));
    ends_deinit(&ends);
    no_table();
    close(fd);
}
END_TEST

START_TEST(test_without_outboxes) {
    static const size_t sizes[] = {100, 5000, 5001};
    struct ends ends = {.a.options.socket_only = true};
    int fd = use_table("version 1\ninline_before_sealed 5000\n");
    send_some(&ends, sizes, 3);
    assert_sent(&ends.a, 3, 0, 1);
    ends_deinit(&ends);
    no_table();
    close(fd);
}
END_TEST

/* A block of another connection's pool is copied, by the same table. */
START_TEST(test_a_copy_goes_by_the_table_too) {
    for (int is_set = 0; is_set < 2; is_set++) {
        struct ends ends = {0};
        int fd = is_set ? use_table("version 1\ninline_before_pooled 32\nreuse_footprint 0\n") : -1;
        ends_open(&ends);
        ck_assert_int_eq(end_call(&ends.a, END_ECHO, end_block(&ends.a, 2000, 7), -1, 1, NULL), 0);
        ends_settle(&ends);
        assert_sent(&ends.b, 0, 1, 0);
        ck_assert(msg_is_filled(ends.a.outcomes[0].reply, 2000, 7));
        ck_assert_uint_eq(end_figures(&ends.b).of[SEA_FIGURE_FALLBACKS], 1);
        ends_deinit(&ends);
        no_table();
        close(fd);
    }
}
END_TEST

/* Returns the number of different addresses of blocks that are made, sent and released one by one. */
static unsigned places(struct ends *ends, size_t size) {
    const void *known[64] = {NULL};
    unsigned count = 0;
    for (int i = 0; i < 64; i++) {
        sea_block *block = end_block(&ends->a, size, 1);
        const void *place = sea_block_view(block);
        unsigned k = 0;
        while (k < count && known[k] != place)
            k++;
        if (k == count)
            known[count++] = place;
        ck_assert_int_eq(end_call(&ends->a, END_HOOK, block, -1, 1, NULL), 0); /* its answer reports the release */
        ends_settle(ends);
        end_drop(&ends->a);
    }
    return count;
}

START_TEST(test_the_reuse) {
    static const struct {
        const char *text;
        unsigned places;
    } cases[] = {{"version 1\nreuse_footprint 0\n", 1},
                 {"version 1\nreuse_footprint 512K\nreuse_least 64K\n", 8},
                 {"version 1\nreuse_footprint 512K\nreuse_least 65537\n", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ends ends = {0};
        int fd = use_table(cases[i].text);
        ends_open(&ends);
        unsigned seen = places(&ends, 65536);
        ck_assert_msg(seen == cases[i].places, "case %zu: %u", i, seen);
        ends_deinit(&ends);
        no_table();
        close(fd);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("class_choice");
    no_table();
    suite_add(s, test_choices);
    suite_add(s, test_plain_bytes);
    suite_add(s, test_inline_before_pooled);
    suite_add(s, test_a_stable_only_receiver);
    suite_add(s, test_without_outboxes);
    suite_add(s, test_a_copy_goes_by_the_table_too);
    suite_add(s, test_the_reuse);
    return suite_run(s);
}
