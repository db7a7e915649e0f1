// Two-dimensional convolutions: directly as a product, or through Winograd's transform.
#include <cstring>

#include "../tensors.h"
#include "grid.h"
#include "operations.h"

namespace sdcpu {

namespace {

// What one operation convolves: pictures, or frames, that lie equally far apart.
struct Pictures {
    const Task &task;
    int64_t count;
    const float *input;
    float *out;
    size_t input_stride, out_stride; // in floats

    // Lets c be the convolution of picture `i`.
    void go_to(Convolution &c, int64_t i) const {
        c.input = input + static_cast<size_t>(i) * input_stride;
        float *const place = out + static_cast<size_t>(i) * out_stride;
        c.out = task.out(place);
        if (task.fusion.sum) c.residual = c.out;
        if (task.fusion.residual) c.residual = floats(task.fusion.residual) + (place - out);
    }
};

Convolution first_picture(const Task &task) {
    const ggml_tensor *t = task.result, *kernel = t->src[0], *input = t->src[1];
    Convolution c = {};
    c.width = input->ne[0];
    c.height = input->ne[1];
    c.channels = input->ne[2];
    c.row_stride = input->nb[1] / sizeof(float);
    c.channel_stride = input->nb[2] / sizeof(float);
    c.kernels = {kernel->type, static_cast<const char *>(kernel->data), kernel->nb[3]};
    c.kernel_width = static_cast<int>(kernel->ne[0]);
    c.kernel_height = static_cast<int>(kernel->ne[1]);
    c.stride_x = t->op_params[0];
    c.stride_y = t->op_params[1];
    c.pad_x = t->op_params[2];
    c.pad_y = t->op_params[3];
    c.dilation_x = t->op_params[4];
    c.dilation_y = t->op_params[5];
    c.out_width = t->ne[0];
    c.out_height = t->ne[1];
    c.out_channels = t->ne[2];
    c.out_channel_stride = static_cast<size_t>(c.pixels());
    if (task.fusion.bias) c.bias = floats(task.fusion.bias);
    if (task.fusion.sum) c.factor = task.fusion.factor;
    c.negative_slope = task.fusion.negative_slope;
    return c;
}

// Few output channels: rows of the output are shared.
void share_rows(const Pictures &pictures, Convolution &c) {
    const Task &task = pictures.task;
    Share share = task.team.share(pictures.count * c.out_height, 4);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end;) { // the part of the piece in one picture
            const int64_t picture = i / c.out_height, end = std::min(piece.end, (picture + 1) * c.out_height);
            pictures.go_to(c, picture);
            task.kernels.narrow_convolution(c, {i - picture * c.out_height, end - picture * c.out_height});
            i = end;
        }
}

// The weights are transformed once, then blocks of tiles are shared.
void share_tiles(const Pictures &pictures, Convolution &c) {
    const Task &task = pictures.task;
    const Kernels &kernels = task.kernels;
    const int64_t blocks = kernels.winograd_blocks(c);
    auto *weights = static_cast<uint32_t *>(task.team.shared_memory(kernels.winograd_weights_size(c)));
    Share channels = task.team.share(c.out_channels, 4);
    for (Range range; channels.take(range);) kernels.winograd_weights(c, range, weights);
    task.team.wait();
    Share share = task.team.share(pictures.count * blocks);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            pictures.go_to(c, i / blocks);
            kernels.winograd_with_weights(c, weights, {i % blocks, i % blocks + 1});
        }
}

// The tiles are transformed once, then output channels are shared.
void share_channels(const Pictures &pictures, Convolution &c) {
    const Task &task = pictures.task;
    constexpr int64_t least_groups = 16; // 96 channels: reading all tiles once more costs little beside these
    const Kernels &kernels = task.kernels;
    const int64_t pieces = kernels.winograd_tile_pieces(c);
    const size_t picture_size = kernels.winograd_tiles_size(c) / sizeof(uint32_t);
    auto *tiles = static_cast<uint32_t *>(
        task.team.shared_memory(static_cast<size_t>(pictures.count) * picture_size * sizeof(uint32_t)));
    Share inputs = task.team.share(pictures.count * pieces);
    for (Range piece; inputs.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            pictures.go_to(c, i / pieces);
            kernels.winograd_tiles(c, {i % pieces, i % pieces + 1},
                                   tiles + static_cast<size_t>(i / pieces) * picture_size);
        }
    task.team.wait();
    const int64_t groups = (c.out_channels + kernels.tile_rows - 1) / kernels.tile_rows;
    Share share = task.team.share(pictures.count * groups, std::min(least_groups, groups));
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end;) { // the part of the piece in one picture
            const int64_t picture = i / groups, end = std::min(piece.end, (picture + 1) * groups);
            const Range channels = {(i - picture * groups) * kernels.tile_rows,
                                    std::min((end - picture * groups) * kernels.tile_rows, c.out_channels)};
            pictures.go_to(c, picture);
            kernels.winograd_with_tiles(c, tiles + static_cast<size_t>(picture) * picture_size, channels);
            i = end;
        }
}

