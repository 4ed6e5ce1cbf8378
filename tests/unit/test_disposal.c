/* SPDX-License-Identifier: MIT */
/* sys/disposal: gives large memory back on a thread of its own, so that no caller waits for it. */
#include "support/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit/disposal_jam.h"
#include "unit/fail.h"
#include "unit/fork_asking.h"

#define PAGE ((size_t) 4096)
#define LARGE (DISPOSAL_LEAST * 2 + PAGE) /* several steps, the last one partial */

static struct disposal_jam jam;

static void before(void) {
    fail_call(INJECT_PTHREAD_CREATE, 0, 0, 0); /* counts */
}

static void after(void) {
    fail_off();
    ck_assert_uint_eq(disposal_pending(), 0);
}

static char *map_pages(size_t size) {
    char *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(data, MAP_FAILED);
    data[0] = data[size - 1] = 1;
    return data;
}

static bool is_mapped(const char *data) {
    unsigned char state;
    return mincore((void *) (uintptr_t) data, PAGE, &state) == 0;
}

/* Makes a pipe; returns its end to read from, which reports the close of the other end. */
static int pipe_end(int *ret_writer) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    *ret_writer = ends[1];
    return ends[0];
}

static bool has_ended(int reader) {
    struct pollfd item = {.fd = reader, .events = POLLIN};
    return poll(&item, 1, 0) == 1 && (item.revents & POLLHUP);
}

/* --- the memory that it takes --- */

START_TEST(test_nothing) {
    disposal_take_mapping(NULL, 0, -1);
    disposal_take_mapping(NULL, LARGE, -1);
    disposal_take_heap(NULL, 0);
    disposal_await(-1);
    disposal_unmap(NULL, 1);
}
END_TEST

/* The caller unmaps memory below the least size itself. */
START_TEST(test_small_memory_goes_at_once) {
    int writer, reader = pipe_end(&writer);
    char *data = map_pages(DISPOSAL_LEAST - PAGE);
    disposal_take_mapping(data, DISPOSAL_LEAST - PAGE, writer);
    ck_assert(!is_mapped(data) && has_ended(reader));
    disposal_take_heap(malloc(100), 100);
    ck_assert_int_eq(fail_calls(INJECT_PTHREAD_CREATE), 0);
    ck_assert(!disposal_await(-1)); /* the queue was empty */
    close(reader);
}
END_TEST

static const size_t sizes[] = {DISPOSAL_LEAST, DISPOSAL_LEAST + PAGE, LARGE, (size_t) 1 << 37};

/* The memory goes away on another thread, together with its descriptor. */
START_TEST(test_large_memory_goes_elsewhere) {
    if (sizes[_i] > LARGE && is_under_valgrind()) {
        test_skip("valgrind maps no 128 GiB");
    }
    int writer, reader = pipe_end(&writer);
    char *data = map_pages(sizes[_i]);
    disposal_take_mapping(data, sizes[_i], writer);
    ck_assert_int_eq(fail_calls(INJECT_PTHREAD_CREATE), 1);
    disposal_await(-1);
    for (size_t at = 0; at < sizes[_i]; at += (sizes[_i] - PAGE) / 8 / PAGE * PAGE)
        ck_assert(!is_mapped(data + at));
    ck_assert(!is_mapped(data + sizes[_i] - PAGE));
    ck_assert(has_ended(reader));
    disposal_take_heap(malloc(LARGE), LARGE);
    disposal_await(-1);
    close(reader);
}
END_TEST

/* Callers do not wait while the disposal's threads are stuck. The queued memory stays mapped, and goes in the end. */
START_TEST(test_callers_do_not_wait) {
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    char *data = map_pages(LARGE);
    disposal_take_mapping(data, LARGE, -1);
    ck_assert_uint_eq(disposal_pending(), JAM_DISPOSERS + 1);
    ck_assert(is_mapped(data));
    ck_assert(!disposal_await(1));
    disposal_jam_end(&jam);
    ck_assert(!is_mapped(data));
    ck_assert_int_eq(fail_calls(INJECT_PTHREAD_CREATE), JAM_DISPOSERS);
}
END_TEST

/* Adds three mappings that are disposed of at once, while another thread waits for the first mapping of all. */
static void *take_more(void *unused) {
    (void) unused;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    for (int i = 0; i < 3; i++)
        disposal_take_mapping(NULL, LARGE, -1);
    return NULL;
}

/* A caller that waits does not wait for memory that came in later, even if it goes earlier. */
START_TEST(test_a_wait_is_for_the_first_mapping) {
    pthread_t thread;
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
        return;
    }
    trap_free(&jam.traps[1]);
    ck_assert_int_eq(pthread_create(&thread, NULL, take_more, NULL), 0);
    ck_assert(!disposal_await(300));
    pthread_join(thread, NULL);
    disposal_jam_end(&jam);
}
END_TEST

/* A GiB may wait; the memory that the threads are working on does not count. */
START_TEST(test_room) {
    enum { PARTS = 4 };
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    for (int i = 0; i < PARTS; i++) {
        ck_assert(disposal_has_room());
        disposal_take_mapping(NULL, (size_t) 1 << 28, -1);
    }
    ck_assert(!disposal_has_room());
    disposal_jam_end(&jam);
    ck_assert(disposal_has_room());
}
END_TEST

