#include "core/tensor.h"

#include "core/large_pages.h"

#include <algorithm>
#include <cstring>

namespace hadal {

namespace {

std::shared_ptr<std::byte> allocate(int64_t bytes) {
    constexpr size_t kSpare = 64;  // a vector load may start inside the last line
    return allocate_bytes(size_t(bytes) + kSpare);
}

int64_t row_elements(const Shape& shape) {
    int64_t count = 1;
    for (int i = 1; i < shape.rank(); ++i) count *= shape[i];
    return count;
}

}  // namespace

Shape::Shape(std::span<const int64_t> sizes) : rank_(int(sizes.size())) {
    HADAL_ASSERT(sizes.size() <= kMaxRank);
    std::copy(sizes.begin(), sizes.end(), sizes_.begin());
}

int64_t Shape::count() const {
    int64_t count = 1;
    for (int i = 0; i < rank_; ++i) count *= sizes_[size_t(i)];
    return count;
}

std::string Shape::text() const {
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) {
        if (i > 0) text += ", ";
        text += std::to_string(sizes_[size_t(i)]);
    }
    return text + "]";
}

Tensor Tensor::uninitialized(Shape shape, DType dtype) {
    auto memory = allocate(shape.count() * size_of(dtype));
    auto* data = memory.get();
    return over(data, shape, dtype, std::move(memory));
}

Tensor Tensor::zeros(Shape shape, DType dtype) {
    Tensor tensor = uninitialized(shape, dtype);
    tensor.fill_zero();
    return tensor;
}

Tensor Tensor::over(void* data, Shape shape, DType dtype, std::shared_ptr<const void> owner) {
    Tensor tensor;
    tensor.owner_ = std::move(owner);
    tensor.data_ = static_cast<std::byte*>(data);
    tensor.shape_ = shape;
    tensor.row_stride_ = row_elements(shape);
    tensor.dtype_ = dtype;
    return tensor;
}

bool Tensor::contiguous() const {
    return empty() || shape_.rank() == 0 || shape_[0] <= 1 || row_stride_ == row_count();
}

Tensor Tensor::rows(int64_t begin, int64_t count) const {
    HADAL_ASSERT(shape_.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape_[0]);
    Tensor view = *this;
    std::array<int64_t, Shape::kMaxRank> sizes{};
    for (int i = 0; i < shape_.rank(); ++i) sizes[size_t(i)] = shape_[i];
    sizes[0] = count;
    view.shape_ = Shape(std::span<const int64_t>(sizes.data(), size_t(shape_.rank())));
    view.data_ += begin * row_stride_ * size_of(dtype_);
    return view;
}

Tensor Tensor::columns(int64_t begin, int64_t count) const {
    HADAL_ASSERT(shape_.rank() == 2 && begin >= 0 && count >= 0 && begin + count <= shape_[1]);
    Tensor view = *this;
    view.shape_ = Shape{shape_[0], count};
    view.data_ += begin * size_of(dtype_);
    return view;
}

Tensor Tensor::reshaped(Shape shape) const {
    HADAL_ASSERT(contiguous() && shape.count() == shape_.count());
    Tensor view = *this;
    view.shape_ = shape;
    view.row_stride_ = row_elements(shape);
    return view;
}

Tensor Tensor::clone() const {
    if (empty()) return {};
    Tensor copy = uninitialized(shape_, dtype_);
    copy.copy_from(*this);
    return copy;
}

void Tensor::fill_zero() {
    HADAL_ASSERT(contiguous());
    if (!empty()) std::memset(data_, 0, size_t(bytes()));
}

void Tensor::copy_from(const Tensor& other) {
    HADAL_ASSERT(shape_ == other.shape_ && dtype_ == other.dtype_);
    if (empty()) return;
    if (contiguous() && other.contiguous()) {
        std::memcpy(data_, other.data_, size_t(bytes()));
        return;
    }
    const int64_t width = size_of(dtype_);
    for (int64_t i = 0; i < shape_[0]; ++i) {
        std::memcpy(data_ + i * row_stride_ * width, other.data_ + i * other.row_stride_ * width,
                    size_t(row_count() * width));
    }
}

void require(const Tensor& tensor, DType dtype, Shape shape, std::string_view what) {
    bool same = tensor.dtype() == dtype && tensor.shape().rank() == shape.rank();
    for (int i = 0; same && i < shape.rank(); ++i) {
        same = shape[i] == -1 || shape[i] == tensor.shape()[i];
    }
    if (!same) {
        throw Error(Error::Kind::internal,
                    concat(what, " is ", tensor.shape().text(), " ", name(tensor.dtype()),
                           ", should be ", shape.text(), " ", name(dtype)));
    }
}

}  // namespace hadal
