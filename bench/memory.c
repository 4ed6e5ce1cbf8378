/* SPDX-License-Identifier: MIT */
/* The command line of bench/memory, and the servers of its cases. */
#include "memory.h"

#include "clock.h"
#include "crew.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(const struct order *order);
    double seconds;
} CASES[] = {{"speed", memory_speed, 0.004}};

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
    pid_t parent = getpid();
    fflush(NULL);
    service.pid = fork();
    if (service.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            service_run(&service, options, ready[1]);
        _exit(1);
    }
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

static int usage(void) {
    fprintf(stderr, "usage: memory CASE [--system NAME] [--seconds S]\ncases:");
    for (int i = 0; i < COUNT; i++)
        fprintf(stderr, " %s", CASES[i].name);
    fprintf(stderr, "\n");
    return MISUSED;
}

static bool parse(int argc, char **argv, struct order *order) {
    static const struct option OPTIONS[] = {
        {"system", required_argument, NULL, 's'}, {"seconds", required_argument, NULL, 't'}, {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 's')
            order->system = optarg;
        else if (option == 't')
            order->seconds = strtod(optarg, NULL);
        else
            return false;
    }
    order->name = optind == argc - 1 ? argv[optind] : "";
    return true;
}

int main(int argc, char **argv) {
    struct order order = {.system = "sealane"};
    if (!parse(argc, argv, &order))
        return usage();
    for (int i = 0; i < COUNT; i++)
        if (strcmp(order.name, CASES[i].name) == 0) {
            order.seconds = order.seconds > 0 ? order.seconds : CASES[i].seconds;
            clock_calibrate();
            int r = CASES[i].run(&order);
            if (r < 0)
                fprintf(stderr, "bench: memory: %s: %s\n", order.name, strerror(-r));
            return r < 0;
        }
    return usage();
}
