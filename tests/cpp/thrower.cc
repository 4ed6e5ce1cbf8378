// SPDX-License-Identifier: MIT
//
// Exceptions that leave handlers and callbacks: they come out of the function that drives the connection or the server,
// and both go on. A server on a thread of its own, and clients. Built and run by test_exceptions.sh; prints each error
// and exits with 1.
#include <sealane/sealane.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <unistd.h>

namespace {

enum { ECHO = 1, THROW = 2, KEEP_AND_THROW = 3, TELL = 4, HEAR = 5, DROP = 6 };

struct trouble {
    int number;
};

std::atomic<int> caught, opened, closed;
std::atomic<bool> throws_on_open, throws_on_close, is_stopping;
sea_msg *kept; // belongs to the server's thread

#define must(condition)                                                           \
    do {                                                                          \
        if (!(condition)) {                                                       \
            std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            std::fflush(stdout);                                                  \
            std::_Exit(1);                                                        \
        }                                                                         \
    } while (0)

void on_echo(sea_msg *msg, void *) {
    sea_reply(msg, sea_block_ref(sea_msg_block(msg)));
}

void on_throw(sea_msg *msg, void *) {
    sea_msg_release(msg);
    throw trouble{THROW};
}

// The handler has taken the message: the application still owns it.
void on_keep_and_throw(sea_msg *msg, void *) {
    kept = msg;
    throw trouble{KEEP_AND_THROW};
}

void on_drop(sea_msg *msg, void *) {
    must(kept);
    sea_reply_bytes(kept, "late", 4);
    kept = nullptr;
    sea_reply(msg, nullptr);
}

// Makes a handler of the client throw while the client waits for the reply.
void on_tell(sea_msg *msg, void *) {
    must(sea_send_bytes(sea_msg_conn(msg), HEAR, "x", 1, 0) == 0);
    sea_reply_bytes(msg, "told", 4);
}

void on_open(sea_conn *, void *) {
    opened++;
    if (throws_on_open)
        throw trouble{100};
}

void on_close(sea_conn *, const sea_close_event *, void *) {
    closed++;
    if (throws_on_close)
        throw trouble{101};
}

const sea_method served[] = {
    {ECHO, 0, "echo", nullptr, on_echo, nullptr, 0},
    {THROW, 0, "throw", nullptr, on_throw, nullptr, 0},
    {KEEP_AND_THROW, 0, "keep and throw", nullptr, on_keep_and_throw, nullptr, 0},
    {TELL, 0, "tell", nullptr, on_tell, nullptr, 0},
    {DROP, 0, "drop", nullptr, on_drop, nullptr, 0},
};
const sea_method heard[] = {{HEAR, 0, "hear", nullptr, on_throw, nullptr, 0}};

void serve(sea_server *server) {
    while (!is_stopping)
        try {
            int r = sea_server_run(server);
            must(r == 0); // -EDEADLK: the connection would believe that a handler is running
        } catch (const trouble &) {
            caught++;
        }
}

struct scene {
    sea_ctx *server_ctx = nullptr, *ctx = nullptr;
    sea_server *server = nullptr;
    sea_conn *conn = nullptr;
    std::thread thread;
    std::string address;
    sea_options options{};

    scene(const char *name, bool socket_only) : address(name) {
        sea_options all{};
        all.methods = served;
        all.methods_count = sizeof served / sizeof *served;
        all.method_size = options.method_size = sizeof(sea_method);
        all.on_open = on_open;
        all.on_close = on_close;
        all.socket_only = options.socket_only = socket_only;
        options.methods = heard;
        options.methods_count = 1;
        options.handshake_ms = 20000;
        is_stopping = throws_on_open = throws_on_close = false;
        caught = opened = closed = 0;
        must(sea_ctx_new(&server_ctx, nullptr) == 0 && sea_ctx_new(&ctx, nullptr) == 0);
        must(sea_server_new(&server, server_ctx, name, &all) == 0);
        thread = std::thread(serve, server);
        connect();
    }

    void connect() {
        must(sea_connect(&conn, ctx, address.c_str(), &options) == 0);
    }

