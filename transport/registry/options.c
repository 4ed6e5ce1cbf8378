/* SPDX-License-Identifier: MIT */
/* Options and other structs of the caller's size. See options.h. */
#include "registry/options.h"

#include <errno.h>
#include <string.h>

#define OLDER "fields are set that this library does not know; it is older than the program"
static const char TOO_LARGE[] = "size: " OLDER, METHOD_TOO_LARGE[] = "method_size: " OLDER;

static bool is_zero(const void *bytes, size_t size) {
    const char *byte = bytes;
    for (size_t i = 0; i < size; i++)
        if (byte[i])
            return false;
    return true;
}

/* Each option struct begins with its size. */
static int take(const void *given, size_t first, void *ret, size_t known, const char **ret_why) {
    size_t size = first;
    memset(ret, 0, known);
    if (!given)
        return 0;
    if (*(const size_t *) given)
        size = *(const size_t *) given;
    if (size < sizeof(size_t))
        return *ret_why = "size: smaller than itself", -EINVAL;
    if (size > known && !is_zero((const char *) given + known, size - known))
        return *ret_why = TOO_LARGE, -E2BIG;
    memcpy(ret, given, size < known ? size : known);
    *(size_t *) ret = known;
    return 0;
}

int ctx_options_take(const sea_ctx_options *given, sea_ctx_options *ret_options, const char **ret_why) {
    return take(given, CTX_OPTIONS_FIRST_SIZE, ret_options, sizeof(*ret_options), ret_why);
}

int pool_options_take(const sea_pool_options *given, sea_pool_options *ret_options, const char **ret_why) {
    return take(given, POOL_OPTIONS_FIRST_SIZE, ret_options, sizeof(*ret_options), ret_why);
}

static const char NO_METHOD_SIZE[] =
    "methods: several need method_size: write SEA_METHODS(array), or method_size = sizeof(sea_method)";

static int methods_take(sea_options *options, const char **ret_why) {
    if (options->methods_count > 0 && !options->methods)
        return *ret_why = "methods: NULL, while methods_count is not 0", -EINVAL;
    if (!options->method_size && options->methods_count > 1)
        return *ret_why = NO_METHOD_SIZE, -EINVAL;
    if (!options->method_size)
        options->method_size = METHOD_FIRST_SIZE;
    if (options->method_size < METHOD_FIRST_SIZE || options->method_size % sizeof(uint64_t))
        return *ret_why = "method_size: not the size of a sea_method", -EINVAL;
    for (size_t i = 0; options->method_size > sizeof(sea_method) && i < options->methods_count; i++)
        if (!is_zero(method_at(options, i) + 1, options->method_size - sizeof(sea_method)))
            return *ret_why = METHOD_TOO_LARGE, -E2BIG;
    return 0;
}

static int lists_check(const sea_options *options, const char **ret_why) {
    const char *missing = options->users_count > 0 && !options->users     ? "users: NULL, while users_count is not 0"
                          : options->groups_count > 0 && !options->groups ? "groups: NULL, while groups_count is not 0"
                                                                          : NULL;
    return missing ? *ret_why = missing, -EINVAL : 0;
}

int conn_options_take(const sea_options *given, sea_options *ret_options, const char **ret_why) {
    int r = take(given, CONN_OPTIONS_FIRST_SIZE, ret_options, sizeof(*ret_options), ret_why);
    if (r == 0)
        r = lists_check(ret_options, ret_why);
    return r == 0 ? methods_take(ret_options, ret_why) : r;
}

void sized_copy(const void *from, size_t known, void *ret, size_t size) {
    size_t copied = size < known ? size : known;
    memcpy(ret, from, copied);
    memset((char *) ret + copied, 0, size - copied);
}
