// Convolution of any shape as a product: lanes are output pixels, rows are output channels, and the depth
// runs over [channel][ky][kx]. The panels are filled straight from the picture; no im2col matrix exists.
#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

// Where one vector of pixels finds its inputs for one (ky, kx), relative to the beginning of a channel.
struct Tap {
    enum Kind { one_run, two_runs, scattered } kind;
    uint32_t inside;           // bit i: pixel i reads the picture, not the padding
    int offset, second_offset; // of pixels 0 and 8
    int indices[16];
};

#if defined(SDCPU_WHOLE_VECTORS)
SDCPU_INLINE Vector load_two_runs(const float *channel, const Tap &tap) {
    const __m256 low = _mm256_maskz_loadu_ps(static_cast<__mmask8>(tap.inside & 255), channel + tap.offset);
    const __m256 high = _mm256_maskz_loadu_ps(static_cast<__mmask8>(tap.inside >> 8), channel + tap.second_offset);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
#else
SDCPU_INLINE Vector load_two_runs(const float *channel, const Tap &tap) {
    return gather_bits(channel, tap.indices, tap.inside);
}
#endif

SDCPU_INLINE Vector load_tap(const float *channel, const Tap &tap) {
    if (tap.kind == Tap::one_run) return load_bits(channel + tap.offset, tap.inside);
    if (tap.kind == Tap::two_runs) return load_two_runs(channel, tap);
    return gather_bits(channel, tap.indices, tap.inside);
}

// The tap (ky, kx) for `count` pixels from `first` on.
Tap find_tap(const Convolution &c, int64_t first, int count, int ky, int kx) {
    Tap tap = {};
    int places[16] = {};
    for (int i = 0; i < count; i++) {
        const int64_t x = (first + i) % c.out_width * c.stride_x + kx * c.dilation_x - c.pad_x;
        const int64_t y = (first + i) / c.out_width * c.stride_y + ky * c.dilation_y - c.pad_y;
        places[i] = static_cast<int>(y * static_cast<int64_t>(c.row_stride) + x);
        if (x >= 0 && x < c.width && y >= 0 && y < c.height) {
            tap.inside |= 1u << i;
            tap.indices[i] = places[i];
        }
    }
    bool one_run = true, two_runs = width == 16;
    for (int i = 0; i < count; i++) {
        if (!(tap.inside >> i & 1)) continue;
        one_run &= places[i] - places[0] == i;
        two_runs &= i < 8 ? places[i] - places[0] == i : places[i] - places[8] == i - 8;
    }
    tap.offset = places[0];
    tap.second_offset = count > 8 ? places[8] : 0;
    tap.kind = one_run ? Tap::one_run : two_runs ? Tap::two_runs : Tap::scattered;
    return tap;
}

struct PixelPanels final : PanelSource {
    explicit PixelPanels(const Convolution &c) : c(c), tap_count(c.kernel_width * c.kernel_height) {
        taps = static_cast<Tap *>(
            thread_scratch(Scratch::taps, sizeof(Tap) * static_cast<size_t>(tap_count) * tile_vectors));
    }

    void pack(int64_t first, int lanes, int64_t begin, int count, int vectors, Unit *out) override {
        if (first != taps_first) find_taps(first, lanes, vectors);
        int64_t channel = begin / tap_count;
        int tap = static_cast<int>(begin % tap_count);
        // Goes on to the next element of the depth.
        auto step = [&] {
            if (++tap == tap_count) {
                tap = 0;
                channel++;
            }
        };
        for (int k = 0; k < count; k += per_unit, out += vectors * width) {
            const float *even_input = channel_of(c, channel);
            const Tap *even = taps + tap * tile_vectors;
            step();
            if constexpr (per_unit == 1) {
                for (int j = 0; j < vectors; j++) store(out + j * width, load_tap(even_input, even[j]));
            } else {
                const bool has_odd = k + 1 < count;
                const float *odd_input = channel_of(c, channel);
                const Tap *odd = taps + tap * tile_vectors;
                if (has_odd) step();
                for (int j = 0; j < vectors; j++)
                    store_lanes(out + j * width, load_tap(even_input, even[j]),
                                has_odd ? load_tap(odd_input, odd[j]) : zero());
            }
        }
    }

  private:
    void find_taps(int64_t first, int lanes, int vectors) {
        taps_first = first;
        for (int j = 0; j < vectors; j++)
            for (int t = 0; t < tap_count; t++)
                taps[t * tile_vectors + j] = find_tap(c, first + j * width, at_most(lanes - j * width, width),
                                                      t / c.kernel_width, t % c.kernel_width);
    }

    const Convolution &c;
    int tap_count;
    Tap *taps; // [tap][vector]
    int64_t taps_first = -1;
};

} // namespace

void convolve(const Convolution &c, Range pixels, Range channels) {
    Product product = {};
    product.rows = c.kernels;
    product.lane_count = c.pixels();
    product.row_count = c.out_channels;
    product.depth = c.channels * c.kernel_width * c.kernel_height;
    product.out = c.out;
    product.out_stride = product.residual_stride = c.out_channel_stride;
    product.factor = c.factor;
    product.residual = c.residual;
    PixelPanels source(c);
    multiply(source, product, c.bias, c.negative_slope, pixels, channels);
}

} // namespace sdcpu::SDCPU_VARIANT
