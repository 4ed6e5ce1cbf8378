/* SPDX-License-Identifier: MIT */
/* The command line of a cell. */
#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 77, MISUSED = 2 };

static const char *const MODES[] = {[WORK_SPIN] = "spin", [WORK_ADAPTIVE] = "adaptive", [WORK_SLEEP] = "sleep"};
static const char *const KINDS[] = {[WORK_ROUNDTRIP] = "roundtrip", [WORK_ONEWAY] = "oneway", [WORK_IDLE] = "idle"};

enum { NAMES = 5 };

static const size_t LARGEST = (size_t) 1 << 32;

const char *work_mode_name(int mode) {
    return MODES[mode];
}

/* Returns the index of the name; 0 if it is none of the names. */
static int named(const char *const names[], const char *name) {
    for (int i = 1; i < NAMES; i++)
        if (names[i] && strcmp(names[i], name) == 0)
            return i;
    return 0;
}

static int usage(const char *program, const struct adapter *adapters, size_t count) {
    fprintf(stderr,
            "usage: %s [--case roundtrip|oneway|idle] [--mode spin|adaptive|sleep] [--size BYTES] [--reply BYTES]\n"
            "       [--touch full|ends] [--seconds S] [--cpus CLIENT,SERVER] [--clients N] [--variant NAME]\n"
            "       [--syscalls] [--json]%s\n",
            program, count > 1 ? " --system NAME" : "");
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, "%s", adapters[i].system);
        for (const char *const *variant = adapters[i].variants; variant && *variant; variant++)
            fprintf(stderr, "%s%s", variant == adapters[i].variants ? ": " : ", ", *variant);
        fprintf(stderr, "\n");
    }
    return MISUSED;
}

static bool parse_cpus(struct cell *cell, const char *text) {
    int read = sscanf(text, "%d,%d", &cell->cpus[0], &cell->cpus[1]);
    if (read == 1)
        cell->cpus[1] = cell->cpus[0];
    return read >= 1 && cell->cpus[0] >= 0 && cell->cpus[1] >= 0;
}

static bool parse_size(size_t *size, const char *text) {
    char *end;
    *size = strtoull(text, &end, 10);
    return *end == 0 && *size >= 8 && *size % 8 == 0 && *size <= LARGEST;
}

static const struct adapter *find(const struct adapter *adapters, size_t count, const char *system) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(adapters[i].system, system) == 0)
            return &adapters[i];
    return NULL;
}

static bool parse_one(struct cell *cell, int option, const char *text, const struct adapter *adapters, size_t count) {
    switch (option) {
    case 'c':
        return (cell->kind = named(KINDS, text)) != 0;
    case 'm':
        return (cell->mode = named(MODES, text)) != 0;
    case 's':
        return parse_size(&cell->size, text);
    case 'r':
        return parse_size(&cell->reply, text);
    case 't':
        return (cell->ends = strcmp(text, "ends") == 0) || strcmp(text, "full") == 0;
    case 'S':
        return (cell->seconds = atof(text)) > 0;
    case 'C':
        return parse_cpus(cell, text);
    case 'n':
        return (cell->clients = atoi(text)) > 0 && cell->clients <= WORK_CLIENTS;
    case 'v':
        return (cell->variant = text) != NULL;
    case 'y':
        return (cell->adapter = find(adapters, count, text)) != NULL;
    case 'k':
        return cell->count_syscalls = true;
    case 'j':
        return cell->json = true;
    default:
        return false;
    }
}

static bool has_variant(const struct adapter *adapter, const char *name) {
    for (const char *const *variant = adapter->variants; variant && *variant; variant++)
        if (strcmp(*variant, name) == 0)
            return true;
    return false;
}

/* Returns the option of the cell that the adapter does not offer; NULL: the adapter offers all. */
static const char *missing(const struct cell *cell) {
    const struct adapter *adapter = cell->adapter;
    if (!(adapter->cases & cell->kind))
        return "no such case";
    if (!(adapter->modes & cell->mode))
        return "does not wait that way";
    if (cell->clients > 1 && !adapter->fan_in)
        return "serves one client here";
    return NULL;
}

static int check(struct cell *cell) {
    const struct adapter *adapter = cell->adapter;
    if (*cell->variant == 0 && adapter->variants)
        cell->variant = adapter->variants[0];
    if (cell->reply == 0)
        cell->reply = cell->size < WORK_REPLY ? cell->size : WORK_REPLY;
    if (*cell->variant && !has_variant(adapter, cell->variant)) {
        fprintf(stderr, "bench: %s has no variant %s\n", adapter->system, cell->variant);
        return MISUSED;
    }
    if (missing(cell)) {
        fprintf(stderr, "bench: %s: %s\n", adapter->system, missing(cell));
        return SKIPPED;
    }
    return 0;
}

int arguments_parse(struct cell *cell, int argc, char **argv, const struct adapter *adapters, size_t count) {
    static const struct option options[] = {{"case", required_argument, NULL, 'c'},
                                            {"mode", required_argument, NULL, 'm'},
                                            {"size", required_argument, NULL, 's'},
                                            {"reply", required_argument, NULL, 'r'},
                                            {"touch", required_argument, NULL, 't'},
                                            {"seconds", required_argument, NULL, 'S'},
                                            {"cpus", required_argument, NULL, 'C'},
                                            {"clients", required_argument, NULL, 'n'},
                                            {"variant", required_argument, NULL, 'v'},
                                            {"system", required_argument, NULL, 'y'},
                                            {"syscalls", no_argument, NULL, 'k'},
                                            {"json", no_argument, NULL, 'j'},
                                            {0}};
    *cell = (struct cell){.adapter = count == 1 ? adapters : NULL,
                          .kind = WORK_ROUNDTRIP,
                          .mode = WORK_SLEEP,
                          .size = 64,
                          .seconds = 0.5,
                          .cpus = {0, 1},
                          .clients = 1,
                          .variant = ""};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!parse_one(cell, option, optarg, adapters, count))
            return usage(argv[0], adapters, count);
    if (optind < argc || !cell->adapter)
        return usage(argv[0], adapters, count);
    return check(cell);
}
