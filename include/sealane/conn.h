/* SPDX-License-Identifier: MIT */
/*
 * A connection: two processes and one AF_UNIX SOCK_SEQPACKET socket. Both sides may call, answer, and
 * send one-way messages.
 *
 * A connection is driven in one of three ways: by its blocking functions (sea_connect() and below), by
 * libuv (<sealane/uv.h>), or by another loop through sea_conn_fd() and its neighbours. Handlers and
 * callbacks run on the thread that drives it, one at a time.
 *
 * Threads: a connection belongs to the thread that drives it. It moves when that thread hands it over and another one
 * calls a function of it. Until that first call has returned, the former thread uses neither the connection nor its
 * messages and blocks. A loop moves in this way, too, with all its connections: a thread that begins to run it takes
 * them, before it waits. Until that thread has done something in the loop (a function of sea_server_post(), for one),
 * the former thread uses none of them. A function does nothing, and returns -EDEADLK, if it finds that another thread
 * drives the connection, waits for it, or runs the server or the libuv loop that drives it. What other threads may do
 * with a connection says so: they leave it for the connection's thread, without a lock, and wake that thread, which
 * does it in the connection's next turn.
 *
 * Addresses: "imaging" is a socket in the user's runtime directory ($XDG_RUNTIME_DIR/sealane/imaging;
 * /run/sealane/imaging for root) · "unix:/path" · "unix:@name", abstract · "fd:3", an inherited
 * descriptor: for a server a listening socket, for a client a connected one · "systemd" or "systemd:NAME", for a
 * server that is started by its socket (LISTEN_FDS, LISTEN_FDNAMES). Its clients take the path that the socket unit
 * names: for them "systemd" is no address. The library takes an inherited socket of the right kind, also when the call
 * fails later. A descriptor of another kind stays the caller's. A socket stays the caller's, too, if the kernel does
 * not tell its kind or does not change its flags; and every descriptor does when the options are wrong.
 *
 * fork(): a child must not use its parent's connections. It holds none of their sockets: their descriptors are dead
 * ones in the child. Payloads that the parent had received stay readable in it.
 *
 * A connection ends by sea_conn_close(), by the peer's death, or by a broken rule. Then every pending call of ours
 * ends with -EPIPE or -EPROTO, every lease that the peer held is dropped, and on_close is called once. Messages and
 * blocks that the application still holds stay readable.
 */
#ifndef SEALANE_CONN_H
#define SEALANE_CONN_H

#include <sealane/ctx.h>

SEA_BEGIN

/*
 * The process on the other side, as the kernel names it. `uid` and `gid` are the ids of connect time (SO_PEERCRED): of
 * the process that connected or, for a server, of the process that called listen(). They are always right.
 * Inside `allow`, `pid` and `pidfd` are the ones of connect time, too. Once the connection is open they name the
 * process that sent the peer's greeting. This is the process that speaks, also where a server inherited its socket, or
 * became a daemon after it had bound it. (A process with CAP_SYS_ADMIN in its pid namespace may name another process of
 * that namespace. Before Linux 6.5 the kernel tells the number alone: if the process has ended and another process has
 * its number, `pid` and `pidfd` name the other one.)
 * The connection ends with that process: when it is killed, a child that it had forked keeps nothing alive. The struct
 * may grow at its end: programs do not copy it.
 */
typedef struct sea_peer {
    int32_t pid; /* 0 where it is not visible from our pid namespace */
    uint32_t uid;
    uint32_t gid;
    /* Borrowed from the connection; -1 where the kernel has none: then only the socket's end is seen. The pidfd of a
     * peer outside of our pid namespace can be polled for the peer's end, and no more: PIDFD_GET_INFO gives EREMOTE,
     * pidfd_send_signal() EINVAL. */
    int pidfd;
    /* The number names no user, and must not be compared: the kernel shows it for all ids that our user namespace does
     * not map (65534, or the number in /proc/sys/kernel/overflowuid and overflowgid), and the namespace does not map
     * every id to itself, or /proc/self/uid_map (gid_map) cannot be read. */
    bool is_uid_ambiguous, is_gid_ambiguous;
    /* Its supplementary groups, borrowed; inside an `allow` callback only, NULL at all other times. */
    const uint32_t *groups;
    size_t groups_count;
} sea_peer;

/* Called for an arriving call or one-way message. Takes `msg`. */
typedef void sea_handler(sea_msg *msg, void *user);

