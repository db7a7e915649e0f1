// This library is loaded with global symbols before the engine is. The engine calls its own exported functions through
// a table that the dynamic linker fills, so the calls arrive here first.
#include <dlfcn.h>

#include <cstdlib>

#include "polling.h"
#include "symbols.h"

namespace sdcpu {

namespace {

void *library = nullptr;

// The engine's threads wait for each other after every operation. OpenMP lets them spin for milliseconds, which on a
// machine with other work takes the processor from those that they wait for: a picture took six times as long. Here
// they spin some 10 microseconds and then sleep. OpenMP reads this when it is loaded: with the engine, after us.
constexpr const char *spins_before_sleep = "2000";

__attribute__((constructor)) void shorten_spinning() {
    if (!std::getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", spins_before_sleep, 0);
}

} // namespace

const char *library_around(const void *address) {
    Dl_info around;
    return dladdr(address, &around) ? around.dli_fname : nullptr;
}

bool open_engine(const char *library_path) {
    library = dlopen(library_path, RTLD_LAZY | RTLD_NOLOAD);
    if (library) shorten_loading(library);
    return library;
}

void *engine_function(const char *name) { return dlsym(library, name); }

} // namespace sdcpu
