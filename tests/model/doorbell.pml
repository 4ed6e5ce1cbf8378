/* SPDX-License-Identifier: MIT */
/*
 * A model of publishing, sleeping, waking and dying, for Spin: two processes, all their interleavings, and memory that
 * shows stores late. It answers one question: can a side sleep for ever although an event waits for it?
 * tests/model/check.sh lists the properties that are checked with it, and `./dev model` runs them. The code:
 * transport/lane/doorbell.c, ring.c, rings.c.
 *
 * Two sides, 0 and 1, run one program. Each owns an outbox, which only it writes:
 *
 *     asleep      episode number, odd while the side sleeps (or is about to), and a bit: to be woken for room, too
 *     consumed    how many of the peer's frames it has handled; lags behind, to spare the peer's cache line
 *     tag, text   the lines of its frame ring, and behind them those of its release ring
 *
 * and each side does, in any order, and as often as the limits below allow:
 *
 *     publish     store text, store tag (release). From then on it owes a check, now or at the end of the batch: full
 *                 fence, load the peer's asleep word; if it is odd, and not the one for which it rang last: ring
 *     handle      load tag (acquire), read text, count; once LAZY frames are not shown yet: store `consumed`
 *                 (release), full fence, and ring if the peer must be woken for room
 *     give, take  publish and handle for the release ring, which always has room
 *     sleep       store `consumed`, make the checks that are owed; store asleep = odd; full fence; look once more for
 *                 frames, releases and, if it waits for it, room; if there is one: asleep = even, and go on; otherwise
 *                 poll() until there is a datagram, asleep = even, receive, and go on
 *     die         at any step (CRASH). The kernel closes the socket, after all its stores. The peer's poll() reports
 *                 it; the peer handles the frames that had been published, and ends
 *
 * Memory. A store goes into the side's store buffer, a queue of BUFFER entries, and from there into memory at any later
 * step: that is x86. A full fence waits until the buffer is empty. With WEAK, relaxed stores overtake others, and only
 * release stores wait for all before them. The model has no load from a side's own buffer: no side ever loads a word
 * that it writes, because it keeps private copies. Loads are made in program order, so the acquires are taken for
 * granted here; doc/memory-model.md gives their reasons. System calls are no fences here.
 *
 * Steps. An atomic step has at most one load of the other side's memory (of one line) or one use of the socket, before
 * its stores. Stores go to the side's own buffer: the other side cannot see when they were made, only when they leave
 * it.
 *
 * Properties. When no step is possible any more, the judge checks: every published frame was handled, no side waits for
 * room, both sleep; or one side is dead, and the other has ended. On the way: frames come in order, once, and complete,
 * and none is overwritten before it was read. And, by Spin's search for non-progress cycles with no state marked as
 * progress: no run is infinite. So every run gets to the judge, however unfair the schedule. A lost wake-up that a
 * later one makes up for does not slip through: sides also sleep with frames left to send (unless EAGER), so each frame
 * is the last one of some run.
 *
 * Not in the model: frames of several lines (the later ones are stored before the first tag, as the text is here);
 * marks and datagrams other than doorbells; lies, because a side that lies can only make itself sleep.
 *
 * Limits:
 *
 *     FRAMES_0, FRAMES_1   frames that each side may publish
 *     RING, LEASES         lines of the frame ring and of the release ring; LEASES leases may be out
 *     LAZY                 when this number of frames is handled and not shown, they are shown
 *     BUFFER, BELLS        entries of a store buffer; datagrams that the socket holds
 *     EPISODES             twice the number of episodes before their numbers come again
 *     TIMEOUTS             how often poll() may return without an event
 *     SPINNER              the side that never sleeps; 2 for none
 *
 * Variants: CRASH, WEAK; EAGER (sleeps only when it has no frame to send, or may not send), READS_AWAKE (receives
 * doorbells at any time), LOOP (also publishes while it sleeps: in an event loop, other events wake its process).
 *
 * Faults, each of which Spin must find:
 *
 *     NO_PUBLISH_FENCE, NO_SLEEP_FENCE, NO_ROOM_FENCE   a fence is missing
 *     NO_REARM             LOOP: does not raise its flag anew when it begins to wait for room while it sleeps
 *     NO_ROOM_LOOK         stores `consumed` in passing and does not check whether the peer waits for it
 *     RELAXED_TAG          the tag is stored without release (WEAK)
 *     NO_SECOND_LOOK       sleeps at once after raising the flag
 *     NO_LAST_LOOK         ends at the hang-up, without looking at the ring again
 *     EARLY_CURSOR         shows a frame as consumed, then reads it
 *     KEEPS_BATCH          sleeps in the middle of a batch and still owes the check
 *     KEEPS_CURSOR         does not store `consumed` before sleeping. No fault as long as LAZY <= RING: a side that
 *                          sleeps has handled everything, and the frames that it has not shown leave room for one
 *     EATS_DOORBELL        receives after its second look, before poll()
 *     DEAF_WRITER          handles no frame while it waits for room
 *     FLAG_FOR_EPISODE     remembers that it rang, not for which episode, until it has seen the peer awake
 *     EPISODES=4           episode numbers come again too soon
 */
