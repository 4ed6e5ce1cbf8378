/* SPDX-License-Identifier: MIT */
/*
 * Structs that cross the public interface and may grow at their ends. The caller's struct may be older or newer than
 * this library: option structs begin with their size, and structs that the library fills come with one.
 *
 * A size of 0 is the size of the first version. Its value is written down here, by its last field, and stays for ever;
 * `sizeof` grows. So the option struct of a program that sets no size is read as far as the first version goes.
 *
 * Owns: nothing; names, methods and pointers in options stay the caller's. It checks sizes, not the meaning of fields.
 * Threads: any.
 */
#ifndef REGISTRY_OPTIONS_H
#define REGISTRY_OPTIONS_H

#include <sealane/conn.h>
#include <sealane/pool.h>

/* The size of a struct with `last` as its last field, and with the padding that follows it. */
#define OPTIONS_FIRST_SIZE(type, last) ((offsetof(type, last) + sizeof(((type *) NULL)->last) + 7) & ~(size_t) 7)

enum {
    CTX_OPTIONS_FIRST_SIZE = OPTIONS_FIRST_SIZE(sea_ctx_options, low_water_user),
    POOL_OPTIONS_FIRST_SIZE = OPTIONS_FIRST_SIZE(sea_pool_options, rotate_bytes),
    CONN_OPTIONS_FIRST_SIZE = OPTIONS_FIRST_SIZE(sea_options, pool),
    METHOD_FIRST_SIZE = OPTIONS_FIRST_SIZE(sea_method, payload_max),
};

/*
 * Copies the caller's options, of the size that they say, into structs of this library's size; missing fields become
 * zero. NULL gives defaults. On failure *ret_why is a static text, and the output is undefined. Errors: -E2BIG (a field
 * is set that this library does not know), -EINVAL (the size is smaller than its own field).
 */
int ctx_options_take(const sea_ctx_options *given, sea_ctx_options *ret_options, const char **ret_why);
int pool_options_take(const sea_pool_options *given, sea_pool_options *ret_options, const char **ret_why);

/* Also replaces the method_size of 0 of a single method by the size it stands for, and checks the methods' own sizes:
 * several methods without one are -EINVAL. `pool` stays the
 * caller's pointer. */
int conn_options_take(const sea_options *given, sea_options *ret_options, const char **ret_why);

/* Method `i` of options. Fields behind METHOD_FIRST_SIZE are there if method_size covers them. */
static inline const sea_method *method_at(const sea_options *options, size_t i) {
    size_t size = options->method_size ? options->method_size : METHOD_FIRST_SIZE;
    return (const sea_method *) (const void *) ((const char *) options->methods + i * size);
}

/* Fills the caller's struct of `size` bytes from one of `known` bytes: cuts what does not fit, and zeroes the rest. */
void sized_copy(const void *from, size_t known, void *ret, size_t size);

#endif
