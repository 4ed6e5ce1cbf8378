/* SPDX-License-Identifier: MIT */
/*
 * The calibration's file: found, read, checked. See calibration.h for its form.
 *
 * The file is not trusted beyond its bounds, and its words are shown cleaned and cut. file_read_own() decides whether
 * it may be read at all.
 */
#include "memory/calibration.h"

#include "sys/file.h"
#include "sys/heap.h"
#include "sys/path.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define GIB (UINT64_C(1) << 30)

/* 32 bytes lie in the frame's own line; 128 KiB is the most that a datagram carries; sealing has a page at least. */
const struct calibration_key calibration_keys[CALIBRATION_KEYS] = {
    {"inline_before_pooled", offsetof(struct calibration, inline_before_pooled), 32, 64 * KIB},
    {"inline_before_snapshot", offsetof(struct calibration, inline_before_snapshot), 32, 64 * KIB},
    {"inline_before_sealed", offsetof(struct calibration, inline_before_sealed), 32, 128 * KIB},
    {"snapshot_before_sealed", offsetof(struct calibration, snapshot_before_sealed), 4 * KIB, CALIBRATION_UNLIMITED},
    {"reuse_footprint", offsetof(struct calibration, reuse_footprint), 0, GIB},
    {"reuse_least", offsetof(struct calibration, reuse_least), 0, GIB},
};

/*
 * A line that the other core's L2 still has is expensive to write: the data sent since must have pushed it out, and
 * twice the L2 just does that. But they must not have pushed it out of the L3 as well; where payloads come back, both
 * sides' cycles lie there. A cycle that would stay in the L2 with its largest number of blocks gains nothing.
 */
struct calibration calibration_built_in(const struct caches *caches) {
    uint64_t l2 = caches->l2, l3 = caches->l3;
    return (struct calibration){
        .inline_before_pooled = 1024,
        .inline_before_snapshot = 1024,
        .inline_before_sealed = 128 * KIB, /* as much as the peer takes */
        .snapshot_before_sealed = CALIBRATION_UNLIMITED,
        .reuse_footprint = l3 > 0 && l3 / 8 < 4 * l2 ? l3 / 8 : 4 * l2,
        .reuse_least = l2 / 32,
    };
}

void calibration_machine(const struct caches *caches, char *buf, size_t size) {
    snprintf(buf, size, "l2=%zu,l3=%zu", caches->l2, caches->l3);
}

/* --- its text --- */