#ifndef FRAMES_0
#define FRAMES_0 3
#endif
#ifndef FRAMES_1
#define FRAMES_1 0
#endif
#ifndef RING
#define RING 2
#endif
#ifndef LAZY
#define LAZY RING
#endif
#ifndef LEASES
#define LEASES 0
#endif
#ifndef BUFFER
#define BUFFER 2
#endif
#ifndef BELLS
#define BELLS 1
#endif
#ifndef EPISODES
#define EPISODES 64
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef SPINNER
#define SPINNER 2
#endif

#define PEER (1 - me)

/* Bits of an asleep word. The lowest bit is set in odd episodes. */
#define ANY 1
#define ROOM 128

/* --- memory and socket --- */

typedef outbox {
    byte asleep;
    byte consumed;
    byte tag[RING + LEASES];
#ifdef WEAK
    byte text[RING + LEASES]; /* on x86 it would always be there before its tag */
#endif
};

mtype = { ASLEEP, CONSUMED, TAG, TEXT };

outbox memory[2];
chan buffer[2] = [BUFFER] of { mtype, byte, byte };
byte bells[2];  /* datagrams that wait for this side */
bool closed[2]; /* this side's end of the socket */

inline commit(word, line, value) {
    if
    :: word == ASLEEP -> memory[me].asleep = value
    :: word == CONSUMED -> memory[me].consumed = value
    :: word == TAG -> memory[me].tag[line] = value
#ifdef WEAK
    :: word == TEXT -> memory[me].text[line] = value
#endif
    fi;
    word = 0;
    line = 0;
    value = 0
}

proctype drain(byte me) {
    mtype word;
    byte line, value;

    do
    :: d_step { buffer[me]?word,line,value -> commit(word, line, value) }
#ifdef WEAK
    :: d_step { buffer[me]??TEXT,line,value -> word = TEXT; commit(word, line, value) }
    :: d_step { buffer[me]??ASLEEP,line,value -> word = ASLEEP; commit(word, line, value) }
#ifdef RELAXED_TAG
    :: d_step { buffer[me]??TAG,line,value -> word = TAG; commit(word, line, value) }
#endif
#endif
    od
}

#define store(word, line, value) buffer[me]!word,line,value
#define fence() empty(buffer[me])

#ifdef WEAK
#define store_text(line, text) store(TEXT, line, text)
#define text_is(line, expected) (memory[PEER].text[line] == expected)
#else
#define store_text(line, text) skip
#define text_is(line, expected) true
#endif

inline receive() {
    if
    :: bells[me] > 0 -> bells[me]--
    :: bells[me] > 1 -> bells[me] = 0
    fi
}

/* --- the private state of each side --- */

/* Private to each side; global only for the judge. */
byte sent[2];
byte handled[2];
byte given[2];
byte taken[2];
bool wants_room[2];
bool is_asleep[2];
bool has_ended[2];
#ifdef CRASH
bool is_dying[2];
#endif

#define FRAMES (me == 0 -> FRAMES_0 : FRAMES_1)
#define out_line (sent[me] % RING)
#define out_tag (sent[me] / RING + 1)
#define in_line (handled[me] % RING)
#define in_tag (handled[me] / RING + 1)
#define in_text (handled[me] + 1)
#define has_room (sent[me] - memory[PEER].consumed < RING)
#define frame_is_there (memory[PEER].tag[in_line] == in_tag)

