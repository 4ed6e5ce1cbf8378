/* SPDX-License-Identifier: MIT */
/*
 * Intrusive lists: the links are members of the items.
 *
 * List. The head is a pointer to the first item. Any item can be removed without its head, and knows whether it is on a
 * list.
 *
 *     struct item { LIST_LINK(struct item) link; };        zeroed: on no list
 *     struct item *head = NULL;                            an empty list
 *     LIST_PUSH(&head, item, link);
 *     for (struct item *i = head; i; i = i->link.next)
 *     LIST_REMOVE(item, link);
 *     LIST_MOVE(&other, &head, link);                      the lists stay two, `head` is empty now
 *
 *     *item->link.at = item,  for each item on a list
 *
 * Queue. It has both ends, and an item can be removed from any place. A zeroed queue is empty.
 *
 *     struct item { QUEUE_LINK(struct item) link; };
 *     QUEUE(struct item) queue = {NULL, NULL};
 *     QUEUE_APPEND(&queue, item, link);
 *     QUEUE_REMOVE(&queue, item, link);
 *
 *     queue.first = NULL  <=>  queue.last = NULL
 *
 * The macros evaluate each argument once.
 *
 * Owns: nothing, and allocates nothing. Touches: the links of neighbours. Threads: the caller's lock, or one thread.
 */
#ifndef UTIL_LIST_H
#define UTIL_LIST_H

#include <stddef.h>

/* `at` is the pointer that points to the item: the head, or `next` of the item before. NULL: the item is on no list. */
#define LIST_LINK(type)   \
    struct {              \
        type *next, **at; \
    }

/* Is the item on a list? */
#define LIST_HAS(item, member) ((item)->member.at != NULL)

/* Puts an item that is on no list before the first one. */
#define LIST_PUSH(head, item, member)                          \
    do {                                                       \
        __typeof__(head) list_head = (head);                   \
        __typeof__(*list_head) list_item = (item);             \
        list_item->member.next = *list_head;                   \
        list_item->member.at = list_head;                      \
        if (*list_head)                                        \
            (*list_head)->member.at = &list_item->member.next; \
        *list_head = list_item;                                \
    } while (0)

/* Takes an item off its list. */
#define LIST_REMOVE(item, member)                                     \
    do {                                                              \
        __typeof__(&*(item)) list_item = (item);                      \
        *list_item->member.at = list_item->member.next;               \
        if (list_item->member.next)                                   \
            list_item->member.next->member.at = list_item->member.at; \
        list_item->member.at = NULL;                                  \
    } while (0)

/* Moves all items of a list to the list `to`, which is empty. */
#define LIST_MOVE(to, from, member)                        \
    do {                                                   \
        __typeof__(to) list_to = (to), list_from = (from); \
        *list_to = *list_from;                             \
        *list_from = NULL;                                 \
        if (*list_to)                                      \
            (*list_to)->member.at = list_to;               \
    } while (0)

/* Takes an item off a chain: items that are linked one way, by `next`. The chain has it. Costs a step for each item
 * before it. */
#define CHAIN_REMOVE(head, item, next)             \
    do {                                           \
        __typeof__(head) chain_at = (head);        \
        __typeof__(*chain_at) chain_item = (item); \
        while (*chain_at != chain_item)            \
            chain_at = &(*chain_at)->next;         \
        *chain_at = chain_item->next;              \
    } while (0)

#define QUEUE(type)         \
    struct {                \
        type *first, *last; \
    }

#define QUEUE_LINK(type)       \
    struct {                   \
        type *next, *previous; \
    }

/* Puts the item before the first one. */
#define QUEUE_PREPEND(queue, item, member)                 \
    do {                                                   \
        __typeof__(queue) queue_to = (queue);              \
        __typeof__(queue_to->first) queue_item = (item);   \
        queue_item->member.previous = NULL;                \
        queue_item->member.next = queue_to->first;         \
        if (queue_to->first)                               \
            queue_to->first->member.previous = queue_item; \
        else                                               \
            queue_to->last = queue_item;                   \
        queue_to->first = queue_item;                      \
    } while (0)

/* Puts the item behind the last one. */
#define QUEUE_APPEND(queue, item, member)                \
    do {                                                 \
        __typeof__(queue) queue_to = (queue);            \
        __typeof__(queue_to->first) queue_item = (item); \
        queue_item->member.next = NULL;                  \
        queue_item->member.previous = queue_to->last;    \
        if (queue_to->last)                              \
            queue_to->last->member.next = queue_item;    \
        else                                             \
            queue_to->first = queue_item;                \
        queue_to->last = queue_item;                     \
    } while (0)

/* Takes an item out of the queue that has it. */
#define QUEUE_REMOVE(queue, item, member)                                                  \
    do {                                                                                   \
        __typeof__(queue) queue_from = (queue);                                            \
        __typeof__(queue_from->first) queue_item = (item);                                 \
        __typeof__(queue_item) queue_before = queue_item->member.previous;                 \
        __typeof__(queue_item) queue_after = queue_item->member.next;                      \
        *(queue_before ? &queue_before->member.next : &queue_from->first) = queue_after;   \
        *(queue_after ? &queue_after->member.previous : &queue_from->last) = queue_before; \
    } while (0)

#endif
