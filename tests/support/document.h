/* SPDX-License-Identifier: MIT */
/*
 * The examples of doc/PROTOCOL.md: blocks of hexadecimal bytes, each under its name. Tests compare them with the bytes
 * that the code writes.
 *
 * The environment variable `srcdir` names the directory that holds doc/; without it, the current directory is taken.
 */
#ifndef TESTS_SUPPORT_DOCUMENT_H
#define TESTS_SUPPORT_DOCUMENT_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads pairs of hexadecimal digits, up to the end of the text or a bar; returns the number of bytes. */
static inline size_t hex_read(const char *hex, uint8_t *ret, size_t max) {
    size_t size = 0;
    for (;;) {
        unsigned byte;
        hex += strspn(hex, " ");
        if (*hex == '\0' || *hex == '\n' || *hex == '|')
            return size;
        if (sscanf(hex, "%2x", &byte) != 1 || size >= max)
            ck_abort_msg("not hexadecimal, or too long: %s", hex);
        ret[size++] = (uint8_t) byte;
        hex += 2;
    }
}

/* Check records each assertion that passes, which takes time, so a loop that runs often compares first. */
static inline void assert_bytes(const char *what, const uint8_t *bytes, size_t size, const uint8_t *wanted,
                                size_t wanted_size) {
    if (size == wanted_size && memcmp(bytes, wanted, size) == 0)
        return;
    for (size_t i = 0; i < size && i < wanted_size; i++)
        ck_assert_msg(bytes[i] == wanted[i], "%s: byte %zu is %02x, not %02x", what, i, bytes[i], wanted[i]);
    ck_abort_msg("%s: %zu bytes, not %zu", what, size, wanted_size);
}

static inline FILE *document_open(void) {
    char path[4096];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof(path), "%s/doc/PROTOCOL.md", srcdir ? srcdir : ".");
    FILE *file = fopen(path, "re");
    ck_assert_msg(file, "cannot read %s", path);
    return file;
}

/* Reads one block, up to its closing fence. A line has an offset, bytes, a bar and a remark. */
static inline void document_check_block(FILE *file, const char *name, const uint8_t *wanted, size_t wanted_size) {
    uint8_t bytes[256];
    size_t size = 0;
    char line[256];

    while (fgets(line, sizeof(line), file) && strncmp(line, "```", 3) != 0) {
        char *rest;
        ck_assert_msg(strtoul(line, &rest, 10) == size, "%s: offset %zu expected in: %s", name, size, line);
        ck_assert_msg(strchr(rest, '|'), "%s: no remark in: %s", name, line);
        size += hex_read(rest, bytes + size, sizeof(bytes) - size);
    }
    assert_bytes(name, bytes, size, wanted, wanted_size);
}

#endif
