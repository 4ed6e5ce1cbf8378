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

/* A pool keeps no more than this for a cycle of blocks. */
#define FOOTPRINT_MOST (16 * MIB)

/* A time that differs by the factor FAR from another round is no measurement; nor is a way that costs IMPLAUSIBLE
 * times as much as the other. */
static const double FAR = 2, IMPLAUSIBLE = 64;

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

/* Adds a way with one value of the table changed. */
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
    trial->about = "what the blocks of one size cycle over; as built in / another, all sizes together";
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
    trial->about = "from here on blocks cycle, below the newest is used again; newest / by turns";
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

bool trial_run(struct trial *trial, const int cpus[PAIR_CPUS], double deadline_us) {
    for (size_t w = 0; w < trial->ways_count; w++)
        if (!pair_measure(&trial->ways[w], cpus, trial->works, trial->works_count, deadline_us,
                          trial->times[trial->rounds][w]))
            return false;
    trial->rounds++;
    return true;
}

/* --- conclusions --- */

/* All rounds, or every other one: two halves with independent measurements. */
struct subset {
    size_t first, step;
};
static const struct subset ALL = {0, 1}, HALVES[2] = {{0, 2}, {1, 2}};

/* Returns 0 if the time was not measured, or is far from the times of other rounds: another process interfered. */
static double time_in(const struct trial *trial, size_t round, size_t way, size_t work) {
    double time = trial->times[round][way][work];
    for (size_t r = 0; r < trial->rounds; r++)
        if (trial->times[r][way][work] > 0 && time > FAR * trial->times[r][way][work])
            return 0;
    return time;
}

/* Gets the median over these rounds of log(first way / that way), for one work. Returns false if there is none, or
 * an impossible one. */
static bool ratio_of(const struct trial *trial, struct subset subset, size_t way, size_t work, double *ret_ratio) {
    double ratios[ROUNDS_MOST];
    size_t count = 0;
    for (size_t r = subset.first; r < trial->rounds; r += subset.step) {
        double first = time_in(trial, r, 0, work), that = time_in(trial, r, way, work);
        if (first > 0 && that > 0)
            ratios[count++] = log(first / that);
    }
    *ret_ratio = count ? verdict_median(ratios, count) : 0;
    return count && fabs(*ret_ratio) < log(IMPLAUSIBLE);
}

/* Returns the time of the first way. */
static double time_of(const struct trial *trial, size_t work) {
    double times[ROUNDS_MOST];
    size_t count = 0;
    for (size_t r = 0; r < trial->rounds; r++)
        if ((times[count] = time_in(trial, r, 0, work)) > 0)
            count++;
    return count ? verdict_median(times, count) : 0;
}

static void write_size(FILE *file, uint64_t size) {
    if (size && size % MIB == 0)
        fprintf(file, "%6" PRIu64 " MiB", size / MIB);
    else if (size && size % KIB == 0)
        fprintf(file, "%6" PRIu64 " KiB", size / KIB);
    else
        fprintf(file, "%8" PRIu64 " B", size);
}

/* Returns the value when `first` sizes go the first way: it names the last of these sizes; beyond the measured
 * sizes, the bound. */
static uint64_t value_of(const struct trial *trial, size_t first) {
    const struct calibration_key *key = trial->key;
    bool is_from = key == KEY(reuse_least); /* this key names the first of the other sizes */
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

/* An unknown ratio counts for neither way. Returns false if too few are known. */
static bool find_crossover(const struct trial *trial, struct subset subset, uint64_t built_in, uint64_t *ret_value) {
    double ratios[WORKS_MOST] = {0};
    size_t known = 0, usual = usual_count(trial, built_in);
    for (size_t i = 0; i < trial->works_count; i++) {
        bool is_known = ratio_of(trial, subset, 1, i, &ratios[i]);
        known += is_known;
        ratios[i] = is_known ? ratios[i] : 0;
    }
    size_t first = verdict_crossover(ratios, trial->works_count, usual);
    *ret_value = first == usual ? built_in : value_of(trial, first);
    return known * 3 >= trial->works_count * 2;
}

/* All works have equal weight. Returns the number of known ones. */
static size_t mean_of(const struct trial *trial, struct subset subset, size_t way, double *ret_mean) {
    double ratios[WORKS_MOST];
    size_t known = 0;
    for (size_t i = 0; i < trial->works_count; i++)
        known += ratio_of(trial, subset, way, i, &ratios[known]);
    *ret_mean = -verdict_mean(ratios, known);
    return known;
}

static bool find_footprint(const struct trial *trial, struct subset subset, uint64_t *ret_value) {
    double means[WAYS_MOST] = {0};
    bool is_known = true;
    for (size_t w = 0; w < trial->ways_count; w++)
        if (mean_of(trial, subset, w, &means[w]) * 3 < trial->works_count * 2)
            is_known = false;
    *ret_value = trial->footprints[verdict_cheapest(means, trial->ways_count)];
    return is_known;
}

static bool find_value(const struct trial *trial, struct subset subset, uint64_t built_in, uint64_t *ret_value) {
    return trial->key == KEY(reuse_footprint) ? find_footprint(trial, subset, ret_value)
                                              : find_crossover(trial, subset, built_in, ret_value);
}

static void write_sizes(const struct trial *trial, FILE *file) {
    for (size_t i = 0; i < trial->works_count; i++) {
        double ratio;
        bool is_known = ratio_of(trial, ALL, 1, i, &ratio);
        fputs("# ", file);
        write_size(file, trial->works[i].size);
        if (is_known)
            fprintf(file, "  %10.2f us  %5.2f\n", time_of(trial, i), exp(ratio));
        else
            fputs("  not measured\n", file);
    }
}

static void write_footprints(const struct trial *trial, FILE *file) {
    for (size_t w = 0; w < trial->ways_count; w++) {
        double mean;
        size_t known = mean_of(trial, ALL, w, &mean);
        fputs("# ", file);
        write_size(file, trial->footprints[w]);
        if (known)
            fprintf(file, "  %5.2f\n", exp(-mean));
        else
            fputs("  not measured\n", file);
    }
}

static void write_doubt(FILE *file, bool is_measured, const uint64_t values[2]) {
    fputs("# as built in: ", file);
    if (!is_measured) {
        fputs("too little of it could be measured\n", file);
        return;
    }
    fputs("one half of the rounds says ", file);
    table_write_value(file, values[0]);
    fputs(", the other ", file);
    table_write_value(file, values[1]);
    fputc('\n', file);
}

bool trial_conclude(const struct trial *trial, struct calibration *table, FILE *file) {
    uint64_t value, halves[2], built_in = table_value(table, trial->key);
    bool is_measured = find_value(trial, HALVES[0], built_in, &halves[0]);
    is_measured = find_value(trial, HALVES[1], built_in, &halves[1]) && is_measured;
    bool is_certain = is_measured && verdict_agrees(halves[0], halves[1]);
    find_value(trial, ALL, built_in, &value);
    fprintf(file, "\n# %s\n", trial->about);
    if (trial->key == KEY(reuse_footprint))
        write_footprints(trial, file);
    else
        write_sizes(trial, file);
    if (!is_certain) {
        write_doubt(file, is_measured, halves);
        value = built_in;
    }
    table_set(table, trial->key, value);
    table_write_key(file, trial->key, value);
    return is_certain;
}
