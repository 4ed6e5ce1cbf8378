/* SPDX-License-Identifier: MIT */
/*
 * sealane-calibrate: measures which way payloads travel best on this machine, by size, and writes the table that the
 * library reads when a context is made. See sealane-calibrate(1).
 */
#include "calibrate/cpus.h"
#include "calibrate/table.h"
#include "calibrate/trial.h"
#include "sys/path.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sealane/ctx.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_TROUBLE = 2, EXIT_BUSY = 3, PATH_SIZE = 4096 };

static const double FULL_S = 20, QUICK_S = 5, LONGEST_S = 3600;

static const char HELP[] =
    "usage: sealane-calibrate [--print | --output=FILE] [--quick | --time=SECONDS] [--cpus=A,B]\n"
    "\n"
    "Measures for 20 seconds how payloads travel best on this machine, and writes it to\n"
    "$XDG_CONFIG_HOME/sealane/calibration, where programs that use Sealane look for it.\n"
    "\n"
    "  -p, --print        write to standard output instead\n"
    "  -o, --output=FILE  write to FILE instead\n"
    "  -q, --quick        5 seconds, and less certain\n"
    "  -t, --time=SECONDS measure for so long\n"
    "  -c, --cpus=A,B     measure between these two CPUs; the same twice for one\n"
    "  -h, --help         print this text\n"
    "  -V, --version      print the version\n";

struct wish {
    bool is_print;
    double seconds;
    const char *output;
    int cpus[PAIR_CPUS];
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int complain(const char *what, int error) {
    fprintf(stderr, "sealane-calibrate: %s: %s\n", what, strerror(error));
    return EXIT_TROUBLE;
}

/* `what` is empty when getopt() has printed the error. */
_Noreturn static void bad_usage(const char *what) {
    if (*what)
        fprintf(stderr, "sealane-calibrate: %s\n", what);
    fputs("Try 'sealane-calibrate --help'.\n", stderr);
    exit(EXIT_TROUBLE);
}

_Noreturn static void tell(const char *text) {
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_TROUBLE);
}

_Noreturn static void tell_version(void) {
    char text[64];
    unsigned v = sea_version();
    snprintf(text, sizeof(text), "sealane-calibrate (Sealane) %u.%u.%u\n", v / 10000, v / 100 % 100, v % 100);
    tell(text);
}

static double parse_seconds(const char *text) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0 && seconds <= LONGEST_S))
        bad_usage("--time: not a number of seconds from 0 to 3600");
    return seconds;
}

static void parse_options(int argc, char **argv, struct wish *wish) {
    static const struct option options[] = {
        {"print", no_argument, NULL, 'p'},      {"output", required_argument, NULL, 'o'},
        {"quick", no_argument, NULL, 'q'},      {"time", required_argument, NULL, 't'},
        {"cpus", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},    {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "po:qt:c:hV", options, NULL)) >= 0) {
        if (option == 'p')
            wish->is_print = true;
        else if (option == 'o')
            wish->output = optarg;
        else if (option == 'q')
            wish->seconds = QUICK_S;
        else if (option == 't')
            wish->seconds = parse_seconds(optarg);
        else if (option == 'c' && !cpus_parse(optarg, wish->cpus))
            bad_usage("--cpus: not two numbers with a comma between them");
        else if (option == 'h')
            tell(HELP);
        else if (option == 'V')
            tell_version();
        else if (option == '?')
            bad_usage("");
    }
    if (optind < argc || (wish->is_print && wish->output))
        bad_usage(optind < argc ? "too many arguments" : "--print and --output exclude each other");
}

/* --- measuring --- */

