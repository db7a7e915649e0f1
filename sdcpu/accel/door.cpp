// The door: lets a cancel end a computation of the engine in the middle, with the model kept.
//
// The engine calls ggml_backend_graph_compute() once per graph: a step of the diffusion model, a text
// encoder, a decoder. This library is loaded with global symbols before the engine is, so on Linux that
// call arrives here first. We lend the CPU backend a callback that it asks between two operations, then
// call the engine's own function. A graph that was ended so makes the engine return NULL in order; its
// context goes on working.
//
// No header of ggml is used: every type is opaque, and everything is read through functions that the
// engine exports. Where one of them is missing, the calls only pass through, and a cancel has to end
// the process.

#include <dlfcn.h>

#include <atomic>
#include <cstring>

#define EXPORTED extern "C" __attribute__((visibility("default")))

struct ggml_backend;
struct ggml_cgraph;
struct ggml_tensor;

namespace {

using Status = int;                  // enum ggml_status of ggml.h
constexpr Status status_failed = -1; // GGML_STATUS_FAILED
constexpr Status status_aborted = 1; // GGML_STATUS_ABORTED
using AbortCallback = bool (*)(void *);

// The engine's own functions, null until they are found.
struct Engine {
    Status (*graph_compute)(ggml_backend *, ggml_cgraph *) = nullptr;
    int (*node_count)(ggml_cgraph *) = nullptr;
    ggml_tensor *(*node)(ggml_cgraph *, int) = nullptr;
    const char *(*operation_name)(const ggml_tensor *) = nullptr;
    bool (*is_cpu)(ggml_backend *) = nullptr;
    void (*set_abort_callback)(ggml_backend *, AbortCallback, void *) = nullptr;

    bool complete() const {
        return graph_compute && node_count && node && operation_name && is_cpu && set_abort_callback;
    }
};

Engine engine;
std::atomic<bool> cancel_wanted{false};
std::atomic<bool> graph_may_end{false};

template <typename Function> void find(void *library, const char *name, Function &function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
}

// Finds the engine's functions in a library that is loaded already, or in those that it needs.
void find_engine(const char *library_path) {
    void *library = dlopen(library_path, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return;
    find(library, "ggml_backend_graph_compute", engine.graph_compute);
    find(library, "ggml_graph_n_nodes", engine.node_count);
    find(library, "ggml_graph_node", engine.node);
    find(library, "ggml_op_desc", engine.operation_name);
    find(library, "ggml_backend_is_cpu", engine.is_cpu);
    find(library, "ggml_backend_cpu_set_abort_callback", engine.set_abort_callback);
}

bool begins_with(const char *text, const char *start) {
    return std::strncmp(text, start, std::strlen(start)) == 0;
}

// A text encoder must never be ended early: conditioner.hpp of the engine asserts that it gave a result,
// and the assert ends the process. Diffusion models and ControlNets are known by the embedding of the
// time step; encoders and decoders of pictures convolve and look nothing up, while a text encoder looks
// up its tokens (GET_ROWS).
bool is_safe_to_end(ggml_cgraph *graph) {
    bool convolves = false;
    bool looks_up = false;
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

// Takes the place of the engine's function of this name.
EXPORTED Status ggml_backend_graph_compute(ggml_backend *backend, ggml_cgraph *graph) {
    Dl_info caller;
    if (!engine.graph_compute && dladdr(__builtin_return_address(0), &caller)) find_engine(caller.dli_fname);
    if (!engine.graph_compute) return status_failed;
    if (!engine.complete()) return engine.graph_compute(backend, graph);
    graph_may_end = is_safe_to_end(graph);
    if (end_now(nullptr)) return status_aborted;
    if (engine.is_cpu(backend)) engine.set_abort_callback(backend, end_now, nullptr);
    return engine.graph_compute(backend, graph);
}

// Whether the engine in this library, which must be loaded, can be cancelled in place.
EXPORTED int sdcpu_door_ready(const char *engine_path) {
    find_engine(engine_path);
    return engine.complete();
}

// Ends the running graph and all that follow (1), or lets them run again (0). Any thread may call it.
EXPORTED void sdcpu_door_cancel(int wanted) { cancel_wanted = wanted != 0; }
