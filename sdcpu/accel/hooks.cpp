// The functions of the engine whose place we take, and those that the Python side calls.
//
// On Linux this library is loaded with global symbols before the engine is. The engine calls its own exported
// functions through a table that the dynamic linker fills, so these arrive here first:
//
//   ggml_backend_graph_compute        once per graph: a step of the diffusion model, a text encoder, a decoder
//   ggml_cpu_extra_compute_forward    once per operation and thread; true means that it is computed
//
// With an engine that we do not know (engine.cpp) the calls only pass through.

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <string>

#include "door.h"
#include "engine.h"
#include "graph.h"
#include "variant.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

using namespace sdcpu;

namespace {

// The engine's threads wait for each other after every operation. OpenMP lets them spin for milliseconds, which on a
// machine with other work takes the processor from those that they wait for: a picture took six times as long. Here
// they spin some 10 microseconds and then sleep. OpenMP reads this when it is loaded: with the engine, after us.
constexpr const char *spins_before_sleep = "2000";

__attribute__((constructor)) void begin() {
    if (!std::getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", spins_before_sleep, 0);
    choose_kernels(std::getenv("SDCPU_ACCEL"));
}

void find_engine_of(void *caller) {
    Dl_info library;
    if (!engine.compute_graph && dladdr(caller, &library)) find_engine(library.dli_fname);
}

} // namespace

EXPORTED Status ggml_backend_graph_compute(ggml_backend *backend, ggml_cgraph *graph) {
    find_engine_of(__builtin_return_address(0));
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

EXPORTED bool ggml_cpu_extra_compute_forward(ggml_compute_params *params, ggml_tensor *t) {
    if (!engine.compute_extra) return false; // computed by another way than a graph of a backend
    if (observe_trial(params, t)) return false;
    return engine.compute_extra(params, t) || compute_in_graph(params, t);
}

// Whether the engine in this library, which must be loaded, can be cancelled in place.
EXPORTED int sdcpu_door_ready(const char *engine_path) {
    find_engine(engine_path);
    return engine.can_be_cancelled();
}

// Ends the running graph and all that follow (1), or lets them run again (0). Any thread may call it.
EXPORTED void sdcpu_door_cancel(int wanted) { want_cancel(wanted != 0); }

// The kernels that run with the engine in this library, which must be loaded: "off", "avx2", "avx512", "bf16", "int8".
EXPORTED const char *sdcpu_accel_variant(const char *engine_path) {
    find_engine(engine_path);
    return active_kernels() && engine.compute_graph && engine_is_known() ? variant_name() : "off";
}

// Why no kernels run although they were asked for; empty when they do.
EXPORTED const char *sdcpu_accel_problem(const char *engine_path) {
    find_engine(engine_path);
    if (!active_kernels()) return "";
    if (!engine.compute_graph) return "the engine's functions were not found";
    return engine_difference().c_str();
}
