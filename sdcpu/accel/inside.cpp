// We are compiled into the engine (inside_engine.cmake). Two functions of ggml have other names there, given by a
// definition on the source file of each, and ours have the names that everybody calls.
#include <cstring>

#include "symbols.h"

#if defined(__linux__)
#include <dlfcn.h>

#include "polling.h"
#endif

// Declared without their types, which engine.cpp knows: here only addresses are taken.
extern "C" {
#define SDCPU_FUNCTION(name) void name();
#include "engine_functions.h"
void ggml_backend_graph_compute_of_engine();
void ggml_cpu_extra_compute_forward_of_engine();
#undef SDCPU_FUNCTION
}

namespace sdcpu {

namespace {

struct Function {
    const char *name;
    void (*address)();
};

const Function functions[] = {
#define SDCPU_FUNCTION(name) {#name, name},
#include "engine_functions.h"
#undef SDCPU_FUNCTION
    {"ggml_backend_graph_compute", ggml_backend_graph_compute_of_engine},
    {"ggml_cpu_extra_compute_forward", ggml_cpu_extra_compute_forward_of_engine},
};

} // namespace

const char *library_around(const void *) { return ""; }

bool open_engine(const char *) {
#if defined(__linux__)
    Dl_info here;
    if (dladdr(reinterpret_cast<const void *>(open_engine), &here))
        if (void *library = dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD)) shorten_loading(library);
#endif
    return true;
}

void *engine_function(const char *name) {
    for (const Function &function : functions)
        if (std::strcmp(function.name, name) == 0) return reinterpret_cast<void *>(function.address);
    return nullptr;
}

} // namespace sdcpu
