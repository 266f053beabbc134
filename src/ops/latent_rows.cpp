#include "ops/latent_rows.h"

#include <cstring>

#include "ops/quantize.h"

namespace hadal::ops {

namespace {

TiledMatrix take_codes(Workspace& workspace, int64_t tokens, int64_t rank) {
    return {.codes = workspace.take({tokens, rank}, DType::f8_e4m3),
            .scale = workspace.take({tokens, 1}, DType::f32),
            .tiling = {.rows = 1, .columns = 0, .scale = formats::ScaleKind::power_of_two}};
}

void require_places(const Tensor& places, int64_t tokens, const Tensor& cache) {
    require(places, DType::i32, {tokens}, "places");
    for (const int32_t place : places.values<int32_t>()) {
        if (place >= cache.shape()[0]) {
            throw Error(Error::Kind::internal,
                        concat("row ", place, " of a latent cache of ", cache.shape()[0]));
        }
    }
}

}  // namespace

void write_latent_rows(Context& context, const Tensor& c, const Tensor& k_pe, const Tensor& places,
                       Tensor& cache) {
    const auto [tokens, rank] = c.shape<2>();
    const int64_t rope = k_pe.shape<2>()[1];
    require(c, DType::bf16, {tokens, rank}, "c");
    require(k_pe, DType::bf16, {tokens, rope}, "k_pe");
    require(cache, DType::u8, {-1, latent_row_bytes(rank, rope)}, "cache");
    require_places(places, tokens, cache);
    const Workspace::Scope scope(context.workspace);
    TiledMatrix q = take_codes(context.workspace, tokens, rank);
    quantize_tiles(context, c, q);
    const auto* place = places.data_as<int32_t>();
    const int64_t width = rank;  // a structured binding cannot be captured
    context.threads.parallel_for(tokens, 64, [&, width](int64_t t) {
        if (place[t] < 0) return;
        std::byte* to = cache.data() + place[t] * cache.row_stride();
        std::memcpy(to, q.codes.data() + t * width, size_t(width));
        std::memcpy(to + width, q.scale.data_as<float>() + t, size_t(kLatentScaleBytes));
        std::memcpy(to + width + kLatentScaleBytes, k_pe.data_as<bf16>() + t * k_pe.row_stride(),
                    size_t(2 * rope));
    });
}

void read_latent_rows(Context& context, const Tensor& cache, const Tensor& places, int64_t rank,
                      Tensor& latents) {
    const int64_t tokens = latents.shape<2>()[0], rope = latents.shape<2>()[1] - rank;
    require(latents, DType::bf16, {tokens, rank + rope}, "latents");
    require(cache, DType::u8, {-1, latent_row_bytes(rank, rope)}, "cache");
    require_places(places, tokens, cache);
    const Workspace::Scope scope(context.workspace);
    TiledMatrix q = take_codes(context.workspace, tokens, rank);
    const auto* place = places.data_as<int32_t>();
    context.threads.parallel_for(tokens, 64, [&](int64_t t) {
        const std::byte* from = cache.data() + place[t] * cache.row_stride();
        std::memcpy(q.codes.data() + t * rank, from, size_t(rank));
        std::memcpy(q.scale.data_as<float>() + t, from + rank, size_t(kLatentScaleBytes));
        std::memcpy(latents.data_as<bf16>() + t * latents.row_stride() + rank,
                    from + rank + kLatentScaleBytes, size_t(2 * rope));
    });
    Tensor c = latents.columns(0, rank);
    dequantize_tiles(context, q, c);
}

}  // namespace hadal::ops
