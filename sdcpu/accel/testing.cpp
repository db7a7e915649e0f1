// A way in for the tests: computes nodes made by hand, without an engine.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "fusion.h"
#include "operations/operations.h"
#include "platform.h"
#include "variant.h"

namespace sdcpu {

namespace {

class Barrier {
  public:
    explicit Barrier(int count) : count(count) {}

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        const int round = rounds;
        if (++waiting == count) {
            waiting = 0;
            rounds++;
            all_here.notify_all();
        }
        all_here.wait(lock, [&] { return rounds != round; });
    }

  private:
    std::mutex mutex;
    std::condition_variable all_here;
    int count, waiting = 0, rounds = 0;
};

} // namespace

} // namespace sdcpu

using namespace sdcpu;

// Plans and computes `count` nodes with `threads` threads. computed[i] becomes 1 where a kernel ran, 2 where another
// operation did the work, 0 where it was left to the engine. Returns the name of the kernels.
SDCPU_EXPORTED const char *
sdcpu_accel_test_compute(const char *variant, ggml_tensor **nodes, int count, int threads, int *computed) {
    choose_kernels(variant);
    if (!active_kernels()) return variant_name();
    const std::vector<ggml_tensor *> graph(nodes, nodes + count);
    FusionPlan plan;
    plan.make(graph);
    Team::begin_graph();
    Barrier barrier(threads);
    const auto wait = [](void *room) { static_cast<Barrier *>(room)->wait(); };
    const auto work = [&](int index) {
        for (int i = 0; i < count; i++) {
            const Fusion &fusion = plan.of(nodes[i]);
            Team team(index, threads, wait, &barrier);
            const bool was_run = run_operation({*active_kernels(), team, nodes[i], fusion});
            if (index == 0) computed[i] = fusion.is_done_elsewhere ? 2 : was_run;
            barrier.wait();
        }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads; i++) others.emplace_back(work, i);
    work(0);
    for (std::thread &other : others) other.join();
    return variant_name();
}
