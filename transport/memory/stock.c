/* SPDX-License-Identifier: MIT */
/* The stock. See stock.h. */
#include "memory/stock.h"

#include "sys/disposal.h"
#include "util/arith.h"
#include <sealane/ctx.h>

/* A form that was never used so often in a row is never made ahead. */
static const uint32_t NEEDED_MAX = UINT32_C(1) << 20;

void stock_init(struct stock *ret, struct quota *budget, struct admission *admission) {
    *ret = (struct stock){.budget = budget, .admission = admission, .needed = STOCK_NEEDED, .ready = SEALED_EMPTY};
    pthread_mutex_init(&ret->lock, NULL);
}

void stock_deinit(struct stock *stock) {
    stock_drop(stock);
    pthread_mutex_destroy(&stock->lock);
}

static bool is_equal(const struct stock_form *a, const struct stock_form *b) {
    return a->size == b->size && a->layout == b->layout && a->allow_huge == b->allow_huge;
}

static bool is_huge(const struct stock_form *form) {
    return form->layout == SEALED_PADDED ||
           (form->allow_huge && form->size >= MEMFD_HUGE_SIZE && sealed_huge_policy() != MEMFD_HUGE_NEVER);
}

/* Locked memory has a limit of its own, and hugetlb pages are scarce: neither is made in advance. */
static bool is_suitable(const struct stock *stock, const struct stock_form *form) {
    uint64_t bytes = sealed_file_size(form->size, form->layout);
    return form->size > 0 && form->layout != SEALED_HUGETLB && !(stock->admission->wishes.flags & SEA_MEMORY_LOCK) &&
           bytes <= (is_huge(form) ? STOCK_HUGE_MAX : STOCK_BASE_MAX) &&
           bytes <= stock->budget->limit[QUOTA_BYTES] / STOCK_SHARE;
}

/* Without the lock, a hint. */
static bool has_ready(const struct stock *stock) {
    return atomic_load_explicit(&stock->made_at, memory_order_relaxed) != 0;
}

/* The functions below are called under the lock. */

/* Hands the ready memory over, with its charge. */
static struct sealed steal(struct stock *stock) {
    struct sealed sealed = stock->ready;
    stock->ready = SEALED_EMPTY;
    atomic_store_explicit(&stock->made_at, 0, memory_order_relaxed);
    return sealed;
}

/* Hands it over to be freed. */
static struct sealed steal_uncharged(struct stock *stock) {
    quota_return(stock->budget, stock->charged, 1, 1);
    return steal(stock);
}

static void note_waste(struct stock *stock) {
    stock->needed = min_u32(stock->needed * 2, NEEDED_MAX);
    stock->streak = 0;
    atomic_store_explicit(&stock->is_wanted, false, memory_order_relaxed);
}

static void note_form(struct stock *stock, const struct stock_form *form, uint64_t now) {
    bool is_next = is_equal(&stock->last, form) && now - stock->last_at < STOCK_INTERVAL;
    stock->streak = is_next ? min_u32(stock->streak + 1, NEEDED_MAX) : 1;
    stock->last = *form;
    stock->last_at = now;
}

/* Is one more of the last form likely to be asked for? */
static bool has_row(const struct stock *stock) {
    return stock->streak >= stock->needed && is_suitable(stock, &stock->last);
}

/* The wish may be stale: since it was taken, another thread may have asked for another form, or made this one. */
static bool may_make(const struct stock *stock) {
    return !stock->is_making && !has_ready(stock) && has_row(stock) && wait_now() - stock->last_at < STOCK_INTERVAL;
}

/* --- */

bool stock_take(struct stock *stock, const struct stock_form *form, struct sealed *ret) {
    struct sealed wasted = SEALED_EMPTY;
    uint64_t now = wait_now();
    pthread_mutex_lock(&stock->lock);
    note_form(stock, form, now);
    bool has = has_ready(stock), fits = has && is_equal(&stock->form, form);
    if (fits) {
        *ret = steal(stock);
        stock->needed = STOCK_NEEDED;
    } else if (has) {
        wasted = steal_uncharged(stock);
        note_waste(stock);
    }
    atomic_store_explicit(&stock->is_wanted, has_row(stock), memory_order_relaxed);
    pthread_mutex_unlock(&stock->lock);
    sealed_deinit(&wasted);
    return fits;
}

/* Makes memory of the form, charged. Pages behind its end, which only a rare setting brings, are no case for the
 * stock. */
static bool make(struct stock *stock, const struct stock_form *form, struct sealed *ret, uint64_t *ret_charged) {
    uint64_t bytes = sealed_file_size(form->size, form->layout);
    struct refusal_log log;
    refusal_init(&log);
    bool is_charged = quota_charge(stock->budget, bytes, 1, 1, &log) == 0;
    refusal_deinit(&log);
    if (!is_charged)
        return false;
    bool is_made = sealed_new(ret, form->size, form->layout, form->allow_huge, stock->admission) == 0;
    if (is_made && ret->excess == 0) {
        *ret_charged = sealed_file_size(form->size, ret->layout);
        quota_return(stock->budget, bytes - *ret_charged, 0, 0);
        return true;
    }
    if (is_made)
        sealed_deinit(ret);
    quota_return(stock->budget, bytes, 1, 1);
    return false;
}

static void make_wanted(struct stock *stock) {
    struct sealed sealed = SEALED_EMPTY;
    uint64_t charged = 0;
    pthread_mutex_lock(&stock->lock);
    struct stock_form form = stock->last;
    bool is_mine = may_make(stock);
    if (is_mine)
        stock->is_making = true;
    pthread_mutex_unlock(&stock->lock);
    if (!is_mine)
        return;
    bool is_made = make(stock, &form, &sealed, &charged);
    pthread_mutex_lock(&stock->lock);
    stock->is_making = false;
    if (is_made) {
        stock->ready = sealed;
        stock->form = form;
        stock->charged = charged;
        atomic_store_explicit(&stock->made_at, wait_now(), memory_order_relaxed);
    } else {
        note_waste(stock);
    }
    pthread_mutex_unlock(&stock->lock);
}

/* Where memory waits to be freed sealed_new() might wait as well. A thread that is cancelled while it makes memory
 * would leave the charge. */
void stock_make(struct stock *stock) {
    int cancel_state;
    if (!atomic_exchange_explicit(&stock->is_wanted, false, memory_order_relaxed) || disposal_pending() > 0)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    make_wanted(stock);
    pthread_setcancelstate(cancel_state, &cancel_state);
}

bool stock_drop(struct stock *stock) {
    struct sealed sealed = SEALED_EMPTY;
    if (!has_ready(stock))
        return false;
    pthread_mutex_lock(&stock->lock);
    bool has = has_ready(stock);
    if (has)
        sealed = steal_uncharged(stock);
    pthread_mutex_unlock(&stock->lock);
    sealed_deinit(&sealed);
    return has;
}

void stock_expire(struct stock *stock) {
    struct sealed sealed = SEALED_EMPTY;
    if (!has_ready(stock) || wait_now() < stock_deadline(stock))
        return;
    pthread_mutex_lock(&stock->lock);
    if (has_ready(stock) && wait_now() >= stock_deadline(stock)) {
        sealed = steal_uncharged(stock);
        note_waste(stock);
    }
    pthread_mutex_unlock(&stock->lock);
    sealed_deinit(&sealed);
}
