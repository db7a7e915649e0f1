// Two-dimensional convolutions: directly as a product, or through Winograd's transform.
#include <cstring>

#include "../tensors.h"
#include "grid.h"
#include "operations.h"

namespace sdcpu {

namespace {

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
    if (task.fusion.bias) c.bias = floats(task.fusion.bias);
    if (task.fusion.sum) c.factor = task.fusion.factor;
    c.negative_slope = task.fusion.negative_slope;
    return c;
}

void go_to_picture(Convolution &c, const Task &task, int64_t i) {
    if (task.result->op != op_convolution) return; // a frame: the only picture
    c.input = floats_at(task.result->src[1], 0, 0, i);
    c.out = task.out(floats_at(task.result, 0, 0, i));
    if (task.fusion.sum) c.residual = c.out;
    if (task.fusion.residual) c.residual = floats_at(task.fusion.residual, 0, 0, i);
}

int64_t picture_count(const Task &task) { return task.result->op == op_convolution ? task.result->ne[3] : 1; }

// Few output channels: rows of the output are shared.
void share_rows(const Task &task, Convolution &c) {
    Share share = task.team.share(picture_count(task) * c.out_height, 4);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end;) { // the part of the piece in one picture
            const int64_t picture = i / c.out_height, end = std::min(piece.end, (picture + 1) * c.out_height);
            go_to_picture(c, task, picture);
            task.kernels.narrow_convolution(c, {i - picture * c.out_height, end - picture * c.out_height});
            i = end;
        }
}

// The weights are transformed once, then blocks of tiles are shared.
void share_tiles(const Task &task, Convolution &c) {
    const Kernels &kernels = task.kernels;
    const int64_t blocks = kernels.winograd_blocks(c);
    auto *weights = static_cast<uint32_t *>(task.team.shared_memory(kernels.winograd_weights_size(c)));
    Share channels = task.team.share(c.out_channels, 4);
    for (Range range; channels.take(range);) kernels.winograd_weights(c, range, weights);
    task.team.wait();
    Share share = task.team.share(picture_count(task) * blocks);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            go_to_picture(c, task, i / blocks);
            kernels.winograd_with_weights(c, weights, {i % blocks, i % blocks + 1});
        }
}

// The tiles are transformed once, then output channels are shared.
void share_channels(const Task &task, Convolution &c) {
    constexpr int64_t least_groups = 16; // 96 channels: reading all tiles once more costs little beside these
    const Kernels &kernels = task.kernels;
    const int64_t pictures = picture_count(task), pieces = kernels.winograd_tile_pieces(c);
    const size_t picture_size = kernels.winograd_tiles_size(c) / sizeof(uint32_t);
    auto *tiles = static_cast<uint32_t *>(
        task.team.shared_memory(static_cast<size_t>(pictures) * picture_size * sizeof(uint32_t)));
    Share inputs = task.team.share(pictures * pieces);
    for (Range piece; inputs.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            go_to_picture(c, task, i / pieces);
            kernels.winograd_tiles(c, {i % pieces, i % pieces + 1},
                                   tiles + static_cast<size_t>(i / pieces) * picture_size);
        }
    task.team.wait();
    const int64_t groups = (c.out_channels + kernels.tile_rows - 1) / kernels.tile_rows;
    Share share = task.team.share(pictures * groups, std::min(least_groups, groups));
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end;) { // the part of the piece in one picture
            const int64_t picture = i / groups, end = std::min(piece.end, (picture + 1) * groups);
            const Range channels = {(i - picture * groups) * kernels.tile_rows,
                                    std::min((end - picture * groups) * kernels.tile_rows, c.out_channels)};
            go_to_picture(c, task, picture);
            kernels.winograd_with_tiles(c, tiles + static_cast<size_t>(picture) * picture_size, channels);
            i = end;
        }
}

// Large tiles mix pixels that are up to five apart, and the rounding of a huge one would reach results that do not read
// it. So they are for pictures without such pixels: none has more than 6 times the length of the mean.
bool has_huge_pixels(const Task &task, Convolution &c) {
    constexpr float most_energy = 6 * 6;
    constexpr int64_t rows_at_once = 4;
    struct Energy {
        float most, total;
    };
    const int64_t groups = (c.height + rows_at_once - 1) / rows_at_once, count = picture_count(task) * groups;
    auto *energies = static_cast<Energy *>(task.team.shared_memory(static_cast<size_t>(count) * sizeof(Energy)));
    Share share = task.team.share(count);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            go_to_picture(c, task, i / groups);
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
    return !(most * static_cast<double>(picture_count(task) * c.width * c.height) < most_energy * total);
}

void share_convolution(const Task &task, Convolution &c) {
    const Kernels &kernels = task.kernels;
    if (kernels.is_narrow(c)) return share_rows(task, c);
    if (kernels.winograd_has_large_tiles(c)) c.small_tiles = has_huge_pixels(task, c);
    const Winograd way = kernels.winograd_way(c);
    if (way == Winograd::shared_weights) return share_tiles(task, c);
    if (way == Winograd::shared_tiles) return share_channels(task, c);
    const Grid grid = cut(picture_count(task), c.pixels(), c.out_channels, task.team.count, kernels.panel_lanes,
                          kernels.block_panels, kernels.tile_rows);
    share_grid(task.team, grid, [&](int64_t i, Range pixels, Range channels) {
        go_to_picture(c, task, i);
        kernels.convolution(c, pixels, channels);
    });
}

