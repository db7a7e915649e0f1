#include "memory.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "kernels/kernels.h"
#include "platform.h"

namespace sdcpu {

namespace {
constexpr size_t huge_page = 2 << 20;
constexpr size_t page = 4096;
constexpr size_t small_unit = 16 << 10; // a whole number of pages on every system

std::atomic<uint64_t> scratch_round{0}; // how often scratch memory was forgotten
} // namespace

void use_huge_pages(void *data, size_t bytes) {
    const auto start = reinterpret_cast<uintptr_t>(data);
    const uintptr_t first = (start + page - 1) / page * page, last = (start + bytes) / page * page;
    if (last > first && last - first > 2 * huge_page)
        advise_huge_pages(reinterpret_cast<void *>(first), last - first);
}

Memory::~Memory() { release(); }

void Memory::release() {
    if (start) free_pages(start, size);
    start = nullptr;
    size = 0;
}

void Memory::grow(size_t bytes) {
    if (bytes <= size) return;
    release();
    const size_t unit = bytes < huge_page / 4 ? small_unit : huge_page; // a huge page for a little is mostly waste
    size = (bytes + unit - 1) / unit * unit;
    start = allocate_pages(unit, size);
    if (!start) std::abort(); // ggml ends the process as well when memory is missing in the middle of a graph
    if (unit == huge_page) advise_huge_pages(start, size);
}

Memory &shared_scratch() {
    static Memory memory;
    return memory;
}

void forget_scratch() {
    shared_scratch().release();
    scratch_round.fetch_add(1, std::memory_order_relaxed);
}

void *thread_scratch(Scratch purpose, size_t bytes) {
    static thread_local Memory memories[static_cast<size_t>(Scratch::count)];
    static thread_local uint64_t round = 0;
    const uint64_t current = scratch_round.load(std::memory_order_relaxed);
    if (round != current) {
        for (Memory &memory : memories) memory.release();
        round = current;
    }
    Memory &memory = memories[static_cast<size_t>(purpose)];
    memory.grow(bytes);
    return memory.data();
}

} // namespace sdcpu
