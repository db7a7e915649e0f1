#include "graph.h"

#include <vector>

#include "check.h"
#include "engine.h"
#include "fusion.h"
#include "memory.h"
#include "operations/operations.h"
#include "profile.h"
#include "team.h"
#include "variant.h"

namespace sdcpu {

namespace {

// What the threads of the running graph read; null between graphs.
const FusionPlan *running = nullptr;

void wait_for_all(void *threadpool) { engine.barrier(static_cast<ggml_threadpool *>(threadpool)); }

void use_huge_pages_for(const std::vector<ggml_tensor *> &nodes) {
    const ggml_backend_buffer *last = nullptr;
    for (const ggml_tensor *t : nodes) {
        if (!t->buffer || t->buffer == last) continue;
        last = t->buffer;
        use_huge_pages(engine.buffer_start(t->buffer), engine.buffer_size(t->buffer));
    }
}

} // namespace

struct RunningGraph::Parts {
    FusionPlan plan;
    std::vector<ggml_tensor *> hidden; // operations that the engine does not call while the graph runs
};

RunningGraph::RunningGraph(ggml_cgraph *graph) : parts(new Parts) {
    std::vector<ggml_tensor *> nodes;
    for (int i = 0, count = engine.node_count(graph); i < count; i++) nodes.push_back(engine.node(graph, i));
    use_huge_pages_for(nodes);
    // Steps come one after the other and want the same; a decoder after them does not.
    static size_t last_count = 0;
    if (nodes.size() != last_count) forget_scratch();
    last_count = nodes.size();
    Team::begin_graph();
    // Checking compares single operations, so nothing is fused then.
    if (!is_checking()) parts->plan.make(nodes);
    // An operation that is done elsewhere would only cost a barrier. The profile shows it, so it stays there.
    if (!is_profiling())
        for (ggml_tensor *t : parts->plan.done_elsewhere())
            if (t->flags & flag_compute) {
                t->flags &= ~flag_compute;
                parts->hidden.push_back(t);
            }
    profile_graph_begins();
    running = &parts->plan;
}

RunningGraph::~RunningGraph() {
    running = nullptr;
    profile_graph_ends();
    check_graph_ends();
    for (ggml_tensor *t : parts->hidden) t->flags |= flag_compute;
    delete parts;
}

bool compute_in_graph(ggml_compute_params *params, ggml_tensor *t) {
    if (!running) return false;
    const Fusion &fusion = running->of(t);
    Team team(params->ith, params->nth, wait_for_all, params->threadpool);
    if (params->ith == 0) profile_operation(t, fusion);
    const Task task = {*active_kernels(), team, t, fusion};
    if (is_checking()) return check_operation(task);
    const bool was_run = run_operation(task);
    if (!was_run && params->ith == 0) profile_left_to_engine();
    return was_run;
}

} // namespace sdcpu