#if LEASES
#define has_credit (sent[me] - taken[me] < LEASES)
#define given_line (RING + given[me] % LEASES)
#define given_tag (given[me] / LEASES + 1)
#define taken_line (RING + taken[me] % LEASES)
#define taken_tag (taken[me] / LEASES + 1)
#define release_is_there (memory[PEER].tag[taken_line] == taken_tag)
#else
#define has_credit true
#define release_is_there false
#endif

#ifdef DEAF_WRITER
#define listens (!wants_room[me])
#else
#define listens true
#endif

#ifdef EAGER
#define may_sleep (me != SPINNER && !must_work && (sent[me] == FRAMES || wants_room[me] || !has_credit))
#else
#define may_sleep (me != SPINNER && !must_work)
#endif

/* --- ringing --- */

#ifdef NO_PUBLISH_FENCE
#define publish_fence() skip
#else
#define publish_fence() fence()
#endif
#ifdef NO_SLEEP_FENCE
#define sleep_fence() skip
#else
#define sleep_fence() fence()
#endif
#ifdef NO_ROOM_FENCE
#define room_fence() skip
#else
#define room_fence() fence()
#endif

#ifdef FLAG_FOR_EPISODE
#define was_rung(word) (rung != 0)
#define note_awake(word) if :: !(word & ANY) -> rung = 0 :: else fi
#else
#define was_rung(word) (rung == word)
#define note_awake(word) skip
#endif

/* Runs after the fence. A doorbell that finds the queue full is not needed: the peer has a datagram to receive. */
inline ring_for(bits) {
    atomic {
        seen = memory[PEER].asleep;
        note_awake(seen);
        if
        :: (seen & (bits)) && !was_rung(seen) -> rung = seen
        :: else -> seen = 0
        fi
    };
    if
    :: seen ->
        d_step {
            if
            :: bells[PEER] < BELLS -> bells[PEER]++
            :: else
            fi;
            seen = 0
        }
    :: else
    fi
}

/* --- the steps of a side: each begins with its condition --- */

inline publish(if_it) {
    atomic {
        if_it && sent[me] < FRAMES && has_credit && has_room ->
            wants_room[me] = false;
            must_work = false;
            store_text(out_line, sent[me] + 1);
#ifdef CRASH
            skip
    };
    atomic {
#endif
        store(TAG, out_line, out_tag);
        sent[me]++;
        owes_look = true
    }
}

inline want_room() {
    atomic {
        sent[me] < FRAMES && has_credit && !wants_room[me] && !has_room -> wants_room[me] = true
    }
}

inline end_batch() {
    owes_look ->
        publish_fence();
        owes_look = false;
        ring_for(ANY)
}

inline show_consumed() {
    store(CONSUMED, 0, handled[me]);
    shown = handled[me];
    owes_room_look = true
}

inline handle() {
#ifdef EARLY_CURSOR
    atomic {
        listens && frame_is_there ->
            must_work = false;
            store(CONSUMED, 0, handled[me] + 1);
            owes_room_look = true
    };
    atomic {
        assert(frame_is_there && text_is(in_line, in_text));
        handled[me]++;
        shown = handled[me]
    };
#else
    atomic {
        listens && frame_is_there ->
            assert(text_is(in_line, in_text));
            must_work = false;
            handled[me]++;
            if
#ifdef NO_ROOM_LOOK
            :: handled[me] - shown >= LAZY -> show_consumed(); owes_room_look = false
#else
            :: handled[me] - shown >= LAZY -> show_consumed()
#endif
            :: else
            fi
    };
#endif
    if
    :: owes_room_look -> room_fence(); owes_room_look = false; ring_for(ROOM)
    :: else
    fi
}

inline give() {
    atomic {
        given[me] < handled[me] ->
            store_text(given_line, given[me] + 1);
            store(TAG, given_line, given_tag);
            given[me]++;
            owes_look = true
    }
}

inline take() {
    atomic {
        release_is_there ->
            assert(text_is(taken_line, taken[me] + 1));
            must_work = false;
            taken[me]++
    }
}

