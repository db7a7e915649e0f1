// Reads elements of every type as floats: `width` of them, beginning at element k of a row.
//
// k is a multiple of `width`. Of f32, f16 and bf16 rows only the first n elements are read, the others
// are 0; the quantised types come in whole blocks of 32 or 256. The blocks are those of GGUF files:
//
//   q8_0   32: f16 scale, 32 x int8                                          value = scale * q
//   q4_0   32: f16 scale, 16 bytes: elements 0-15 low nibbles, 16-31 high    value = scale * (q - 8)
//   q4_1   32: f16 scale, f16 least, 16 bytes as q4_0                        value = scale * q + least
//   q5_0   32: f16 scale, 32 fifth bits, 16 bytes as q4_0                    value = scale * (q - 16)
//   q5_1   32: f16 scale, f16 least, 32 fifth bits, 16 bytes                 value = scale * q + least
//   q4_k  256: f16 scale, f16 least, 12 bytes with 8 six-bit (scale, least), 128 bytes of nibbles:
//              each 32 bytes hold two groups of 32, low nibbles first        value = scale * s * q - least * m
//   q5_k  256: as q4_k, with 32 bytes before the nibbles: bit g of byte i is the fifth bit of element i
//              of group g
//   q6_k  256: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales of 16 elements,
//              f16 scale                                                     value = scale * s * (q - 32)
#pragma once

#include "kernels.h"
#include "vector.h"

