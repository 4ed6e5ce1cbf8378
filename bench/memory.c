/* SPDX-License-Identifier: MIT */
/* The command line of bench/memory, and the servers of its cases. */
#include "memory.h"

#include "clock.h"
#include "crew.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(const struct order *order);
    double seconds;
} CASES[] = {{"speed", memory_speed, 0.004}, {"spikes", memory_spikes, 0},        {"waste", memory_waste, 0},
             {"fair", memory_fair, 1},       {"refusals", memory_refusals, 0.03}, {"soak", memory_soak, 3600}};

enum { COUNT = sizeof(CASES) / sizeof(CASES[0]), MISUSED = 2 };

static _Noreturn void service_run(const struct service *service, const sea_options *options, int ready) {
    sea_server *server = NULL;
    sea_ctx *ctx = NULL;
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0)
        r = sea_server_new(&server, ctx, service->address, options);
    if (r == 0 && write(ready, "", 1) == 1)
        r = sea_server_run(server);
    _exit(r < 0);
}

int service_start(struct service *ret_service, const char *name, const sea_options *options) {
    struct service service = {.pid = -1};
    int ready[2];
    char byte;
    snprintf(service.address, sizeof(service.address), "unix:@sealane-bench-%d-%s", (int) getpid(), name);
    if (pipe(ready) < 0)
        return -errno;
    service.pid = crew_fork(-1);
    if (service.pid == 0)
        service_run(&service, options, ready[1]);
    close(ready[1]);
    bool is_up = service.pid > 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!is_up) {
        service_end(&service);
        return -ECHILD;
    }
    *ret_service = service;
    return 0;
}

void service_end(struct service *service) {
    crew_kill(service->pid);
    service->pid = -1;
}

uint64_t resident_of(pid_t pid) {
    char path[40];
    unsigned long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int) pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (uint64_t) pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

double seconds_now(void) {
    return (double) clock_now_ns() / 1e9;
}

/* Knuth's linear congruential generator; its upper bits are good. */
double random_share(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double) (*state >> 11) / (double) (1ull << 53);
}

size_t random_size(uint64_t *state, size_t least, size_t most) {
    return (size_t) ((double) least * pow((double) most / (double) least, random_share(state)));
}

static int usage(void) {
    fprintf(stderr,
            "usage: memory CASE [--system NAME] [--variant NAME] [--seconds S] [--count N] [--bytes N]\ncases:");
    for (int i = 0; i < COUNT; i++)
        fprintf(stderr, " %s", CASES[i].name);
    fprintf(stderr, "\n");
    return MISUSED;
}

static bool parse(int argc, char **argv, struct order *order) {
    static const struct option OPTIONS[] = {
        {"system", required_argument, NULL, 's'},  {"variant", required_argument, NULL, 'v'},
        {"seconds", required_argument, NULL, 't'}, {"count", required_argument, NULL, 'n'},
        {"bytes", required_argument, NULL, 'b'},   {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 's')
            order->system = optarg;
        else if (option == 'v')
            order->variant = optarg;
        else if (option == 'n')
            order->count = atoi(optarg);
        else if (option == 'b')
            order->bytes = strtoull(optarg, NULL, 10);
        else if (option == 't')
            order->seconds = strtod(optarg, NULL);
        else
            return false;
    }
    order->name = optind == argc - 1 ? argv[optind] : "";
    return true;
}

int main(int argc, char **argv) {
    struct order order = {.system = "sealane", .variant = ""};
    if (!parse(argc, argv, &order))
        return usage();
    for (int i = 0; i < COUNT; i++)
        if (strcmp(order.name, CASES[i].name) == 0) {
            order.seconds = order.seconds > 0 ? order.seconds : CASES[i].seconds;
            clock_calibrate();
            setvbuf(stdout, NULL, _IOLBF, 0); /* a reader of a soak sees each line at once */
            int r = CASES[i].run(&order);
            if (r < 0)
                fprintf(stderr, "bench: memory: %s: %s\n", order.name, strerror(-r));
            return r < 0;
        }
    return usage();
}
