// Two-dimensional convolutions: directly as a product, or through Winograd's transform.
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
    return c;
}

void go_to_picture(Convolution &c, const Task &task, int64_t i) {
    c.input = floats_at(task.result->src[1], 0, 0, i);
    c.out = task.out(floats_at(task.result, 0, 0, i));
    if (task.fusion.sum) c.residual = c.out;
    if (task.fusion.residual) c.residual = floats_at(task.fusion.residual, 0, 0, i);
}

// The weights are transformed once, then blocks of tiles are shared.
void share_tiles(const Task &task, Convolution &c) {
    const Kernels &kernels = task.kernels;
    const int64_t blocks = kernels.winograd_blocks(c);
    auto *weights = static_cast<uint32_t *>(task.team.shared_memory(kernels.winograd_weights_size(c)));
    Share channels = task.team.share(c.out_channels, 4);
    for (Range range; channels.take(range);) kernels.winograd_weights(c, range, weights);
    task.team.wait();
    Share share = task.team.share(task.result->ne[3] * blocks);
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
    const int64_t pictures = task.result->ne[3], pieces = kernels.winograd_tile_pieces(c);
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

} // namespace

bool convolution_runs(const ggml_tensor *t) {
    const ggml_tensor *kernel = t->src[0], *input = t->src[1];
    return (kernel->type == type_f16 || kernel->type == type_f32) && is_contiguous(kernel) && is_f32(input) &&
           has_dense_rows(input) && is_contiguous_f32(t);
}

bool run_convolution(const Task &task) {
    if (!convolution_runs(task.result)) return false;
    Convolution c = first_picture(task);
    const Winograd way = task.kernels.winograd_way(c);
    if (way == Winograd::shared_weights) {
        share_tiles(task, c);
        return true;
    }
    if (way == Winograd::shared_tiles) {
        share_channels(task, c);
        return true;
    }
    const Grid grid = cut(task.result->ne[3], c.pixels(), c.out_channels, task.team.count, task.kernels.panel_lanes,
                          task.kernels.block_panels, task.kernels.tile_rows);
    share_grid(task.team, grid, [&](int64_t i, Range pixels, Range channels) {
        go_to_picture(c, task, i);
        task.kernels.convolution(c, pixels, channels);
    });
    return true;
}

} // namespace sdcpu
