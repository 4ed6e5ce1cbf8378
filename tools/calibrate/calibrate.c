/* SPDX-License-Identifier: MIT */
/*
 * sealane-calibrate: measures which way payloads travel best on this machine, by size, and writes what the library reads when a context
 * is made. See sealane-calibrate(1).
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

enum { EXIT_TROUBLE = 2, ROUNDS_LEAST = 3, QUICK_ROUNDS_LEAST = 1, PATH_SIZE = 4096 };

/* When no further round is begun. */
static const double FULL_S = 18, QUICK_S = 3;

static const char HELP[] = "usage: sealane-calibrate [--print | --output=FILE] [--quick] [--cpus=A,B]\n"
                           "\n"
                           "Measures for some 20 seconds how payloads travel best on this machine, and writes it to\n"
                           "$XDG_CONFIG_HOME/sealane/calibration, where programs that use Sealane look for it.\n"
                           "\n"
                           "  -p, --print        write to standard output instead\n"
                           "  -o, --output=FILE  write to FILE instead\n"
                           "  -q, --quick        some seconds, and less certain\n"
                           "  -c, --cpus=A,B     measure between these two CPUs; the same twice for one\n"
                           "  -h, --help         print this text\n"
                           "  -V, --version      print the version\n";

struct wish {
    bool is_quick, is_print;
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

/* `what` is empty when getopt has said it. */
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

static void parse_options(int argc, char **argv, struct wish *wish) {
    static const struct option options[] = {
        {"print", no_argument, NULL, 'p'},
        {"output", required_argument, NULL, 'o'},
        {"quick", no_argument, NULL, 'q'},
        {"cpus", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "po:qc:hV", options, NULL)) >= 0) {
        if (option == 'p')
            wish->is_print = true;
        else if (option == 'o')
            wish->output = optarg;
        else if (option == 'q')
            wish->is_quick = true;
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
        fprintf(stderr, "\r\033[Kmeasuring: %.0f of some %.0f seconds", spent, planned);
}

static bool run_round(struct trial *trials, const struct wish *wish, double begin, double planned) {
    for (size_t i = 0; i < TRIALS; i++) {
        show_progress(now() - begin, planned);
        if (!trial_run(&trials[i], wish->cpus))
            return false;
    }
    return true;
}

/* As many rounds as there is time for, judging by those that were. */
static bool run_all(struct trial *trials, const struct wish *wish, double *ret_spent) {
    const double begin = now(), planned = wish->is_quick ? QUICK_S : FULL_S;
    const size_t least = wish->is_quick ? QUICK_ROUNDS_LEAST : ROUNDS_LEAST;
    bool is_good = true;
    double spent = 0;
    for (size_t n = 0; is_good && n < ROUNDS_MOST && (n < least || spent + spent / (double) n < planned); n++) {
        is_good = run_round(trials, wish, begin, planned);
        spent = now() - begin;
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    *ret_spent = spent;
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
        "# other; above 1, the other is cheaper. Values that would gain less than 3 %% are left as they are built "
        "in.\n",
        machine, date, system.sysname, system.release, system.machine, wish->cpus[0], wish->cpus[1], rounds, spent);
}

static void write_file(FILE *file, const struct trial *trials, const struct wish *wish, struct calibration table,
                       double spent) {
    write_head(file, wish, trials[0].rounds, spent);
    for (size_t i = 0; i < TRIALS; i++)
        trial_conclude(&trials[i], &table, file);
}

/* Would the library take it? */
static bool is_usable(const char *path) {
    sea_ctx *ctx = NULL;
    sea_refusal refusal;
    setenv("SEALANE_CALIBRATION", path, 1);
    if (sea_ctx_new(&ctx, NULL) < 0)
        return false;
    sea_ctx_refusal(ctx, &refusal);
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

/* Before the work, not after it: could a file be made there? */
static int check_directory(const char *path) {
    char dir[PATH_SIZE];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    return access(slash ? dir : ".", W_OK | X_OK) == 0 ? EXIT_SUCCESS : complain(path, errno);
}

/* Where the result goes. */
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

/* Whoever reads it sees the old file or the new one, whole. */
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
    write_file(file, trials, wish, built_in, spent);
    fclose(file);
    int status = deliver(wish, path, text, size);
    free(text);
    return status;
}

int main(int argc, char **argv) {
    struct wish wish = {.cpus = {-1, -1}};
    char path[PATH_SIZE] = "";
    parse_options(argc, argv, &wish);
    if (wish.cpus[PAIR_CLIENT] < 0)
        cpus_choose(wish.cpus);
    int status = find_place(&wish, path);
    return status ? status : calibrate(&wish, path);
}
