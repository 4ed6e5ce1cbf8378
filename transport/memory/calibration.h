/* SPDX-License-Identifier: MIT */
/*
 * The calibration: sizes by which the library chooses a payload's class and the next free block.
 *
 * The built-in sizes were measured on one machine (doc/measurements.md); a file from sealane-calibrate(1) replaces
 * them. They are hints for speed: no value within its bounds makes an operation fail that would not fail otherwise.
 *
 * The file. One "key value" a line, '#' begins a comment. The first line is "version 1". "machine TEXT" ties the file
 * to machines with such caches. Then come sizes in bytes, with K, M or G as powers of 1024, or "unlimited". Keys that
 * are not in the file keep the built-in value; after one error in the file all keep it. The file is
 * $SEALANE_CALIBRATION (empty: none), or the first that exists of $XDG_CONFIG_HOME/sealane/calibration (~/.config/...)
 * and SYSCONFDIR/sealane/calibration.
 *
 * Owns: nothing; the context keeps the table. Touches: reads the environment and the file. Threads: any, while no
 * thread calls setenv(); the table never changes.
 */
#ifndef MEMORY_CALIBRATION_H
#define MEMORY_CALIBRATION_H

#include "sys/caches.h"
#include <stdint.h>

/* All in bytes. "Before" is up to and including. */
struct calibration {
    uint64_t inline_before_pooled;   /* a copy through the connection is cheaper than a pooled block */
    uint64_t inline_before_snapshot; /* the same limit for a peer that copies pooled payloads */
    uint64_t inline_before_sealed;   /* the same limit for a peer that takes no pooled payload */
    uint64_t snapshot_before_sealed; /* a pooled block that the peer copies is cheaper than a sealed one */
    uint64_t reuse_footprint;        /* the blocks of one size that are used by turns have so many bytes */
    uint64_t reuse_least;            /* smaller blocks do not cycle: the newest goes out first */
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

/* The sizes without any measurement. */
struct calibration calibration_built_in(const struct caches *caches);

/* Writes the name of a machine in calibration files to `buf`, cut to `size`: the sizes of its caches, on which the
 * calibration depends most. */
void calibration_machine(const struct caches *caches, char *buf, size_t size);

/* The text of an error in the file: "line 3: ...". */
struct calibration_flaw {
    char text[100];
};

/* Reads a file's text, and changes it on the way, into *table. Keys that are not in the text keep their value; after
 * -EINVAL all keys do. */
int calibration_parse(struct calibration *table, char *text, const char *machine, struct calibration_flaw *ret_flaw);

/*
 * The table of this process: always a usable one. 0, also when there is no file; else the error of the file, with a
 * text in *ret_text ("PATH: line 3: ...", a long path cut in front).
 */
int calibration_load(struct calibration *ret_table, char *ret_text, size_t size);

#endif