/*
 * A method that a connection or a server serves. Name the fields that you set (`.number = ...`): the struct may grow at
 * its end.
 */
typedef struct sea_method {
    uint32_t number;         /* below SEA_METHOD_RESERVED, or SEA_METHOD_ANY */
    uint32_t flags;          /* 0; other bits are refused with -EINVAL */
    const char *name;        /* for people; may be NULL */
    const char *description; /* for people; may be NULL */
    sea_handler *handler;
    void *user; /* handed to the handler; NULL: sea_options.user */
    /* The largest payload in bytes that the handler takes; 0: any that the connection takes. A larger call is answered
     * with -EMSGSIZE, and a larger one-way message is dropped, before anything of it is copied. The last field of the
     * first version. */
    uint64_t payload_max;
} sea_method;

/* The fields of a sea_options that bring the methods of an array: `sea_options options = {SEA_METHODS(methods)};`.
 * A program in C++ assigns the three fields. */
#define SEA_METHODS(array) \
    .methods = (array), .methods_count = sizeof(array) / sizeof(*(array)), .method_size = sizeof(*(array))

#define SEA_METHOD_RESERVED 0xffff0000u
/* The number of an entry that gets every call and one-way message that no other entry serves. sea_msg_method() tells
 * its handler the number. Numbers from SEA_METHOD_RESERVED on do not reach it. */
#define SEA_METHOD_ANY 0xffffffffu

/* Why a connection ended, and the memory that its end reclaimed. Borrowed for the callback. The struct may grow at its
 * end. */
typedef struct sea_close_event {
    int reason;       /* 0: closed on this side, or by an orderly goodbye · -EPIPE: the peer is gone ·
                       * -EPROTO: it broke the protocol · -EACCES, -ETIMEDOUT, ...: the handshake failed ·
                       * -ETIMEDOUT after on_open: it was idle for longer than idle_ms (of a server's connection; its
                       * client sees -EPIPE, with that text) ·
                       * -EDQUOT: it did not read its replies · -EDQUOT, -EMFILE, -ENOMEM: a limit of ours
                       * kept out a one-way message, which must not be lost in silence */
    const char *text; /* one sentence; "" if there is nothing to add */
    uint64_t reclaimed_blocks, reclaimed_bytes; /* of ours, that it held */
    uint32_t ended_calls;                       /* of ours, that it had not answered */
} sea_close_event;

/* How a side waits for its peer. A sleeper is woken by a datagram on the socket. */
enum {
    /* Look at the peer's memory for as long as that has paid lately, at most some 50 us, then sleep; where both sides
     * may use one CPU only, look once. */
    SEA_WAIT_ADAPTIVE = 0,
    /* Look without end while a message is awaited: one CPU is busy. The library looks at the socket each millisecond.
     * It asks for the CPUs of both sides, and for our scheduling policy, every 0.1 s: while both may use one CPU only,
     * it sleeps. Under a real-time policy it sleeps for a tenth of each millisecond in which nothing came. A thread for
     * which messages always come has to sleep by itself, or the kernel takes its CPU (sched_rt_runtime_us,
     * RLIMIT_RTTIME). */
    SEA_WAIT_SPIN = 1,
    SEA_WAIT_SLEEP = 2 /* sleep at once */
};

/* Options of servers and of connections. Zero in any field means its default. The library copies the struct and borrows
 * the memory behind its pointers until the connection or server is freed. */
