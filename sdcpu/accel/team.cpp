#include "team.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "memory.h"

namespace sdcpu {

// How many items of one share are taken. On its own cache line: all threads write to it.
struct alignas(64) WorkCounter {
    std::atomic<int64_t> taken{0};
};

namespace {

// Counters of the last few operations. A thread is at most one operation ahead of another, because ggml lets all
// wait between two: so the counters of the operation after the next can be cleared.
constexpr int shares_per_operation = 4;
constexpr int operations_kept = 4;
WorkCounter counters[operations_kept][shares_per_operation];

// Threads outlive graphs; each counts its operations anew in every graph.
std::atomic<uint64_t> graph_number{0};
thread_local uint64_t counted_graph = 0;
thread_local uint64_t counted_operations = 0;

void clear(WorkCounter (&row)[shares_per_operation]) {
    for (WorkCounter &counter : row) counter.taken.store(0, std::memory_order_relaxed);
}

} // namespace

Share::Share(WorkCounter *counter, int threads, int64_t total, int64_t least)
    : counter(counter), threads(threads), total(total), least(std::max<int64_t>(least, 1)) {}

bool Share::take(Range &piece) {
    if (!counter) {
        piece = {taken, total};
        taken = total;
        return piece.begin < piece.end;
    }
    int64_t begin = counter->taken.load(std::memory_order_relaxed);
    for (;;) {
        if (begin >= total) return false;
        const int64_t size = std::max(least, (total - begin) / (2 * threads));
        const int64_t end = std::min(begin + size, total);
        if (counter->taken.compare_exchange_weak(begin, end, std::memory_order_relaxed)) {
            piece = {begin, end};
            return true;
        }
    }
}

Team::Team(int index, int count, Wait wait_for_all, void *waiting_room)
    : index(index), count(count), wait_for_all(wait_for_all), waiting_room(waiting_room) {
    const uint64_t graph = graph_number.load(std::memory_order_relaxed);
    if (counted_graph != graph) {
        counted_graph = graph;
        counted_operations = 0;
    }
    const uint64_t operation = counted_operations++;
    if (index == 0) clear(counters[(operation + 2) % operations_kept]);
    next_counter = counters[operation % operations_kept];
    last_counter = next_counter + shares_per_operation;
}

Share Team::share(int64_t total, int64_t least) {
    if (count == 1) return Share(nullptr, 1, total, least);
    if (next_counter == last_counter) std::abort(); // an operation with more shares than there are counters
    return Share(next_counter++, count, total, least);
}

void Team::wait() {
    if (count > 1) wait_for_all(waiting_room);
}

void *Team::shared_memory(size_t bytes) {
    if (index == 0) shared_scratch().grow(bytes);
    wait();
    return shared_scratch().data();
}

void Team::begin_graph() {
    for (auto &row : counters) clear(row);
    graph_number.fetch_add(1, std::memory_order_relaxed);
}

} // namespace sdcpu