/* A wait for room lasts as long as all queued memory may take. */
START_TEST(test_a_wait_for_room) {
    ck_assert_int_eq(disposal_room_ms(), DISPOSAL_AWAIT_MS);
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    ck_assert_int_eq(disposal_room_ms(), DISPOSAL_AWAIT_MS);
    disposal_take_mapping(NULL, ((size_t) 1 << 30) - JAM_DISPOSERS * DISPOSAL_LEAST, -1);
    ck_assert_int_eq(disposal_room_ms(), 5 * DISPOSAL_AWAIT_MS); /* the memory in work counts */
    disposal_take_mapping(NULL, SIZE_MAX / 4, -1);
    ck_assert_int_eq(disposal_room_ms(), 4097 * DISPOSAL_AWAIT_MS);
    disposal_jam_end(&jam);
    ck_assert(!disposal_await_room());
}
END_TEST

static void *await_all(void *is_waiting) {
    atomic_store((atomic_bool *) is_waiting, true);
    disposal_await(-1);
    return NULL;
}

/* A thread that is cancelled while it waits blocks no other thread. */
START_TEST(test_a_wait_that_is_cancelled) {
    static atomic_bool is_waiting;
    pthread_t thread;
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, await_all, &is_waiting), 0);
    while (!atomic_load(&is_waiting))
        sched_yield();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    disposal_jam_end(&jam);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

static int set_policy(pid_t thread, int policy) {
    const struct sched_param param = {.sched_priority = policy == SCHED_OTHER ? 0 : 1};
    return sched_setscheduler(thread, policy, &param);
}

/* The disposal's threads work for long. A real-time thread that brings memory must not wait for threads of its own
 * priority. */
START_TEST(test_a_real_time_thread) {
    int others = 0;
    disposal_take_mapping(NULL, LARGE, -1); /* the thread sanitizer starts a thread of its own with the first thread */
    disposal_await(-1);
    if (set_policy(0, SCHED_RR) < 0) {
        test_skip("no real-time priority: %s", strerror(errno));
    }
    bool is_jammed = disposal_jam_begin(&jam);
    ck_assert_int_eq(set_policy(0, SCHED_OTHER), 0);
    if (!is_jammed) {
        test_skip("threads hang together here");
    }
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *entry; (entry = readdir(tasks));)
        others += atoi(entry->d_name) > 0 && sched_getscheduler(atoi(entry->d_name)) != SCHED_OTHER;
    closedir(tasks);
    disposal_jam_end(&jam);
    ck_assert_int_eq(others, 0);
}
END_TEST

/* Memory beyond the queue's size is not lost. */
START_TEST(test_a_full_queue) {
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    disposal_take_mapping(NULL, ((size_t) 1 << 30) - DISPOSAL_LEAST, -1);
    while (!disposal_has_room()) /* until both threads are stuck: the memory in work does not wait */
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    size_t waiting;
    do {
        waiting = disposal_pending();
        disposal_take_mapping(NULL, LARGE, -1);
    } while (disposal_pending() > waiting);
    char *data = map_pages(LARGE);
    disposal_take_mapping(data, LARGE, -1);
    ck_assert(!is_mapped(data));
    ck_assert_uint_eq(disposal_pending(), waiting);
    disposal_jam_end(&jam);
}
END_TEST

START_TEST(test_no_thread_can_be_made) {
    fail_always(INJECT_PTHREAD_CREATE, EAGAIN);
    int writer, reader = pipe_end(&writer);
    char *data = map_pages(LARGE);
    disposal_take_mapping(data, LARGE, writer);
    ck_assert_int_eq(fail_calls(INJECT_PTHREAD_CREATE), 1);
    ck_assert(!is_mapped(data) && has_ended(reader));
    ck_assert(!disposal_await(-1));
    close(reader);
}
END_TEST

/* In a forked child the queue is empty and the disposal works; without threads in the child, which the thread
 * sanitizer does not allow. */
START_TEST(test_fork) {
    if (!disposal_jam_begin(&jam)) {
        test_skip("threads hang together here");
    }
    disposal_take_mapping(NULL, LARGE, -1);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        char *data = map_pages(LARGE);
        bool is_right = disposal_pending() == 0 && disposal_has_room() && !disposal_await(-1);
        fail_always(INJECT_PTHREAD_CREATE, EAGAIN);
        disposal_take_mapping(data, LARGE, -1);
        _exit(is_right && !is_mapped(data) ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    disposal_jam_end(&jam);
}
END_TEST

static bool is_free_in_child(void) {
    return disposal_has_room() && disposal_pending() == 0 && !disposal_await(0);
}

/* A thread asks for room while its process forks. The child must not find a lock that this thread held, also if no
 * memory was ever queued. */
START_TEST(test_fork_while_another_thread_asks) {
    fork_while_asking(disposal_has_room, is_free_in_child);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("disposal");
    suite_fixture(s, before, after);
    suite_add(s, test_nothing);
    suite_add(s, test_small_memory_goes_at_once);
    suite_add_loop(s, test_large_memory_goes_elsewhere, 0, sizeof sizes / sizeof *sizes);
    suite_add(s, test_callers_do_not_wait);
    suite_add(s, test_a_wait_is_for_the_first_mapping);
    suite_add(s, test_room);
    suite_add(s, test_a_wait_for_room);
    suite_add(s, test_a_wait_that_is_cancelled);
    suite_add(s, test_a_real_time_thread);
    suite_add(s, test_a_full_queue);
    suite_add(s, test_no_thread_can_be_made);
    suite_add(s, test_fork);
    suite_add(s, test_fork_while_another_thread_asks);
    return suite_run(s);
}
