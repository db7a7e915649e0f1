// Unpacks quantised weights to signed bytes and scales, without changing what they are; loaders.h describes their blocks.
#pragma once

#include "integer.h"
#include "loaders.h"

namespace sdcpu::SDCPU_VARIANT {

// Where blocks of 32 are unpacked to: their quants, and of each block a scale and, where Scaling says so, more: the least
// value, or the scale of the second half.
struct Unpacked {
    int8_t *quants;
    float *scales, *more;
};

// Bytes side by side, in vectors that GCC and Clang know on all processors.
template <int count> struct BytesOf {
    typedef uint8_t Type __attribute__((vector_size(count)));
};
template <int count> using Bytes = typename BytesOf<count>::Type;

template <int count> SDCPU_INLINE Bytes<count> load_raw(const uint8_t *from) {
    Bytes<count> bytes;
    std::memcpy(&bytes, from, count);
    return bytes;
}
template <class Bytes> SDCPU_INLINE void store_raw(int8_t *to, Bytes bytes) { std::memcpy(to, &bytes, sizeof bytes); }

// How one type is unpacked: `blocks` of 32 at a time, from `bytes` bytes.
template <int type> struct Weights;

template <> struct Weights<type_q8_0> {
    static constexpr int64_t blocks = 1, bytes = 34;
    static constexpr Scaling scaling = Scaling::plain;

    SDCPU_INLINE void unpack(const uint8_t *block, Unpacked out) {
        store_raw(out.quants, load_raw<32>(block + 2));
        *out.scales = half_to_float(block);
    }
};

template <> struct Weights<type_q4_0> {
    static constexpr int64_t blocks = 1, bytes = 18;
    static constexpr Scaling scaling = Scaling::plain;

    SDCPU_INLINE void unpack(const uint8_t *block, Unpacked out) {
        const Bytes<16> nibbles = load_raw<16>(block + 2);
        store_raw(out.quants, (nibbles & 15) - 8);
        store_raw(out.quants + 16, (nibbles >> 4) - 8);
        *out.scales = half_to_float(block);
    }
};

// The scales and least values of the 8 groups of a q4_k or q5_k block.
SDCPU_INLINE void unpack_group_scales(const uint8_t *block, Unpacked out) {
    uint32_t packed[3];
    std::memcpy(packed, block + 4, 12);
    const uint32_t numbers[4] = {
        // scales of groups 0-3 and 4-7, least values of both: 6 bits in every byte
        packed[0] & 0x3f3f3f3fu,
        (packed[2] & 0x0f0f0f0fu) | (packed[0] >> 6 & 0x03030303u) << 4,
        packed[1] & 0x3f3f3f3fu,
        (packed[2] >> 4 & 0x0f0f0f0fu) | (packed[1] >> 6 & 0x03030303u) << 4,
    };
    uint8_t bytes[16];
    std::memcpy(bytes, numbers, 16);
    const float scale = half_to_float(block), least = -half_to_float(block + 2);
    for (int i = 0; i < 8; i++) out.scales[i] = scale * bytes[i];
    for (int i = 0; i < 8; i++) out.more[i] = least * bytes[8 + i];
}

template <> struct Weights<type_q4_k> {
    static constexpr int64_t blocks = 8, bytes = 144;
    static constexpr Scaling scaling = Scaling::least;

    SDCPU_INLINE void unpack(const uint8_t *block, Unpacked out) {
        for (int pair = 0; pair < 4; pair++) {
            const Bytes<32> nibbles = load_raw<32>(block + 16 + 32 * pair);
            store_raw(out.quants + 64 * pair, nibbles & 15);
            store_raw(out.quants + 64 * pair + 32, nibbles >> 4);
        }
        unpack_group_scales(block, out);
    }
};

template <> struct Weights<type_q5_k> {
    static constexpr int64_t blocks = 8, bytes = 176;
    static constexpr Scaling scaling = Scaling::least;

    SDCPU_INLINE void unpack(const uint8_t *block, Unpacked out) {
        const Bytes<32> fifth_bits = load_raw<32>(block + 16);
        for (int group = 0; group < 8; group += 2) {
            const Bytes<32> nibbles = load_raw<32>(block + 48 + group * 16);
            store_raw(out.quants + 32 * group, (nibbles & 15) | (fifth_bits >> group & 1) << 4);
            store_raw(out.quants + 32 * group + 32, nibbles >> 4 | (fifth_bits >> (group + 1) & 1) << 4);
        }
        unpack_group_scales(block, out);
    }
};

template <> struct Weights<type_q6_k> {
    static constexpr int64_t blocks = 8, bytes = 210;
    static constexpr Scaling scaling = Scaling::halves;

    SDCPU_INLINE void unpack(const uint8_t *block, Unpacked out) {
        for (int half = 0; half < 2; half++) {
            const Bytes<32> high_bits = load_raw<32>(block + 128 + 32 * half);
            int8_t *quants = out.quants + 128 * half;
            for (int group = 0; group < 2; group++) {
                const Bytes<32> nibbles = load_raw<32>(block + 64 * half + 32 * group);
                store_raw(quants + 32 * group, ((nibbles & 15) | (high_bits >> 2 * group & 3) << 4) - 32);
                store_raw(quants + 32 * group + 64, (nibbles >> 4 | (high_bits >> (2 * group + 4) & 3) << 4) - 32);
            }
        }
        const auto *numbers = reinterpret_cast<const int8_t *>(block) + 192;
        const float scale = half_to_float(block + 208);
        for (int i = 0; i < 8; i++) {
            out.scales[i] = scale * numbers[2 * i];
            out.more[i] = scale * numbers[2 * i + 1];
        }
    }
};

} // namespace sdcpu::SDCPU_VARIANT
