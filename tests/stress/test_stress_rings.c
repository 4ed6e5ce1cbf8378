/* SPDX-License-Identifier: MIT */
/*
 * Very many frames between two processes, through outboxes and the doorbell, without a lane: no frame is lost, doubled,
 * out of order or damaged, in any rhythm. And the end of either process, at any instant: every frame that the dead
 * process has published is there, and no other.
 *
 * SEALANE_STRESS_FRAMES: number of frames, instead of 100 million (fewer under tools that slow everything down).
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/random.h"
#include "support/ring_end.h"
#include "support/scale.h"
#include "support/suite.h"

#define PATIENCE_MS 20000
#define LOOKS_MOST 100000 /* polls before a side sleeps, where sleeping would take all the time */

static uint64_t frames_wanted(void) {
    const char *text = getenv("SEALANE_STRESS_FRAMES");
    uint64_t wanted = text ? strtoull(text, NULL, 10) : scaled(100000000);
    return wanted > 0 ? wanted : 1;
}

/* --- frames with a number --- */

static uint64_t mixed(uint64_t number) { /* the finalizer of SplitMix64 */
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* Returns the size of frame `number`: seven in eight have one line, the others 2 to 16. */
static uint32_t frame_size(uint64_t number) {
    uint64_t chance = mixed(number);
    if (chance & 7)
        return 8 + 8 * (uint32_t) (chance >> 8 & 3);
    return LINE_FIRST_BYTES + 8 + 8 * (uint32_t) ((chance >> 8) % (15 * LINE_MORE_BYTES / 8 - 1));
}

/* `tag` is the one of the next lap. Words that may lie in the place of a tag look like a frame of that lap. */
static void frame_fill(uint64_t number, uint32_t size, uint32_t tag, uint64_t words[]) {
    for (uint32_t i = 0; i < size / 8; i++)
        words[i] =
            i % LINE_WORDS == LINE_FIRST_WORD ? (uint64_t) WIRE_CALL << 32 | tag : mixed(number + ((uint64_t) i << 40));
}

#define FRAME_WORDS ((LINE_FIRST_BYTES + 15 * LINE_MORE_BYTES) / 8)

static void frame_write(struct ring_end *end, uint64_t number, uint32_t size) {
    uint64_t bytes[FRAME_WORDS], words[LINE_WORDS];
    const struct wire_message message = {.payload_size = size, .payload_class = WIRE_CLASS_INLINE};
    frame_fill(number, size, ring_tag(end->out.tail, end->out.shift) + 1, bytes);
    line_encode(words, WIRE_CALL, number, &message);
    ring_write(&end->out, words, bytes, size);
}

/* Reads the next frame, which must be frame `number`. */
static void frame_read(struct ring_end *end, uint64_t number) {
    uint64_t wanted[FRAME_WORDS] = {0}, bytes[FRAME_WORDS], words[LINE_WORDS];
    struct wire_frame frame;
    uint32_t size, wanted_size = frame_size(number);
    ring_peek(&end->in, words);
    const char *wrong = line_decode(words, &frame, &size);
    if (wrong || frame.head.id != number || size != wanted_size)
        ck_abort_msg("frame %llu of %u bytes: %s, id %llu, %u bytes", (unsigned long long) number, wanted_size,
                     wrong ? wrong : "", (unsigned long long) frame.head.id, size);
    ring_collect(&end->in, bytes, size);
    frame_fill(number, size, ring_tag(end->in.head, end->in.shift) + 1, wanted);
    if (memcmp(bytes, wanted, size) != 0)
        ck_abort_msg("frame %llu of %u bytes: damaged", (unsigned long long) number, size);
    if (ring_advance(&end->in, line_count(size)))
        ring_end_ring(end, DOORBELL_ROOM);
}

/* --- the two processes --- */

struct side {
    struct outbox own, theirs;
    struct ring_end end;
    uint64_t state;
    int wake_fd; /* owned */
};

/* Both processes call this together: each hands its outbox out, and takes the other's. The doorbell is a socket of a
 * pair that was made before the fork. */
static void side_init(struct side *side, int line, int wake_fd, uint32_t lines, uint64_t seed) {
    const char *why = "";
    int fd = -1;
    *side = (struct side){.theirs = OUTBOX_EMPTY, .state = seed, .wake_fd = wake_fd};
    ck_assert_int_eq(outbox_new(&side->own, lines, OUTBOX_RELEASES_LEAST), 0);
    ck_assert(line_tell_fd(line, side->own.fd));
    ck_assert(line_hear_fd(line, PATIENCE_MS, &fd));
    ck_assert_msg(outbox_open(&side->theirs, fd, &why) == 0, "%s", why);
    ring_end_init(&side->end, &side->own, &side->theirs, side->wake_fd);
}

static void side_deinit(struct side *side) {
    outbox_deinit(&side->own);
    outbox_deinit(&side->theirs);
    close(side->wake_fd);
}

/* Settings that both processes have from before the fork. */
static struct {
    uint64_t frames;
    uint32_t lines;
    uint32_t looks_most; /* polls before a side sleeps */
    uint64_t seed;
    shared64 *published; /* the writer's own count, which both processes share and trust */
} scene;

/* Does other work for a while, now and then, so that the other end sleeps. */
static void rest(uint64_t *state) {
    if (random_below(state, 2))
        sched_yield();
    else
        usleep(random_below(state, 100));
}

/* Mostly polls until a frame comes, because sleep takes the time here; now and then sleeps early. */
static void side_wait(struct side *side, uint32_t wants) {
    uint32_t looks = random_below(&side->state, random_below(&side->state, 16) ? scene.looks_most : 64);
    for (; looks > 0; looks--) {
        if (ring_end_has(&side->end, wants))
            return;
        if (looks % 64 == 0)
            sched_yield();
        shared_pause();
    }
    ring_end_sleep(&side->end, wants);
}

/* These two functions make no ck_assert() that passes: Check records each one in a file that a killed process would
 * spoil. */

/* Writes in batches of random size, one doorbell for each batch. Returns the number of the first frame that was not
 * written. */
static uint64_t write_all(struct side *side, uint64_t frames) {
    struct ring_end *end = &side->end;
    uint64_t number = 0;
    while (number < frames && !end->is_gone) {
        for (uint32_t batch = 1 + random_below(&side->state, 64); batch > 0 && number < frames; batch--) {
            uint32_t size = frame_size(number);
            int room = ring_has_room(&end->out, line_count(size));
            if (room < 0)
                ck_abort_msg("a cursor without sense, after %llu frames", (unsigned long long) number);
            if (room == 0) {
                ring_end_ring(end, DOORBELL_FRAMES);
                side_wait(side, DOORBELL_ROOM);
                break;
            }
            frame_write(end, number++, size);
            shared64_store_release(scene.published, number); /* [STRESS1], partner in count_published() */
            end->doorbell.due |= DOORBELL_FRAMES;
        }
        ring_end_ring(end, 0);
        if (end->is_lost)
            ck_abort_msg("the writer waits for ever, after %llu frames", (unsigned long long) number);
        if (random_below(&side->state, 4096) == 0)
            rest(&side->state);
    }
    return number;
}

static uint64_t count_published(void) {
    return shared64_load_acquire(scene.published); /* [STRESS1], partner in write_all() */
}

/* Reads frames until there are `frames` of them, or until the writer is gone and everything is read. Returns their
 * number. */
static uint64_t read_all(struct side *side, uint64_t frames) {
    struct ring_end *end = &side->end;
    uint64_t number = 0;
    while (number < frames) {
        bool is_last_look = end->is_gone; /* all its frames came before its end */
        while (number < frames && ring_has_frame(&end->in)) {
            frame_read(end, number++);
            if (random_below(&side->state, 1 << 16) == 0)
                rest(&side->state);
        }
        if (is_last_look)
            break;
        if (number < frames)
            side_wait(side, 0);
        if (end->is_lost)
            ck_abort_msg("the reader waits for ever, after %llu frames", (unsigned long long) number);
    }
    ring_end_finish(end);
    return number;
}

static int bells[2];

static int run_writer(int line, void *arg) {
    struct side side;
    (void) arg;
    int wake_fd = -1;
    ck_assert(line_hear_fd(line, PATIENCE_MS, &wake_fd));
    side_init(&side, line, wake_fd, scene.lines, scene.seed);
    uint64_t written = write_all(&side, scene.frames);
    printf("# writer: slept %llu times, rang %llu times\n", (unsigned long long) side.end.arms,
           (unsigned long long) side.end.rung);
    bool is_told = line_tell(line, side.end.arms) && line_tell(line, side.end.rung);
    side_deinit(&side);
    return written == scene.frames && is_told ? 0 : 1;
}

static int run_reader(int line, void *arg) {
    struct side side;
    (void) arg;
    int wake_fd = -1;
    ck_assert(line_hear_fd(line, PATIENCE_MS, &wake_fd));
    side_init(&side, line, wake_fd, scene.lines, scene.seed);
    read_all(&side, UINT64_MAX);
    side_deinit(&side);
    return 0;
}

static void scene_set(struct child *child, struct side *side, child_run *run, uint32_t lines, uint64_t frames,
                      uint64_t seed) {
    scene.frames = frames;
    scene.lines = lines;
    scene.seed = seed;
    scene.published = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(scene.published, MAP_FAILED);
    child_start(child, run, NULL);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, bells), 0);
    ck_assert(line_tell_fd(child->line, bells[1]));
    close(bells[1]);
    side_init(side, child->line, bells[0], lines, seed + 1);
}

