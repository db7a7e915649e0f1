// What systems and compilers call differently: GCC, Clang, Apple's and the clang-cl of Visual Studio.
#pragma once

#include <cstddef>

#if defined(_WIN32)
#define SDCPU_EXPORTED extern "C" __declspec(dllexport)
#else
#define SDCPU_EXPORTED extern "C" __attribute__((visibility("default")))
#endif

// The address to which the function returns that this is written in: inside its caller.
#define SDCPU_CALLER __builtin_return_address(0)

namespace sdcpu {

// Whole pages that start at a multiple of `alignment`, a power of 2; null when there are none. They come from the
// system and go back to it at once, past the heap, which would keep them.
void *allocate_pages(size_t alignment, size_t bytes);
void free_pages(void *memory, size_t bytes);

// Asks for large pages in [start, start + bytes), whole pages, where the system takes advice. A system without them
// says no, and the memory works all the same.
void advise_huge_pages(void *start, size_t bytes);

// Processor time that the calling thread has taken.
double thread_seconds();

} // namespace sdcpu
