/* SPDX-License-Identifier: MIT */
/*
 * Cap'n Proto's RPC over a Unix socket. Payloads are built in the outgoing message, with a size that is given
 * beforehand, and read in place. The one-way case is its streaming call, which has flow control. In the spinning mode
 * its event loop is polled.
 */
#include "peer_capnp.capnp.h"

#include <atomic>
#include <capnp/rpc-twoparty.h>
#include <cerrno>
#include <kj/async-io.h>
#include <stdatomic.h>

extern "C" {
#include "peer.h"
#include "work.h"
}

namespace {

constexpr uint64_t UNLIMITED = uint64_t(1) << 60;
constexpr uint64_t STREAM_BURST = 64;        /* small calls that are sent between two checks of the flow control */
constexpr size_t DATA_MAX = size_t(1) << 29; /* bytes: the largest size in a pointer of Cap'n Proto */

capnp::MessageSize room_for(size_t size) {
    return {size / sizeof(capnp::word) + 32, 0};
}

class Server final : public Bench::Server {
  public:
    explicit Server(struct cell *cell) : cell(cell) {}

    kj::Promise<void> call(CallContext context) override {
        read(context.getParams().getPayload());
        context.releaseParams();
        auto payload = context.getResults(room_for(cell->reply)).initPayload(unsigned(cell->reply));
        cell_write(cell, payload.begin(), cell->reply);
        return kj::READY_NOW;
    }

    kj::Promise<void> send(SendContext context) override {
        read(context.getParams().getPayload());
        cell_arrived(cell);
        return kj::READY_NOW;
    }

  private:
    void read(capnp::Data::Reader payload) {
        KJ_REQUIRE(payload.size() == cell->size);
        cell_read(cell, payload.begin(), cell->size);
    }

    struct cell *cell;
};

template <typename Promise> auto wait_for(const struct cell *cell, Promise &&promise, kj::WaitScope &scope) {
    while (cell->mode == WORK_SPIN && !promise.poll(scope))
        ;
    return promise.wait(scope);
}

void call_once(struct cell *cell, Bench::Client &server, kj::WaitScope &scope) {
    auto request = server.callRequest(room_for(cell->size));
    cell_write(cell, request.initPayload(unsigned(cell->size)).begin(), cell->size);
    auto payload = wait_for(cell, request.send(), scope).getPayload();
    KJ_REQUIRE(payload.size() == cell->reply);
    cell_read(cell, payload.begin(), cell->reply);
}

kj::Promise<void> send_once(struct cell *cell, Bench::Client &server) {
    auto request = server.sendRequest(room_for(cell->size));
    cell_write(cell, request.initPayload(unsigned(cell->size)).begin(), cell->size);
    return request.send();
}

void send_all(struct cell *cell, Bench::Client &server, kj::WaitScope &scope) {
    uint64_t burst = cell->size <= 4096 ? STREAM_BURST : 1;
    for (uint64_t sent = 1; cell_next(cell); sent++) {
        auto may_go_on = send_once(cell, server);
        if (sent % burst == 0)
            wait_for(cell, kj::mv(may_go_on), scope);
    }
    while (!cell_all_arrived(cell))
        scope.poll();
}

using capnp::rpc::twoparty::Side;

/* A connection and its event loop. */
struct Wire {
    Wire(int fd, Side side)
        : io(kj::setupAsyncIo()), stream(io.lowLevelProvider->wrapSocketFd(fd)), network(*stream, side, unlimited()) {}

    static capnp::ReaderOptions unlimited() {
        capnp::ReaderOptions options;
        options.traversalLimitInWords = UNLIMITED;
        return options;
    }

    kj::AsyncIoContext io;
    kj::Own<kj::AsyncIoStream> stream;
    capnp::TwoPartyVatNetwork network;
};

int serve(struct cell *cell) {
    Wire wire(peer_pair[PEER_SERVER], Side::SERVER);
    cell_ready(cell);
    auto rpc = capnp::makeRpcServer(wire.network, kj::heap<Server>(cell));
    wait_for(cell, wire.network.onDisconnect(), wire.io.waitScope);
    return 0;
}

int measure(struct cell *cell) {
    if (cell->size >= DATA_MAX)
        return -EMSGSIZE;
    Wire wire(peer_pair[PEER_CLIENT], Side::CLIENT);
    auto rpc = capnp::makeRpcClient(wire.network);
    capnp::MallocMessageBuilder address;
    auto other = address.initRoot<capnp::rpc::twoparty::VatId>();
    other.setSide(Side::SERVER);
    auto server = rpc.bootstrap(other).castAs<Bench>();
    if (cell->kind == WORK_ONEWAY)
        send_all(cell, server, wire.io.waitScope);
    else
        while (cell_next(cell))
            call_once(cell, server, wire.io.waitScope);
    if (cell->kind == WORK_IDLE)
        wire.network.onDisconnect().wait(wire.io.waitScope);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    static const struct adapter adapter = {.system = "capnproto",
                                           .cases = WORK_ROUNDTRIP | WORK_ONEWAY | WORK_IDLE,
                                           .modes = WORK_SPIN | WORK_SLEEP,
                                           .variants = nullptr,
                                           .fan_in = false,
                                           .prepare = peer_make_pair,
                                           .serve = serve,
                                           .measure = measure,
                                           .shared = nullptr};
    return work_main(argc, argv, &adapter, 1);
}
