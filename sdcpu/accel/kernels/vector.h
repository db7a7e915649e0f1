// The vocabulary of the kernels: vectors of `width` floats, whatever the processor calls them.
//
// Every kernel source is compiled once per instruction set, with SDCPU_VARIANT naming the namespace.
// Nothing in here or in the kernels may use a template or an inline function of the standard library:
// the linker keeps one copy of those, which could be one that the processor cannot run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#define SDCPU_INLINE static inline __attribute__((always_inline))

// SDCPU_HALF_VECTORS: eight floats although the processor has AVX-512; see integer_avx2.h.
#if defined(__AVX512F__) && !defined(SDCPU_HALF_VECTORS)
#define SDCPU_WHOLE_VECTORS // of AVX-512
#include "vector_avx512.h"
#elif defined(__aarch64__)
#include "vector_neon.h"
#else
#include "vector_avx2.h"
#endif

namespace sdcpu::SDCPU_VARIANT {

SDCPU_INLINE int at_most(int64_t value, int limit) { return value < limit ? static_cast<int>(value) : limit; }
SDCPU_INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
SDCPU_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
SDCPU_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

constexpr float log2_e = 1.44269504f;

// 2^x; about 2e-7 relative. x below -160 gives 2^-160, or 0 where that is too small for a float.
SDCPU_INLINE Vector exp2(Vector x) {
    x = largest(fill(-160.f), x); // in this order, because what is not a number has to stay so
    const Vector whole = round_even(x);
    const Vector part = x - whole;
    Vector p = fill(1.326697039e-03f);
    p = multiply_add(p, part, fill(9.675459746e-03f));
    p = multiply_add(p, part, fill(5.550742616e-02f));
    p = multiply_add(p, part, fill(2.402212175e-01f));
    p = multiply_add(p, part, fill(6.931469492e-01f));
    p = multiply_add(p, part, fill(1.000000071e+00f));
    return times_power_of_2(p, whole);
}

// x where it is positive, slope * x elsewhere; slope <= 1
SDCPU_INLINE Vector leaky_relu(Vector x, float slope) { return largest(x, x * fill(slope)); }

SDCPU_INLINE Vector clamp(Vector x, float limit) { return largest(smallest(x, fill(limit)), fill(-limit)); }

// x * sigmoid(steepness * x): silu with 1, the quick gelu with 1.702
SDCPU_INLINE Vector swish(Vector x, float steepness) {
    return x / (fill(1.f) + exp2(clamp(x * fill(steepness), 88.f) * fill(-log2_e)));
}

SDCPU_INLINE Vector silu(Vector x) { return swish(x, 1.f); }

// The tanh form of gelu: 0.5 x (1 + tanh u) = x * sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
SDCPU_INLINE Vector gelu(Vector x) {
    const Vector u = x * fill(0.79788456f) * multiply_add(x * x, fill(0.044715f), fill(1.f));
    return x / (fill(1.f) + exp2(clamp(u, 40.f) * fill(-2.f * log2_e)));
}

} // namespace sdcpu::SDCPU_VARIANT
