#include "model/kept_activation.h"

#include "formats/e5m6.h"
#include "ops/quantize.h"

namespace hadal::model {

KeptTiles allocate_kept_tiles(std::string_view name, Shape shape, const Precision& precision,
                              const ActivationMemory& memory) {
    if (!precision.fp8) return {.values = memory.kept(name, shape, precision.dtype), .tiles = {}};
    const Fp8Format& format = precision.fp8->activation;
    return {.values = memory.recomputed(name, shape, precision.dtype),
            .tiles = {
                .codes = memory.kept(name, shape, format.codes),
                .scale = memory.kept(name, formats::scale_shape(shape, format.tiling), DType::f32),
                .tiling = format.tiling}};
}

void store(Context& context, KeptTiles& kept) {
    if (!kept.tiles.codes.empty()) ops::quantize_tiles(context, kept.values, kept.tiles);
}

void restore(Context& context, KeptTiles& kept) {
    if (!kept.tiles.codes.empty()) ops::dequantize_tiles(context, kept.tiles, kept.values);
}

KeptE5m6 allocate_kept_e5m6(std::string_view name, Shape shape, const Precision& precision,
                            const ActivationMemory& memory) {
    if (!precision.fp8) return {};
    return {
        .packed = memory.kept(name, {shape[0], e5m6_row_bytes(shape[1])}, DType::u8),
        .scale = memory.kept(name, formats::scale_shape(shape, formats::kRowTiles), DType::f32)};
}

void store(Context& context, const Tensor& values, KeptE5m6& kept) {
    if (!kept.packed.empty()) ops::pack_e5m6(context, values, kept.packed, kept.scale);
}

void restore(Context& context, const KeptE5m6& kept, Tensor& values) {
    if (!kept.packed.empty()) ops::unpack_e5m6(context, kept.packed, kept.scale, values);
}

}  // namespace hadal::model
