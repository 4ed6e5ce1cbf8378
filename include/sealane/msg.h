/* SPDX-License-Identifier: MIT */
/*
 * A message: something that arrived. A call that wants a reply, a one-way message, or the reply to a
 * call of ours. Its owner ends it with exactly one of sea_reply(), sea_reply_error() (calls only) or
 * sea_msg_release(). Releasing a call without an answer answers it with -ECANCELED, or past its deadline with
 * -ETIMEDOUT: the peer never waits in silence. A message stays readable after its connection has ended.
 *
 * Threads: a message belongs to one thread at a time, and may be handed from thread to thread. Any thread may read,
 * answer and release it, also after sea_conn_free(). On the connection's thread an answer is sent at once. Any other
 * thread leaves it for that thread, without a lock, and wakes it: the answer is sent in the connection's next turn.
 * sea_block_new() is not for other threads: see there how a worker thread gets the block of its answer.
 */
#ifndef SEALANE_MSG_H
#define SEALANE_MSG_H

#include <sealane/base.h>

SEA_BEGIN

/* The payload, borrowed until the message ends. Of an empty payload: not NULL, size 0. It is mapped read-only, unless
 * it is inline: plain system calls and io_uring requests write it out, but it cannot be an io_uring registered buffer
 * (EFAULT). */
SEA_API const void *sea_msg_data(const sea_msg *msg);
SEA_API size_t sea_msg_size(const sea_msg *msg);
SEA_API int sea_msg_class(const sea_msg *msg); /* SEA_INLINE, SEA_POOLED or SEA_SEALED */

/* Is the payload unchangeable, for the sender, too? True for inline and sealed payloads. */
SEA_API bool sea_msg_is_stable(const sea_msg *msg);

/*
 * The payload as a block, borrowed until the message ends: to keep it, take a reference; to forward
 * it, take a reference and send that. NULL when the payload is empty.
 */
SEA_API sea_block *sea_msg_block(const sea_msg *msg);

SEA_API uint32_t sea_msg_method(const sea_msg *msg); /* of a call or one-way message */
SEA_API bool sea_msg_is_call(const sea_msg *msg);    /* does somebody wait for our reply? */
SEA_API sea_conn *sea_msg_conn(const sea_msg *msg);  /* where it came from, borrowed */

/* Of a reply: 0 or a negative errno value, and the error's text, "" if there is none. Borrowed. */
SEA_API int sea_msg_status(const sea_msg *msg);
SEA_API const char *sea_msg_text(const sea_msg *msg);

/* Of a call: its deadline in nanoseconds of our CLOCK_MONOTONIC, 0 for none (the deadline of a caller in another time
 * namespace was moved to our clock); and whether the caller has given up already (cancelled, past its deadline, or
 * dead), so that work on it can stop. */
SEA_API uint64_t sea_msg_deadline(const sea_msg *msg);
SEA_API bool sea_msg_is_cancelled(const sea_msg *msg);

/*
 * Answers a call, now or later, in any order. Takes `call`, and one reference of `block`, which may be
 * NULL for an empty payload. To answer with what the call brought: sea_reply(call, sea_block_ref(sea_msg_block(call))).
 * Of a pooled block of the peer's, or of one that the peer still holds, this call makes a copy (see <sealane/block.h>).
 * Never waits: a peer that does not read its replies is charged for them, and loses its connection at its quota. Errors
 * (the call has ended all the same, and the peer was told if it could be): -EPIPE (caller gone),
 * -ECANCELED (caller gave up), -EMSGSIZE (no class that the peer accepts can carry it), -EDQUOT,
 * -EBUSY (the block cannot be sealed), -EINVAL (not a call, or it was answered or released before).
 * On a thread other than the connection's, 0 says that the answer was left for that thread. What such a thread can know
 * it returns: -EPIPE, -ECANCELED and -EINVAL. An answer that cannot be sent later is replaced by an error for the
 * caller, as it is on the connection's thread.
 */
SEA_API int sea_reply(sea_msg *call, sea_block *block);

/* Answers as sea_reply() does, with a payload in the caller's memory (borrowed), which is copied: small ones straight
 * into the frame. On a thread other than the connection's, more than 1056 bytes take a copy that is charged to the
 * context's budget until the answer is sent: then -EDQUOT and -ENOMEM are errors, too. */
SEA_API int sea_reply_bytes(sea_msg *call, const void *data, size_t size);

/* Answers with an error: `status` is a negative errno value (-1 to -4095), `text` (borrowed, may be NULL) says more
 * to a person, at most 255 bytes of it. Takes `call`. Errors: as sea_reply(). */
SEA_API int sea_reply_error(sea_msg *call, int status, const char *text);

/* Ends a message; the lease on its payload goes back to the sender unless the block is referenced. */
SEA_API sea_msg *sea_msg_release(sea_msg *msg);

SEA_END

#endif
