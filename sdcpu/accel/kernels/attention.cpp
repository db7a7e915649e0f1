// Attention whose scores are products of floats or bf16.
//
//   keys      [keys / panel_lanes][head units][panel_lanes]    as panels for query . key
//   queries   [6][head units]
#include "attention.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

class UnitScores {
  public:
    UnitScores(const Attention &a, int64_t keys)
        : a(a), keys(keys), head_units(static_cast<int>(divide_up(a.head_size, per_unit))),
          head_elements(round_up(a.head_size, units_step)), query_stride(static_cast<size_t>(head_elements / per_unit)),
          panel_size(static_cast<size_t>(panel_lanes) * query_stride) {
        const size_t key_units = static_cast<size_t>(keys / panel_lanes) * panel_size;
        packed_keys = static_cast<Unit *>(thread_scratch(Scratch::keys, key_units * sizeof(Unit)));
        queries = static_cast<Unit *>(thread_scratch(Scratch::queries, tile_rows * query_stride * sizeof(Unit)));
    }

    void pack(int64_t head) {
        for (int64_t k = 0; k < keys; k += panel_lanes) {
            const int rows = k < a.key_count ? at_most(a.key_count - k, panel_lanes) : 0;
            pack_rows(keys_of(a, head), k, rows, 0, static_cast<int>(head_elements), a.head_size, tile_vectors,
                      packed_keys + static_cast<size_t>(k / panel_lanes) * panel_size);
        }
    }

    void take(int r, const float *query) {
        for (int64_t k = 0; k < head_elements; k += units_step) {
            Vector part[2] = {zero(), zero()};
            for (int i = 0; i < per_unit; i++)
                part[i] = load_first(query + k + i * width, a.head_size - k - i * width) * fill(a.scale * log2_e);
            float scaled[2 * width];
            store(scaled, part[0]);
            store(scaled + width, part[1]);
            convert_row(type_f32, reinterpret_cast<const char *>(scaled), 0, units_step, units_step,
                        queries + static_cast<size_t>(r) * query_stride + k / per_unit);
        }
    }

    void compute(int count, int64_t key, float *scores, size_t stride) const {
        multiply_tile(count, tile_vectors, head_units,
                      packed_keys + static_cast<size_t>(key / panel_lanes) * panel_size, queries, query_stride, scores,
                      stride, panel_lanes, overwrite);
    }

  private:
    const Attention &a;
    int64_t keys;
    int head_units;
    int64_t head_elements;
    size_t query_stride, panel_size;
    Unit *packed_keys, *queries;
};

} // namespace

void attend(const Attention &a, Range query_groups) { attend_with<UnitScores>(a, query_groups); }

} // namespace sdcpu::SDCPU_VARIANT
