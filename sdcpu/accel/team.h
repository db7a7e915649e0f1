// The threads that compute one operation together, and how they share its work.
//
// Work is taken in pieces that shrink towards the end, not in equal halves: a thread whose core is busy with
// another process takes fewer of them, and the others do not wait for it. Which thread does what never changes
// a result (kernels.h).
#pragma once

#include "kernels/kernels.h"

namespace sdcpu {

// Takes pieces of [0, total): while (share.take(piece)) work on piece.
class Share {
  public:
    Share(struct WorkCounter *counter, int threads, int64_t total, int64_t least);
    bool take(Range &piece);

  private:
    WorkCounter *counter; // null: one thread takes all
    int threads;
    int64_t total, least, taken = 0;
};

// One thread's view of the operation that it computes.
class Team {
  public:
    using Wait = void (*)(void *);

    // Begins the next operation of this thread in the running graph.
    Team(int index, int count, Wait wait_for_all, void *waiting_room);

    int index, count;

    // Shares `total` items in pieces of at least `least`. Every thread must ask for the same shares in the same order.
    Share share(int64_t total, int64_t least = 1);
    // Waits until all threads are here.
    void wait();
    // Memory that all threads see, until the operation ends; of any former content. Waits for all threads.
    void *shared_memory(size_t bytes);

    // Forgets what was shared: before each graph, by one thread.
    static void begin_graph();

  private:
    Wait wait_for_all;
    void *waiting_room;
    struct WorkCounter *next_counter, *last_counter;
};

} // namespace sdcpu
