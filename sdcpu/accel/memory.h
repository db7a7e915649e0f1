// Memory in pages of 2 MiB where the system has them: fewer misses of the address cache, fewer page faults.
#pragma once

#include <cstddef>

namespace sdcpu {

// Asks the system for huge pages in [data, data + bytes).
void use_huge_pages(void *data, size_t bytes);

// A buffer that only grows, and forgets its content when it does.
class Memory {
  public:
    Memory() = default;
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    ~Memory();

    void grow(size_t bytes);
    void *data() const { return start; }

  private:
    void *start = nullptr;
    size_t size = 0;
};

} // namespace sdcpu
