/* SPDX-License-Identifier: MIT */
/* memory/size_class: the sizes of blocks, and the choice of the free block that goes out next. */
#include "support/suite.h"
#include "unit/valgrind.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/size_class.h"

#define KIB ((size_t) 1 << 10)
#define MIB ((size_t) 1 << 20)

/* --- sizes --- */

/* Returns whether its class is the smallest that has room, and wastes less than a quarter. */
static bool fits(size_t size) {
    uint32_t number = size_class_number(size);
    size_t stride = size_class_stride(number);
    return number < SIZE_CLASS_COUNT && stride >= size && size_class_number(stride) == number &&
           (number == 0 || (size_class_stride(number - 1) < size && stride - size < (size + 3) / 4));
}

/* Asserts only on failure: each assertion of Check is a system call, and there are many. */
static void assert_fits(size_t size) {
    if (!fits(size))
        ck_abort_msg("%zu bytes: class %u of %zu", size, size_class_number(size),
                     size_class_stride(size_class_number(size)));
}

START_TEST(test_every_size_has_its_class) {
    for (size_t size = 0; size <= 70000; size++)
        assert_fits(size);
    for (size_t size = 70000; size < SIZE_CLASS_LARGEST - size / 3; size += size / 97 + 1)
        assert_fits(size);
    for (size_t size = KIB; size < SIZE_CLASS_LARGEST; size *= 2) {
        assert_fits(size - 1);
        assert_fits(size);
        assert_fits(size + 1);
    }
    assert_fits(SIZE_CLASS_LARGEST);
}
END_TEST

START_TEST(test_the_first_classes) {
    static const size_t strides[] = {1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096};
    for (uint32_t i = 0; i < 9; i++)
        ck_assert_uint_eq(size_class_stride(i), strides[i]);
    ck_assert_uint_eq(size_class_number(0), 0);
    ck_assert_uint_eq(size_class_number(1024), 0);
    ck_assert_uint_eq(size_class_number(1025), 1);
}
END_TEST

START_TEST(test_strides_are_round) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    for (uint32_t i = 0; i <= size_class_number(SIZE_CLASS_LARGEST); i++) {
        size_t stride = size_class_stride(i);
        ck_assert_uint_eq(stride % 64, 0);
        if (stride >= 2 * MIB)
            ck_assert_uint_eq(stride % page, 0);
    }
}
END_TEST

/* --- order --- */

enum { BLOCKS = 8 };
static struct size_class class;
static struct arena arenas[BLOCKS];
static struct pool_slot slots[BLOCKS];

/* Makes `blocks` blocks of 100 bytes, named 0, 1, ..., `in_each` of them in each arena, the first ones in the
 * oldest. */
static void make_class_of(uint32_t target, int blocks, int in_each) {
    memset(&class, 0, sizeof class);
    memset(slots, 0, sizeof slots);
    memset(arenas, 0, sizeof arenas);
    class.target = class.distance = target;
    for (int i = 0; i < BLOCKS; i++) {
        arenas[i].stride = 100;
        arenas[i].order = (uint64_t) i;
        arenas[i / in_each].count++;
        slots[i].arena = &arenas[i / in_each];
        slots[i].index = (uint32_t) i;
    }
    for (int i = blocks - 1; i >= 0; i--)
        size_class_add(&class, &slots[i]);
}

static void make_class(uint32_t target, int blocks) {
    make_class_of(target, blocks, 1);
}

/* Counts the spare blocks of the arenas, in order; returns -1 if one is out of place, or names another arena. */
static int count_spare(void) {
    int count = 0;
    for (const struct arena *arena = class.oldest; arena; arena = arena->spare_younger) {
        if (!arena->spare || (arena->spare_younger && arena->spare_younger->order <= arena->order))
            return -1;
        for (const struct pool_slot *slot = arena->spare; slot; slot = slot->link.next, count++)
            if (slot->arena != arena || !slot->is_free)
                return -1;
    }
    return count;
}

static void assert_class(uint32_t out, uint32_t resting, uint32_t spare) {
    ck_assert_uint_eq(class.out, out);
    ck_assert_uint_eq(class.resting.count, resting);
    ck_assert_int_eq(count_spare(), (int) spare);
    ck_assert_uint_eq(class.total, out + resting + spare);
    ck_assert(class.resting.count == 0 || class.out + class.resting.count <= class.distance);
}

/* Returns the name of the block that goes out next; -1: none does. */
static int pick(bool any) {
    struct pool_slot *slot = any ? size_class_search(&class, 100, true) : size_class_pick(&class, 100);
    return slot ? (int) slot->index : -1;
}

static void put(int name) {
    size_class_put(&class, &slots[name]);
}

START_TEST(test_a_cycle) {
    make_class(3, 5);
    for (int i = 0; i < 12; i++) {
        int name = pick(false);
        ck_assert_int_eq(name, i % 3); /* two of the five are never used */
        put(name);
    }
    assert_class(0, 3, 2);
}
END_TEST

