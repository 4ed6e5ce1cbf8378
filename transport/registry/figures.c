/* SPDX-License-Identifier: MIT */
/* The descriptions of all figures, and copying values to the application. See figures.h and <sealane/figures.h>. */
#include "registry/figures.h"

#include <assert.h>
#include <string.h>

static const sea_figure CTX_FIGURES[] = {
    [SEA_FIGURE_BLOCKS] = {"blocks", "blocks",
                           "Blocks of our own that are allocated, and private copies of peers' payloads.", SEA_GAUGE},
    [SEA_FIGURE_BYTES] = {"bytes", "bytes", "Payload bytes of these blocks.", SEA_GAUGE},
    [SEA_FIGURE_LEASED_BLOCKS] = {"leased_blocks", "blocks", "Blocks that peers hold.", SEA_GAUGE},
    [SEA_FIGURE_LEASED_BYTES] = {"leased_bytes", "bytes", "Payload bytes that peers hold.", SEA_GAUGE},
    [SEA_FIGURE_IMPORTED_BLOCKS] = {"imported_blocks", "blocks", "Peers' blocks that we map.", SEA_GAUGE},
    [SEA_FIGURE_IMPORTED_BYTES] = {"imported_bytes", "bytes", "Payload bytes of peers' blocks that we map.", SEA_GAUGE},
    [SEA_FIGURE_ARENA_BYTES] = {"arena_bytes", "bytes", "Memory in our arenas.", SEA_GAUGE},
    [SEA_FIGURE_ACTIVE_BYTES] = {"active_bytes", "bytes", "Arena memory in blocks that are out.", SEA_GAUGE},
    [SEA_FIGURE_RETAINED_BYTES] = {"retained_bytes", "bytes", "Free arena memory for the next blocks.", SEA_GAUGE},
    [SEA_FIGURE_IMPORTED_ARENA_BYTES] = {"imported_arena_bytes", "bytes", "Memory of peers' arenas that we map.",
                                         SEA_GAUGE},
    [SEA_FIGURE_IMPORTED_ARENA_PEAK_BYTES] = {"imported_arena_peak_bytes", "bytes",
                                              "The most memory of peers' arenas that we ever mapped.", SEA_GAUGE},
    [SEA_FIGURE_OUTBOX_BYTES] = {"outbox_bytes", "bytes", "Memory of our connections' outboxes.", SEA_GAUGE},
    [SEA_FIGURE_OLDEST_LEASE_NANOSECONDS] = {"oldest_lease_nanoseconds", "nanoseconds",
                                             "Age of the oldest lease; 0 without leases.", SEA_GAUGE},
    [SEA_FIGURE_CONNECTIONS] = {"connections", "connections", "Connections past their handshake.", SEA_GAUGE},
    [SEA_FIGURE_OUTGOING_CALLS] = {"outgoing_calls", "calls", "Our calls that have not ended.", SEA_GAUGE},
    [SEA_FIGURE_INCOMING_CALLS] = {"incoming_calls", "calls", "Peers' calls that have not ended.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_USED_BYTES] = {"budget_used_bytes", "bytes", "Bytes that are charged to the budget.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_USED_BLOCKS] = {"budget_used_blocks", "blocks", "Blocks that are charged to the budget.",
                                       SEA_GAUGE},
    [SEA_FIGURE_BUDGET_USED_DESCRIPTORS] = {"budget_used_descriptors", "descriptors",
                                            "Descriptors that are charged to the budget.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_PEAK_BYTES] = {"budget_peak_bytes", "bytes",
                                      "The most bytes that were ever charged to the budget.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_PEAK_BLOCKS] = {"budget_peak_blocks", "blocks",
                                       "The most blocks that were ever charged to the budget.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_PEAK_DESCRIPTORS] = {"budget_peak_descriptors", "descriptors",
                                            "The most descriptors that were ever charged to the budget.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_LIMIT_BYTES] = {"budget_limit_bytes", "bytes", "Bytes that the budget allows.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_LIMIT_BLOCKS] = {"budget_limit_blocks", "blocks", "Blocks that the budget allows.", SEA_GAUGE},
    [SEA_FIGURE_BUDGET_LIMIT_DESCRIPTORS] = {"budget_limit_descriptors", "descriptors",
                                             "Descriptors that the budget allows.", SEA_GAUGE},
    [SEA_FIGURE_SENT_INLINE_MESSAGES] = {"sent_inline_messages", "messages", "Messages sent inline.", SEA_COUNTER},
    [SEA_FIGURE_SENT_POOLED_MESSAGES] = {"sent_pooled_messages", "messages", "Messages sent in pooled blocks.",
                                         SEA_COUNTER},
    [SEA_FIGURE_SENT_SEALED_MESSAGES] = {"sent_sealed_messages", "messages", "Messages sent in sealed blocks.",
                                         SEA_COUNTER},
    [SEA_FIGURE_RECEIVED_INLINE_MESSAGES] = {"received_inline_messages", "messages", "Messages received inline.",
                                             SEA_COUNTER},
    [SEA_FIGURE_RECEIVED_POOLED_MESSAGES] = {"received_pooled_messages", "messages",
                                             "Messages received in pooled blocks.", SEA_COUNTER},
    [SEA_FIGURE_RECEIVED_SEALED_MESSAGES] = {"received_sealed_messages", "messages",
                                             "Messages received in sealed blocks.", SEA_COUNTER},
    [SEA_FIGURE_SENT_BYTES] = {"sent_bytes", "bytes", "Payload bytes sent.", SEA_COUNTER},
    [SEA_FIGURE_RECEIVED_BYTES] = {"received_bytes", "bytes", "Payload bytes received.", SEA_COUNTER},
    [SEA_FIGURE_COPIED_BYTES] = {"copied_bytes", "bytes", "Payload bytes that passed through user memory on their way.",
                                 SEA_COUNTER},
    [SEA_FIGURE_FALLBACKS] = {"fallbacks", "fallbacks", "Payloads that travelled in another class than intended.",
                              SEA_COUNTER},
    [SEA_FIGURE_SNAPSHOTS] = {"snapshots", "snapshots", "Copies of pooled payloads, made on receipt.", SEA_COUNTER},
    [SEA_FIGURE_DOORBELLS] = {"doorbells", "doorbells", "Datagrams that woke a sleeping peer.", SEA_COUNTER},
    [SEA_FIGURE_HUGE_BLOCKS] = {"huge_blocks", "blocks", "Blocks of our own in 2 MiB pages.", SEA_COUNTER},
    [SEA_FIGURE_REFUSALS] = {"refusals", "refusals", "Allocations and imports that a limit forbade.", SEA_COUNTER},
    [SEA_FIGURE_BUDGET_REFUSALS] = {"budget_refusals", "refusals", "Refusals by the budget of this context.",
                                    SEA_COUNTER},
    [SEA_FIGURE_POOL_REFUSALS] = {"pool_refusals", "refusals", "Refusals by the bytes_max of a pool.", SEA_COUNTER},
    [SEA_FIGURE_PEER_QUOTA_REFUSALS] = {"peer_quota_refusals", "refusals", "Refusals by the quota of a connection.",
                                        SEA_COUNTER},
    [SEA_FIGURE_FAIR_SHARE_REFUSALS] = {"fair_share_refusals", "refusals",
                                        "Refusals by a connection's fair share of the budget.", SEA_COUNTER},
    [SEA_FIGURE_USER_QUOTA_REFUSALS] = {"user_quota_refusals", "refusals", "Refusals by the quota of a user id.",
                                        SEA_COUNTER},
    [SEA_FIGURE_PEER_REFUSALS] = {"peer_refusals", "refusals", "Refusals by what the peer takes.", SEA_COUNTER},
    [SEA_FIGURE_CGROUP_REFUSALS] = {"cgroup_refusals", "refusals", "Refusals by the memory that our cgroups have left.",
                                    SEA_COUNTER},
    [SEA_FIGURE_MACHINE_REFUSALS] = {"machine_refusals", "refusals", "Refusals by the machine's memory or descriptors.",
                                     SEA_COUNTER},
    [SEA_FIGURE_PROCESS_REFUSALS] = {"process_refusals", "refusals", "Refusals by limits of this process.",
                                     SEA_COUNTER},
    [SEA_FIGURE_OTHER_REFUSALS] = {"other_refusals", "refusals", "Refusals for other reasons.", SEA_COUNTER},
    [SEA_FIGURE_FAULTS] = {"faults", "faults", "Connections that ended because the peer broke the protocol.",
                           SEA_COUNTER},
    [SEA_FIGURE_RECLAIMED_BLOCKS] = {"reclaimed_blocks", "blocks",
                                     "Leases that were dropped because their peer died or lied.", SEA_COUNTER},
    [SEA_FIGURE_RECLAIMED_BYTES] = {"reclaimed_bytes", "bytes", "Payload bytes of these leases.", SEA_COUNTER},
};

