// How the results of a list of matrix products are cut into tiles, balanced over threads. The cut
// never shows in a result: an element is computed whole by one tile, in an order that knows no
// tile.
#pragma once

#include <span>

#include "core/workspace.h"
#include "ops/cpu/matmul.h"

namespace hadal::ops {

struct MatmulSize {
    int64_t m;
    int64_t n;
    int64_t k;
};

struct PlannedTile {
    int64_t product = -1;  // its index in the list; −1 behind the last tile
    cpu::MatmulTile tile{};
};

/// Rows of x up to which a weight is streamed: it is read once, as it lies, and x is packed.
inline constexpr int64_t kFewRows = 32;

/// Into how many tiles to cut products: some for each thread, for balance, and more where few rows
/// stream their weights (a quarter more speed on shapes S and M7): nothing is packed for a tile
/// there. But a tile of a weight gradient packs both operands over all tokens, which only large
/// ones are worth.
inline int tiles_wanted(int threads, bool is_weight_gradient, bool streams) {
    if (threads == 1) return 1;
    return is_weight_gradient ? threads : streams ? 8 * threads : 3 * threads;
}

/// Lives in the workspace's memory. set() every product, then cut().
class MatmulPlan {
  public:
    MatmulPlan(Workspace& workspace, int64_t products)
        : products_(workspace.take<Planned>(products)) {}

    void set(size_t product, const MatmulSize& size, const cpu::MatmulLimits& limits) {
        products_[product] = {.size = size, .limits = limits};
    }
    /// Whether every product that was set has few rows or columns.
    bool has_few_rows() const;
    /// Into about `tiles` tiles, more where the kernel cannot take such large ones.
    void cut(int tiles);

    int64_t count() const {
        return tiles_;
    }
    int64_t scratch_bytes() const {  // of one thread
        return scratch_bytes_;
    }
    /// Tiles are numbered down the rows first, so that a thread that takes the next one finds the
    /// columns it packed.
    PlannedTile at(int64_t index) const;

  private:
    struct Planned {
        MatmulSize size;
        cpu::MatmulLimits limits;
        int64_t first_tile = 0;
        int64_t m_size = 0;
        int64_t n_size = 0;
        int64_t m_tiles = 0;
    };
    static int64_t cut(Planned& product, double tile_cost);

    std::span<Planned> products_;
    int64_t tiles_ = 0;
    int64_t scratch_bytes_ = 0;
};

}  // namespace hadal::ops