typedef struct sea_options {
    /* sizeof(sea_options). 0: the size of the first version, so that a program that sets no later field may leave it.
     * See "Options" in <sealane/sealane.h>. */
    size_t size;
    /* The methods that we serve. A call of any other number is answered with -ENOSYS, and a one-way message of any
     * other number is dropped. SEA_METHODS() sets the three fields. */
    const sea_method *methods;
    size_t methods_count;
    size_t method_size; /* sizeof(sea_method). 0: the size of the first version; not with several methods (-EINVAL) */
    void *user;         /* handed to every handler and callback */

    void (*on_open)(sea_conn *conn, void *user); /* the handshake succeeded */
    /* Called exactly once, also when the handshake failed and on_open was not called; but not after sea_conn_free().
     * The `conn` of a server is valid until the callback returns. */
    void (*on_close)(sea_conn *conn, const sea_close_event *event, void *user);
    void (*on_room)(sea_conn *conn, void *user); /* there is room again after an -EAGAIN */
    /* The caller of a call that is not answered yet has given up: it cancelled the call, its deadline passed, or its
     * connection ended. Called once for each such call, on the connection's thread, after which
     * sea_msg_is_cancelled() says so on any thread. `call` (borrowed) is still to be answered or released. A call that
     * another thread has answered by then is passed over. A thread that has the call may answer it while the callback
     * runs: the payload is that thread's. sea_conn_free() cancels calls without this callback. No exception may leave
     * it. */
    void (*on_cancel)(sea_msg *call, void *user);

    /* The users that may be on the other side. Default: our own user and root. An ambiguous id (sea_peer) matches no
     * entry, and not our own user either. */
    const uint32_t *users; /* further user ids */
    size_t users_count;
    const uint32_t *groups; /* further group ids: the peer's primary one, or one of its supplementary ones */
    size_t groups_count;
    /* Asked last, about every peer that the fields above would refuse: 0 lets in, a negative errno value refuses. A
     * callback that compares ids has to look at is_uid_ambiguous and is_gid_ambiguous first. */
    int (*allow)(const sea_peer *peer, void *user);

    const char *service; /* a server's name, or the name that a client demands; NULL: none, any. At most 63 bytes */
    uint32_t accept;     /* payload classes that we take: SEA_STABLE_ONLY, ...; default: all */
    bool accept_hugetlb; /* also take blocks in hugetlb pages. Only from trusted peers: reading a
                          * hugetlb page that is missing raises SIGBUS */
    /* Permissions of a server's socket file. They only decide which users can connect at all; each peer is then
     * checked as above. Default, by the fields above: 0600 if only our own user and root are let in; 0660 with
     * `socket_group`; 0660, and the file in that group, if `groups` has one and there is neither `users` nor `allow`
     * (0666 if we may not give it to that group); else 0666. A mode with group permissions
     * that is given here (0660) gives the file to that group, too. The users need access to the directory as well: the
     * directory of a bare name is for its owner alone, so give `unix:/PATH`. "unix:@NAME" has no file: every user can
     * connect, and is checked. */
    uint16_t socket_mode;

    uint32_t inline_max; /* largest inline payload that we take, bytes; default 65 536, at most 131 072 */
    /* Largest sealed or pooled payload that we take, bytes; at most bytes_max, which is also the default; with
     * SEA_STABLE_ONLY the default is 64 MiB, since of pooled payloads copies are made. */
    uint64_t block_max;
    uint32_t calls_max;       /* calls of the peer's in flight; default 256, at most 65 536 */
    uint32_t blocks_max;      /* blocks of the peer's that we hold at a time; default 1024, at most the peer quota */
    uint64_t bytes_max;       /* and their bytes; default: the peer quota; half of it with SEA_STABLE_ONLY:
                               * of each pooled payload the copy is charged too, so give no more yourself */
    uint32_t connections_max; /* of a server; default 16 384, or what RLIMIT_NOFILE and vm.max_map_count allow */
    int waiting;              /* SEA_WAIT_... */
    bool socket_only;         /* no outboxes: all goes through the socket. Slower; for a debugger's eyes, or to save
                               * the outbox of each side: 4 KiB, up to 84 KiB or so of a busy connection */
    uint32_t ring_size; /* bytes to which our ring of frames grows, once the connection is busy: a power of two from
                         * 4096 to 1 048 576; default 65 536 */
    int handshake_ms;   /* a peer that has not finished its handshake by then is dropped; default 2000 */
    /* Group id of a server's socket file; 0: as the directory makes it. Only root may give it to a group that this
     * process is not in. */
    uint32_t socket_group;
    /* Of a server: how many of its connections_max one user may have (our own and root any number), and one process.
     * The defaults are shares that leave some to others: a connection is let in while its user then has no more
     * connections than are left, and its process no more than three times as many. Beyond that it is refused with
     * -EUSERS. All users with an ambiguous id (sea_peer) are one user here. */
    uint32_t connections_per_user, connections_per_process;
    /* Of a server: the end of an idle connection, with -ETIMEDOUT. A connection is idle that has no calls in flight, no
     * leases and no messages on either side, and that sent and got none for this time; it ends after at most twice this
     * time. Default 0: never. */
    int idle_ms;
    /* Options of each connection's own pool (<sealane/pool.h>); NULL: defaults. The last field of the first version. */
    const struct sea_pool_options *pool;
} sea_options;

