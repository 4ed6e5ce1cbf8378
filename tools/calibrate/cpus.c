/* SPDX-License-Identifier: MIT */
/* The choice of two CPUs. See cpus.h. */
#include "calibrate/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static int topology(int cpu, const char *field) {
    char path[128];
    int value = -1;
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, field);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    if (fscanf(file, "%d", &value) != 1)
        value = -1;
    fclose(file);
    return value;
}

/* Two threads of one core share all caches: data between them never travels. CPUs with unknown cores count as
 * different cores. */
static bool share_core(int a, int b) {
    int core = topology(a, "core_id");
    return core >= 0 && core == topology(b, "core_id") &&
           topology(a, "physical_package_id") == topology(b, "physical_package_id");
}

void cpus_choose(int ret_cpus[2]) {
    cpu_set_t set;
    int sibling = -1;
    ret_cpus[0] = ret_cpus[1] = -1;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof(set), &set);
    for (int cpu = 0; cpu < CPU_SETSIZE && ret_cpus[1] < 0; cpu++) {
        if (!CPU_ISSET((size_t) cpu, &set))
            continue;
        if (ret_cpus[0] < 0)
            ret_cpus[0] = cpu;
        else if (!share_core(ret_cpus[0], cpu))
            ret_cpus[1] = cpu;
        else if (sibling < 0)
            sibling = cpu;
    }
    if (ret_cpus[0] < 0)
        ret_cpus[0] = 0;
    if (ret_cpus[1] < 0)
        ret_cpus[1] = sibling >= 0 ? sibling : ret_cpus[0];
}

bool cpus_parse(const char *text, int ret_cpus[2]) {
    char rest;
    return sscanf(text, "%d,%d%c", &ret_cpus[0], &ret_cpus[1], &rest) == 2 && ret_cpus[0] >= 0 && ret_cpus[1] >= 0 &&
           ret_cpus[0] < CPU_SETSIZE && ret_cpus[1] < CPU_SETSIZE;
}
