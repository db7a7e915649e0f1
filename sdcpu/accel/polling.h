// Shortens a sleep of the engine while it loads tensors (polling.cpp); on Linux only.
#pragma once

namespace sdcpu {

// `library`: the engine's handle. Returns whether its sleep was found.
bool shorten_loading(void *library);

} // namespace sdcpu