/*
 * Connects, waits for the handshake, and returns a connection of the blocking face. `options` may be
 * NULL. Blocks for at most handshake_ms. The caller owns the connection and ends it with
 * sea_conn_free(). Errors: -ENOENT and -ECONNREFUSED (no server listens; -ENOENT also: the server is not
 * options->service), -EACCES (the server refused us, or its user is one that our options do not allow; or its socket
 * file, or a directory on the way, is closed to us), -EPROTOTYPE (another kind of socket listens there), -ETIMEDOUT,
 * -EPROTO, -EPROTONOSUPPORT (no common protocol version), -EINVAL (address or options), -E2BIG (options that this
 * library does not know), -EUSERS (the server is full, or
 * this user or process has its share of it), -EBUSY (it is under attack), -EDQUOT (there is no room for the outbox in
 * our budget, or for its own in the server's), -ENOBUFS (an inherited socket has no room for a greeting, or the kernel
 * none for one in it), -EPIPE (the server ended meanwhile; or an inherited socket has no peer any more, or one side has
 * shut it down), -EBADF, -ENOTSOCK and -ENOTCONN (no inherited descriptor of that number, or it is no connected socket;
 * -EPROTOTYPE and -EINVAL: another kind of one), -EMFILE, -ENOMEM, -EPERM, -ENOSYS and -EAFNOSUPPORT (this process may
 * not make or use a Unix socket: doc/sandbox.md).
 * sea_explain() has the cause, as far as it can be found out, or the server's words. Where only shared memory may not
 * be made, the connection is made all the same, as with `socket_only`.
 */
SEA_API int sea_connect(sea_conn **ret_conn, sea_ctx *ctx, const char *address, const sea_options *options);

/* Closes at once and frees. Pending calls end with -ECANCELED; no other callback is called any more. Valid inside
 * callbacks. Not for a server's connections, which end with sea_conn_close(). Returns NULL. */
SEA_API sea_conn *sea_conn_free(sea_conn *conn);

/* Ends the connection in good order; on_close follows with reason 0, on the next turn of its loop. */
SEA_API void sea_conn_close(sea_conn *conn);

/*
 * Deadlines. `timeout_ms` counts from the call of the function: < 0 sets no deadline. 0 is a deadline that has passed
 * already: a call ends with -ETIMEDOUT at once and nothing is sent, and a function that waits does not wait.
 * `deadline_ns` is an instant of CLOCK_MONOTONIC in nanoseconds, as sea_msg_deadline() returns it, so that a server can
 * pass the deadline of a call on to the calls that it makes for it; 0 sets no deadline.
 */

/*
 * Calls a method and waits for its reply. Takes one reference of `block`, which may be NULL. Handlers of other arrivals
 * run meanwhile. A program that needs no reply passes NULL for `ret_reply`: the function waits for the reply, and
 * releases it.
 * Returns 0 and the reply, or the status that the other side answered (a negative errno value), or an error:
 * -ETIMEDOUT (the deadline passed, and the other side was told to give up; a reply also waits while we keep as many
 * blocks as our blocks_max and bytes_max allow), -EPIPE, -EPROTO, -EINTR (sea_conn_interrupt()), -EDEADLK (called from
 * inside one of this connection's handlers, or on a connection that a loop drives), -EMSGSIZE, -EDQUOT (also: the other
 * side takes no calls at all), -EBUSY (the block cannot be sealed). sea_explain() has the text of each.
 */
SEA_API int sea_call(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_msg **ret_reply);

/* Calls as sea_call() does, until an absolute deadline. */
SEA_API int sea_call_until(sea_conn *conn, uint32_t method, sea_block *block, uint64_t deadline_ns,
                           sea_msg **ret_reply);

/* Calls as sea_call() does, with a payload in the caller's memory (borrowed): the function copies `size` bytes, small
 * ones straight into the frame. This is the cheapest call for payloads up to some hundred bytes. */
SEA_API int sea_call_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms,
                           sea_msg **ret_reply);

/* How a call ended. `status`: 0 or a negative errno value as sea_call() returns it. `reply`: taken by the
 * callee; also an error that the other side answered is one, with its text; NULL when none arrived
 * (deadline, cancel, end). Called exactly once for each sea_call_start() that returned 0, never from
 * inside it. */
typedef void sea_done(sea_conn *conn, int status, sea_msg *reply, void *user);

/*
 * Begins a call and returns at once; `done` is called when it has ended. Takes one reference of `block`. `ret_id`
 * (may be NULL) serves to cancel it. Errors (then `done` is not called): -EAGAIN (the peer's limits on
 * calls, blocks or bytes, the frame ring, or the socket, are full; on_room tells when to try again, and
 * sea_ctx_refusal() which it was, once until then), -EINVAL (no `done`), -EPIPE, -EMSGSIZE, -EDQUOT (also: the
 * other side takes no calls at all), -EBUSY.
 */
