#include "model/linear.h"

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "ops/matmul.h"
#include "ops/matmul_fp8.h"
#include "ops/matmul_int4.h"
#include "ops/matmul_int8.h"
#include "ops/permute.h"
#include "ops/quantize.h"

namespace hadal::model {

namespace {

/// A matrix in `format` whose memory is `allocate`'s.
TiledMatrix tiles_for(std::string_view name, Shape shape, const Fp8Format& format,
                      const Allocate& allocate) {
    return {.codes = allocate(name, shape, format.codes),
            .scale = allocate(name, formats::scale_shape(shape, format.tiling), DType::f32),
            .tiling = format.tiling};
}

/// Whether rows of a matrix can be cut out of its tiles anywhere, as the experts' rows are.
bool rows_are_separate(const formats::Tiling& tiling) {
    return tiling.rows <= 1;
}

/// The tiles of the weight gradient's operands, whose inner dimension is the tokens. One scale for
/// the whole matrix, or blocks, serve in both directions.
formats::Tiling along_rows(const formats::Tiling& tiling) {
    if (tiling.rows != 1) return tiling;
    return {.rows = tiling.columns, .columns = 1, .scale = tiling.scale};
}

bool has_tiles(const Operand& operand) {
    return !operand.tiles.codes.empty();
}

/// Operands of a list's products, quantised where they have no tiles yet. The memory is the
/// workspace's, of the caller's scope.
class Quantizer {
  public:
    explicit Quantizer(Context& context)
        : context_(context), allocate_([&context](std::string_view, Shape shape, DType dtype) {
              return context.workspace.take(shape, dtype);
          }) {}

    /// As forward and the input gradient read it. Filled by run().
    TiledMatrix along_columns(const Operand& operand) {
        if (has_tiles(operand)) return operand.tiles;
        return quantized(operand.values, *operand.fp8);
    }

    /// As the weight gradient reads it. Filled by run(). An operand of several products is
    /// quantised once.
    TiledMatrix along_rows(const Operand& operand) {
        const formats::Tiling tiling = model::along_rows(operand.fp8->tiling);
        if (has_tiles(operand) && tiling == operand.tiles.tiling) return operand.tiles;
        const Tensor& source = has_tiles(operand) ? operand.tiles.codes : operand.values;
        const auto key = std::pair(source.data(), source.shape()[0]);
        if (const auto found = known_.find(key); found != known_.end()) return found->second;
        TiledMatrix result;
        if (has_tiles(operand)) {
            result = tiles_for("", source.shape(), {tiling, source.dtype()}, allocate_);
            from_tiles_.push_back({operand.tiles, result});
        } else {
            result = quantized(source, {tiling, operand.fp8->codes});
        }
        bytes_ += result.codes.bytes();
        return known_.emplace(key, result).first->second;
    }

    /// Of the codes along rows.
    int64_t bytes() const {
        return bytes_;
    }

    void run() {
        if (!from_values_.empty()) ops::quantize_tiles(context_, from_values_);
        if (!from_tiles_.empty()) ops::requantize_tiles(context_, from_tiles_);
    }

  private:
    TiledMatrix quantized(const Tensor& values, const Fp8Format& format) {
        const TiledMatrix result = tiles_for("", values.shape(), format, allocate_);
        from_values_.push_back({values, result});
        return result;
    }

    Context& context_;
    Allocate allocate_;
    std::vector<ops::Quantization> from_values_;
    std::vector<ops::Requantization> from_tiles_;
    std::map<std::pair<const std::byte*, int64_t>, TiledMatrix> known_;
    int64_t bytes_ = 0;
};

bool is_fp8(std::span<const LinearRows> list) {
    return !list.empty() && list.front().operand.fp8.has_value();
}

/// Where bf16 operands meet codes of a checkpoint.
bool is_int4(const Linear& linear) {
    return !linear.int4.packed.empty();
}
bool is_int8(const Linear& linear) {
    return !linear.int8.packed.empty();
}
bool is_codes_only(const Linear& linear) {
    return linear.weight.empty() && !is_int4(linear) && !is_int8(linear);
}

std::vector<ops::Product> products_of(std::span<const LinearRows> list) {
    std::vector<ops::Product> products;
    products.reserve(list.size());
    for (const LinearRows& rows : list) {
        products.push_back({rows.operand.values, rows.linear.weight, rows.result, rows.add});
    }
    return products;
}

ops::IntegerMatrix integers_of(const Linear& linear) {
    if (is_int4(linear)) return linear.int4;
    return linear.int8;
}

/// Activations of a list's products, each quantised once, however many weights it meets. The
/// memory is the workspace's, of the caller's scope.
class Int8Activations {
  public:
    explicit Int8Activations(Context& context)
        : context_(context), known_(&context.workspace), list_(&context.workspace) {}

