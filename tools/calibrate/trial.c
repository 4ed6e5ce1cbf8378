/* SPDX-License-Identifier: MIT */
/* The trials. See trial.h. */
#include "calibrate/trial.h"

#include "calibrate/table.h"
#include "calibrate/verdict.h"
#include <inttypes.h>
#include <math.h>
#include <sealane/base.h>
#include <sys/mman.h>

#define KIB ((size_t) 1024)
#define MIB (KIB * KIB)

/* A pool keeps no more than this for a rotation. */
#define FOOTPRINT_MOST (16 * MIB)

static const struct calibration_key *key_of(size_t offset) {
    const struct calibration_key *key = calibration_keys;
    while (key->offset != offset)
        key++;
    return key;
}
#define KEY(field) key_of(offsetof(struct calibration, field))

static void add_works(struct trial *trial, enum pattern pattern, const size_t *sizes, size_t count) {
    for (size_t i = 0; i < count; i++)
        trial->works[trial->works_count++] = (struct work){.size = sizes[i], .pattern = pattern};
}
#define ADD_WORKS(trial, pattern, sizes) add_works(trial, pattern, sizes, sizeof(sizes) / sizeof(*(sizes)))

/* A way with one value of the table changed. */
static struct way *add_way(struct trial *trial, const struct calibration *table, uint64_t value, int payload_class) {
    struct way *way = &trial->ways[trial->ways_count++];
    *way = (struct way){.table = *table, .accept = SEA_ANY_CLASS, .payload_class = payload_class};
    table_set(&way->table, trial->key, value);
    return way;
}

static void plan_pooled(struct trial *trial, const struct calibration *built_in) {
    static const size_t sizes[] = {64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072};
    trial->key = KEY(inline_before_pooled);
    trial->about = "up to here inline, above pooled; inline / pooled, a block and plain bytes together";
    add_way(trial, built_in, 64 * KIB, SEA_INLINE);
    add_way(trial, built_in, 32, SEA_POOLED);
    ADD_WORKS(trial, PATTERN_PLAIN, sizes);
}

static void plan_snapshot(struct trial *trial, const struct calibration *built_in) {
    plan_pooled(trial, built_in);
    trial->key = KEY(inline_before_snapshot);
    trial->about = "for who takes only stable ones: up to here inline, above pooled and copied there; inline / copied";
    for (size_t i = 0; i < trial->ways_count; i++) {
        struct way *way = &trial->ways[i];
        uint64_t value = way->table.inline_before_pooled;
        way->accept = SEA_STABLE_ONLY;
        way->table.inline_before_pooled = built_in->inline_before_pooled;
        way->table.inline_before_snapshot = value;
    }
}

static void plan_sealed(struct trial *trial, const struct calibration *built_in) {
    static const size_t sizes[] = {16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB};
    trial->key = KEY(snapshot_before_sealed);
    trial->about = "the same: up to here pooled and copied there, above sealed; copied / sealed";
    add_way(trial, built_in, CALIBRATION_UNLIMITED, SEA_POOLED)->accept = SEA_STABLE_ONLY;
    add_way(trial, built_in, 4 * KIB, SEA_SEALED)->accept = SEA_STABLE_ONLY;
    ADD_WORKS(trial, PATTERN_BLOCK, sizes);
}

static void plan_socket(struct trial *trial, const struct calibration *built_in) {
    static const size_t sizes[] = {4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB};
    trial->key = KEY(inline_before_sealed);
    trial->about = "without outboxes: up to here inline, above sealed; inline / sealed";
    add_way(trial, built_in, 128 * KIB, SEA_INLINE)->socket_only = true;
    add_way(trial, built_in, 32, SEA_SEALED)->socket_only = true;
    ADD_WORKS(trial, PATTERN_BLOCK, sizes);
}

static void plan_footprint(struct trial *trial, const struct calibration *built_in) {
    static const size_t sizes[] = {64 * KIB, 256 * KIB, MIB, 2 * MIB};
    static const int shifts[] = {0, -2, -1, 1, 2};
    trial->key = KEY(reuse_footprint);
    trial->about = "what the blocks of one size rotate over; as built in / another, all sizes together";
    for (size_t i = 0; i < sizeof(shifts) / sizeof(*shifts); i++) {
        uint64_t built = built_in->reuse_footprint;
        uint64_t footprint = shifts[i] < 0 ? built >> -shifts[i] : built << shifts[i];
        if (i > 0 && footprint > FOOTPRINT_MOST)
            continue;
        trial->footprints[trial->ways_count] = footprint;
        add_way(trial, built_in, footprint, SEA_POOLED);
    }
    add_way(trial, built_in, 0, SEA_POOLED);
    ADD_WORKS(trial, PATTERN_BLOCK, sizes);
    ADD_WORKS(trial, PATTERN_BOTH, sizes);
}

