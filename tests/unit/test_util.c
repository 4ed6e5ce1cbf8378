/* SPDX-License-Identifier: MIT */
/* util: lists, tables and arithmetic that other rooms are built on. */
#include "support/suite.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/arith.h"
#include "util/fifo.h"
#include "util/id_table.h"
#include "util/list.h"
#include "util/slot_table.h"

/* --- arith --- */

START_TEST(test_arith) {
    ck_assert_uint_eq(min_u32(3, 4), 3);
    ck_assert_uint_eq(min_u32(UINT32_MAX, 4), 4);
    ck_assert_uint_eq(min_u64(UINT64_MAX, UINT32_MAX), UINT32_MAX);
    ck_assert_uint_eq(subtract_to_zero(5, 3), 2);
    ck_assert_uint_eq(subtract_to_zero(3, 5), 0);
    ck_assert_uint_eq(subtract_to_zero(UINT64_MAX, UINT64_MAX), 0);
    ck_assert_uint_eq(round_up(0, 64), 0);
    ck_assert_uint_eq(round_up(1, 64), 64);
    ck_assert_uint_eq(round_up(64, 64), 64);
    ck_assert_uint_eq(round_up(65, 48), 96);
    ck_assert_uint_eq(round_up_u64(4097, 4096), 8192);
    ck_assert_uint_eq(round_up_u64(UINT64_MAX, 1), UINT64_MAX);
    ck_assert_uint_eq(round_up_u64(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
    ck_assert_uint_eq(round_up_u64(UINT64_MAX - 4094, 4096), UINT64_MAX);
}
END_TEST

/* --- lists --- */

struct item {
    int number;
    LIST_LINK(struct item) link;
    QUEUE_LINK(struct item) place;
    struct item *next;
};

static struct item items[5];

static void make_items(void) {
    memset(items, 0, sizeof items);
    for (int i = 0; i < 5; i++)
        items[i].number = i;
}

/* The numbers on the list, as one decimal number that begins with 9; each item's `at` is checked. */
static int list_digits(struct item **head) {
    int digits = 9;
    struct item **at = head;
    for (struct item *i = *head; i; i = i->link.next) {
        ck_assert(i->link.at == at);
        at = &i->link.next;
        digits = digits * 10 + i->number;
    }
    return digits;
}

START_TEST(test_list) {
    struct item *head = NULL;
    ck_assert(!LIST_HAS(&items[0], link));
    for (int i = 0; i < 5; i++)
        LIST_PUSH(&head, &items[i], link);
    ck_assert_int_eq(list_digits(&head), 943210);
    ck_assert(LIST_HAS(&items[0], link));
    LIST_REMOVE(&items[2], link); /* in the middle */
    ck_assert_int_eq(list_digits(&head), 94310);
    ck_assert(!LIST_HAS(&items[2], link));
    LIST_REMOVE(head, link); /* the first */
    ck_assert_int_eq(list_digits(&head), 9310);
    LIST_REMOVE(&items[0], link); /* the last */
    ck_assert_int_eq(list_digits(&head), 931);
    LIST_PUSH(&head, &items[2], link);
    ck_assert_int_eq(list_digits(&head), 9231);
    while (head)
        LIST_REMOVE(head, link);
    for (int i = 0; i < 5; i++)
        ck_assert(!LIST_HAS(&items[i], link));
}
END_TEST

START_TEST(test_list_moves) {
    struct item *head = NULL, *other = NULL;
    for (int i = 0; i < 3; i++)
        LIST_PUSH(&head, &items[i], link);
    LIST_MOVE(&other, &head, link);
    ck_assert_ptr_null(head);
    ck_assert_int_eq(list_digits(&other), 9210);
    LIST_REMOVE(other, link); /* the first, which must know its new head */
    ck_assert_int_eq(list_digits(&other), 910);
    LIST_MOVE(&head, &other, link);
    ck_assert_int_eq(list_digits(&head), 910);
    LIST_REMOVE(&items[1], link);
    LIST_REMOVE(&items[0], link);
    LIST_MOVE(&other, &head, link); /* of no item */
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(test_list_evaluates_its_arguments_once) {
    struct item *head = NULL, *next = items;
    LIST_PUSH(&head, next++, link);
    LIST_PUSH(&head, next++, link);
    ck_assert_int_eq(list_digits(&head), 910);
    LIST_REMOVE(--next, link);
    ck_assert_int_eq(list_digits(&head), 90);
    ck_assert_ptr_eq(next, &items[1]);
    LIST_REMOVE(--next, link);
    ck_assert_ptr_null(head);
}
END_TEST

START_TEST(test_chain) {
    struct item *head = NULL;
    for (int i = 0; i < 4; i++) {
        items[i].next = head;
        head = &items[i];
    }
    CHAIN_REMOVE(&head, &items[1], next);
    CHAIN_REMOVE(&head, &items[3], next);
    ck_assert_ptr_eq(head, &items[2]);
    ck_assert_ptr_eq(head->next, &items[0]);
    CHAIN_REMOVE(&head, &items[0], next);
    ck_assert_ptr_null(head->next);
    CHAIN_REMOVE(&head, &items[2], next);
    ck_assert_ptr_null(head);
}
END_TEST

/* --- queues --- */

typedef QUEUE(struct item) item_queue;

static int queue_digits(const item_queue *queue) {
    int digits = 9;
    const struct item *before = NULL;
    for (const struct item *i = queue->first; i; i = i->place.next) {
        ck_assert_ptr_eq(i->place.previous, before);
        before = i;
        digits = digits * 10 + i->number;
    }
    ck_assert_ptr_eq(queue->last, before);
    return digits;
}

START_TEST(test_queue) {
    item_queue queue = {NULL, NULL};
    QUEUE_APPEND(&queue, &items[0], place);
    QUEUE_APPEND(&queue, &items[1], place);
    QUEUE_PREPEND(&queue, &items[2], place);
    QUEUE_PREPEND(&queue, &items[3], place);
    QUEUE_APPEND(&queue, &items[4], place);
    ck_assert_int_eq(queue_digits(&queue), 932014);
    QUEUE_REMOVE(&queue, &items[0], place);
    ck_assert_int_eq(queue_digits(&queue), 93214);
    QUEUE_REMOVE(&queue, &items[3], place);
    ck_assert_int_eq(queue_digits(&queue), 9214);
    QUEUE_REMOVE(&queue, &items[4], place);
    ck_assert_int_eq(queue_digits(&queue), 921);
    QUEUE_REMOVE(&queue, &items[2], place);
    QUEUE_REMOVE(&queue, &items[1], place);
    ck_assert_int_eq(queue_digits(&queue), 9);
    QUEUE_PREPEND(&queue, &items[1], place);
    ck_assert_int_eq(queue_digits(&queue), 91);
}
END_TEST

/* --- fifo --- */

START_TEST(test_fifo_goes_round) {
    struct fifo fifo = {0, 0};
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(fifo_push(&fifo, 3), i);
    ck_assert_uint_eq(fifo.count, 3);
    ck_assert_uint_eq(fifo_pop(&fifo, 3), 0);
    ck_assert_uint_eq(fifo_pop(&fifo, 3), 1);
    ck_assert_uint_eq(fifo_push(&fifo, 3), 0);
    ck_assert_uint_eq(fifo_pop(&fifo, 3), 2);
    ck_assert_uint_eq(fifo_pop(&fifo, 3), 0);
    ck_assert_uint_eq(fifo.count, 0);
    ck_assert_uint_eq(fifo_push(&fifo, 3), 1);
}
END_TEST

/* --- ids --- */

static void widen(struct id_table *table) {
    uint32_t capacity = table->capacity ? 2 * table->capacity : 2;
    struct id_entry *entries = calloc(capacity, sizeof *entries);
    ck_assert_ptr_nonnull(entries);
    free(id_table_widen(table, entries, capacity));
}

START_TEST(test_id_table) {
    struct id_table table = {NULL, 0};
    uint32_t place = 0;
    ck_assert_ptr_null(id_table_find(&table, 0));
    ck_assert_ptr_null(id_table_find(&table, 7));
    ck_assert_ptr_null(id_table_remove(&table, 7));
    ck_assert_ptr_null(id_table_next(&table, &place));
    ck_assert(!id_table_is_free(&table, 7));
    widen(&table);
    ck_assert(id_table_is_free(&table, 7));
    id_table_put(&table, 7, &items[0]);
    ck_assert(!id_table_is_free(&table, 7));
    ck_assert(!id_table_is_free(&table, 1)); /* equal low bits */
    ck_assert_ptr_null(id_table_find(&table, 1));
    id_table_put(&table, 4, &items[1]);
    widen(&table);
    ck_assert(id_table_is_free(&table, 1));
    ck_assert_ptr_eq(id_table_find(&table, 7), &items[0]);
    ck_assert_ptr_eq(id_table_find(&table, 4), &items[1]);
    ck_assert_ptr_eq(id_table_remove(&table, 7), &items[0]);
    ck_assert_ptr_null(id_table_find(&table, 7));
    ck_assert_ptr_null(id_table_remove(&table, 7));
    ck_assert(id_table_is_free(&table, 7));
    free(table.entries);
}
END_TEST

/* Each item comes once, also when those before it are removed meanwhile. */
START_TEST(test_id_table_next) {
    struct id_table table = {NULL, 0};
    uint32_t place = 0, seen = 0;
    struct item *item;
    for (int i = 0; i < 3; i++)
        widen(&table);
    for (uint32_t id = 8; id < 13; id++)
        id_table_put(&table, id, &items[id - 8]);
    while ((item = id_table_next(&table, &place))) {
        seen |= 1u << item->number;
        if (item->number % 2)
            ck_assert_ptr_eq(id_table_take(&table, place), item);
    }
    ck_assert_uint_eq(seen, 31);
    for (uint32_t id = 8; id < 13; id++)
        ck_assert_ptr_eq(id_table_find(&table, id), id % 2 ? NULL : &items[id - 8]);
    free(table.entries);
}
END_TEST

/* --- slots --- */

struct slot {
    struct slot_head head;
    int user;
};

#define SIZE sizeof(struct slot)

static void grow(struct slot_table *table, uint32_t capacity) {
    void *slots = realloc(table->slots, capacity * SIZE);
    ck_assert_ptr_nonnull(slots);
    slot_table_add(table, SIZE, slots, capacity);
}

START_TEST(test_slot_table) {
    struct slot_table table = {.generation = 5};
    ck_assert_ptr_null(slot_table_find(&table, SIZE, 0, 5));
    ck_assert_ptr_null(slot_table_find(&table, SIZE, 1, 5));
    grow(&table, 2);
    ck_assert_uint_eq(slot_table_take(&table, SIZE), 1); /* the lowest goes first */
    ck_assert_uint_eq(slot_table_take(&table, SIZE), 2);
    ck_assert_uint_eq(table.free_first, 0);
    ((struct slot *) slot_table_at(&table, SIZE, 2))->user = 42;
    grow(&table, 4);
    ck_assert_int_eq(((struct slot *) slot_table_at(&table, SIZE, 2))->user, 42);
    ck_assert_uint_eq(slot_table_take(&table, SIZE), 3);
    ck_assert_ptr_eq(slot_table_find(&table, SIZE, 2, 5), slot_table_at(&table, SIZE, 2));
    slot_table_give(&table, SIZE, 2, 6);
    ck_assert_ptr_null(slot_table_find(&table, SIZE, 2, 5));
    ck_assert_uint_eq(slot_table_take(&table, SIZE), 2); /* the one that became free last goes first */
    ck_assert_ptr_nonnull(slot_table_find(&table, SIZE, 2, 6));
    ck_assert_ptr_null(slot_table_find(&table, SIZE, 0, 5));
    ck_assert_ptr_null(slot_table_find(&table, SIZE, 5, 5));
    free(table.slots);
}
END_TEST

START_TEST(test_slot_table_keeps_its_generation) {
    struct slot_table table = {.generation = 1};
    grow(&table, 4);
    uint32_t number = slot_table_take(&table, SIZE);
    slot_table_give(&table, SIZE, number, 9);
    free(slot_table_clear(&table, SIZE));
    ck_assert_uint_eq(table.capacity, 0);
    ck_assert_uint_eq(table.free_first, 0);
    ck_assert_ptr_null(table.slots);
    grow(&table, 1);
    ck_assert_ptr_nonnull(slot_table_find(&table, SIZE, slot_table_take(&table, SIZE), 9));
    free(table.slots);
}
END_TEST

static uint32_t slot_digits(const struct slot_table *table, const struct slot_list *list) {
    uint32_t digits = 9, before = 0;
    for (uint32_t number = list->first; number; number = slot_table_at(table, SIZE, number)->next) {
        ck_assert_uint_eq(slot_table_at(table, SIZE, number)->previous, before);
        before = number;
        digits = digits * 10 + number;
    }
    ck_assert_uint_eq(list->last, before);
    return digits;
}

START_TEST(test_slot_list) {
    struct slot_table table = {.generation = 1};
    struct slot_list list = {0, 0};
    grow(&table, 4);
    slot_list_insert(&list, &table, SIZE, 0, 1);
    slot_list_insert(&list, &table, SIZE, 1, 2);
    slot_list_insert(&list, &table, SIZE, 1, 3);
    slot_list_insert(&list, &table, SIZE, 0, 4);
    ck_assert_uint_eq(slot_digits(&table, &list), 94132);
    slot_list_remove(&list, &table, SIZE, 1);
    ck_assert_uint_eq(slot_digits(&table, &list), 9432);
    slot_list_remove(&list, &table, SIZE, 4);
    slot_list_remove(&list, &table, SIZE, 2);
    ck_assert_uint_eq(slot_digits(&table, &list), 93);
    slot_list_remove(&list, &table, SIZE, 3);
    ck_assert_uint_eq(slot_digits(&table, &list), 9);
    free(table.slots);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("util");
    suite_fixture(s, make_items, NULL);
    suite_add(s, test_arith);
    suite_add(s, test_list);
    suite_add(s, test_list_moves);
    suite_add(s, test_list_evaluates_its_arguments_once);
    suite_add(s, test_chain);
    suite_add(s, test_queue);
    suite_add(s, test_fifo_goes_round);
    suite_add(s, test_id_table);
    suite_add(s, test_id_table_next);
    suite_add(s, test_slot_table);
    suite_add(s, test_slot_table_keeps_its_generation);
    suite_add(s, test_slot_list);
    return suite_run(s);
}
