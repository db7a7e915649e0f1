#include "memory.h"

#include <cstdint>
#include <cstdlib>

#include "kernels/kernels.h"
#include "platform.h"

namespace sdcpu {

namespace {
constexpr size_t huge_page = 2 << 20;
constexpr size_t page = 4096;
} // namespace

void use_huge_pages(void *data, size_t bytes) {
    const auto start = reinterpret_cast<uintptr_t>(data);
    const uintptr_t first = (start + page - 1) / page * page, last = (start + bytes) / page * page;
    if (last > first && last - first > 2 * huge_page)
        advise_huge_pages(reinterpret_cast<void *>(first), last - first);
}

Memory::~Memory() { free_aligned(start); }

void Memory::grow(size_t bytes) {
    if (bytes <= size) return;
    free_aligned(start);
    size = (bytes + huge_page - 1) / huge_page * huge_page;
    start = allocate_aligned(huge_page, size);
    if (!start) std::abort(); // ggml ends the process as well when memory is missing in the middle of a graph
    advise_huge_pages(start, size);
}

void *thread_scratch(Scratch purpose, size_t bytes) {
    static thread_local Memory memories[static_cast<size_t>(Scratch::count)];
    Memory &memory = memories[static_cast<size_t>(purpose)];
    memory.grow(bytes);
    return memory.data();
}

} // namespace sdcpu