static void plan_least(struct trial *trial, const struct calibration *built_in) {
    static const size_t sizes[] = {4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB};
    trial->key = KEY(reuse_least);
    trial->about = "from here on blocks rotate, below the newest is used again; newest / rotating";
    add_way(trial, built_in, MIB * KIB, SEA_POOLED);
    add_way(trial, built_in, 0, SEA_POOLED);
    ADD_WORKS(trial, PATTERN_BLOCK, sizes);
}

struct trial *trials_new(const struct calibration *built_in) {
    static void (*const plans[TRIALS])(struct trial *, const struct calibration *) = {
        plan_pooled, plan_snapshot, plan_sealed, plan_socket, plan_footprint, plan_least};
    struct trial *trials =
        mmap(NULL, TRIALS * sizeof(*trials), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trials == MAP_FAILED)
        return NULL;
    for (size_t i = 0; i < TRIALS; i++)
        plans[i](&trials[i], built_in);
    return trials;
}

bool trial_run(struct trial *trial, const int cpus[PAIR_CPUS]) {
    for (size_t w = 0; w < trial->ways_count; w++)
        if (!pair_measure(&trial->ways[w], cpus, trial->works, trial->works_count, trial->times[trial->rounds][w]))
            return false;
    trial->rounds++;
    return true;
}

/* --- what follows --- */

/* The median over the rounds of log(first way / that way), for one work. */
static double ratio_of(const struct trial *trial, size_t way, size_t work) {
    double ratios[ROUNDS_MOST];
    for (size_t r = 0; r < trial->rounds; r++)
        ratios[r] = log(trial->times[r][0][work] / trial->times[r][way][work]);
    return verdict_median(ratios, trial->rounds);
}

static double time_of(const struct trial *trial, size_t work) {
    double times[ROUNDS_MOST];
    for (size_t r = 0; r < trial->rounds; r++)
        times[r] = trial->times[r][0][work];
    return verdict_median(times, trial->rounds);
}

static void write_size(FILE *file, uint64_t size) {
    if (size && size % MIB == 0)
        fprintf(file, "%6" PRIu64 " MiB", size / MIB);
    else if (size && size % KIB == 0)
        fprintf(file, "%6" PRIu64 " KiB", size / KIB);
    else
        fprintf(file, "%8" PRIu64 " B", size);
}

/* `first` sizes go the first way. The value says which is the last of these; beyond what was measured, the bounds. */
static uint64_t value_of(const struct trial *trial, size_t first) {
    const struct calibration_key *key = trial->key;
    bool is_from = key == KEY(reuse_least); /* it says which is the first of the others */
    size_t last = trial->works_count - 1;
    if (is_from)
        return first <= last ? trial->works[first].size : 2 * trial->works[last].size;
    if (first == 0)
        return key->least > trial->works[0].size / 2 ? key->least : trial->works[0].size / 2;
    return first > last && key->most == CALIBRATION_UNLIMITED ? key->most : trial->works[first - 1].size;
}

static size_t usual_count(const struct trial *trial, uint64_t built_in) {
    bool is_from = trial->key == KEY(reuse_least);
    size_t count = 0;
    while (count < trial->works_count && trial->works[count].size + is_from <= built_in)
        count++;
    return count;
}

static uint64_t conclude_crossover(const struct trial *trial, uint64_t built_in, FILE *file) {
    double ratios[WORKS_MOST] = {0};
    for (size_t i = 0; i < trial->works_count; i++) {
        ratios[i] = ratio_of(trial, 1, i);
        fprintf(file, "# ");
        write_size(file, trial->works[i].size);
        fprintf(file, "  %10.2f us  %5.2f\n", time_of(trial, i), exp(ratios[i]));
    }
    size_t usual = usual_count(trial, built_in), first = verdict_crossover(ratios, trial->works_count, usual);
    return first == usual ? built_in : value_of(trial, first);
}

/* All works weigh the same. */
static uint64_t conclude_footprint(const struct trial *trial, FILE *file) {
    double means[WAYS_MOST] = {0};
    for (size_t w = 0; w < trial->ways_count; w++) {
        for (size_t i = 0; i < trial->works_count; i++)
            means[w] -= ratio_of(trial, w, i) / (double) trial->works_count;
        fprintf(file, "# ");
        write_size(file, trial->footprints[w]);
        fprintf(file, "  %5.2f\n", exp(-means[w]));
    }
    return trial->footprints[verdict_cheapest(means, trial->ways_count)];
}

void trial_conclude(const struct trial *trial, struct calibration *table, FILE *file) {
    uint64_t built_in = table_value(table, trial->key), value;
    fprintf(file, "\n# %s\n", trial->about);
    if (trial->key == KEY(reuse_footprint))
        value = conclude_footprint(trial, file);
    else
        value = conclude_crossover(trial, built_in, file);
    table_set(table, trial->key, value);
    table_write_key(file, trial->key, value);
}
