// model.cpp:971 of the engine asks five times a second whether its loading threads are done, and so sleeps 200 ms for
// every file, however small. A LoRA is read four times (text encoder, diffusion model twice, decoder): 0.9 s before
// each picture, of which 0.8 s are sleep.
//
// nanosleep() belongs to the C library, which was loaded before us, so its place cannot be taken like that of the
// engine's own functions. But the engine calls it through an entry of its own table, filled by the dynamic linker:
// that entry is changed, for this one library.
#include "polling.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace sdcpu {

namespace {

constexpr long long millisecond = 1'000'000; // in nanoseconds
constexpr long long engine_poll = 200 * millisecond;

long long nanoseconds(const timespec &t) { return static_cast<long long>(t.tv_sec) * 1000 * millisecond + t.tv_nsec; }

// At first often, then, while loading takes long, less often: a quarter of the time so far.
constexpr long long shortest_poll = millisecond, longest_poll = 20 * millisecond;
// Within a file the engine looks again at once after it slept; what takes longer lies between two files.
constexpr long long between_files = 5 * millisecond;

long long clock_now() {
    timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    return nanoseconds(clock);
}

// What nanosleep() does. That must not be called here: inside the engine, our calls go through its table as well.
int sleep_for(const timespec *wanted, timespec *left) {
    const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
    if (error) errno = error;
    return error ? -1 : 0;
}

int poll_sleep(const timespec *wanted, timespec *left) {
    if (nanoseconds(*wanted) != engine_poll) return sleep_for(wanted, left);
    static thread_local long long began = 0, woke = 0;
    const long long now = clock_now();
    if (now - woke > between_files) began = now;
    const timespec shorter = {0, static_cast<long>(std::clamp((now - began) / 4, shortest_poll, longest_poll))};
    const int result = sleep_for(&shorter, left);
    woke = clock_now();
    return result;
}

// The relocations of a library that fill its table of functions.
struct Relocations {
    const ElfW(Rela) *first = nullptr;
    size_t count = 0;
    const ElfW(Sym) *symbols = nullptr;
    const char *names = nullptr;

    explicit Relocations(const link_map *map) {
        for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_JMPREL) first = reinterpret_cast<const ElfW(Rela) *>(entry->d_un.d_ptr);
            if (entry->d_tag == DT_PLTRELSZ) count = entry->d_un.d_val / sizeof(ElfW(Rela));
            if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym) *>(entry->d_un.d_ptr);
            if (entry->d_tag == DT_STRTAB) names = reinterpret_cast<const char *>(entry->d_un.d_ptr);
            if (entry->d_tag == DT_PLTREL && entry->d_un.d_val != DT_RELA) return;
        }
    }
};

#if __SIZEOF_POINTER__ == 8
size_t symbol_of(const ElfW(Rela) & relocation) { return ELF64_R_SYM(relocation.r_info); }
#else
size_t symbol_of(const ElfW(Rela) & relocation) { return ELF32_R_SYM(relocation.r_info); }
#endif

// The linker may have made the table read-only after it filled it.
bool write_entry(void **entry, void *function) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    void *start = reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(entry) / page * page);
    if (mprotect(start, page, PROT_READ | PROT_WRITE) != 0) return false;
    *entry = function;
    return true;
}

} // namespace

bool shorten_loading(void *library) {
    link_map *map = nullptr;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !map) return false;
    const Relocations relocations(map);
    if (!relocations.first || !relocations.symbols || !relocations.names) return false;
    for (size_t i = 0; i < relocations.count; i++) {
        const ElfW(Rela) &relocation = relocations.first[i];
        const char *name = relocations.names + relocations.symbols[symbol_of(relocation)].st_name;
        if (std::strcmp(name, "nanosleep") == 0)
            return write_entry(reinterpret_cast<void **>(map->l_addr + relocation.r_offset),
                               reinterpret_cast<void *>(poll_sleep));
    }
    return false;
}

} // namespace sdcpu