static const sea_figure CONN_FIGURES[] = {
    [SEA_CONN_FIGURE_LEASED_BLOCKS] = {"leased_blocks", "blocks", "Blocks of ours that the peer holds.", SEA_GAUGE},
    [SEA_CONN_FIGURE_LEASED_BYTES] = {"leased_bytes", "bytes", "Payload bytes of ours that the peer holds.", SEA_GAUGE},
    [SEA_CONN_FIGURE_IMPORTED_BLOCKS] = {"imported_blocks", "blocks", "The peer's blocks that we hold.", SEA_GAUGE},
    [SEA_CONN_FIGURE_IMPORTED_BYTES] = {"imported_bytes", "bytes", "Payload bytes of the peer's that we hold.",
                                        SEA_GAUGE},
    [SEA_CONN_FIGURE_OUTGOING_CALLS] = {"outgoing_calls", "calls", "Our calls that the peer has not answered.",
                                        SEA_GAUGE},
    [SEA_CONN_FIGURE_INCOMING_CALLS] = {"incoming_calls", "calls", "The peer's calls that have not ended.", SEA_GAUGE},
    [SEA_CONN_FIGURE_INLINE_MAX_BYTES] = {"inline_max_bytes", "bytes",
                                          "The largest inline payload that the peer takes.", SEA_GAUGE},
    [SEA_CONN_FIGURE_BLOCK_MAX_BYTES] = {"block_max_bytes", "bytes",
                                         "The largest pooled or sealed payload that the peer takes.", SEA_GAUGE},
    [SEA_CONN_FIGURE_LEASED_MAX_BYTES] = {"leased_max_bytes", "bytes",
                                          "Bytes of our blocks that the peer holds at most.", SEA_GAUGE},
    [SEA_CONN_FIGURE_LEASED_MAX_BLOCKS] = {"leased_max_blocks", "blocks", "Blocks of ours that the peer holds at most.",
                                           SEA_GAUGE},
    [SEA_CONN_FIGURE_OUTGOING_MAX_CALLS] = {"outgoing_max_calls", "calls",
                                            "Calls of ours that the peer takes at a time.", SEA_GAUGE},
    [SEA_CONN_FIGURE_ACCEPTS_INLINE] = {"accepts_inline", "", "1 if the peer takes inline payloads.", SEA_GAUGE},
    [SEA_CONN_FIGURE_ACCEPTS_POOLED] = {"accepts_pooled", "", "1 if the peer takes pooled payloads.", SEA_GAUGE},
    [SEA_CONN_FIGURE_ACCEPTS_SEALED] = {"accepts_sealed", "", "1 if the peer takes sealed payloads.", SEA_GAUGE},
    [SEA_CONN_FIGURE_ALLOCATED_BYTES] = {"allocated_bytes", "bytes",
                                         "Memory of all blocks that the connection's pools ever handed out.",
                                         SEA_GAUGE},
    [SEA_CONN_FIGURE_ACTIVE_BYTES] = {"active_bytes", "bytes", "Arena memory in blocks that are out.", SEA_GAUGE},
    [SEA_CONN_FIGURE_MAPPED_BYTES] = {"mapped_bytes", "bytes", "Memory of our arenas for the peer.", SEA_GAUGE},
    [SEA_CONN_FIGURE_MAPPED_PEAK_BYTES] = {"mapped_peak_bytes", "bytes",
                                           "The most memory that our arenas for the peer ever had.", SEA_GAUGE},
    [SEA_CONN_FIGURE_RETAINED_BYTES] = {"retained_bytes", "bytes", "Free arena memory for the next blocks.", SEA_GAUGE},
    [SEA_CONN_FIGURE_IMPORTED_ARENA_BYTES] = {"imported_arena_bytes", "bytes",
                                              "Memory of the peer's arenas that we map.", SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_USED_BYTES] = {"quota_used_bytes", "bytes",
                                          "Bytes that are charged to the quota of the peer.", SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_USED_BLOCKS] = {"quota_used_blocks", "blocks",
                                           "Blocks that are charged to the quota of the peer.", SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_USED_DESCRIPTORS] = {"quota_used_descriptors", "descriptors",
                                                "Descriptors that are charged to the quota of the peer.", SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_PEAK_BYTES] = {"quota_peak_bytes", "bytes",
                                          "The most bytes that were ever charged to the quota of the peer.", SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_PEAK_BLOCKS] = {"quota_peak_blocks", "blocks",
                                           "The most blocks that were ever charged to the quota of the peer.",
                                           SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_PEAK_DESCRIPTORS] = {"quota_peak_descriptors", "descriptors",
                                                "The most descriptors that were ever charged to the quota of the peer.",
                                                SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_LIMIT_BYTES] = {"quota_limit_bytes", "bytes", "Bytes that the quota of the peer allows.",
                                           SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_LIMIT_BLOCKS] = {"quota_limit_blocks", "blocks", "Blocks that the quota of the peer allows.",
                                            SEA_GAUGE},
    [SEA_CONN_FIGURE_QUOTA_LIMIT_DESCRIPTORS] = {"quota_limit_descriptors", "descriptors",
                                                 "Descriptors that the quota of the peer allows.", SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_USED_BYTES] = {"user_quota_used_bytes", "bytes",
                                               "Bytes that are charged to the quota of the peer's user.", SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_USED_BLOCKS] = {"user_quota_used_blocks", "blocks",
                                                "Blocks that are charged to the quota of the peer's user.", SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_USED_DESCRIPTORS] = {"user_quota_used_descriptors", "descriptors",
                                                     "Descriptors that are charged to the quota of the peer's user.",
                                                     SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_PEAK_BYTES] = {"user_quota_peak_bytes", "bytes",
                                               "The most bytes that were ever charged to the quota of the peer's user.",
                                               SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_PEAK_BLOCKS] =
        {"user_quota_peak_blocks", "blocks", "The most blocks that were ever charged to the quota of the peer's user.",
         SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_PEAK_DESCRIPTORS] =
        {"user_quota_peak_descriptors", "descriptors",
         "The most descriptors that were ever charged to the quota of the peer's user.", SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_LIMIT_BYTES] = {"user_quota_limit_bytes", "bytes",
                                                "Bytes that the quota of the peer's user allows.", SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_LIMIT_BLOCKS] = {"user_quota_limit_blocks", "blocks",
                                                 "Blocks that the quota of the peer's user allows.", SEA_GAUGE},
    [SEA_CONN_FIGURE_USER_QUOTA_LIMIT_DESCRIPTORS] = {"user_quota_limit_descriptors", "descriptors",
                                                      "Descriptors that the quota of the peer's user allows.",
                                                      SEA_GAUGE},
    [SEA_CONN_FIGURE_OLDEST_LEASE_BYTES] = {"oldest_lease_bytes", "bytes",
                                            "Size of the payload that the peer has held for longest.", SEA_GAUGE},
    [SEA_CONN_FIGURE_OLDEST_LEASE_NANOSECONDS] = {"oldest_lease_nanoseconds", "nanoseconds",
                                                  "Age of the peer's oldest lease; 0 without leases.", SEA_GAUGE},
    [SEA_CONN_FIGURE_DISTANCE] = {"distance", "", "How far the peer's CPU is: 0 not known, 1 near, 2 middle, 3 far.",
                                  SEA_GAUGE},
    [SEA_CONN_FIGURE_LINE_NANOSECONDS] = {"line_nanoseconds", "nanoseconds",
                                          "Time of a line that the peer has just written; 0 if it is not known.",
                                          SEA_GAUGE},
};