    static void check_nothing_is_left(sea_ctx *which) {
        uint64_t f[SEA_FIGURES];
        sea_ctx_figures(which, f, SEA_FIGURES);
        must(f[SEA_FIGURE_CONNECTIONS] == 0 && f[SEA_FIGURE_INCOMING_CALLS] == 0 && f[SEA_FIGURE_OUTGOING_CALLS] == 0);
        must(f[SEA_FIGURE_LEASED_BLOCKS] == 0 && f[SEA_FIGURE_IMPORTED_BLOCKS] == 0 && f[SEA_FIGURE_BLOCKS] == 0 &&
             f[SEA_FIGURE_OUTBOX_BYTES] == 0);
    }

    ~scene() {
        sea_conn_free(conn);
        is_stopping = true;
        sea_server_stop(server);
        thread.join();
        sea_server_free(server);
        check_nothing_is_left(server_ctx);
        check_nothing_is_left(ctx);
        sea_ctx_unref(server_ctx);
        sea_ctx_unref(ctx);
    }

    int call(uint32_t method, size_t size, int timeout_ms = 20000) {
        sea_msg *reply = nullptr;
        std::string bytes(size, 'x');
        int r = sea_call_bytes(conn, method, bytes.data(), size, timeout_ms, &reply);
        sea_msg_release(reply);
        return r;
    }

    int call_sealed(uint32_t method, size_t size) {
        sea_block *block = nullptr;
        must(sea_block_new_sealed(&block, ctx, size, 0) == 0);
        return sea_call(conn, method, block, 20000, nullptr);
    }
};

const size_t sizes[] = {0, 5, 200, 5000, 300000};

// An exception leaves a server's handler, for each class of payload.
void handlers(scene &s) {
    int thrown = 0;
    for (int round = 0; round < 10; round++)
        for (size_t size : sizes) {
            must(s.call(THROW, size) == -ECANCELED); // the message was released without an answer
            must(s.call(ECHO, size) == 0);
            thrown++;
        }
    must(s.call_sealed(THROW, 10000) == -ECANCELED);
    must(s.call_sealed(ECHO, 10000) == 0);
    for (int i = 0; i < 100; i++) // in one turn
        must(sea_send_bytes(s.conn, THROW, "boom", 4, 20000) == 0);
    must(s.call(ECHO, 5) == 0);
    must(caught == thrown + 1 + 100);
}

void messages_that_are_kept(scene &s) {
    struct outcome {
        int status = 1;
        static void done(sea_conn *, int status, sea_msg *reply, void *user) {
            static_cast<outcome *>(user)->status = status;
            sea_msg_release(reply);
        }
    } late;
    must(sea_call_start(s.conn, KEEP_AND_THROW, nullptr, -1, outcome::done, &late, nullptr) == 0);
    must(s.call(ECHO, 5) == 0);
    must(late.status == 1);
    must(s.call(DROP, 5) == 0);
    while (late.status == 1)
        must(sea_conn_wait(s.conn, 20000) > 0);
    must(late.status == 0);
}

// An exception leaves a blocking call, through a handler of the client: no later callback writes to the call's stack
// frame.
void handlers_of_a_client_that_waits(scene &s) {
    for (int round = 0; round < 10; round++) {
        bool is_thrown = false;
        try {
            s.call(TELL, 5);
        } catch (const trouble &one) {
            is_thrown = one.number == THROW;
        }
        must(is_thrown);
        must(s.call(ECHO, 5) == 0);
    }
}

void opening(scene &s) {
    int before = caught;
    throws_on_open = true; // on the server
    sea_conn *conn = nullptr;
    must(sea_connect(&conn, s.ctx, s.address.c_str(), &s.options) == 0);
    must(sea_call_bytes(conn, ECHO, "x", 1, 20000, nullptr) == 0);
    must(caught == before + 1);
    sea_conn_free(conn);
    conn = nullptr;
    sea_options mine = s.options; // for the client: sea_connect() fails and makes no connection
    mine.on_open = on_open;
    bool is_thrown = false;
    try {
        sea_connect(&conn, s.ctx, s.address.c_str(), &mine);
    } catch (const trouble &one) {
        is_thrown = one.number == 100;
    }
    throws_on_open = false;
    must(is_thrown && !conn);
    must(s.call(ECHO, 5) == 0);
}

// An object that ends is gone, even if its callback throws.
void closing(scene &s) {
    throws_on_close = true;
    for (int round = 0; round < 5; round++) {
        int before = closed;
        sea_conn_free(s.conn);
        while (closed == before)
            usleep(1000);
        s.connect();
        must(s.call(ECHO, 5) == 0);
    }
    throws_on_close = false;
}

// Calls that end with the connection: each callback runs, though the first one throws.
void pending_calls(scene &s) {
    static int told;
    told = 0;
    auto done = [](sea_conn *, int, sea_msg *reply, void *) {
        sea_msg_release(reply);
        if (told++ == 0)
            throw trouble{7};
    };
    for (int i = 0; i < 3; i++)
        must(sea_call_start(s.conn, i ? ECHO : KEEP_AND_THROW, nullptr, -1, done, nullptr, nullptr) == 0);
    bool is_thrown = false;
    try {
        sea_conn_free(s.conn);
    } catch (const trouble &one) {
        is_thrown = one.number == 7;
    }
    must(is_thrown && told == 3);
    s.connect();
    must(s.call(DROP, 5) == 0);
}

// Functions that other threads post. The exception comes out of what drives the connection; the post behind it is run
// the next time.
struct posts {
    std::atomic<int> ran{0};