SEA_API int sea_call_start(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms, sea_done *done,
                           void *user, uint64_t *ret_id);

/* Begins a call as sea_call_start() does, with an absolute deadline. */
SEA_API int sea_call_start_until(sea_conn *conn, uint32_t method, sea_block *block, uint64_t deadline_ns,
                                 sea_done *done, void *user, uint64_t *ret_id);

/* Begins a call as sea_call_start() does, with a payload in the caller's memory (borrowed), which is copied. */
SEA_API int sea_call_start_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms,
                                 sea_done *done, void *user, uint64_t *ret_id);

/* Cancels: `done` is called with -ECANCELED before this returns, and the other side is told. The call counts against
 * the peer's calls_max until it has been answered. -ENOENT: it has ended already.
 * From another thread than the connection's: the call is cancelled in the connection's next turn, unless it ends
 * before; `done` is called in either case. Then -ENOENT says that the connection has ended, and -ENOMEM is possible. */
SEA_API int sea_call_cancel(sea_conn *conn, uint64_t id);

/*
 * Sends a one-way message. Takes one reference of `block`, which may be NULL. Waits for room for at
 * most `timeout_ms` (0: not at all, < 0: without end); on a connection that a loop drives, or inside a
 * handler, it must be 0. Where it may wait it does so also after a pooled block, while the peer holds all that fill the
 * caches: for one that comes back, within `timeout_ms` and for no longer than making another one takes, half a
 * nanosecond a byte (doc/measurements.md).
 * Errors: -EAGAIN (no room: sea_ctx_refusal() says of what; with a `timeout_ms` of 0 once until on_room), -EPIPE
 * (sea_explain() says why), -EPROTO, -EMSGSIZE, -EDQUOT, -EBUSY, -EDEADLK. The block is taken then too: to try again
 * with it, take a reference first.
 *
 *     while ((r = sea_send(conn, FRAME, sea_block_ref(block), 0)) == -EAGAIN)
 *         sea_conn_wait(conn, -1);
 *     sea_block_unref(block);
 */
SEA_API int sea_send(sea_conn *conn, uint32_t method, sea_block *block, int timeout_ms);

/* Sends as sea_send() does, with a payload in the caller's memory (borrowed), which is copied. */
SEA_API int sea_send_bytes(sea_conn *conn, uint32_t method, const void *data, size_t size, int timeout_ms);

/*
 * A batch of messages. Between these two functions a message on `conn` does not wake a sleeping peer; the end of the
 * batch does, once. On the connection's thread. A peer that is awake sees each message at once. Batches nest. Handlers
 * and callbacks are batches anyway. A function that waits (sea_call(), sea_conn_wait()) wakes the peer first.
 */
SEA_API void sea_batch_begin(sea_conn *conn);
SEA_API void sea_batch_end(sea_conn *conn);

/*
 * Waits until a message was handled, a call of ours has ended, a post has run, or there is room again; for at most
 * `timeout_ms` milliseconds (0: handles all that has come and does not wait; < 0: without end). Signals do not end the
 * wait; sea_conn_interrupt() does, from a signal handler too.
 * Returns 1, or 0 at the time-out. Errors: -EINTR (sea_conn_interrupt()), -EPIPE or -EPROTO (the connection has ended),
 * -EDEADLK (inside a handler, or driven by a loop). The peer's farewell counts as a message: at the end of a connection
 * one call may return 1, and the next call the error.
 */
SEA_API int sea_conn_wait(sea_conn *conn, int timeout_ms);

/* A function that runs on the thread of a connection. `status`: 0; -EPIPE: the connection has ended; -ECANCELED:
 * sea_conn_free() has ended it. With either error only sea_conn_text() and sea_conn_data() are of use. */
typedef void sea_posted(sea_conn *conn, int status, void *user);

/*
 * Has `function` called on the connection's thread, in the connection's next turn, and wakes that thread. A call of
 * sea_conn_wait() returns then. From any thread, but not from signal handlers. Not after sea_conn_free() or, for a
 * server's connection, after on_close has returned. Each post for which this returns 0 is run exactly once, also when
 * the connection ends first. If sea_conn_free() is called inside a turn of the connection, in a handler or callback,
 * the posts that are left run at the end of that turn, after sea_conn_free() has returned: what `user` points to has to
 * last until then. Posts of one thread run in their order. Never waits. Errors, after which `function` is not called:
 * -EPIPE (the connection has ended), -ENOMEM, -EINVAL (no function).
 */