static const sea_figure POOL_FIGURES[] = {
    [SEA_POOL_FIGURE_ALLOCATED_BYTES] = {"allocated_bytes", "bytes", "Memory of all blocks that were ever handed out.",
                                         SEA_COUNTER},
    [SEA_POOL_FIGURE_ACTIVE_BLOCKS] = {"active_blocks", "blocks", "Blocks that are out.", SEA_GAUGE},
    [SEA_POOL_FIGURE_ACTIVE_BYTES] = {"active_bytes", "bytes", "Memory of the blocks that are out.", SEA_GAUGE},
    [SEA_POOL_FIGURE_ACTIVE_PEAK_BYTES] = {"active_peak_bytes", "bytes", "The most memory that was ever out.",
                                           SEA_GAUGE},
    [SEA_POOL_FIGURE_ARENAS] = {"arenas", "arenas", "Arenas.", SEA_GAUGE},
    [SEA_POOL_FIGURE_MAPPED_BYTES] = {"mapped_bytes", "bytes", "Memory of the arenas.", SEA_GAUGE},
    [SEA_POOL_FIGURE_MAPPED_PEAK_BYTES] = {"mapped_peak_bytes", "bytes", "The most memory that the arenas ever had.",
                                           SEA_GAUGE},
    [SEA_POOL_FIGURE_RETAINED_BYTES] = {"retained_bytes", "bytes", "Free memory for the next blocks.", SEA_GAUGE},
    [SEA_POOL_FIGURE_RESERVED_BYTES] = {"reserved_bytes", "bytes", "Memory of the arenas that are reserved.",
                                        SEA_GAUGE},
    [SEA_POOL_FIGURE_LEASED_BLOCKS] = {"leased_blocks", "blocks", "Blocks that the peer holds.", SEA_GAUGE},
    [SEA_POOL_FIGURE_LEASED_BYTES] = {"leased_bytes", "bytes", "Memory of the blocks that the peer holds.", SEA_GAUGE},
    [SEA_POOL_FIGURE_GENERATION] = {"generation", "", "Number of the newest generation.", SEA_GAUGE},
    [SEA_POOL_FIGURE_OLDEST_GENERATION] = {"oldest_generation", "", "Number of the oldest generation that has arenas.",
                                           SEA_GAUGE},
    [SEA_POOL_FIGURE_DRAINING_ARENAS] = {"draining_arenas", "arenas", "Arenas of older generations.", SEA_GAUGE},
    [SEA_POOL_FIGURE_DRAINING_MAPPED_BYTES] = {"draining_mapped_bytes", "bytes",
                                               "Memory of the arenas of older generations.", SEA_GAUGE},
    [SEA_POOL_FIGURE_DRAINING_ACTIVE_BYTES] = {"draining_active_bytes", "bytes",
                                               "Memory of the blocks of older generations that are out.", SEA_GAUGE},
    [SEA_POOL_FIGURE_OLDEST_LEASE_BYTES] = {"oldest_lease_bytes", "bytes",
                                            "Size of the payload that the peer has held for longest.", SEA_GAUGE},
    [SEA_POOL_FIGURE_OLDEST_LEASE_NANOSECONDS] = {"oldest_lease_nanoseconds", "nanoseconds",
                                                  "Age of the oldest lease; 0 without leases.", SEA_GAUGE},
};