static void show_progress(double spent, double planned) {
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[Kmeasuring: %.0f of %.0f seconds", spent, planned);
}

static void hide_progress(void) {
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static bool run_round(struct trial *trials, const struct wish *wish, double begin) {
    for (size_t i = 0; i < TRIALS; i++) {
        show_progress(now() - begin, wish->seconds);
        if (!trial_run(&trials[i], wish->cpus, (begin + wish->seconds) * 1e6))
            return false;
    }
    return true;
}

static bool run_all(struct trial *trials, const struct wish *wish, double *ret_spent) {
    const double begin = now();
    bool is_good = true;
    for (size_t n = 0; is_good && n < ROUNDS_MOST && now() - begin < wish->seconds; n++)
        is_good = run_round(trials, wish, begin);
    hide_progress();
    *ret_spent = now() - begin;
    return is_good;
}

/* --- the file --- */

static void write_head(FILE *file, const struct wish *wish, size_t rounds, double spent) {
    struct utsname system;
    char date[32] = "", machine[64];
    time_t clock = time(NULL);
    struct tm local;
    struct caches caches = caches_here();
    uname(&system);
    if (localtime_r(&clock, &local))
        strftime(date, sizeof(date), "%Y-%m-%d", &local);
    calibration_machine(&caches, machine, sizeof(machine));
    table_write_version(file);
    fprintf(
        file,
        "machine %s\n"
        "\n"
        "# Written by sealane-calibrate(1) on %s. %s %s, %s, CPUs %d and %d; %zu rounds in %.0f s.\n"
        "# Above each value is what was measured for it, medians: size, time of the first way, and its ratio to the\n"
        "# other; above 1, the other is cheaper. Values that would gain less than 3 %%, or are not certain,\n"
        "# are left as they are built in.\n",
        machine, date, system.sysname, system.release, system.machine, wish->cpus[0], wish->cpus[1], rounds, spent);
}

/* Returns the number of reliable values, and the values. */
static size_t write_values(FILE *file, const struct trial *trials, struct calibration table, bool ret_certain[TRIALS]) {
    size_t count = 0;
    for (size_t i = 0; i < TRIALS; i++)
        count += ret_certain[i] = trial_conclude(&trials[i], &table, file);
    return count;
}

/* Returns whether the library would accept the file. */
static bool is_usable(const char *path) {
    sea_ctx *ctx = NULL;
    sea_refusal refusal;
    setenv("SEALANE_CALIBRATION", path, 1);
    if (sea_ctx_new(&ctx, NULL) < 0)
        return false;
    sea_ctx_refusal(ctx, &refusal, sizeof(refusal));
    sea_ctx_unref(ctx);
    if (refusal.error)
        fprintf(stderr, "sealane-calibrate: %s\n", refusal.advice);
    return refusal.error == 0;
}

/* Makes the directories above the user's own file. */
static int make_parents(const char *path) {
    char dir[PATH_SIZE];
    snprintf(dir, sizeof(dir), "%s", path);
    for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
            return complain(dir, errno);
        *slash = '/';
    }
    return EXIT_SUCCESS;
}

/* Checks before the measurements whether the file can be made there. */
static int check_directory(const char *path) {
    char dir[PATH_SIZE];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    return access(slash ? dir : ".", W_OK | X_OK) == 0 ? EXIT_SUCCESS : complain(path, errno);
}

/* Finds the path of the result. */
static int find_place(const struct wish *wish, char *ret_path) {
    int length = 0;
    if (wish->is_print)
        return EXIT_SUCCESS;
    if (wish->output)
        length = snprintf(ret_path, PATH_SIZE, "%s", wish->output);
    else if (path_user_config("calibration", ret_path, PATH_SIZE) < 0)
        bad_usage("there is no HOME: say where to with --output");
    if (length < 0 || length >= PATH_SIZE)
        return complain("--output", ENAMETOOLONG);
    int status = wish->output ? EXIT_SUCCESS : make_parents(ret_path);
    return status ? status : check_directory(ret_path);
}

/* A reader sees the old file or the new one, complete. */
static int replace(const char *path, const char *text, size_t size) {
    char temporary[PATH_SIZE + 8];
    snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return complain(temporary, errno);
    bool is_written = write(fd, text, size) == (ssize_t) size && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
    int status = is_written ? EXIT_SUCCESS : complain(temporary, errno);
    close(fd);
    if (is_written && !is_usable(temporary))
        status = EXIT_TROUBLE;
    else if (is_written && rename(temporary, path) < 0)
        status = complain(path, errno);
    if (status != EXIT_SUCCESS)
        unlink(temporary);
    return status;
}

static int deliver(const struct wish *wish, const char *path, const char *text, size_t size) {
    if (wish->is_print)
        return fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0 ? EXIT_SUCCESS
                                                                            : complain("standard output", errno);
    int status = replace(path, text, size);
    if (status == EXIT_SUCCESS && !wish->output)
        printf("%s\n", path);
    return status;
}

static int complain_of_load(void) {
    fputs("sealane-calibrate: this machine is too busy to be measured: "
          "try again when it rests, or longer with --time\n",
          stderr);
    return EXIT_BUSY;
}

static void tell_doubts(const struct trial *trials, const bool certain[TRIALS]) {
    for (size_t i = 0; i < TRIALS; i++)
        if (!certain[i])
            fprintf(stderr, "sealane-calibrate: %s stays as built in: it could not be measured twice alike\n",
                    trials[i].key->name);
}

static int calibrate(const struct wish *wish, const char *path) {
    struct caches caches = caches_here();
    struct calibration built_in = calibration_built_in(&caches);
    struct trial *trials = trials_new(&built_in);
    char *text = NULL;
    size_t size = 0;
    double spent = 0;
    if (!trials || !run_all(trials, wish, &spent))
        return trials ? EXIT_TROUBLE : complain("no memory", ENOMEM);
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return complain("no memory", ENOMEM);
    write_head(file, wish, trials[0].rounds, spent);
    bool certain[TRIALS], is_busy = write_values(file, trials, built_in, certain) < TRIALS / 2;
    fclose(file);
    if (!is_busy)
        tell_doubts(trials, certain);
    int status = is_busy ? complain_of_load() : deliver(wish, path, text, size);
    free(text);
    return status;
}

int main(int argc, char **argv) {
    struct wish wish = {.cpus = {-1, -1}, .seconds = FULL_S};
    char path[PATH_SIZE] = "";
    parse_options(argc, argv, &wish);
    if (wish.cpus[PAIR_CLIENT] < 0)
        cpus_choose(wish.cpus);
    int status = find_place(&wish, path);
    return status ? status : calibrate(&wish, path);
}