/* Before it sleeps, a side shows the peer everything that the peer must know. */
inline settle() {
#ifndef KEEPS_CURSOR
    atomic {
        if
        :: shown != handled[me] -> show_consumed()
        :: else
        fi
    };
#endif
    if
#ifndef KEEPS_BATCH
    :: owes_look -> publish_fence(); owes_look = false; owes_room_look = false; ring_for(ANY)
    :: !owes_look && owes_room_look -> room_fence(); owes_room_look = false; ring_for(ROOM)
#else
    :: owes_room_look -> room_fence(); owes_room_look = false; ring_for(ROOM)
#endif
    :: else
    fi
}

/* Also while the flag is up, if there is a new event to wait for: that is a new episode. */
inline raise_flag() {
    atomic {
        episode = (episode + 2) % EPISODES;
        store(ASLEEP, 0, episode + 1 | (wants_room[me] -> ROOM : 0))
    };
    sleep_fence()
}

/* The number stays: only raising makes a new one. */
inline lower_flag() {
    store(ASLEEP, 0, episode)
}

/* A frame that it finds must be handled before the side sleeps again: otherwise a run could be infinite. */
inline second_look() {
#ifndef NO_SECOND_LOOK
    atomic {
        if
        :: listens && frame_is_there -> must_work = true
        :: else
        fi
    };
    atomic {
        if
        :: wants_room[me] && has_room -> must_work = true
        :: else
        fi
    };
    atomic {
        if
        :: release_is_there -> must_work = true
        :: else
        fi
    };
#endif
#ifdef EATS_DOORBELL
    if
    :: !must_work && bells[me] > 0 -> receive()
    :: else
    fi;
#endif
    skip
}

proctype side(byte me) {
    byte episode; /* of the side's own asleep word */
    byte rung;    /* the peer's asleep word when this side rang last */
    byte seen;    /* the peer's asleep word; 0: no side to ring */
    byte shown;   /* the last stored value of `consumed` */
    byte timeouts;
    bool owes_look, owes_room_look, must_work;

    {
        do
        :: publish(true)
        :: want_room()
        :: end_batch()
        :: handle()
#if LEASES
        :: give()
        :: take()
#endif
#ifdef READS_AWAKE
        :: bells[me] > 0 -> receive()
#endif
        :: me == SPINNER && closed[PEER] -> break
        :: may_sleep ->
            settle();
            raise_flag();
            second_look();
            is_asleep[me] = true;
            do /* poll(), unless there is an event already */
            :: atomic { must_work -> is_asleep[me] = false; lower_flag() };
                break
            :: atomic { !must_work && bells[me] > 0 -> is_asleep[me] = false; lower_flag() };
                receive();
                break
            :: atomic { !must_work && bells[me] == 0 && closed[PEER] -> is_asleep[me] = false };
                goto hung_up
            :: atomic { !must_work && timeouts < TIMEOUTS -> timeouts++; is_asleep[me] = false; lower_flag() };
                break
#ifdef LOOP
            :: publish(!wants_room[me]) /* otherwise it waits to be woken */
            :: end_batch()
            :: want_room();
#ifndef NO_REARM
                raise_flag();
                second_look()
#endif
#endif
            od
        od;
hung_up:
#ifndef NO_LAST_LOOK
        do
        :: atomic { frame_is_there -> assert(text_is(in_line, in_text)); handled[me]++ }
        :: else -> break
        od;
#endif
        has_ended[me] = true
    }
#ifdef CRASH
    unless {
        is_dying[me];
        fence();
        closed[me] = true
    }
#endif
}

#ifdef CRASH
active proctype killer() {
    if
    :: is_dying[0] = true
    :: is_dying[1] = true
    :: true
    fi
}
#endif

/* --- the judge --- */

inline judge_side(me) {
    if
    :: closed[me]
    :: closed[PEER] ->
        assert(has_ended[me]);
        assert(handled[me] == sent[PEER])
    :: else ->
        assert(is_asleep[me] || me == SPINNER);
        assert(handled[me] == sent[PEER]);
        assert(taken[me] == given[PEER]);
        assert(!wants_room[me])
    fi
}

active proctype judge() {
    timeout ->
        d_step {
            judge_side(0);
            judge_side(1)
        }
}

init {
    atomic {
        run drain(0);
        run drain(1);
        run side(0);
        run side(1)
    }
}
