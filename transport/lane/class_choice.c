/* SPDX-License-Identifier: MIT */
/* The choice of a payload's class. See class_choice.h. */
#include "lane/class_choice.h"

#include "util/arith.h"

struct class_choice class_choice_make(const struct calibration *calibration, const struct negotiated *negotiated,
                                      uint32_t ring_bytes) {
    bool takes_pooled = negotiated->accept & SEA_POOLED;
    uint64_t inline_most = !takes_pooled                ? calibration->inline_before_sealed
                           : negotiated->peer_snapshots ? calibration->inline_before_snapshot
                                                        : calibration->inline_before_pooled;
    uint64_t frame_most = takes_pooled ? min_u64(inline_most, ring_bytes) : ring_bytes;
    return (struct class_choice){
        .bytes_most = negotiated->accept & SEA_INLINE ? min_u64(frame_most, negotiated->inline_max) : 0,
        .inline_most = inline_most,
        .pooled_most = negotiated->peer_snapshots ? calibration->snapshot_before_sealed : CALIBRATION_UNLIMITED,
    };
}

int class_choice_for(const struct class_choice *choice, const struct negotiated *negotiated, size_t size) {
    bool is_pooled = negotiation_take(negotiated, SEA_POOLED, size),
         is_sealed = negotiation_take(negotiated, SEA_SEALED, size);
    if (negotiation_take(negotiated, SEA_INLINE, size) && (size <= choice->inline_most || !(is_pooled || is_sealed)))
        return SEA_INLINE;
    if (is_pooled && (size <= choice->pooled_most || !is_sealed))
        return SEA_POOLED;
    return is_sealed ? SEA_SEALED : 0;
}
