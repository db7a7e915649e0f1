// Memory in pages of 2 MiB where the system has them: fewer misses of the address cache, fewer page faults.
#pragma once

#include <cstddef>

namespace sdcpu {

// Asks the system for huge pages in [data, data + bytes).
void use_huge_pages(void *data, size_t bytes);

// A buffer that forgets its content when it grows; a small one takes no more than it needs.
class Memory {
  public:
    Memory() = default;
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    ~Memory();

    void grow(size_t bytes);
    void release();
    void *data() const { return start; }

  private:
    void *start = nullptr;
    size_t size = 0;
};

// Memory that all threads of a team see.
Memory &shared_scratch();

// Gives the scratch memory of all threads back; each gives its own when it next asks for some. Between graphs.
void forget_scratch();

} // namespace sdcpu