// Large tiles mix pixels that are up to five apart, and the rounding of a huge one would reach results that do not read
// it. So they are for pictures without such pixels: none has more than 6 times the length of the mean.
bool has_huge_pixels(const Pictures &pictures, Convolution &c) {
    const Task &task = pictures.task;
    constexpr float most_energy = 6 * 6;
    constexpr int64_t rows_at_once = 4;
    struct Energy {
        float most, total;
    };
    const int64_t groups = (c.height + rows_at_once - 1) / rows_at_once, count = pictures.count * groups;
    auto *energies = static_cast<Energy *>(task.team.shared_memory(static_cast<size_t>(count) * sizeof(Energy)));
    Share share = task.team.share(count);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            pictures.go_to(c, i / groups);
            const int64_t row = i % groups * rows_at_once;
            task.kernels.pixel_energies(c, {row, std::min(row + rows_at_once, c.height)}, &energies[i].most,
                                        &energies[i].total);
        }
    task.team.wait();
    double most = 0, total = 0; // in one order, whoever computed them
    for (int64_t i = 0; i < count; i++) {
        most = std::max<double>(most, energies[i].most);
        total += energies[i].total;
    }
    task.team.wait(); // before the memory serves another purpose
    // Not <=: what is infinite, or too large to be squared, is huge.
    return !(most * static_cast<double>(pictures.count * c.width * c.height) < most_energy * total);
}

void share_convolution(const Pictures &pictures, Convolution &c) {
    const Task &task = pictures.task;
    const Kernels &kernels = task.kernels;
    if (kernels.is_narrow(c)) return share_rows(pictures, c);
    if (kernels.winograd_has_large_tiles(c)) c.small_tiles = has_huge_pixels(pictures, c);
    const Winograd way = kernels.winograd_way(c);
    if (way == Winograd::shared_weights) return share_tiles(pictures, c);
    if (way == Winograd::shared_tiles) return share_channels(pictures, c);
    const Grid grid = cut(pictures.count, c.pixels(), c.out_channels, task.team.count, kernels.panel_lanes,
                          kernels.block_panels, kernels.tile_rows);
    share_grid(task.team, grid, [&](int64_t i, Range pixels, Range channels) {
        pictures.go_to(c, i);
        kernels.convolution(c, pixels, channels);
    });
}

// A convolution over time as well, in which each frame is made of several: one of two dimensions whose channels are the
// channels of those frames. The border that the engine has added may be left out; and so may, where one frame is made
// of one and of zeros before it, all but the last slice of each kernel.
//
//   t         [frames][rows][columns][channels * kernel depth * height * width]     its memory takes the result instead
//   kernel    [output channels * channels][depth][height][width]
//   source    [channels][depth and other frames][height + border][width + border]
struct Film {
    const ggml_tensor *t, *kernel, *source;
    int64_t channels, output_channels, depth;
    int stride;                   // in time
    int left, right, top, bottom; // what padding added
    bool is_one;                  // frame, with zeros before it

    explicit Film(const ggml_tensor *t) : t(t), kernel(t->src[0]), source(t->src[1]), channels(t->op_params[9]) {
        output_channels = kernel->ne[3] / std::max<int64_t>(channels, 1);
        depth = kernel->ne[2];
        stride = t->op_params[2];
        left = right = top = bottom = 0;
        is_one = depth == 1 && t->ne[3] == 1;
        const int *pad = source->op_params;
        if (source->op != op_pad || pad[8] || pad[6] || pad[7]) return; // 6, 7: channels; 8: circular
        left = pad[0];
        right = pad[1];
        top = pad[2];
        bottom = pad[3];
        is_one = t->ne[3] == 1 && pad[4] == depth - 1 && !pad[5] && source->ne[2] == depth;
    }

