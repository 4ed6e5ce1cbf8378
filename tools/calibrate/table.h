/* SPDX-License-Identifier: MIT */
/* A calibration as text: the counterpart of calibration_parse(). */
#ifndef CALIBRATE_TABLE_H
#define CALIBRATE_TABLE_H

#include "memory/calibration.h"
#include <stdio.h>

uint64_t table_value(const struct calibration *table, const struct calibration_key *key);
void table_set(struct calibration *table, const struct calibration_key *key, uint64_t value);

/* Writes "version 1", which comes first; then lines with a key each. */
void table_write_version(FILE *file);
void table_write_value(FILE *file, uint64_t value);
void table_write_key(FILE *file, const struct calibration_key *key, uint64_t value);

#endif
