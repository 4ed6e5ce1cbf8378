/* SPDX-License-Identifier: MIT */
/* The choice of a payload's class. See choice.h. */
#include "lane/choice.h"

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

struct choice choice_make(const struct calibration *calibration, const struct terms *terms, uint32_t ring_bytes) {
    bool takes_pooled = terms->accept & SEA_POOLED;
    uint64_t inline_most = !takes_pooled           ? calibration->inline_before_sealed
                           : terms->peer_snapshots ? calibration->inline_before_snapshot
                                                   : calibration->inline_before_pooled;
    uint64_t frame_most = takes_pooled ? min_u64(inline_most, ring_bytes) : ring_bytes;
    return (struct choice){
        .bytes_most = terms->accept & SEA_INLINE ? min_u64(frame_most, terms->inline_max) : 0,
        .inline_most = inline_most,
        .pooled_most = terms->peer_snapshots ? calibration->snapshot_before_sealed : CALIBRATION_UNLIMITED,
    };
}

int choice_class(const struct choice *choice, const struct terms *terms, size_t size) {
    bool is_pooled = terms_take(terms, SEA_POOLED, size), is_sealed = terms_take(terms, SEA_SEALED, size);
    if (terms_take(terms, SEA_INLINE, size) && (size <= choice->inline_most || !(is_pooled || is_sealed)))
        return SEA_INLINE;
    if (is_pooled && (size <= choice->pooled_most || !is_sealed))
        return SEA_POOLED;
    return is_sealed ? SEA_SEALED : 0;
}
