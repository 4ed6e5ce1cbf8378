/* SPDX-License-Identifier: MIT */
/*
 * The scene of every attack on a server: a real one with small limits (attacks.h), and an honest client that calls it
 * all the while.
 *
 * Server, honest client and attacker are threads of one process, so the harness sees what any of them leaves.
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
extern const sea_options scene_attacked; /* the server's */

void scene_set(void);
void scene_set_with(const sea_ctx_options *ctx_options);

/* A socket that is connected to the server. */
int scene_connect(void);

/* The honest client was served on, none of its calls took longer than the guard, and the server holds nothing any more.
 */
void scene_end(void);

/* A connection was ended, once, with these words: both the attacker, who is freed, and the application were told. */
void scene_assert_told(struct speaker *speaker, const char *what, int reason, const char *word);

/* The same of the application alone. */
void scene_assert_noted(const char *what, int reason, const char *word);

#endif
