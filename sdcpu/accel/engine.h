// The engine that this process loaded: its own functions, and whether it is the one that we know.
#pragma once

#include <string>

#include "ggml_abi.h"

namespace sdcpu {

using AbortCallback = bool (*)(void *);

// Functions that the engine exports; null until find_engine() found them.
struct Engine {
    Status (*compute_graph)(ggml_backend *, ggml_cgraph *);
    bool (*compute_extra)(ggml_compute_params *, ggml_tensor *); // the operation of the same hook, in the engine
    int (*node_count)(ggml_cgraph *);
    ggml_tensor *(*node)(ggml_cgraph *, int);
    const char *(*operation_name)(const ggml_tensor *);
    bool (*is_cpu)(ggml_backend *);
    void (*set_abort_callback)(ggml_backend *, AbortCallback, void *);
    void (*barrier)(ggml_threadpool *);
    void *(*buffer_start)(ggml_backend_buffer *);
    size_t (*buffer_size)(ggml_backend_buffer *);

    // Whether a computation can be watched and cancelled.
    bool can_be_cancelled() const {
        return compute_graph && node_count && node && operation_name && is_cpu && set_abort_callback;
    }
};

extern Engine engine;

// Finds the engine in a library that is loaded already, or in those that it needs; once.
void find_engine(const char *library_path);

// Whether the engine is of the version whose structures ggml_abi.h describes, lays them out so, and calls our hook
// for its operations. The answer is found once, by building and computing a small graph.
bool engine_is_known();
// Why it is not; empty when it is.
const std::string &engine_difference();

// To be called by the hook for every operation: true when it belongs to the trial graph.
bool observe_trial(const ggml_compute_params *params, const ggml_tensor *t);

} // namespace sdcpu
