#include "ops/rotary.h"

#include "ops/cpu/rotary.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

void check(const Tensor& x, const RotaryLayout& layout, const Tensor& cos_sin,
           const Tensor& positions) {
    const auto [tokens, width] = x.shape<2>();
    require(cos_sin, statistic_type(x.dtype()), {-1, layout.rope_dim}, "rotary: cos_sin");
    require(positions, DType::i32, {tokens}, "rotary: positions");
    const bool fits = layout.heads >= 0 && layout.offset >= 0 && layout.rope_dim % 2 == 0 &&
                      layout.offset + layout.rope_dim <= layout.head_dim &&
                      layout.heads * layout.head_dim <= width;
    if (!fits) {
        throw Error(Error::Kind::internal,
                    concat("rotary: ", layout.heads, " heads of ", layout.head_dim,
                           " with pairs at ", layout.offset, " … ", layout.offset + layout.rope_dim,
                           " do not fit ", x.shape().text()));
    }
    const int64_t known = cos_sin.shape()[0];
    for (const int32_t position : positions.values<int32_t>()) {
        if (position < 0 || position >= known) {
            throw Error(Error::Kind::bad_input,
                        concat("position ", position, " is outside the ", known,
                               " positions that the rotary table was made for (raise the context "
                               "length or shorten the text)"));
        }
    }
}

}  // namespace

void rotary(Context& context, Tensor& x, const RotaryLayout& layout, const Tensor& cos_sin,
            const Tensor& positions, RotaryDirection direction) {
    check(x, layout, cos_sin, positions);
    for_rows(
        context, "rotary", x.dtype(), {x.shape()[0], layout.heads * layout.rope_dim},
        [&]<Isa isa, class T>(int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; ++t) {
                const int64_t position = positions.data_as<int32_t>()[t];
                cpu::rotary_row<isa, T>({.x = x.data_as<T>() + t * x.row_stride() + layout.offset,
                                         .heads = layout.heads,
                                         .head_dim = layout.head_dim,
                                         .rope_dim = layout.rope_dim,
                                         .cos_sin = cos_sin.data_as<cpu::Statistic<T>>() +
                                                    position * cos_sin.row_stride(),
                                         .back = direction == RotaryDirection::backward});
            }
        });
}

}  // namespace hadal::ops