SEA_API int sea_conn_post(sea_conn *conn, sea_posted *function, void *user);

/*
 * Ends the wait of sea_call(), sea_send(), sea_conn_wait() and their neighbours on this connection with -EINTR: the
 * wait that goes on, or else the next one. A call that waited is cancelled. From any thread, and from signal handlers:
 * Ctrl-C in a program that waits without end is a handler with this one line. It may come at any time, but not once
 * sea_conn_free() was called. It may take some 10 ms where the process has one thread. (A signal by itself ends no
 * wait: profilers and timers send them all the time.)
 * Errors, without a text: -EINVAL (a loop drives the connection). sea_server_run() is ended by sea_server_stop().
 */
SEA_API int sea_conn_interrupt(sea_conn *conn);

/*
 * Another loop drives a connection by three steps, in this order: prepare, poll, dispatch.
 *
 *     for (int r = 0; r == 0;) {
 *         int timeout_ms = sea_conn_prepare(conn);
 *         struct pollfd item = {.fd = sea_conn_fd(conn), .events = sea_conn_events(conn)};
 *         poll(&item, 1, timeout_ms);
 *         r = sea_conn_dispatch(conn, item.revents);
 *     }
 *
 * sea_conn_prepare() acts: it tells the peer that this side is about to sleep, so that the peer rings for the next
 * message, and it looks once more for messages that came meanwhile. A loop that polls without it is not woken for its
 * replies. It returns how many milliseconds poll() may wait: -1 without end, 0 if there is work already.
 * sea_conn_fd() returns the descriptor to poll (borrowed), and sea_conn_events() the events (POLLIN, POLLOUT). Of an
 * open connection the descriptor stays the same until its end: an epoll set, made at the first call of sea_conn_fd(),
 * of the socket and of the peer's process (where the kernel gives no such set, the socket itself).
 * sea_conn_dispatch() takes the events that poll() returned and gives the connection its turn; handlers run inside it.
 * It returns 0; -EPIPE or -EPROTO: the connection has ended; -EDEADLK: inside a handler (where sea_conn_prepare()
 * returns 0), or on a connection that a server or libuv drives (where it returns -1).
 */
SEA_API int sea_conn_prepare(sea_conn *conn);
SEA_API int sea_conn_fd(sea_conn *conn);
SEA_API short sea_conn_events(sea_conn *conn);
SEA_API int sea_conn_dispatch(sea_conn *conn, short revents);

SEA_API bool sea_conn_is_open(const sea_conn *conn);
SEA_API sea_ctx *sea_conn_ctx(const sea_conn *conn);         /* borrowed */
SEA_API const sea_peer *sea_conn_peer(const sea_conn *conn); /* borrowed */
SEA_API const char *sea_conn_service(const sea_conn *conn);  /* the name that the peer gave, borrowed */
/*
 * Writes the text of `error`, which a function of this connection or context has just returned, as one line for people:
 * "Connection timed out (no reply of method 1 within its 20 ms)", or "Disk quota exceeded (budget (bytes): needed 4096,
 * available 0; release blocks, or ...)". Either `ctx` or `conn` may be NULL, and both may: a failed sea_connect() has
 * no connection. Also the status that a sea_done gets has its text here.
 * The text belongs to that error alone. If the function had nothing to say, the line is the name of the error, whatever
 * an earlier function said about the same number. Texts about memory and arguments are kept for the thread that got
 * them, eight for each context: the thread that got the error asks, and at once. An -EAGAIN for want of room has its
 * text until there is room again.
 * As snprintf() does, writes at most `size` bytes with the NUL and returns the length of the whole line. Control
 * characters, which names and peers' texts may hold, become '?'. "no error" if `error` is not negative.
 */
SEA_API int sea_explain(sea_ctx *ctx, const sea_conn *conn, int error, char *ret_buf, size_t size);

/* The text alone that sea_explain() uses of a connection: the peer's answer, the deadline that passed, the interrupt,
 * or why the connection ended; of the newest such error. Borrowed until the next one. */
SEA_API const char *sea_conn_text(const sea_conn *conn);
SEA_API void sea_conn_set_data(sea_conn *conn, void *data); /* a pointer of the application's */
SEA_API void *sea_conn_data(const sea_conn *conn);

SEA_END

#endif
