#include "platform.h"

#if defined(_WIN32)
#include <windows.h>

#include <malloc.h>
#else
#include <sys/mman.h>

#include <cstdint>
#include <ctime>
#endif

namespace sdcpu {

#if defined(_WIN32)

void *allocate_pages(size_t alignment, size_t bytes) { return _aligned_malloc(bytes, alignment); }

void free_pages(void *memory, size_t) { _aligned_free(memory); }

void advise_huge_pages(void *, size_t) {}

double thread_seconds() {
    FILETIME created, ended, in_kernel, in_program;
    if (!GetThreadTimes(GetCurrentThread(), &created, &ended, &in_kernel, &in_program)) return 0;
    const auto seconds = [](const FILETIME &t) { return (t.dwHighDateTime * 4294967296.0 + t.dwLowDateTime) * 1e-7; };
    return seconds(in_kernel) + seconds(in_program);
}

#else

void *allocate_pages(size_t alignment, size_t bytes) {
    void *mapped = mmap(nullptr, bytes + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    const auto first = reinterpret_cast<uintptr_t>(mapped), start = (first + alignment - 1) / alignment * alignment;
    if (start > first) munmap(mapped, start - first);
    munmap(reinterpret_cast<void *>(start + bytes), first + alignment - start);
    return reinterpret_cast<void *>(start);
}

void free_pages(void *memory, size_t bytes) { munmap(memory, bytes); }

void advise_huge_pages([[maybe_unused]] void *start, [[maybe_unused]] size_t bytes) {
#if defined(MADV_HUGEPAGE)
    madvise(start, bytes, MADV_HUGEPAGE);
#endif
}

double thread_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

#endif

} // namespace sdcpu
