/* SPDX-License-Identifier: MIT */
/* The kernel's contract on limits: facts that sys/limits, sys/memfd (new, reserve) and memory/quota rely on. */
#include "contract/kernel.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

/* fallocate() takes real pages before any access. */
START_TEST(test_reserving_takes_pages) {
    int fd = kernel_memfd(MIB);
    ck_assert_uint_eq(kernel_allocated(fd), 0);
    ck_assert_int_eq(fallocate(fd, 0, 0, MIB / 2), 0);
    ck_assert_uint_ge(kernel_allocated(fd), MIB / 2);
    ck_assert_int_eq(fallocate(fd, 0, 0, MIB), 0); /* pages that exist already are no error */
    ck_assert_uint_ge(kernel_allocated(fd), MIB);
    ck_assert_int_eq(kernel_stat(fd).st_size, MIB);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_uint_eq(kernel_allocated(fd), 0);
    close(fd);
}
END_TEST

/* fstatvfs() of a memfd reports no useful numbers. */
START_TEST(test_memfds_have_no_file_system_to_ask) {
    struct statvfs system;
    int fd = kernel_memfd(PAGE);
    ck_assert_int_eq(fstatvfs(fd, &system), 0);
    close(fd);
    ck_assert_uint_eq(system.f_blocks, 0);
    ck_assert_uint_eq(system.f_bavail, 0);
}
END_TEST

/* Mode 2 refuses memory that was not promised, with an error. In the other modes a reservation takes the memory that
 * there is, and may end in a kill: the test does not try that. */
START_TEST(test_strict_overcommit_is_an_error) {
    int mode = -1;
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
    ck_assert(file == NULL || fscanf(file, "%d", &mode) == 1);
    if (file != NULL)
        fclose(file);
    if (mode != 2)
        test_skip("vm.overcommit_memory is %d; only 2 refuses", mode);
    int fd = memfd_create("contract", MFD_CLOEXEC);
    off_t size = (off_t) 1 << 50;
    ck_assert_int_eq(ftruncate(fd, size), 0);
    ck_assert_int_eq(fallocate(fd, 0, 0, size), -1);
    ck_assert_int_eq(errno, ENOSPC);
    close(fd);
}
END_TEST

/* Runs in a child, with a limit of 10000 bytes. */
static int grow(void *arg) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 10000;
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 2;
    signal(SIGXFSZ, SIG_DFL);
    int fd = memfd_create("contract", MFD_CLOEXEC);
    return ftruncate(fd, *(off_t *) arg) == 0 ? 0 : 1;
}

/* Growing a file past the limit raises a signal that kills, and returns no error: so the library compares first. */
START_TEST(test_the_file_size_limit_kills) {
    off_t fits = 10000, too_large = 10001;
    ck_assert(kernel_child(grow, &fits));
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(grow(&too_large));
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGXFSZ);
}
END_TEST

/* The limit is the first number that is never given out. */
START_TEST(test_descriptors_end_with_emfile) {
    struct rlimit before, limit;
    int next = dup(0), last, failed, error;
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    /* all below `next` are in use; the numbers above may be, by descriptors inherited from the caller */
    limit.rlim_cur = (rlim_t) next + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    last = memfd_create("contract", MFD_CLOEXEC);
    failed = memfd_create("contract", MFD_CLOEXEC);
    error = errno;
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(last, next);
    close(last);
    ck_assert_int_eq(failed, -1);
    ck_assert_int_eq(error, EMFILE);
}
END_TEST

/* The line "MemAvailable:  123 kB" stands alone, among the first lines. */
START_TEST(test_available_memory_is_told) {
    char text[512];
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        test_skip("no /proc/meminfo");
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    const char *line = strstr(text, "\nMemAvailable:");
    ck_assert_ptr_nonnull(line);
    uint64_t kilobytes = 0;
    char unit[3] = "";
    ck_assert_int_eq(sscanf(line, "\nMemAvailable: %" SCNu64 " %2s\n", &kilobytes, unit), 2);
    ck_assert_uint_gt(kilobytes, 0);
    ck_assert_str_eq(unit, "kB");
}
END_TEST

/* The current choice stands in brackets. */
START_TEST(test_the_huge_page_policy_is_told) {
    char text[128];
    int fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        test_skip("this kernel has no huge pages for shared memory");
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    static const char *const words[] = {"[always]", "[within_size]", "[advise]", "[never]", "[deny]", "[force]"};
    int found = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        found += strstr(text, words[i]) != NULL;
    ck_assert_int_eq(found, 1);
}
END_TEST

int main(void) {
    struct suite *s = suite_new("contract_limits");
    suite_add(s, test_reserving_takes_pages);
    suite_add(s, test_memfds_have_no_file_system_to_ask);
    suite_add(s, test_strict_overcommit_is_an_error);
    suite_add(s, test_the_file_size_limit_kills);
    suite_add(s, test_descriptors_end_with_emfile);
    suite_add(s, test_available_memory_is_told);
    suite_add(s, test_the_huge_page_policy_is_told);
    return suite_run(s);
}
