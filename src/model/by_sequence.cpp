#include "model/by_sequence.h"

#include <vector>

#include "ops/matmul.h"
#include "ops/rms_norm.h"

namespace hadal::model {

void add_gradients(Context& context, std::span<const LinearGradientRows> list,
                   std::span<const int64_t> starts) {
    for_each_sequence(starts, [&](int64_t begin, int64_t count) {
        std::vector<LinearGradientRows> part;
        part.reserve(list.size());
        for (const LinearGradientRows& rows : list) {
            part.push_back({rows.d_y.rows(begin, count), rows.x.rows(begin, count), rows.gradient});
        }
        Linear::add_gradients(context, part);
    });
}

void add_gradient(Context& context, const Tensor& d_y, const Tensor& x,
                  std::span<const int64_t> starts, Tensor& gradient) {
    for_each_sequence(starts, [&](int64_t begin, int64_t count) {
        ops::matmul_tn_add(context, d_y.rows(begin, count), x.rows(begin, count), gradient);
    });
}

void add_rms_norm_gradient(Context& context, const Tensor& d_y, const Tensor& x, const Tensor& r,
                           std::span<const int64_t> starts, Tensor& gradient) {
    for_each_sequence(starts, [&](int64_t begin, int64_t count) {
        ops::rms_norm_backward_weight(context, d_y.rows(begin, count), x.rows(begin, count),
                                      r.rows(begin, count), gradient);
    });
}

}  // namespace hadal::model