__attribute__((format(printf, 3, 4))) static int flaw_note(struct calibration_flaw *flaw, unsigned line,
                                                           const char *format, ...) {
    va_list args;
    int n = snprintf(flaw->text, sizeof(flaw->text), "line %u: ", line);
    va_start(args, format);
    vsnprintf(flaw->text + n, sizeof(flaw->text) - (size_t) n, format, args);
    va_end(args);
    for (char *p = flaw->text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    return -EINVAL;
}

/* "4096", "4K", "unlimited"; digits first: strtoull() alone takes signs and blanks. */
static bool size_parse(const char *text, uint64_t *ret_size) {
    static const char UNITS[] = "KMG";
    char *end;
    if (strcmp(text, "unlimited") == 0)
        return *ret_size = CALIBRATION_UNLIMITED, true;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(UNITS, *end) : NULL;
    unsigned shift = unit ? (unsigned) (unit - UNITS + 1) * 10 : 0;
    if (errno || (*end && !unit) || (unit && end[1]) || value > UINT64_MAX >> shift)
        return false;
    *ret_size = (uint64_t) value << shift;
    return true;
}

static const struct calibration_key *key_find(const char *name) {
    for (size_t i = 0; i < CALIBRATION_KEYS; i++)
        if (strcmp(name, calibration_keys[i].name) == 0)
            return &calibration_keys[i];
    return NULL;
}

/* The state of reading a file. */
struct reading {
    struct calibration table;
    unsigned line;
    unsigned entries;    /* lines that say something */
    unsigned keys_given; /* a bit for each */
    const char *machine;
    struct calibration_flaw *flaw; /* borrowed */
};

static int read_size(struct reading *reading, const struct calibration_key *key, const char *value) {
    uint64_t size = 0;
    unsigned bit = 1u << (key - calibration_keys);
    if (!size_parse(value, &size))
        return flaw_note(reading->flaw, reading->line, "'%.24s' is no size", value);
    if (size < key->least || size > key->most)
        return flaw_note(reading->flaw, reading->line, "%s: not from %" PRIu64 " to %" PRIu64, key->name, key->least,
                         key->most);
    if (reading->keys_given & bit)
        return flaw_note(reading->flaw, reading->line, "%s is given twice", key->name);
    reading->keys_given |= bit;
    memcpy((char *) &reading->table + key->offset, &size, sizeof(size));
    return 0;
}

static int read_entry(struct reading *reading, const char *name, const char *value) {
    const struct calibration_key *key = key_find(name);
    if (reading->entries++ == 0)
        return strcmp(name, "version") == 0 && strcmp(value, "1") == 0
                   ? 0
                   : flaw_note(reading->flaw, reading->line, "'version 1' comes first, not '%.24s %.8s'", name, value);
    if (key)
        return read_size(reading, key, value);
    if (strcmp(name, "machine") != 0)
        return flaw_note(reading->flaw, reading->line, "'%.24s' is no key", name);
    if (strcmp(value, reading->machine) != 0)
        return flaw_note(reading->flaw, reading->line, "of another machine, '%.40s'", value);
    return 0;
}

static int read_line(struct reading *reading, char *line) {
    static const char BLANKS[] = " \t";
    char *rest = NULL;
    reading->line++;
    line[strcspn(line, "#")] = '\0';
    const char *name = strtok_r(line, BLANKS, &rest);
    const char *value = name ? strtok_r(NULL, BLANKS, &rest) : NULL;
    if (!name)
        return 0;
    if (!value || strtok_r(NULL, BLANKS, &rest))
        return flaw_note(reading->flaw, reading->line, "not a key and a value: '%.24s ...'", name);
    return read_entry(reading, name, value);
}

int calibration_parse(struct calibration *table, char *text, const char *machine, struct calibration_flaw *ret_flaw) {
    struct reading reading = {.table = *table, .machine = machine, .flaw = ret_flaw};
    char *line;
    int r = 0;
    while (r == 0 && (line = strsep(&text, "\n")))
        r = read_line(&reading, line);
    if (r == 0 && reading.entries == 0)
        r = flaw_note(ret_flaw, reading.line, "it ends without 'version 1'");
    if (r == 0)
        *table = reading.table;
    return r;
}

/* --- its place --- */

static int load_from(struct calibration *table, const struct caches *caches, const char *path,
                     struct calibration_flaw *ret_flaw) {
    CLEANUP_FREE char *text = heap_new(1, CALIBRATION_FILE_MAX + 1);
    char machine[64];
    const char *why = "out of memory";
    int r = text ? file_read_own(path, text, CALIBRATION_FILE_MAX + 1, &why) : -ENOMEM;
    if (r < 0) {
        snprintf(ret_flaw->text, sizeof(ret_flaw->text), "%s", why);
        return r;
    }
    calibration_machine(caches, machine, sizeof(machine));
    return calibration_parse(table, text, machine, ret_flaw);
}

static int load_default(struct calibration *table, const struct caches *caches, char *path, size_t size,
                        struct calibration_flaw *ret_flaw) {
    int r = path_user_config("calibration", path, size);
    if (r == 0)
        r = load_from(table, caches, path, ret_flaw);
    if (r != -ENOENT && r != -ENOTDIR)
        return r;
    snprintf(path, size, "%s", SYSCONFDIR "/sealane/calibration");
    r = load_from(table, caches, path, ret_flaw);
    return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

/* The end of a long path says more than its beginning. */
static void explain(const char *path, const struct calibration_flaw *flaw, char *ret_text, size_t size) {
    size_t length = strlen(path), rest = strlen(flaw->text) + 3;
    size_t shown = rest + 3 < size ? size - rest - 3 : 0;
    bool is_cut = length > shown;
    snprintf(ret_text, size, "%s%s: %s", is_cut ? "..." : "", path + (is_cut ? length - shown : 0), flaw->text);
}

int calibration_load(struct calibration *ret_table, char *ret_text, size_t size) {
    struct caches caches = caches_here();
    struct calibration_flaw flaw = {""};
    char path[4096];
    const char *named = secure_getenv("SEALANE_CALIBRATION");
    int r = 0;
    *ret_table = calibration_built_in(&caches);
    if (!named)
        r = load_default(ret_table, &caches, path, sizeof(path), &flaw);
    else if (*named)
        r = load_from(ret_table, &caches, named, &flaw);
    if (r < 0)
        explain(named ? named : path, &flaw, ret_text, size);
    return r;
}
