/* SPDX-License-Identifier: MIT */
/*
 * Prints all figures of a context, a connection and its pool: figures json|openmetrics [ADDRESS].
 *
 * The program names no figure. It asks the library for their descriptions, so it prints figures that were added after
 * it was compiled, too. Without ADDRESS it prints the context's figures alone.
 */
#include <sealane/sealane.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef const sea_figure *describe(unsigned i);

static size_t count_of(describe *figure) {
    size_t count = 0;
    while (figure((unsigned) count))
        count++;
    return count;
}

static void print_json(const char *object, describe *figure, const uint64_t *values, bool is_last) {
    printf("  \"%s\": {\n", object);
    for (unsigned i = 0; figure(i); i++)
        printf("    \"%s\": %llu%s\n", figure(i)->name, (unsigned long long) values[i], figure(i + 1) ? "," : "");
    printf("  }%s\n", is_last ? "" : ",");
}

static void print_openmetrics(const char *object, describe *figure, const uint64_t *values) {
    for (unsigned i = 0; figure(i); i++) {
        const sea_figure *f = figure(i);
        bool is_counter = f->kind == SEA_COUNTER;
        printf("# TYPE sealane_%s_%s %s\n", object, f->name, is_counter ? "counter" : "gauge");
        if (f->unit[0])
            printf("# UNIT sealane_%s_%s %s\n", object, f->name, f->unit);
        printf("# HELP sealane_%s_%s %s\n", object, f->name, f->help);
        printf("sealane_%s_%s%s %llu\n", object, f->name, is_counter ? "_total" : "", (unsigned long long) values[i]);
    }
}

static void print(bool is_json, const char *object, describe *figure, const uint64_t *values, bool is_last) {
    if (is_json)
        print_json(object, figure, values, is_last);
    else
        print_openmetrics(object, figure, values);
}

static int print_all(bool is_json, sea_ctx *ctx, sea_conn *conn) {
    size_t of_ctx = count_of(sea_ctx_figure), of_conn = count_of(sea_conn_figure), of_pool = count_of(sea_pool_figure);
    uint64_t *values = of_ctx > 0 ? calloc(of_ctx + of_conn + of_pool, sizeof *values) : NULL;
    if (!values)
        return 1;
    sea_ctx_figures(ctx, values, of_ctx);
    printf("%s", is_json ? "{\n" : "");
    print(is_json, "context", sea_ctx_figure, values, !conn);
    if (conn) {
        sea_conn_figures(conn, values + of_ctx, of_conn);
        sea_pool_figures(sea_conn_pool(conn), values + of_ctx + of_conn, of_pool);
        print(is_json, "connection", sea_conn_figure, values + of_ctx, false);
        print(is_json, "pool", sea_pool_figure, values + of_ctx + of_conn, true);
    }
    printf("%s", is_json ? "}\n" : "# EOF\n");
    free(values);
    return 0;
}

int main(int argc, char **argv) {
    bool is_json = argc > 1 && strcmp(argv[1], "json") == 0;
    sea_conn *conn = NULL;
    sea_ctx *ctx = NULL;
    if (argc < 2 || (!is_json && strcmp(argv[1], "openmetrics") != 0)) {
        fprintf(stderr, "usage: figures json|openmetrics [ADDRESS]\n");
        return 2;
    }
    int r = sea_ctx_new(&ctx, NULL);
    if (r == 0 && argc > 2)
        r = sea_connect(&conn, ctx, argv[2], NULL);
    if (r < 0)
        fprintf(stderr, "figures: %s\n", strerror(-r));
    else
        r = print_all(is_json, ctx, conn);
    sea_conn_free(conn);
    sea_ctx_unref(ctx);
    return r != 0;
}
