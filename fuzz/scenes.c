/* SPDX-License-Identifier: MIT */
/* The scenes of the fuzzed side: sets of options. See host.h. */
#include "host.h"

static const sea_method methods[] = {
    {.number = 0, .name = "zero", .handler = host_handle}, {.number = 1, .name = "one", .handler = host_handle},
    {.number = 2, .name = "two", .handler = host_handle},  {.number = 3, .name = "three", .handler = host_handle},
    {.number = 4, .name = "four", .handler = host_handle}, {.number = 5, .name = "five", .handler = host_handle},
};
#define METHODS SEA_METHODS(methods)

/* Two scenes have rings that grow. */
#define FIXED .ring_size = 4096, .blocks_max = 64
#define GROWING .ring_size = 8192, .blocks_max = 128
#define ASLEEP .waiting = SEA_WAIT_SLEEP, FIXED
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

static const uint32_t ids[] = {12345, 54321};

const struct scene scenes[] = {
    {"server", false, {METHODS, ASLEEP, .bytes_max = 64 << 20}, {.budget_bytes = 256 << 20}},
    {"server, small", false, {METHODS, ASLEEP, SMALL, .pool = &busy_pool}, {.budget_bytes = 64 << 20}},
    {"server, stable",
     false,
     {METHODS, ASLEEP, .accept = SEA_STABLE_ONLY, .bytes_max = 64 << 20},
     {.budget_bytes = 256 << 20}},
    {"server, socket",
     false,
     {METHODS, ASLEEP, .socket_only = true, .bytes_max = 64 << 20},
     {.budget_bytes = 256 << 20}},
    {"server, inline", false, {METHODS, ASLEEP, .accept = SEA_INLINE, .service = "fuzz"}, {.budget_bytes = 256 << 20}},
    {"server, poor",
     false,
     {METHODS, ASLEEP, .accept_hugetlb = true, .allow = allow},
     {.budget_bytes = 2 << 20, .peer_bytes = 1 << 20}},
    {"server, locked",
     false,
     {METHODS, ASLEEP, .connections_max = 2},
     {.memory_flags = SEA_MEMORY_LOCK | SEA_MEMORY_PREFAULT}},
    {"server, awake",
     false,
     {METHODS, GROWING, .pool = &busy_pool, .users = ids, .users_count = 2, .groups = ids, .groups_count = 2},
     {.user_bytes = 8 << 20}},
    {"client", true, {METHODS, ASLEEP, .bytes_max = 64 << 20}, {.budget_bytes = 256 << 20}},
    {"client, small", true, {METHODS, ASLEEP, SMALL, .pool = &busy_pool}, {.budget_bytes = 64 << 20}},
    {"client, stable",
     true,
     {METHODS, ASLEEP, .accept = SEA_STABLE_ONLY, .bytes_max = 64 << 20},
     {.budget_bytes = 256 << 20}},
    {"client, socket", true, {METHODS, ASLEEP, .socket_only = true, .service = "fuzz"}, {.budget_bytes = 256 << 20}},
    {"client, poor",
     true,
     {METHODS, ASLEEP, .pool = &busy_pool},
     {.budget_bytes = 2 << 20, .low_water = 1 << 20, .on_low_water = on_low_water}},
    {"client, sealed",
     true,
     {METHODS, ASLEEP, .accept = SEA_SEALED, .accept_hugetlb = true},
     {.memory_flags = SEA_MEMORY_NO_HUGE}},
    {"client, awake", true, {METHODS, GROWING, .bytes_max = 64 << 20}, {.budget_bytes = 256 << 20}, .waits = true},
};
const size_t scenes_count = sizeof(scenes) / sizeof(*scenes);