namespace sdcpu::SDCPU_VARIANT {

SDCPU_INLINE float half_to_float(const void *p) {
    uint16_t half;
    std::memcpy(&half, p, 2);
    return half_to_float(half);
}

// The six-bit scale and least value of group g (0-7) of a q4_k or q5_k block.
SDCPU_INLINE void group_scales(const uint8_t *packed, int g, int &scale, int &least) {
    if (g < 4) {
        scale = packed[g] & 63;
        least = packed[g + 4] & 63;
    } else {
        scale = (packed[g + 4] & 15) | ((packed[g - 4] >> 6) << 4);
        least = (packed[g + 4] >> 4) | ((packed[g] >> 6) << 4);
    }
}

SDCPU_INLINE Vector load_16_bit(const uint16_t *p, int64_t n, bool half) {
    uint16_t copy[width] = {};
    if (n < width) {
        for (int i = 0; i < n; i++) copy[i] = p[i];
        p = copy;
    }
    return half ? from_half(p) : from_bfloat(p);
}

SDCPU_INLINE Vector load_q6_k(const uint8_t *block, int element) {
    const int half = element >> 7, quarter = (element >> 5) & 3, i = element & 31;
    const uint8_t *low = block + half * 64 + (quarter & 1) * 32 + i;
    const uint8_t *high = block + 128 + half * 32 + i;
    const int scale = reinterpret_cast<const int8_t *>(block)[192 + half * 8 + quarter * 2 + (i >> 4)];
    const Integers bits = combine(keep_bits(shift_right(load_bytes(low), (quarter >> 1) * 4), 15),
                                  shift_left(keep_bits(shift_right(load_bytes(high), quarter * 2), 3), 4));
    return (to_floats(bits) - fill(32.f)) * fill(half_to_float(block + 208) * static_cast<float>(scale));
}

template <int type> SDCPU_INLINE Vector load_values(const char *row, int64_t k, int64_t n) {
    if constexpr (type == type_f32) return load_first(reinterpret_cast<const float *>(row) + k, n);
    if constexpr (type == type_f16 || type == type_bf16)
        return load_16_bit(reinterpret_cast<const uint16_t *>(row) + k, n, type == type_f16);
    if (n <= 0) return zero();

    const auto *bytes = reinterpret_cast<const uint8_t *>(row);
    const int in_32 = static_cast<int>(k & 31), in_256 = static_cast<int>(k & 255);
    const int nibble = (in_32 & 16) / 4; // how far the bits of elements 0-15 and 16-31 are shifted
    if constexpr (type == type_q8_0) {
        const uint8_t *block = bytes + (k >> 5) * 34;
        const auto *quants = reinterpret_cast<const int8_t *>(block) + 2 + in_32;
        return to_floats(load_signed_bytes(quants)) * fill(half_to_float(block));
    }
    if constexpr (type == type_q4_0) {
        const uint8_t *block = bytes + (k >> 5) * 18;
        const Integers quants = keep_bits(shift_right(load_bytes(block + 2 + (in_32 & 15)), nibble), 15);
        return (to_floats(quants) - fill(8.f)) * fill(half_to_float(block));
    }
    if constexpr (type == type_q4_1) {
        const uint8_t *block = bytes + (k >> 5) * 20;
        const Integers quants = keep_bits(shift_right(load_bytes(block + 4 + (in_32 & 15)), nibble), 15);
        return multiply_add(to_floats(quants), fill(half_to_float(block)), fill(half_to_float(block + 2)));
    }
    if constexpr (type == type_q5_0 || type == type_q5_1) {
        constexpr bool has_least = type == type_q5_1;
        const uint8_t *block = bytes + (k >> 5) * (has_least ? 24 : 22);
        const uint8_t *after_scales = block + (has_least ? 4 : 2);
        uint32_t fifth_bits;
        std::memcpy(&fifth_bits, after_scales, 4);
        const Integers low = keep_bits(shift_right(load_bytes(after_scales + 4 + (in_32 & 15)), nibble), 15);
        const Vector quants = to_floats(low) + where_bits((fifth_bits >> in_32) & ((1u << width) - 1), 16.f);
        const Vector scale = fill(half_to_float(block));
        return has_least ? multiply_add(quants, scale, fill(half_to_float(block + 2))) : (quants - fill(16.f)) * scale;
    }
    if constexpr (type == type_q4_k || type == type_q5_k) {
        constexpr bool has_fifth_bit = type == type_q5_k;
        const uint8_t *block = bytes + (k >> 8) * (has_fifth_bit ? 176 : 144);
        const int group = in_256 >> 5;
        int scale, least;
        group_scales(block + 4, group, scale, least);
        const uint8_t *nibbles = block + (has_fifth_bit ? 48 : 16) + (group >> 1) * 32 + in_32;
        Integers quants = keep_bits(shift_right(load_bytes(nibbles), (group & 1) * 4), 15);
        if constexpr (has_fifth_bit)
            quants = combine(quants, shift_left(keep_bits(shift_right(load_bytes(block + 16 + in_32), group), 1), 4));
        return to_floats(quants) * fill(half_to_float(block) * static_cast<float>(scale)) -
               fill(half_to_float(block + 2) * static_cast<float>(least));
    }
    if constexpr (type == type_q6_k) return load_q6_k(bytes + (k >> 8) * 210, in_256);
    return zero();
}

// Calls visit(tag), where tag.type is the type as a constant. Returns false for a type without a loader.
template <int value> struct TypeTag {
    static constexpr int type = value;
};
template <class Visit> SDCPU_INLINE bool visit_type(int type, const Visit &visit) {
    switch (type) {
    case type_f32: visit(TypeTag<type_f32>{}); return true;
    case type_f16: visit(TypeTag<type_f16>{}); return true;
    case type_bf16: visit(TypeTag<type_bf16>{}); return true;
    case type_q8_0: visit(TypeTag<type_q8_0>{}); return true;
    case type_q4_0: visit(TypeTag<type_q4_0>{}); return true;
    case type_q4_1: visit(TypeTag<type_q4_1>{}); return true;
    case type_q5_0: visit(TypeTag<type_q5_0>{}); return true;
    case type_q5_1: visit(TypeTag<type_q5_1>{}); return true;
    case type_q4_k: visit(TypeTag<type_q4_k>{}); return true;
    case type_q5_k: visit(TypeTag<type_q5_k>{}); return true;
    case type_q6_k: visit(TypeTag<type_q6_k>{}); return true;
    default: return false;
    }
}

} // namespace sdcpu::SDCPU_VARIANT
