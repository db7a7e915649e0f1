// Which operation goes where.
#include "operations.h"

namespace sdcpu {

bool run_operation(const Task &task) {
    if (task.fusion.is_done_elsewhere) return true;
    switch (task.result->op) {
    case op_matrix_product: return run_product(task);
    case op_convolution: return run_convolution(task);
    case op_im2col_3d: return run_film_convolution(task);
    case op_flash_attention: return run_attention(task);
    case op_group_norm: return run_group_norm(task);
    case op_norm:
    case op_rms_norm: return run_norm(task);
    case op_softmax: return run_softmax(task);
    case op_unary:
    case op_leaky_relu: return run_unary(task);
    case op_scale: return run_scale(task);
    case op_add:
    case op_multiply: return run_sum_or_product(task);
    case op_make_contiguous:
    case op_copy:
    case op_duplicate: return run_copy(task);
    case op_concatenate: return run_concatenate(task);
    case op_repeat: return run_repeat(task);
    case op_pad: return run_pad(task);
    case op_upscale: return run_upscale(task);
    default: return false;
    }
}

} // namespace sdcpu
