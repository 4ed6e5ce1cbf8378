/* SPDX-License-Identifier: MIT */
/* A calibration as text. See table.h. */
#include "calibrate/table.h"

#include <inttypes.h>
#include <string.h>

uint64_t table_value(const struct calibration *table, const struct calibration_key *key) {
    uint64_t value;
    memcpy(&value, (const char *) table + key->offset, sizeof(value));
    return value;
}

void table_set(struct calibration *table, const struct calibration_key *key, uint64_t value) {
    memcpy((char *) table + key->offset, &value, sizeof(value));
}

void table_write_version(FILE *file) {
    fprintf(file, "version %d\n", CALIBRATION_VERSION);
}

void table_write_value(FILE *file, uint64_t value) {
    if (value == CALIBRATION_UNLIMITED)
        fputs("unlimited", file);
    else
        fprintf(file, "%" PRIu64, value);
}

void table_write_key(FILE *file, const struct calibration_key *key, uint64_t value) {
    fprintf(file, "%s ", key->name);
    table_write_value(file, value);
    fputc('\n', file);
}
