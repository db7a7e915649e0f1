// What systems and compilers call differently; the kernels' share of it is kernels/compiler.h.
#pragma once

#include <cstddef>

#if defined(_WIN32)
#define SDCPU_EXPORTED extern "C" __declspec(dllexport)
#else
#define SDCPU_EXPORTED extern "C" __attribute__((visibility("default")))
#endif

// The address to which the function returns that this is written in: inside its caller.
#if defined(_MSC_VER)
#include <intrin.h>
#define SDCPU_CALLER _ReturnAddress()
#else
#define SDCPU_CALLER __builtin_return_address(0)
#endif

namespace sdcpu {

// Memory that starts at a multiple of `alignment`, a power of 2; null when there is none.
void *allocate_aligned(size_t alignment, size_t bytes);
void free_aligned(void *memory);

// Asks for large pages in [start, start + bytes), whole pages, where the system takes advice. A system without them
// says no, and the memory works all the same.
void advise_huge_pages(void *start, size_t bytes);

// Processor time that the calling thread has taken.
double thread_seconds();

} // namespace sdcpu
