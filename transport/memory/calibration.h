/* SPDX-License-Identifier: MIT */
/*
 * The calibration: the few sizes by which it is chosen how a payload travels, and which free block goes out next.
 *
 * The built-in values were measured on one machine (doc/measurements.md); a file of sealane-calibrate(1) has better
 * ones. They are hints for speed: no value in its bounds makes anything fail that would not fail otherwise.
 *
 * The file. One "key value" a line, '#' begins a comment. The first line is "version 1"; "machine TEXT" ties it to
 * machines with such caches; then sizes in bytes, with K, M or G as powers of 1024, or "unlimited". What is not named
 * is as built in; one flaw, and all is. It is $SEALANE_CALIBRATION (empty: none), or the first that exists of
 * $XDG_CONFIG_HOME/sealane/calibration
 * (~/.config/...) and SYSCONFDIR/sealane/calibration.
 *
 * Threads: any, as far as nobody calls setenv() meanwhile.
 */
#ifndef MEMORY_CALIBRATION_H
#define MEMORY_CALIBRATION_H

#include "sys/caches.h"
#include <stdint.h>

/* All in bytes. "Before" is up to and including. */
struct calibration {
    uint64_t inline_before_pooled;   /* a copy through the connection is cheaper than a pooled block */
    uint64_t inline_before_snapshot; /* the same, where the peer copies what is pooled */
    uint64_t inline_before_sealed;   /* the same, where the peer takes nothing pooled */
    uint64_t snapshot_before_sealed; /* a pooled block that the peer copies is cheaper than a sealed one */
    uint64_t reuse_footprint;        /* blocks that are used again rotate over so much */
    uint64_t reuse_least;            /* smaller ones do not: the newest goes out first */
};

#define CALIBRATION_UNLIMITED UINT64_MAX

/* The fields by the names that they have in the file, and their bounds. */
struct calibration_key {
    const char *name;
    size_t offset; /* in struct calibration */
    uint64_t least, most;
};

enum { CALIBRATION_KEYS = 6, CALIBRATION_VERSION = 1, CALIBRATION_FILE_MAX = 16384 };
extern const struct calibration_key calibration_keys[CALIBRATION_KEYS];

/* What is right without any measurement. */
struct calibration calibration_built_in(const struct caches *caches);

/* How a file names the machine: by what the sizes depend on most. Writes it to `buf`, cut to `size`. */
void calibration_machine(const struct caches *caches, char *buf, size_t size);

/* A flaw, in words: "line 3: ...". */
struct calibration_flaw {
    char text[100];
};

/* Reads a file's text, which is changed by that, into *table: untouched by what is not named, and by -EINVAL. */
int calibration_parse(struct calibration *table, char *text, const char *machine, struct calibration_flaw *ret_flaw);

/*
 * The table of this process: always a usable one. 0 also when there is no file; else what was wrong with it, with words
 * in *ret_text
 * ("PATH: line 3: ...", a long path cut in front).
 */
int calibration_load(struct calibration *ret_table, char *ret_text, size_t size);

#endif