// A convolution over time as well, of one frame: the frames before it are zeros that the engine has put there. So it is
// one of two dimensions, with the last slice of each kernel; and the border that the engine has added may be left out.
//
//   t         [rows][columns][channels * kernel depth * height * width]     its memory takes the result instead
//   kernel    [output channels * channels][depth][height][width]
//   frames    [channels][depth][height + border][width + border]
struct Frame {
    const ggml_tensor *t, *kernel, *frames;
    int64_t channels, output_channels, depth;
    int left, right, top, bottom, before; // what padding added
    bool pads_otherwise;

    explicit Frame(const ggml_tensor *t) : t(t), kernel(t->src[0]), frames(t->src[1]), channels(t->op_params[9]) {
        output_channels = kernel->ne[3] / std::max<int64_t>(channels, 1);
        depth = kernel->ne[2];
        left = right = top = bottom = before = 0;
        pads_otherwise = false;
        const int *pad = frames->op_params;
        if (frames->op != op_pad || pad[8]) return; // 8: circular
        left = pad[0];
        right = pad[1];
        top = pad[2];
        bottom = pad[3];
        before = pad[4];
        pads_otherwise = pad[5] || pad[6] || pad[7];
    }

    // Bytes of the last slices of all kernels, f16 or f32; 0 where the kernels have no other.
    size_t weights_size() const {
        return depth == 1 ? 0 : kernel->nb[2] * static_cast<size_t>(channels * output_channels);
    }
    size_t out_size() const { return sizeof(float) * static_cast<size_t>(t->ne[1] * t->ne[2] * output_channels); }
};

// Gathers the last slice of every kernel.
void gather_last_slices(const Frame &frame, char *weights, Range kernels) {
    const size_t slice = frame.kernel->nb[2];
    for (int64_t i = kernels.begin; i < kernels.end; i++)
        std::memcpy(weights + static_cast<size_t>(i) * slice,
                    bytes_at(frame.kernel, 0, frame.depth - 1, i), slice);
}

} // namespace

int64_t frame_channels(const ggml_tensor *t) { return Frame(t).channels; }

bool frame_convolution_runs(const ggml_tensor *t) {
    const Frame frame(t);
    const ggml_tensor *kernel = frame.kernel, *frames = frame.frames;
    const int *p = t->op_params; // strides, pads and dilations of width, height and depth
    if (!is_contiguous(t) || !is_contiguous(kernel) || !is_contiguous_f32(frames)) return false;
    if ((kernel->type != type_f16 && kernel->type != type_f32) || t->type != kernel->type) return false;
    if (frames->ne[3] != frame.channels || t->ne[3] != 1 || frames->ne[2] != frame.depth || p[3] || p[4] || p[5])
        return false;
    if (frame.before != frame.depth - 1 || frame.pads_otherwise) return false;
    const size_t available = element_size(t) * static_cast<size_t>(element_count(t));
    return frame.out_size() + frame.weights_size() <= available;
}

bool run_frame_convolution(const Task &task) {
    if (!task.fusion.picture) return false;
    const ggml_tensor *t = task.result;
    const Frame frame(t);
    const ggml_tensor *frames = frame.frames;
    Convolution c = {};
    c.width = frames->ne[0] - frame.left - frame.right;
    c.height = frames->ne[1] - frame.top - frame.bottom;
    c.channels = frame.channels;
    c.row_stride = frames->nb[1] / sizeof(float);
    c.channel_stride = frames->nb[3] / sizeof(float);
    c.input = reinterpret_cast<const float *>(bytes_at(frames, frame.top, frame.depth - 1, 0)) + frame.left;
    c.kernel_width = static_cast<int>(frame.kernel->ne[0]);
    c.kernel_height = static_cast<int>(frame.kernel->ne[1]);
    c.stride_x = t->op_params[0];
    c.stride_y = t->op_params[1];
    c.pad_x = frame.left;
    c.pad_y = frame.top;
    c.dilation_x = t->op_params[6];
    c.dilation_y = t->op_params[7];
    c.out_width = t->ne[1];
    c.out_height = t->ne[2];
    c.out_channels = frame.output_channels;
    c.out = floats(t);
    const size_t slice = frame.kernel->nb[2];
    c.kernels = {frame.kernel->type, static_cast<const char *>(frame.kernel->data),
                 slice * static_cast<size_t>(frame.channels)};
    if (frame.depth > 1) {
        char *weights = static_cast<char *>(t->data) + frame.out_size();
        Share share = task.team.share(frame.channels * frame.output_channels, 1024);
        for (Range piece; share.take(piece);) gather_last_slices(frame, weights, piece);
        task.team.wait();
        c.kernels.data = weights;
    }
    share_convolution(task, c);
    return true;
}

bool convolution_runs(const ggml_tensor *t) {
    const ggml_tensor *kernel = t->src[0], *input = t->src[1];
    return (kernel->type == type_f16 || kernel->type == type_f32) && is_contiguous(kernel) && is_f32(input) &&
           has_dense_rows(input) && is_contiguous_f32(t);
}

bool run_convolution(const Task &task) {
    if (!convolution_runs(task.result)) return false;
    Convolution c = first_picture(task);
    share_convolution(task, c);
    return true;
}

} // namespace sdcpu
