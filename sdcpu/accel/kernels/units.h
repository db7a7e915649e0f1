// A unit is what one multiply-add instruction takes per lane: 32 bits that hold one float, or, on
// processors with AVX512-BF16, two bf16 of consecutive k. Everything that is packed is packed in units.
#pragma once

#include "loaders.h"

namespace sdcpu::SDCPU_VARIANT {

using Unit = uint32_t;

#if defined(__AVX512BF16__)

constexpr int per_unit = 2;

// Rounds both to bf16: the elements of `low`, then those of `high`.
SDCPU_INLINE Vector round_pair(Vector low, Vector high) {
    return reinterpret_cast<Vector>(_mm512_cvtne2ps_pbh(high, low));
}
// acc + a . b, unit by unit
SDCPU_INLINE Vector dot(Vector acc, Vector a, Vector b) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
SDCPU_INLINE __m256 dot(__m256 acc, __m256 a, __m256 b) {
    return _mm256_dpbf16_ps(acc, reinterpret_cast<__m256bh>(a), reinterpret_cast<__m256bh>(b));
}
// Stores one unit per lane: even[lane] and odd[lane] are of an even k and of the k after it.
SDCPU_INLINE void store_lanes(Unit *out, Vector even, Vector odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const auto halves = reinterpret_cast<__m512i>(round_pair(even, odd));
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, halves));
}
// `width` units of one row, from element k on.
template <int type> SDCPU_INLINE Vector load_units(const char *row, int64_t k, int64_t n) {
    if constexpr (type == type_bf16) {
        if (n >= 2 * width) return load(reinterpret_cast<const uint16_t *>(row) + k);
    }
    return round_pair(load_values<type>(row, k, n), load_values<type>(row, k + width, n - width));
}

#else

constexpr int per_unit = 1;

SDCPU_INLINE Vector dot(Vector acc, Vector a, Vector b) { return multiply_add(a, b, acc); }
#if defined(__AVX512F__)
SDCPU_INLINE __m256 dot(__m256 acc, __m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, acc); }
#endif
SDCPU_INLINE void store_lanes(Unit *out, Vector only, Vector) { store(out, only); }
template <int type> SDCPU_INLINE Vector load_units(const char *row, int64_t k, int64_t n) {
    return load_values<type>(row, k, n);
}

#endif

constexpr int units_step = width * per_unit; // elements of a row that one vector of units holds

SDCPU_INLINE Vector broadcast(const Unit *unit) {
    float bits;
    std::memcpy(&bits, unit, 4);
    return fill(bits);
}

} // namespace sdcpu::SDCPU_VARIANT
