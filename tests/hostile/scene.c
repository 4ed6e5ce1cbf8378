/* SPDX-License-Identifier: MIT */
/* A server under attack, and its honest client. See scene.h. */
#include "hostile/scene.h"

#include <stdio.h>
#include <string.h>

#include "hostile/attacks.h"
#include "support/raw.h"
#include "support/suite.h"

#define GUARD_NS 1000000000u /* limit for one call of the honest client; the measured time is printed */

const sea_options scene_attacked = {
    .inline_max = ATTACKED_INLINE_MAX,
    .block_max = ATTACKED_BLOCK_MAX,
    .blocks_max = ATTACKED_BLOCKS_MAX,
    .bytes_max = ATTACKED_BYTES_MAX,
    .calls_max = ATTACKED_CALLS_MAX,
    .handshake_ms = ATTACKED_HANDSHAKE_MS,
    .ring_size = 1 << 14, /* so that a lap is short */
};

struct scene scene;

void scene_set_with(const sea_ctx_options *ctx_options) {
    snprintf(scene.address, sizeof scene.address, "unix:%s", raw_name());
    scene.service = service_start(scene.address, ctx_options, &scene_attacked);
    scene.bystander = bystander_start(scene.address);
}

void scene_set(void) {
    scene_set_with(NULL);
}

int scene_connect(void) {
    return raw_connect(scene.address + strlen("unix:"));
}

void scene_end(void) {
    ck_assert_msg(bystander_sees(scene.bystander, 2 * 8, SCENE_PATIENCE_MS), "the honest client is not served on");
    struct bystander_report report = bystander_stop(scene.bystander);
    ck_assert_msg(report.failures == 0, "the honest client failed: %s", report.what);
    ck_assert_msg(service_settles(scene.service, 0, SCENE_PATIENCE_MS), "the server still holds something");
    ck_assert_uint_eq(service_honest_failures(scene.service), 0);
    printf("# %u honest calls, the longest took %.1f ms\n", report.calls, (double) report.worst_ns / 1e6);
    ck_assert_msg(report.worst_ns < GUARD_NS * (uint64_t) test_timeout_ms(1), "one honest call took %.1f ms",
                  (double) report.worst_ns / 1e6);
    ck_assert_int_eq(service_stop(scene.service), 0);
}

void scene_assert_noted(const char *what, int reason, const char *word) {
    struct ending ending;
    ck_assert_msg(service_next_ending(scene.service, SCENE_PATIENCE_MS, &ending), "%s: no on_close", what);
    ck_assert_msg(ending.reason == reason && text_names(ending.text, word), "%s: on_close %d (%s), without \"%s\"",
                  what, ending.reason, ending.text, word);
    ck_assert_msg(!service_next_ending(scene.service, 0, &ending), "%s: on_close twice", what);
}

void scene_assert_told(struct speaker *speaker, const char *what, int reason, const char *word) {
    struct farewell farewell = speaker_farewell(speaker);
    ck_assert_msg(farewell.is_spoken, "%s: no goodbye", what);
    ck_assert_msg(farewell.reason == reason && text_names(farewell.text, word), "%s: goodbye %d (%s), without \"%s\"",
                  what, farewell.reason, farewell.text, word);
    scene_assert_noted(what, reason, word);
    speaker_free(speaker);
}
