/* SPDX-License-Identifier: MIT */
/* One cell of one of the floors: floors --system NAME. */
#include "floors.h"

int main(int argc, char **argv) {
    const struct adapter adapters[] = {floor_line, floor_ring, floor_shared, floor_socket, floor_memfd, floor_memory};
    return work_main(argc, argv, adapters, sizeof(adapters) / sizeof(adapters[0]));
}
