/* SPDX-License-Identifier: MIT */
/* One measurement as a line. A value that was not measured is null, never 0. */
#include "report.h"

#include <string.h>

static const char *kind_name(int kind) {
    return kind == WORK_ROUNDTRIP ? "roundtrip" : kind == WORK_ONEWAY ? "oneway" : "idle";
}

static double percentile_ns(const struct measurement *m, double share) {
    return m->latency ? clock_steps_ns(histogram_percentile(m->latency, share)) / m->finer : -1;
}

static double max_ns(const struct measurement *m) {
    return m->latency ? clock_steps_ns((double) m->latency->max) / m->finer : -1;
}

static bool was_timed(const struct measurement *m) {
    return m->laps > 0 && m->seconds > 0 && m->syscalls < 0 && m->wakeups < 0;
}

static double rate(const struct measurement *m) {
    return was_timed(m) ? (double) m->laps / m->seconds : -1;
}

static double floor_ns(const struct measurement *m) {
    return (m->floors[0] + m->floors[1]) / 2;
}

double report_ratio(const struct measurement *m) {
    return m->latency && floor_ns(m) > 0 ? percentile_ns(m, 0.5) / floor_ns(m) : 0;
}

/* Writes a member of the object; a negative value was not measured. */
static void number(FILE *out, const char *name, double value, int digits) {
    if (value < 0)
        fprintf(out, ",\"%s\":null", name);
    else
        fprintf(out, ",\"%s\":%.*f", name, digits, value);
}

static double or_null(double value) {
    return value > 0 ? value : -1;
}

void report_json(FILE *out, const struct cell *cell, const struct measurement *m) {
    fprintf(out, "{\"case\":\"%s\",\"system\":\"%s\",\"variant\":\"%s\",\"mode\":\"%s\",\"touch\":\"%s\"",
            kind_name(cell->kind), cell->adapter->system, cell->variant, work_mode_name(cell->mode),
            cell->ends ? "ends" : "full");
    fprintf(out, ",\"cpus\":\"%d,%d\",\"clients\":%d,\"size\":%zu,\"reply\":%zu,\"n\":%llu", cell->cpus[0],
            cell->cpus[1], cell->clients, cell->size, cell->reply, (unsigned long long) m->laps);
    number(out, "seconds", m->seconds > 0 ? m->seconds : -1, 6);
    number(out, "p50_ns", percentile_ns(m, 0.5), 1);
    number(out, "p99_ns", percentile_ns(m, 0.99), 1);
    number(out, "p999_ns", percentile_ns(m, 0.999), 1);
    number(out, "max_ns", max_ns(m), 1);
    number(out, "rate", rate(m), 1);
    number(out, "gb_s", was_timed(m) ? rate(m) * (double) cell->size / 1e9 : -1, 6);
    number(out, "floor_ns", or_null(floor_ns(m)), 1);
    number(out, "floor_before_ns", or_null(m->floors[0]), 1);
    number(out, "floor_after_ns", or_null(m->floors[1]), 1);
    number(out, "ratio", or_null(report_ratio(m)), 3);
    number(out, "syscalls_per_msg", m->syscalls, 4);
    number(out, "wakeups_per_s", m->wakeups, 2);
    fprintf(out, ",\"note\":\"%s\"}\n", m->note);
}

void report_text(FILE *out, const struct cell *cell, const struct measurement *m) {
    fprintf(out, "%s%s%s %s %s %zu B:", cell->adapter->system, *cell->variant ? " " : "", cell->variant,
            kind_name(cell->kind), work_mode_name(cell->mode), cell->size);
    if (m->latency)
        fprintf(out, " p50 %.3f us, p99 %.3f us, p99.9 %.3f us, max %.1f us,", percentile_ns(m, 0.5) / 1e3,
                percentile_ns(m, 0.99) / 1e3, percentile_ns(m, 0.999) / 1e3, max_ns(m) / 1e3);
    if (was_timed(m))
        fprintf(out, " %.0f/s, %.3f GB/s", rate(m), rate(m) * (double) cell->size / 1e9);
    if (report_ratio(m) > 0)
        fprintf(out, ", %.2f x the floor of %.0f and %.0f ns", report_ratio(m), m->floors[0], m->floors[1]);
    if (m->syscalls >= 0)
        fprintf(out, " %.4f system calls a message", m->syscalls);
    if (m->wakeups >= 0)
        fprintf(out, " %.2f wake-ups a second", m->wakeups);
    fprintf(out, "%s%s\n", *m->note ? "; " : "", m->note);
}
