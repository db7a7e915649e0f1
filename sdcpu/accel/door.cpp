#include "door.h"

#include <atomic>
#include <cstring>

#include "engine.h"

namespace sdcpu {

namespace {

std::atomic<bool> cancel_wanted{false};
std::atomic<bool> graph_may_end{false};

bool begins_with(const char *text, const char *start) { return std::strncmp(text, start, std::strlen(start)) == 0; }

// A text encoder must never be ended early: conditioner.hpp of the engine asserts that it gave a result, and the
// assert ends the process. Diffusion models and ControlNets are known by the embedding of the time step; encoders
// and decoders of pictures convolve and look nothing up, while a text encoder looks up its tokens (GET_ROWS).
// Operations are told by name, so that cancelling works with engines whose numbers we do not know.
bool is_safe_to_end(ggml_cgraph *graph) {
    bool convolves = false, looks_up = false;
    for (int i = 0, count = engine.node_count(graph); i < count; i++) {
        const char *operation = engine.operation_name(engine.node(graph, i));
        if (begins_with(operation, "TIMESTEP_EMBEDDING")) return true;
        convolves |= begins_with(operation, "CONV") || begins_with(operation, "IM2COL");
        looks_up |= begins_with(operation, "GET_ROWS");
    }
    return convolves && !looks_up;
}

bool end_now(void *) {
    return graph_may_end.load(std::memory_order_relaxed) && cancel_wanted.load(std::memory_order_relaxed);
}

} // namespace

bool enter_graph(ggml_backend *backend, ggml_cgraph *graph) {
    graph_may_end = is_safe_to_end(graph);
    if (end_now(nullptr)) return false;
    if (engine.is_cpu(backend)) engine.set_abort_callback(backend, end_now, nullptr);
    return true;
}

void want_cancel(bool wanted) { cancel_wanted = wanted; }

} // namespace sdcpu
