// How we come to the engine's functions. There are two ways, and each has its source:
//
//   interposed.cpp   a library of its own, loaded before an engine that knows nothing of us (Linux)
//   inside.cpp       compiled into the engine, when that is built with inside_engine.cmake (any system)
#pragma once

namespace sdcpu {

// The library around an address, by the path that the system knows; null when there is none.
const char *library_around(const void *address);

// Makes ready to find the functions of the engine in this library, which must be loaded, or in those that it needs.
bool open_engine(const char *library_path);

// One of its functions; null when there is none of this name. Where we stand in for it, its own.
void *engine_function(const char *name);

} // namespace sdcpu
