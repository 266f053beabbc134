#include "ops/matmul_plan.h"

#include <algorithm>
#include <cmath>

namespace hadal::ops {

namespace {

int64_t round_up(int64_t x, int64_t step) {
    return (x + step - 1) / step * step;
}

/// The size of equal parts of `whole`, near `wanted`, a multiple of `step`, at most `most`.
int64_t part_size(int64_t whole, int64_t wanted, int64_t step, int64_t most) {
    const int64_t size = std::clamp(wanted, step, most);
    const int64_t parts = (whole + size - 1) / size;
    return std::min(round_up((whole + parts - 1) / parts, step), most);
}

/// Multiply-adds of a product, and an element loaded, packed or stored counted as kMoved of them.
double cost(const MatmulSize& p) {
    constexpr double kMoved = 64;
    const double m = double(p.m), n = double(p.n), k = double(p.k);
    return m * n * k + kMoved * (m * k + n * k + m * n);
}

}  // namespace

/// Nearly square tiles of about `tile_cost`: what is packed for a tile grows with its sides, the
/// work with its area. Returns the number of tiles.
int64_t MatmulPlan::cut(Planned& product, double tile_cost) {
    const MatmulSize& p = product.size;
    const cpu::MatmulLimits& limits = product.limits;
    if (p.m == 0 || p.n == 0) return 0;
    const double area = double(p.m) * double(p.n) / std::max(1.0, std::floor(cost(p) / tile_cost));
    const double side = std::max(std::sqrt(area), area / double(p.m));
    product.n_size = part_size(p.n, int64_t(side), limits.n_step, limits.n_most);
    const double height = area / double(std::min(product.n_size, p.n));
    product.m_size = part_size(p.m, int64_t(height), limits.m_step, limits.m_most);
    product.m_tiles = (p.m + product.m_size - 1) / product.m_size;
    return product.m_tiles * ((p.n + product.n_size - 1) / product.n_size);
}

bool MatmulPlan::has_few_rows() const {
    return std::ranges::all_of(
        products_, [](const Planned& p) { return std::min(p.size.m, p.size.n) <= kFewRows; });
}

void MatmulPlan::cut(int tiles) {
    double total_cost = 0;
    for (const Planned& p : products_) total_cost += cost(p.size);
    for (Planned& p : products_) {
        p.first_tile = tiles_;
        tiles_ += cut(p, std::max(p.limits.least_cost, total_cost / tiles));
        scratch_bytes_ = std::max(scratch_bytes_, round_up(p.limits.bytes, 64));
    }
}

PlannedTile MatmulPlan::at(int64_t index) const {
    if (index >= tiles_) return {};
    const auto after =
        std::upper_bound(products_.begin(), products_.end(), index,
                         [](int64_t tile, const Planned& p) { return tile < p.first_tile; });
    const Planned& p = *(after - 1);
    const int64_t m = (index - p.first_tile) % p.m_tiles * p.m_size;
    const int64_t n = (index - p.first_tile) / p.m_tiles * p.n_size;
    return {(after - 1) - products_.begin(),
            {.m_begin = m,
             .m_count = std::min(p.m_size, p.size.m - m),
             .n_begin = n,
             .n_count = std::min(p.n_size, p.size.n - n)}};
}

}  // namespace hadal::ops
