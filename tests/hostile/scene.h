/* SPDX-License-Identifier: MIT */
/*
 * The scene of every attack on a server: a real server with small limits (attacks.h), and an honest client that calls
 * it without a pause.
 *
 * Server, honest client and attacker are threads of one process, so the harness finds every resource that one of them
 * leaves.
 */
#ifndef TESTS_HOSTILE_SCENE_H
#define TESTS_HOSTILE_SCENE_H

#include "support/bystander.h"
#include "support/service.h"
#include "support/speaker.h"

#define SCENE_PATIENCE_MS 5000

struct scene {
    char address[80];
    struct service *service;
    struct bystander *bystander;
};
extern struct scene scene;
extern const sea_options scene_attacked; /* options of the server */

void scene_set(void);
void scene_set_with(const sea_ctx_options *ctx_options);

/* Returns a socket that is connected to the server. */
int scene_connect(void);

/* Checks that the honest client was served, that none of its calls took longer than the guard, and that the server
 * holds no resource any more. */
void scene_end(void);

/* Checks that a connection was ended once, with a text that contains `word`: both the attacker, which this function
 * frees, and the application got it. */
void scene_assert_told(struct speaker *speaker, const char *what, int reason, const char *word);

/* Checks that the application got this text; the attacker may not have got it. */
void scene_assert_noted(const char *what, int reason, const char *word);

#endif