static void scene_end(struct side *side) {
    side_deinit(side);
    munmap(scene.published, 4096);
}

/* --- the tests --- */

static const struct {
    uint32_t lines, percent, looks_most;
} bulks[] = {{16384, 70, LOOKS_MOST}, {256, 20, LOOKS_MOST}, {64, 9, LOOKS_MOST}, {128, 1, 16}};

START_TEST(test_very_many_frames) {
    struct child child;
    struct side side;
    struct timespec from, to;
    uint64_t frames = frames_wanted() * bulks[_i].percent / 100 + 1, arms = 0, rung = 0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    scene.looks_most = bulks[_i].looks_most;
    scene_set(&child, &side, run_writer, bulks[_i].lines, frames, 1000 + (uint64_t) _i);
    ck_assert_uint_eq(read_all(&side, frames), frames);
    ck_assert(line_hear(child.line, PATIENCE_MS, &arms) && line_hear(child.line, PATIENCE_MS, &rung));
    ck_assert_int_eq(child_end(&child, PATIENCE_MS), 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ck_assert(!ring_has_frame(&side.end.in)); /* no further frame */
    ck_assert_uint_eq(count_published(), frames);
    ck_assert_uint_le(rung, side.end.arms); /* at most one doorbell for each episode, in either direction */
    ck_assert_uint_le(side.end.rung, arms);
    printf("# %llu frames in %ld s, the reader slept %llu times\n", (unsigned long long) frames,
           (long) (to.tv_sec - from.tv_sec), (unsigned long long) side.end.arms);
    scene_end(&side);
}
END_TEST

/* The writer dies between any two instructions: the reader sees every frame that it published, complete and in
 * order. It may have died after it published a frame and before it counted the frame. */
START_TEST(test_the_writer_is_killed) {
    scene.looks_most = 1000;
    uint64_t state = 4711, deaths = scaled(200);
    for (uint64_t i = 0; i < deaths; i++) {
        struct child child;
        struct side side;
        scene_set(&child, &side, run_writer, 64u << random_below(&state, 3), UINT64_MAX / 2, 5000 + i);
        uint64_t first = read_all(&side, random_below(&state, 3000)), second;
        child_kill(&child);
        for (second = 0; ring_has_frame(&side.end.in); second++)
            frame_read(&side.end, first + second);
        uint64_t published = count_published();
        ck_assert_msg(first + second == published || first + second == published + 1, "%llu read, %llu published",
                      (unsigned long long) (first + second), (unsigned long long) published);
        while (!side.end.is_gone)
            ring_end_sleep(&side.end, 0); /* and the writer's end is reported */
        ck_assert(!side.end.is_lost);
        scene_end(&side);
    }
}
END_TEST

/* The reader dies: the writer notices when it waits for room, and no state that the reader left blocks it. */
START_TEST(test_the_reader_is_killed) {
    scene.looks_most = 1000;
    uint64_t state = 815, deaths = scaled(200);
    for (uint64_t i = 0; i < deaths; i++) {
        struct child child;
        struct side side;
        scene_set(&child, &side, run_reader, 64u << random_below(&state, 3), 0, 9000 + i);
        uint64_t written = write_all(&side, random_below(&state, 3000));
        child_kill(&child);
        ck_assert_int_ge(ring_has_room(&side.end.out, 1), 0);
        while (!side.end.is_gone) {
            while (ring_has_room(&side.end.out, 16) == 1)
                frame_write(&side.end, written, frame_size(written)), written++;
            ring_end_sleep(&side.end, DOORBELL_ROOM);
        }
        ck_assert(!side.end.is_lost);
        scene_end(&side);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("stress_rings");
    suite_guard(s, 1800);
    suite_add_loop(s, test_very_many_frames, 0, (int) (sizeof bulks / sizeof *bulks));
    suite_add(s, test_the_writer_is_killed);
    suite_add(s, test_the_reader_is_killed);
    return suite_run(s);
}
