/* SPDX-License-Identifier: MIT */
/* Configurations of the fuzzed side. See host.h. */
#include "host.h"

#define METHODS                                                                                                     \
    .methods = (const sea_method[]){{0, "zero", host_handle},  {1, "one", host_handle},  {2, "two", host_handle},   \
                                    {3, "three", host_handle}, {4, "four", host_handle}, {5, "five", host_handle}}, \
    .methods_count = 6, .ring_size = 4096, .blocks_max = 64, .waiting = SEA_WAIT_SLEEP

#define SMALL .inline_max = 256, .block_max = 65536, .bytes_max = 131072, .calls_max = 4

static const sea_pool_options busy_pool = {.name = "busy",
                                           .retained_max = 65536,
                                           .retained_ms = 50,
                                           .rotate_age_ms = 200,
                                           .rotate_idle_ms = 100,
                                           .rotate_bytes = 300000};

static void on_low_water(const sea_refusal *nearly, void *user) {
    (void) nearly;
    (void) user;
}

static int allow(const sea_peer *peer, void *user) {
    (void) user;
    return peer->uid == UINT32_MAX ? -13 : 0;
}

const struct scene scenes[] = {
    {"server", false, {METHODS, .bytes_max = 64 << 20}, {.budget.bytes = 256 << 20}},
    {"server, small", false, {METHODS, SMALL, .pool = &busy_pool}, {.budget.bytes = 64 << 20}},
    {"server, stable", false, {METHODS, .accept = SEA_STABLE_ONLY, .bytes_max = 64 << 20}, {.budget.bytes = 256 << 20}},
    {"server, socket", false, {METHODS, .socket_only = true, .bytes_max = 64 << 20}, {.budget.bytes = 256 << 20}},
    {"server, inline", false, {METHODS, .accept = SEA_INLINE, .service = "fuzz"}, {.budget.bytes = 256 << 20}},
    {"server, poor",
     false,
     {METHODS, .accept_hugetlb = true, .allow = allow},
     {.budget.bytes = 2 << 20, .peer.bytes = 1 << 20}},
    {"server, locked", false, {METHODS, .connections_max = 2}, {.memory_flags = SEA_MEMORY_LOCK | SEA_MEMORY_PREFAULT}},
    {"server, adaptive", false, {.methods = NULL, .ring_size = 4096, .pool = &busy_pool}, {.user.bytes = 8 << 20}},
    {"client", true, {METHODS, .bytes_max = 64 << 20}, {.budget.bytes = 256 << 20}},
    {"client, small", true, {METHODS, SMALL, .pool = &busy_pool}, {.budget.bytes = 64 << 20}},
    {"client, stable", true, {METHODS, .accept = SEA_STABLE_ONLY, .bytes_max = 64 << 20}, {.budget.bytes = 256 << 20}},
    {"client, socket", true, {METHODS, .socket_only = true, .service = "fuzz"}, {.budget.bytes = 256 << 20}},
    {"client, poor",
     true,
     {METHODS, .pool = &busy_pool},
     {.budget.bytes = 2 << 20, .low_water = 1 << 20, .on_low_water = on_low_water}},
    {"client, sealed",
     true,
     {METHODS, .accept = SEA_SEALED, .accept_hugetlb = true},
     {.memory_flags = SEA_MEMORY_NO_HUGE}},
};
const size_t scenes_count = sizeof(scenes) / sizeof(*scenes);