    // Bytes of the last slices of all kernels, f16 or f32; 0 where all slices are used.
    size_t weights_size() const {
        return is_one && depth > 1 ? kernel->nb[2] * static_cast<size_t>(channels * output_channels) : 0;
    }
    int64_t pixels() const { return t->ne[1] * t->ne[2]; }
    size_t out_size() const { return sizeof(float) * static_cast<size_t>(pixels() * t->ne[3] * output_channels); }
};

// Gathers the last slice of every kernel.
void gather_last_slices(const Film &film, char *weights, Range kernels) {
    const size_t slice = film.kernel->nb[2];
    for (int64_t i = kernels.begin; i < kernels.end; i++)
        std::memcpy(weights + static_cast<size_t>(i) * slice, bytes_at(film.kernel, 0, film.depth - 1, i), slice);
}

} // namespace

int64_t film_channels(const ggml_tensor *t) { return Film(t).channels; }

bool film_convolution_runs(const ggml_tensor *t) {
    const Film film(t);
    const ggml_tensor *kernel = film.kernel, *source = film.source;
    const int *p = t->op_params; // strides, pads and dilations of width, height and depth
    if (!is_contiguous(t) || !is_contiguous(kernel) || !is_contiguous_f32(source)) return false;
    if ((kernel->type != type_f16 && kernel->type != type_f32) || t->type != kernel->type) return false;
    if (source->ne[3] != film.channels || p[3] || p[4] || p[5] || p[8] != 1) return false;
    if ((t->ne[3] - 1) * film.stride + film.depth > source->ne[2]) return false;
    const size_t available = element_size(t) * static_cast<size_t>(element_count(t));
    return film.out_size() + film.weights_size() <= available;
}

bool run_film_convolution(const Task &task) {
    if (!task.fusion.picture) return false;
    const ggml_tensor *t = task.result;
    const Film film(t);
    const ggml_tensor *source = film.source;
    const size_t slice = film.kernel->nb[2], frame = source->nb[2] / sizeof(float);
    Convolution c = {};
    c.width = source->ne[0] - film.left - film.right;
    c.height = source->ne[1] - film.top - film.bottom;
    c.frames = film.is_one ? 1 : film.depth;
    c.channels = film.channels * c.frames;
    c.row_stride = source->nb[1] / sizeof(float);
    c.frame_stride = frame;
    c.channel_stride = source->nb[3] / sizeof(float);
    c.kernel_width = static_cast<int>(film.kernel->ne[0]);
    c.kernel_height = static_cast<int>(film.kernel->ne[1]);
    c.stride_x = t->op_params[0];
    c.stride_y = t->op_params[1];
    c.pad_x = film.left;
    c.pad_y = film.top;
    c.dilation_x = t->op_params[6];
    c.dilation_y = t->op_params[7];
    c.out_width = t->ne[1];
    c.out_height = t->ne[2];
    c.out_channels = film.output_channels;
    c.out_channel_stride = static_cast<size_t>(film.pixels() * t->ne[3]);
    c.kernels = {film.kernel->type, static_cast<const char *>(film.kernel->data),
                 slice * static_cast<size_t>(c.channels)};
    if (film.weights_size() > 0) {
        char *weights = static_cast<char *>(t->data) + film.out_size();
        Share share = task.team.share(film.channels * film.output_channels, 1024);
        for (Range piece; share.take(piece);) gather_last_slices(film, weights, piece);
        task.team.wait();
        c.kernels.data = weights;
    }
    const int64_t first = film.is_one ? film.depth - 1 : 0;
    const auto *input = reinterpret_cast<const float *>(bytes_at(source, film.top, first, 0)) + film.left;
    const size_t step = static_cast<size_t>(film.stride) * frame, out_step = static_cast<size_t>(film.pixels());
    share_convolution({task, t->ne[3], input, floats(t), step, out_step}, c);
    return true;
}

bool convolution_runs(const ggml_tensor *t) {
    const ggml_tensor *kernel = t->src[0], *input = t->src[1];
    return (kernel->type == type_f16 || kernel->type == type_f32) && is_contiguous(kernel) && is_f32(input) &&
           has_dense_rows(input) && is_contiguous_f32(t);
}

bool run_convolution(const Task &task) {
    const ggml_tensor *t = task.result, *input = t->src[1];
    if (!convolution_runs(t)) return false;
    Convolution c = first_picture(task);
    const size_t step = input->nb[3] / sizeof(float), out_step = t->nb[3] / sizeof(float);
    share_convolution({task, t->ne[3], floats(input), floats(t), step, out_step}, c);
    return true;
}

} // namespace sdcpu
