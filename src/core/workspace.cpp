#include "core/workspace.h"

#include "core/large_pages.h"

#include <algorithm>

namespace hadal {

namespace {
constexpr size_t kLine = 64;
constexpr size_t kFirstChunk = size_t(1) << 20;
}  // namespace

std::byte* Workspace::take_bytes(size_t bytes) {
    // A spare line behind every piece: vector kernels may load past the end of a row.
    bytes = (bytes + 2 * kLine - 1) / kLine * kLine;
    while (chunk_ < chunks_.size() && used_ + bytes > chunks_[chunk_].size) {
        before_ += chunks_[chunk_].size;
        ++chunk_;
        used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
        const size_t size = std::max({bytes, kFirstChunk, before_});  // doubles the total
        chunks_.push_back({allocate_bytes(size), size});
        used_ = 0;
    }
    std::byte* memory = chunks_[chunk_].memory.get() + used_;
    used_ += bytes;
    peak_ = std::max(peak_, before_ + used_);
    return memory;
}

void* Workspace::do_allocate(size_t bytes, size_t alignment) {
    HADAL_ASSERT(alignment <= kLine);
    return take_bytes(bytes);
}

Tensor Workspace::take(Shape shape, DType dtype) {
    std::byte* memory = take_bytes(size_t(shape.count() * size_of(dtype)));
    return Tensor::over(memory, shape, dtype, chunks_[chunk_].memory);
}

void Workspace::release(size_t chunk, size_t used) {
    while (chunk_ > chunk) {
        --chunk_;
        before_ -= chunks_[chunk_].size;
    }
    used_ = used;
    if (chunk_ == 0 && used_ == 0 && chunks_.size() > 1) {
        // Empty again: one chunk of the whole size serves the next step without hopping.
        chunks_.clear();
        before_ = 0;
        const size_t size = peak_ + kLine;
        chunks_.push_back({allocate_bytes(size), size});
    }
}

}  // namespace hadal
