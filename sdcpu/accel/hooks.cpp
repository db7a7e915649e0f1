// The functions of the engine whose place we take, and those that the Python side calls.
//
//   ggml_backend_graph_compute        once per graph: a step of the diffusion model, a text encoder, a decoder
//   ggml_cpu_extra_compute_forward    once per operation and thread; true means that it is computed
//
// The engine's calls arrive here first, in one of two ways (symbols.h). With an engine that we do not know (engine.cpp)
// they only pass through.
#include <cstdlib>
#include <mutex>
#include <string>

#include "door.h"
#include "engine.h"
#include "graph.h"
#include "platform.h"
#include "profile.h"
#include "symbols.h"
#include "variant.h"

using namespace sdcpu;

namespace {

// When this is loaded.
[[maybe_unused]] const bool chosen = (choose_kernels(std::getenv("SDCPU_ACCEL")), true);

} // namespace

SDCPU_EXPORTED Status ggml_backend_graph_compute(ggml_backend *backend, ggml_cgraph *graph) {
    if (!engine.compute_graph) find_engine(library_around(SDCPU_CALLER));
    if (!engine.compute_graph) return status_failed;
    if (!engine.can_be_cancelled()) return engine.compute_graph(backend, graph);
    if (!enter_graph(backend, graph)) return status_aborted;
    if (!active_kernels() || !engine.is_cpu(backend)) return engine.compute_graph(backend, graph);

    static std::mutex one_at_a_time; // the fusion plan and the work counters are those of one graph
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    if (!engine_is_known()) return engine.compute_graph(backend, graph);
    const RunningGraph running(graph);
    return engine.compute_graph(backend, graph);
}

SDCPU_EXPORTED bool ggml_cpu_extra_compute_forward(ggml_compute_params *params, ggml_tensor *t) {
    if (!engine.compute_extra) return false; // computed by another way than a graph of a backend
    if (observe_trial(params, t)) return false;
    return engine.compute_extra(params, t) || compute_in_graph(params, t);
}

// Whether the engine in this library, which must be loaded, can be cancelled in place.
SDCPU_EXPORTED int sdcpu_door_ready(const char *engine_path) {
    find_engine(engine_path);
    return engine.can_be_cancelled();
}

// Ends the running graph and all that follow (1), or lets them run again (0). Any thread may call it.
SDCPU_EXPORTED void sdcpu_door_cancel(int wanted) { want_cancel(wanted != 0); }

// The kernels that run with the engine in this library, which must be loaded: "off", "avx2", "avx512", "bf16", "int8".
SDCPU_EXPORTED const char *sdcpu_accel_variant(const char *engine_path) {
    find_engine(engine_path);
    return active_kernels() && engine.compute_graph && engine_is_known() ? variant_name() : "off";
}

// Why no kernels run although they were asked for; empty when they do.
SDCPU_EXPORTED const char *sdcpu_accel_problem(const char *engine_path) {
    find_engine(engine_path);
    if (!active_kernels()) return "";
    if (!engine.compute_graph) return "the engine's functions were not found";
    return engine_difference().c_str();
}

// Prints where the time went since the last call; nothing unless SDCPU_ACCEL_PROFILE asks for it.
SDCPU_EXPORTED void sdcpu_accel_print_profile(const char *title) { print_profile(title); }