START_TEST(test_a_distance_of_one_is_a_stack) {
    make_class(1, 3);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(pick(false), 0);
        put(0);
    }
    ck_assert_int_eq(pick(false), 0);
    ck_assert_int_eq(pick(false), 1);
    ck_assert_int_eq(pick(false), 2);
    ck_assert_int_eq(pick(true), -1);
    put(1);
    put(0);
    put(2);
    assert_class(0, 1, 2);
    ck_assert_int_eq(pick(false), 2);
    ck_assert_int_eq(pick(false), 0);
    ck_assert_int_eq(pick(false), 1);
}
END_TEST

/* The oldest arena's blocks go out first; within an arena, the block that came back last. */
START_TEST(test_the_oldest_arena_first) {
    make_class_of(1, BLOCKS, 3);
    for (int i = 0; i < BLOCKS; i++)
        ck_assert_int_eq(pick(false), i);
    put(6);
    put(4);
    put(1);
    put(5);
    put(0);
    assert_class(3, 0, 5);
    static const int order[] = {0, 1, 5, 4, 6};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(pick(false), order[i]);
    ck_assert_int_eq(pick(true), -1);
}
END_TEST

START_TEST(test_too_few_for_the_distance) {
    make_class(3, 2);
    put(pick(false));
    put(pick(false));
    ck_assert_int_eq(pick(false), -1); /* making another block is better */
    assert_class(0, 2, 0);
    ck_assert_int_eq(pick(true), 0); /* but these blocks have room */
    put(0);
    size_class_add(&class, &slots[2]);
    ck_assert_int_eq(pick(false), 2);
    put(2);
    ck_assert_int_eq(pick(false), 1);
}
END_TEST

START_TEST(test_settled_for_fewer) {
    make_class(4, 2);
    put(pick(false));
    put(pick(false));
    size_class_expect_growth(&class);
    for (int i = 0; i < 6; i++) {
        int name = pick(false);
        ck_assert_int_eq(name, i % 2);
        put(name);
    }
    size_class_add(&class, &slots[2]); /* the class goes on with its target */
    ck_assert_uint_eq(class.distance, 4);
    ck_assert_int_eq(pick(false), 2);
    put(2);
    ck_assert_int_eq(pick(false), -1);
}
END_TEST

START_TEST(test_settled_for_none) {
    make_class(4, 0);
    size_class_expect_growth(&class);
    ck_assert_uint_eq(class.distance, 1);
    ck_assert_int_eq(pick(true), -1);
    make_class(2, 5);
    for (int i = 0; i < 5; i++)
        pick(false);
    size_class_expect_growth(&class); /* more blocks than the target do not raise the target */
    ck_assert_uint_eq(class.distance, 2);
}
END_TEST

START_TEST(test_after_a_burst_few_cycle) {
    make_class(3, BLOCKS);
    for (int i = 0; i < BLOCKS; i++)
        ck_assert_int_eq(pick(false), i);
    for (int i = 0; i < BLOCKS; i++)
        put(i);
    assert_class(0, 3, BLOCKS - 3);
    for (int i = 0; i < 9; i++) {
        int name = pick(false);
        ck_assert_int_eq(name, BLOCKS - 3 + i % 3); /* the three that came back last */
        put(name);
    }
}
END_TEST

START_TEST(test_large_blocks_differ) {
    make_class(2, 3);
    arenas[1].stride = 120;
    struct pool_slot *slot = size_class_pick(&class, 110);
    ck_assert_ptr_eq(slot, &slots[1]);
    ck_assert_ptr_null(size_class_search(&class, 110, true));
    size_class_put(&class, slot);
    ck_assert_int_eq(pick(false), 0);
    put(0);
    ck_assert_ptr_eq(size_class_pick(&class, 110), &slots[1]); /* although another block has rested longer */
    ck_assert_int_eq(pick(false), 0);
    assert_class(2, 0, 1);
}
END_TEST

START_TEST(test_blocks_that_go) {
    make_class(3, 4);
    put(pick(false)); /* block 0 rests */
    size_class_remove(&class, &arenas[0], 0);
    size_class_remove(&class, &arenas[2], 0);
    assert_class(0, 0, 2);
    ck_assert_int_eq(pick(false), 1);
    ck_assert_int_eq(pick(false), 3);
    ck_assert_int_eq(pick(true), -1);
}
END_TEST

