/* SPDX-License-Identifier: MIT */
/*
 * The parts that both sweeps share: the board in memory that their processes share, the hook that counts system calls
 * and strikes one of them, and the two roles, each in a process of its own.
 *
 * The victim is the process in which the hook strikes; the other one is the survivor. Both are children: the test's own
 * process is the referee, and has one thread only, so that it may fork.
 */
#ifndef TESTS_SWEEP_SWEEP_H
#define TESTS_SWEEP_SWEEP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "support/child.h"
#include "sweep/voyage.h"
#include "sys/inject.h"

/* Strikes at the n-th call of `kind` (INJECT_KINDS: of any kind), counted from 1 while the count is not paused. 0:
 * never; the referee kills the victim, at any instant. */
struct blow {
    enum inject_kind kind;
    int n;
    int error; /* 0: SIGKILL */
};

/* Shared by all processes of a sweep. */
struct board {
    struct blow blow;
    _Atomic int seen;
    _Atomic bool has_struck, is_paused;
    _Atomic int struck_kind;
    _Atomic unsigned strokes; /* calls that sweep_rush() has made */
    struct voyage_report voyage, second, next;
    int start_error; /* for a server that is a child: 0, or the error of its start */
    int run_result;  /* the result of sea_server_run() */
    unsigned long long refusals;
    bool are_events_single, is_settled;
    char client_leak[1024]; /* of sweep_visit() */
    char leak[1024];        /* the resources that the child left, "" */
};

/* Makes the board, and a runtime directory for the sockets; sweep_end() removes both. */
struct board *sweep_begin(void);
void sweep_end(struct board *board);

/* The address that both roles use: a bare name in the runtime directory. */
extern const char sweep_address[];

/* Removes the socket, its lock and their directory, as if they had never existed. */
void sweep_clean(void);

/* Prepares the board for a blow; sweep_arm() sets the hook in the victim. */
void sweep_aim(struct board *board, struct blow blow);
void sweep_arm(struct board *board);

/* Words on the line of a server's child, and its answers. */
enum { SERVER_STARTED = 1, SERVER_PAUSE, SERVER_CHECK, SERVER_STOP, SERVER_DONE };

/* Starts a server in a child, armed if it is the victim. Returns whether it started; otherwise it has ended, or
 * will. */
bool sweep_serve(struct child *ret, struct board *board, bool is_victim);

/* Makes the server check itself, after all its clients have gone: sets board->is_settled and the fields beside it.
 * Returns false if the server did not answer. */
bool sweep_check(struct child *server);

/* Stops the hook's count in the server. */
bool sweep_pause(struct child *server);

/* Stops the server and waits for it. Returns its exit status, or the negative signal number. */
int sweep_stop(struct child *server);

/* Runs a client in a child, armed: one voyage with the hook, and a second without. Waits for its end; returns as
 * sweep_stop() does. */
int sweep_sail(struct board *board);

/* Runs a client in a child, not armed: one voyage; its report goes to `report`, which is one of the board's. Its
 * leaks are in board->client_leak. */
int sweep_visit(struct board *board, bool outlives, struct voyage_report *report);

/* Starts a client in a child, not armed, that calls at full speed until a call fails; the report is in
 * board->voyage, its leaks in board->client_leak. Returns once the client has begun; false: it never did. */
bool sweep_rush(struct child *ret, struct board *board);

/* Returns the name of a blow for messages. Static. */
const char *blow_name(const struct board *board);

#endif