static_assert(sizeof(CTX_FIGURES) / sizeof(*CTX_FIGURES) == SEA_FIGURES, "each figure has a description");
static_assert(sizeof(CONN_FIGURES) / sizeof(*CONN_FIGURES) == SEA_CONN_FIGURES, "each figure has a description");
static_assert(sizeof(POOL_FIGURES) / sizeof(*POOL_FIGURES) == SEA_POOL_FIGURES, "each figure has a description");

const sea_figure *sea_ctx_figure(unsigned i) {
    return i < SEA_FIGURES ? &CTX_FIGURES[i] : NULL;
}

const sea_figure *sea_conn_figure(unsigned i) {
    return i < SEA_CONN_FIGURES ? &CONN_FIGURES[i] : NULL;
}

const sea_figure *sea_pool_figure(unsigned i) {
    return i < SEA_POOL_FIGURES ? &POOL_FIGURES[i] : NULL;
}

void figures_copy(const uint64_t *values, size_t known, uint64_t *ret_values, size_t count) {
    size_t copied = count < known ? count : known;
    memcpy(ret_values, values, copied * sizeof(*values));
    memset(ret_values + copied, 0, (count - copied) * sizeof(*values));
}

void figures_of_quota(const struct quota *quota, uint64_t *ret_values) {
    struct quota_amounts amounts;
    quota_read(quota, &amounts);
    static_assert(sizeof(amounts) == FIGURES_OF_QUOTA * sizeof(uint64_t), "used, peak, limit; each in three units");
    memcpy(ret_values, &amounts, sizeof(amounts));
}