    /// Filled by run().
    ops::Int8Rows of(const Tensor& x) {
        const auto [rows, width] = x.shape<2>();
        const auto [place, is_new] = known_.try_emplace({x.data(), rows, width});
        if (is_new) {
            place->second = ops::Int8Rows::take(context_.workspace, rows, width);
            list_.push_back({x, place->second});
        }
        return place->second;
    }

    void run() {
        if (!list_.empty()) ops::quantize_rows_int8(context_, list_);
    }

  private:
    Context& context_;
    std::pmr::map<std::tuple<const std::byte*, int64_t, int64_t>, ops::Int8Rows> known_;
    std::pmr::vector<ops::Int8Quantization> list_;
};

/// A list in which each weight is held in a way of its own: the experts of a checkpoint, some of
/// which may be in codes and others not.
void bf16_products(Context& context, std::span<const LinearRows> list) {
    const Workspace::Scope scope(context.workspace);
    Int8Activations activations(context);
    std::pmr::vector<ops::Product> of_values(&context.workspace);
    std::pmr::vector<ops::ProductW8A16> of_tiles(&context.workspace);
    std::pmr::vector<ops::ProductInt4> of_int4(&context.workspace);
    std::pmr::vector<ops::ProductInt8> of_integers(&context.workspace);
    for (const auto& [x, linear, y, add] : list) {
        if (linear.int8_activations) {
            of_integers.push_back({activations.of(x.values), integers_of(linear), y, add});
        } else if (is_int4(linear)) {
            of_int4.push_back({x.values, linear.int4, y, add});
        } else if (is_codes_only(linear)) {
            of_tiles.push_back({x.values, linear.codes, y, add});
        } else {
            of_values.push_back({x.values, linear.weight, y, add});
        }
    }
    ops::matmul_nt(context, of_values);
    ops::matmul_nt(context, of_tiles);
    ops::matmul_nt(context, of_int4);
    activations.run();
    ops::matmul_nt(context, of_integers);
}

/// Quantises what has no tiles and hands the list to `multiply`.
template <class Multiply>
void fp8_products(Context& context, std::span<const LinearRows> list,
                  TiledMatrix Linear::* weight_codes, const Multiply& multiply) {
    const Workspace::Scope scope(context.workspace);
    Quantizer quantizer(context);
    std::vector<ops::ProductFp8> products;
    products.reserve(list.size());
    for (const LinearRows& rows : list) {
        products.push_back({quantizer.along_columns(rows.operand), rows.linear.*weight_codes,
                            rows.result, rows.add});
    }
    quantizer.run();
    multiply(products);
}

/// The first gradients of a list, as many as have operands that fit into the caches together: what
/// is quantised for them is read again at once. Returns how many.
size_t add_first_gradients(Context& context, std::span<const LinearGradientRows> list) {
    constexpr int64_t kCacheBytes = 512 << 10;  // of one thread's second level
    const int64_t most = kCacheBytes * context.threads.size();
    const Workspace::Scope scope(context.workspace);
    Quantizer quantizer(context);
    std::vector<ops::ProductFp8> products;
    while (products.size() < list.size() && quantizer.bytes() < most) {
        const LinearGradientRows& rows = list[products.size()];
        products.push_back(
            {quantizer.along_rows(rows.d_y), quantizer.along_rows(rows.x), rows.gradient.weight});
    }
    quantizer.run();
    ops::matmul_tn_add(context, products);
    return products.size();
}

}  // namespace

Operand Operand::rows(int64_t begin, int64_t count) const {
    Operand part{.values = values.empty() ? Tensor() : values.rows(begin, count), .fp8 = fp8};
    if (tiles.codes.empty()) return part;
    part.tiles = {.codes = tiles.codes.rows(begin, count),
                  .scale = tiles.tiling.rows == 0 ? tiles.scale : tiles.scale.rows(begin, count),
                  .tiling = tiles.tiling};
    return part;
}

Operand with_tiles(Tensor values, std::string_view name, Shape shape,
                   const std::optional<Fp8Format>& fp8, const Allocate& allocate) {
    Operand operand{.values = std::move(values), .fp8 = fp8};
    if (fp8 && rows_are_separate(fp8->tiling)) {
        operand.tiles = tiles_for(name, shape, *fp8, allocate);
    }
    return operand;
}

Operand allocate_operand(std::string_view name, Shape shape, DType dtype,
                         const std::optional<Fp8Format>& fp8, const Allocate& allocate) {
    return with_tiles(allocate(name, shape, dtype), name, shape, fp8, allocate);
}

Operand allocate_gathered(std::string_view name, Shape shape, DType dtype,
                          const std::optional<Fp8Format>& fp8, const Allocate& allocate) {
    Operand operand = with_tiles(Tensor(), name, shape, fp8, allocate);
    if (!fp8 || !rows_are_separate(fp8->tiling)) operand.values = allocate(name, shape, dtype);
    return operand;
}

Operand allocate_coded(std::string_view name, Shape shape, DType dtype,
                       const std::optional<Fp8Format>& fp8, const Allocate& allocate) {
    Operand operand = with_tiles(Tensor(), name, shape, fp8, allocate);
    if (!fp8 || fp8->tiling.rows != 1) operand.values = allocate(name, shape, dtype);
    return operand;
}

void encode(Context& context, Operand& operand) {
    if (has_tiles(operand)) ops::quantize_tiles(context, operand.values, operand.tiles);
}

void gather(Context& context, const Operand& x, const Tensor& row_source, int64_t top_k,
            Operand& rows) {
    if (!has_tiles(rows)) {
        return ops::gather_rows(context, x.values, row_source, top_k, rows.values);
    }
    ops::gather_rows(context, x.tiles.codes, row_source, top_k, rows.tiles.codes);
    if (rows.tiles.tiling.rows == 0) {
        rows.tiles.scale.copy_from(x.tiles.scale);
    } else {
        ops::gather_rows(context, x.tiles.scale, row_source, top_k, rows.tiles.scale);
    }
}

int64_t Linear::out() const {
    if (is_int4(*this)) return int4.shape()[0];
    if (is_int8(*this)) return int8.shape()[0];
    return is_codes_only(*this) ? codes.codes.shape()[0] : weight.shape()[0];
}

void Linear::forward(Context& context, const Operand& x, Tensor& y) const {
    const LinearRows rows{x, *this, y};
    forward(context, {&rows, 1});
}

void Linear::forward_add(Context& context, const Operand& x, Tensor& y) const {
    const LinearRows rows{x, *this, y, /*add=*/true};
    forward(context, {&rows, 1});
}

void Linear::forward(Context& context, std::span<const LinearRows> list) {
    if (!is_fp8(list)) return bf16_products(context, list);
    fp8_products(context, list, &Linear::codes,
                 [&](const auto& products) { ops::matmul_nt(context, products); });
}

void Linear::backward_input(Context& context, const Operand& d_y, Tensor& d_x) const {
    if (d_y.fp8) return backward_input(context, std::vector<LinearRows>{{d_y, *this, d_x}});
    ops::matmul_nn(context, d_y.values, weight, d_x);
}

void Linear::backward_input_add(Context& context, const Operand& d_y, Tensor& d_x) const {
    if (d_y.fp8) return backward_input_add(context, std::vector<LinearRows>{{d_y, *this, d_x}});
    ops::matmul_nn_add(context, d_y.values, weight, d_x);
}

void Linear::backward_input(Context& context, std::span<const LinearRows> list) {
    if (!is_fp8(list)) return ops::matmul_nn(context, products_of(list));
    fp8_products(context, list, &Linear::codes_along_out,
                 [&](const auto& products) { ops::matmul_nn(context, products); });
}

void Linear::backward_input_add(Context& context, std::span<const LinearRows> list) {
    if (!is_fp8(list)) return ops::matmul_nn_add(context, products_of(list));
    fp8_products(context, list, &Linear::codes_along_out,
                 [&](const auto& products) { ops::matmul_nn_add(context, products); });
}

void Linear::add_gradients(Context& context, std::span<const LinearGradientRows> list) {
    if (list.empty()) return;
    if (!list.front().x.fp8) {
        std::vector<ops::Product> products;
        products.reserve(list.size());
        for (const LinearGradientRows& rows : list) {
            products.push_back({rows.d_y.values, rows.x.values, rows.gradient.weight});
        }
        return ops::matmul_tn_add(context, products);
    }
    while (!list.empty()) list = list.subspan(add_first_gradients(context, list));
}

void quantize_weights(Context& context, std::span<Linear* const> linears, const Fp8Format& format) {
    const formats::Tiling along_out = along_rows(format.tiling);
    std::vector<ops::Quantization> list;
    for (Linear* linear : linears) {
        const Shape& shape = linear->weight.shape();
        if (linear->codes.codes.empty()) {
            linear->codes = TiledMatrix::uninitialized(shape, format.tiling, format.codes);
            linear->codes_along_out =
                along_out == format.tiling
                    ? linear->codes
                    : TiledMatrix::uninitialized(shape, along_out, format.codes);
        }
        list.push_back({linear->weight, linear->codes});
        if (along_out != format.tiling) list.push_back({linear->weight, linear->codes_along_out});
    }
    ops::quantize_tiles(context, list);
}

int64_t held_bytes(const Linear& linear) {
    if (is_int4(linear)) return linear.int4.bytes();
    if (is_int8(linear)) return linear.int8.bytes();
    return is_codes_only(linear) ? linear.codes.bytes() : linear.weight.bytes();
}

int64_t code_bytes(const Shape& weight, const Fp8Format& format) {
    const auto bytes_of = [&](const formats::Tiling& tiling) {
        return weight.count() * size_of(format.codes) +
               formats::scale_shape(weight, tiling).count() * size_of(DType::f32);
    };
    const formats::Tiling along_out = along_rows(format.tiling);
    return bytes_of(format.tiling) + (along_out == format.tiling ? 0 : bytes_of(along_out));
}

}  // namespace hadal::model