    static void post_throw(sea_conn *, int status, void *user) {
        must(status == 0);
        static_cast<posts *>(user)->ran++;
        throw trouble{200};
    }

    static void post_count(sea_conn *, int, void *user) {
        static_cast<posts *>(user)->ran++;
    }

    void leave(sea_conn *conn) {
        std::thread([&] {
            must(sea_conn_post(conn, post_throw, this) == 0);
            must(sea_conn_post(conn, post_count, this) == 0);
        }).join();
        must(ran == 0);
    }
};

void posted_functions(scene &s) {
    for (int is_call = 0; is_call < 2; is_call++) {
        posts p;
        bool is_thrown = false;
        p.leave(s.conn);
        try {
            while (p.ran == 0) // a call that is answered at once takes no turn
                is_call ? s.call(ECHO, 5) : sea_conn_wait(s.conn, 20000);
        } catch (const trouble &one) {
            is_thrown = one.number == 200;
        }
        must(is_thrown && p.ran == 1);
        must(s.call(ECHO, 5) == 0);
        while (p.ran < 2)
            must(sea_conn_wait(s.conn, 20000) >= 0);
    }
}

// The connection ends with posts that have not run: none of them is lost, though the one before it throws.
void posted_functions_at_the_end(scene &s) {
    posts p;
    p.leave(s.conn);
    bool is_thrown = false;
    try {
        sea_conn_wait(s.conn, 20000);
    } catch (const trouble &one) {
        is_thrown = one.number == 200;
    }
    must(is_thrown && p.ran == 1);
    sea_conn_free(s.conn);
    must(p.ran == 2);
    s.connect();
    must(s.call(ECHO, 5) == 0);
}

// No exception may leave a posted function that gets an error. If one does, the posts behind it run all the same, and
// the connection is gone.
void a_posted_function_that_throws_at_the_end(scene &s) {
    posts p;
    auto break_the_rule = [](sea_conn *, int status, void *) {
        must(status == -ECANCELED);
        throw trouble{202};
    };
    bool is_thrown = false;
    must(sea_conn_post(s.conn, break_the_rule, nullptr) == 0);
    must(sea_conn_post(s.conn, posts::post_count, &p) == 0);
    try {
        sea_conn_free(s.conn);
    } catch (const trouble &one) {
        is_thrown = one.number == 202;
    }
    must(is_thrown && p.ran == 1);
    s.connect();
    must(s.call(ECHO, 5) == 0);
}

void functions_posted_to_a_server(scene &s) {
    static std::atomic<int> ran;
    auto run = [](sea_server *, int status, void *user) {
        must(status == 0);
        ran++;
        if (user)
            throw trouble{201};
    };
    int before = caught;
    ran = 0;
    for (int i = 0; i < 4; i++)
        must(sea_server_post(s.server, run, i % 2 ? nullptr : &before) == 0);
    while (ran < 4)
        usleep(1000);
    must(s.call(ECHO, 5) == 0);
    must(caught == before + 2);
}

} // namespace

int main(int, char **arguments) {
    for (int socket_only = 0; socket_only < 2; socket_only++) {
        std::string address = std::string(arguments[1]) + (socket_only ? "-socket" : "-ring");
        scene s(address.c_str(), socket_only);
        handlers(s);
        messages_that_are_kept(s);
        handlers_of_a_client_that_waits(s);
        opening(s);
        closing(s);
        pending_calls(s);
        posted_functions(s);
        posted_functions_at_the_end(s);
        a_posted_function_that_throws_at_the_end(s);
        functions_posted_to_a_server(s);
    }
    return 0;
}