/* Removes blocks from the middle and from the end of the resting ones: the others keep their order. */
START_TEST(test_blocks_that_rest_go) {
    make_class(5, 5);
    for (int i = 0; i < 5; i++)
        pick(false);
    for (int i = 0; i < 5; i++)
        put(i);
    size_class_remove(&class, &arenas[1], 0);
    size_class_remove(&class, &arenas[4], 0);
    assert_class(0, 3, 0);
    ck_assert_int_eq(pick(true), 0);
    put(0);
    ck_assert_int_eq(pick(true), 2);
    ck_assert_int_eq(pick(true), 3);
    ck_assert_int_eq(pick(true), 0);
    ck_assert_int_eq(pick(true), -1);
}
END_TEST

/* Blocks of the arena that are out do not come back; its other blocks, spare or resting, go with it. */
START_TEST(test_an_arena_that_goes) {
    make_class_of(3, BLOCKS, 4);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(pick(false), i);
    put(4);
    put(1);
    put(5);
    put(2); /* rests */
    assert_class(2, 1, 5);
    size_class_remove(&class, &arenas[0], 2);
    ck_assert_ptr_null(arenas[0].spare);
    assert_class(0, 0, 4);
    ck_assert_int_eq(pick(false), 5);
}
END_TEST

START_TEST(test_a_target_that_changes) {
    make_class(4, 6);
    for (int i = 0; i < 8; i++)
        put(pick(false));
    assert_class(0, 4, 2);
    size_class_set_target(&class, 6);
    assert_class(0, 4, 2);
    for (int i = 0; i < 12; i++)
        put(pick(false));
    assert_class(0, 6, 0);
    size_class_set_target(&class, 7);
    ck_assert_int_eq(pick(false), -1); /* the class has too few blocks, and grows */
    size_class_set_target(&class, 2);
    assert_class(0, 2, 4); /* blocks 0 and 1, of the oldest arenas, go on resting */
    for (int i = 0; i < 6; i++) {
        int name = pick(false);
        ck_assert_int_eq(name, i % 2);
        put(name);
    }
}
END_TEST

START_TEST(test_a_target_below_the_blocks_that_are_out) {
    make_class(5, 6);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(pick(false), i);
    put(0);
    put(1);
    assert_class(3, 2, 1);
    size_class_set_target(&class, 2);
    assert_class(3, 0, 3);
    for (int i = 2; i < 5; i++)
        put(i);
    assert_class(0, 2, 4);
}
END_TEST

/* Several blocks in each arena: all blocks of the younger one become spare. */
START_TEST(test_a_smaller_target_frees_an_arena) {
    make_class_of(8, 8, 4);
    for (int i = 0; i < 8; i++)
        put(pick(false));
    put(pick(false)); /* another order of rest */
    size_class_set_target(&class, 4);
    assert_class(0, 4, 4);
    ck_assert_ptr_eq(class.oldest, &arenas[1]);
    ck_assert_ptr_null(class.oldest->spare_younger);
}
END_TEST

/* A random run against a model that knows only the rules. */
START_TEST(test_at_random) {
    unsigned seed = 7;
    int turns = is_under_valgrind() ? 500 : 20000; /* under valgrind each assertion takes long */
    make_class_of((uint32_t) _i % 10, BLOCKS, _i / 10);
    bool is_out[BLOCKS] = {false};
    for (int turn = 0; turn < turns; turn++) {
        int name = rand_r(&seed) % BLOCKS;
        if (is_out[name]) {
            put(name);
            is_out[name] = false;
        } else if ((name = pick(rand_r(&seed) % 2)) >= 0) {
            ck_assert(!is_out[name]);
            is_out[name] = true;
        }
        if (rand_r(&seed) % 50 == 0)
            size_class_set_target(&class, 1 + (uint32_t) rand_r(&seed) % 12);
        uint32_t out = 0;
        for (int i = 0; i < BLOCKS; i++)
            out += is_out[i];
        assert_class(out, class.resting.count, BLOCKS - out - class.resting.count);
    }
}
END_TEST

int main(void) {
    struct suite *s = suite_new("size_class");
    suite_add(s, test_every_size_has_its_class);
    suite_add(s, test_the_first_classes);
    suite_add(s, test_strides_are_round);
    suite_add(s, test_a_cycle);
    suite_add(s, test_a_distance_of_one_is_a_stack);
    suite_add(s, test_the_oldest_arena_first);
    suite_add(s, test_too_few_for_the_distance);
    suite_add(s, test_settled_for_fewer);
    suite_add(s, test_settled_for_none);
    suite_add(s, test_after_a_burst_few_cycle);
    suite_add(s, test_large_blocks_differ);
    suite_add(s, test_blocks_that_go);
    suite_add(s, test_blocks_that_rest_go);
    suite_add(s, test_an_arena_that_goes);
    suite_add(s, test_a_target_that_changes);
    suite_add(s, test_a_target_below_the_blocks_that_are_out);
    suite_add(s, test_a_smaller_target_frees_an_arena);
    suite_add_loop(s, test_at_random, 11, BLOCKS + 12);
    suite_add_loop(s, test_at_random, 31, BLOCKS + 32);
    return suite_run(s);
}
