/* SPDX-License-Identifier: MIT */
/*
 * Names in the file system: the runtime directory, configuration, and lock files.
 *
 * Owns: nothing; descriptors of locks are the caller's. Touches: the file system: it makes the runtime directory and
 * lock files, and unlinks lock files and sockets; it reads the environment. Threads: any, while no thread calls
 * setenv().
 */
#ifndef SYS_PATH_H
#define SYS_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The user's directory for sockets: $XDG_RUNTIME_DIR/sealane, or /run/sealane for root without one. With `make`, it is
 * made (mode 0700) if missing. Writes it to `buf`. -ENOENT: no XDG_RUNTIME_DIR and not root · -EACCES: it belongs to
 * another user, or its owner may be a user that our user namespace does not map (sys/idmap.h), or others may write to
 * it · -ENAMETOOLONG.
 */
int path_runtime_dir(bool make, char *buf, size_t size);

/*
 * The user's own configuration file of that name: $XDG_CONFIG_HOME/sealane/NAME, or ~/.config/sealane/NAME. Writes it
 * to `buf`, whether it exists or not. -ENOENT: neither variable is set · -ENAMETOOLONG.
 */
int path_user_config(const char *name, char *buf, size_t size);

/* Opens `path` and locks it with flock, without waiting; the lock lives as long as the descriptor. A missing file is
 * made with mode 01600: the sticky bit asks cleaners of runtime directories to leave it alone. A file that its last
 * holder has unlinked meanwhile does not count as the lock. -EADDRINUSE: another process holds it. The caller owns
 * *ret_fd. Only the holder of the lock may unlink the file. So where locking itself fails (-ENOLCK, ...), an empty file
 * may stay: another process may have opened and locked even a file that we made a moment ago, and without its name a
 * third process would make and lock another one. The next holder takes the file and removes it. */
int path_lock(const char *path, int *ret_fd);

/* The identity of the file that a name names, of any type: a name may be given to another file. {0, 0} is none. */
struct path_id {
    uint64_t device, inode;
};
int path_identify(const char *path, struct path_id *ret_id); /* -ENOENT, ... */
int path_identify_fd(int fd, struct path_id *ret_id);
bool path_names(const char *path, const struct path_id *id);

/*
 * Takes a lock like path_lock(), from holders that were judged dead by a lock file and a socket. `lock_id` and
 * `socket_id` are the files that the names named then, read in this order. If both names still name them, the lock file
 * is replaced and the socket is unlinked, as one step: of several processes that do so at a time one succeeds, and no
 * process judges a new lock file by the old socket. -EADDRINUSE: another process did it. -EBUSY: another process does
 * it now, or has locked the directory.
 */
struct path_tenancy {
    const char *lock, *socket;
    struct path_id lock_id, socket_id;
};
int path_take_lock(const struct path_tenancy *judged, int *ret_fd);

/* Unlinks the file if the name still names it. -ESTALE: the name names another file. */
int path_unlink_own(const char *path, const struct path_id *id);

/* -ENOENT is no error. */
int path_unlink(const char *path);

/* Removes a socket that a dead server left: -ENOTSOCK when another type of file is there. -ENOENT is no error. */
int path_unlink_socket(const char *path);

/* The state of a path, for messages; links are followed. Returns 0, or a negative errno value. */
struct path_state {
    unsigned mode; /* permissions */
    uint32_t owner, group;
    bool is_dir, is_socket;
    bool is_writable; /* by us; of a socket: may we connect? */
};
int path_inspect(const char *path, struct path_state *ret_look);

/* The value of XDG_RUNTIME_DIR, borrowed from the environment; NULL: not set, or relative, which counts as not set. */
const char *path_runtime_base(void);

#endif
