/* SPDX-License-Identifier: MIT */
/*
 * doc/tuning.md says how many bytes each entry of a table or queue takes. These are the sizes of structs, on machines
 * with pointers of 64 bits.
 */
#include "support/suite.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/size_class.h"
#include "registry/mailbox.h"
#include "rpc/conn_slots.h"
#include "rpc/msg.h"
#include "util/id_table.h"

/* The size of a file, at most: some three times that of the document. */
enum { TEXT_MAX = 64 << 10 };

/* Returns the document with one blank in place of each run of blanks and line ends. The caller frees it. */
static char *document_read(void) {
    char path[4096], *text = calloc(1, TEXT_MAX);
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof path, "%s/doc/tuning.md", srcdir ? srcdir : ".");
    FILE *file = fopen(path, "re");
    size_t size = 0;
    ck_assert_msg(file, "cannot read %s", path);
    for (int c; (c = getc(file)) != EOF;) {
        bool is_blank = isspace(c);
        ck_assert_uint_lt(size, TEXT_MAX - 1);
        if (!is_blank || size == 0 || text[size - 1] != ' ')
            text[size++] = is_blank ? ' ' : (char) c;
    }
    fclose(file);
    return text;
}

static const struct {
    const char *before;
    size_t size;
    const char *after;
} sizes[] = {
    {"**User ids**: ", sizeof(struct user), " bytes for each user id"},
    {"**Counters**: ", sizeof(struct tally), " bytes for each connection"},
    {"2 KiB, and ", sizeof(struct conn_slot_holder), " bytes for each user and each process"},
    {"**Table of our arenas, and list of arenas to retire**: ", sizeof(struct id_entry), " and 4 bytes each"},
    {"**Lists of sizes**: ", 8 * sizeof(struct size_class), " bytes for eight sizes"},
    {"**Table of the peer's arenas**: ", sizeof(struct id_entry), " bytes each"},
    {"**Our calls**: ", sizeof(struct call_slot), " bytes each"},
    {"**Ended messages, kept for the next ones**: ", sizeof(sea_msg) + LANE_BYTES_MAX, " bytes each"},
    {"**Messages with small payloads that the application keeps**: ", sizeof(sea_msg) + LANE_BYTES_MAX, " bytes each"},
    {"**Replies that wait for room**: ", sizeof(struct lane_queued) + 1, " bytes, text and payload each"},
    {"**Cancels that wait for room**: ", sizeof(struct lane_queued) + 1, " bytes each"},
};

static void assert_says(const char *sentence) {
    char *text = document_read();
    ck_assert_msg(strstr(text, sentence), "doc/tuning.md does not say: %s", sentence);
    free(text);
}

START_TEST(test_sizes_of_entries) {
    char sentence[256];
    if (sizeof(void *) != 8)
        test_skip("the sizes are for pointers of 64 bits");
    snprintf(sentence, sizeof sentence, "%s%zu%s", sizes[_i].before, sizes[_i].size, sizes[_i].after);
    assert_says(sentence);
}
END_TEST

START_TEST(test_size_of_a_connection) {
    size_t size = sizeof(sea_conn) + sizeof(struct peer) + sizeof(struct account) + sizeof(struct mailbox);
    char sentence[256];
    if (sizeof(void *) != 8)
        test_skip("the sizes are for pointers of 64 bits");
    snprintf(sentence, sizeof sentence, "**Connections**: %.1f KiB each", (double) size / 1024);
    assert_says(sentence);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("documented_sizes");
    suite_add_loop(s, test_sizes_of_entries, 0, sizeof sizes / sizeof *sizes);
    suite_add(s, test_size_of_a_connection);
    return suite_run(s);
}
