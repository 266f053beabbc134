// A tensor: a shape over memory that it owns or shares. Row-major; only the distance between rows
// may exceed a row's length (a view of some columns). Knows no arithmetic: that is src/ops.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace hadal {

/// Up to four dimensions.
class Shape {
  public:
    static constexpr int kMaxRank = 4;

    Shape() = default;
    Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
    explicit Shape(std::span<const int64_t> sizes);

    int rank() const {
        return rank_;
    }
    int64_t operator[](int dimension) const {
        return sizes_[size_t(dimension)];
    }
    /// Number of elements; 1 for rank 0.
    int64_t count() const;
    /// "[3, 128]"
    std::string text() const;

    friend bool operator==(const Shape& a, const Shape& b) {
        return a.rank_ == b.rank_ && a.sizes_ == b.sizes_;
    }

  private:
    std::array<int64_t, kMaxRank> sizes_{};
    int rank_ = 0;
};

class Tensor {
  public:
    /// No elements, f32; stands for "absent".
    Tensor() = default;

    /// Zero-filled, aligned to 64 bytes.
    static Tensor zeros(Shape shape, DType dtype);
    /// Uninitialised, aligned to 64 bytes.
    static Tensor uninitialized(Shape shape, DType dtype);
    /// Memory of somebody else (a mapped file, a vector): `owner` keeps it alive. Views and slices
    /// share the owner too, which is why it is a shared_ptr: a weight's view outlives the file
    /// object that mapped it.
    static Tensor over(void* data, Shape shape, DType dtype, std::shared_ptr<const void> owner);

    bool empty() const {
        return data_ == nullptr;
    }
    DType dtype() const {
        return dtype_;
    }
    const Shape& shape() const {
        return shape_;
    }
    /// Sizes as an array for structured bindings: const auto [tokens, hidden] = x.shape<2>().
    template <int rank>
    std::array<int64_t, size_t(rank)> shape() const {
        HADAL_ASSERT(shape_.rank() == rank);
        std::array<int64_t, size_t(rank)> sizes;
        for (int i = 0; i < rank; ++i) sizes[size_t(i)] = shape_[i];
        return sizes;
    }
    int64_t count() const {
        return empty() ? 0 : shape_.count();
    }
    int64_t bytes() const {
        return count() * size_of(dtype_);
    }
    /// Elements from one row (index of the first dimension) to the next; ≥ the elements of a row.
    int64_t row_stride() const {
        return row_stride_;
    }
    bool contiguous() const;

    std::byte* data() {
        return data_;
    }
    const std::byte* data() const {
        return data_;
    }
    template <class T>
    T* data_as() {
        HADAL_ASSERT(dtype_of<T> == dtype_);
        return reinterpret_cast<T*>(data_);
    }
    template <class T>
    const T* data_as() const {
        HADAL_ASSERT(dtype_of<T> == dtype_);
        return reinterpret_cast<const T*>(data_);
    }
    /// All elements of a contiguous tensor.
    template <class T>
    std::span<T> values() {
        HADAL_ASSERT(contiguous());
        return {data_as<T>(), size_t(count())};
    }
    template <class T>
    std::span<const T> values() const {
        HADAL_ASSERT(contiguous());
        return {data_as<T>(), size_t(count())};
    }
    /// Everything under index `i` of the first dimension.
    template <class T>
    std::span<T> row(int64_t i) {
        return {data_as<T>() + i * row_stride_, size_t(row_count())};
    }
    template <class T>
    std::span<const T> row(int64_t i) const {
        return {data_as<T>() + i * row_stride_, size_t(row_count())};
    }

    /// Views that share this tensor's memory (a Tensor is a handle: constness is not deep).
    Tensor rows(int64_t begin, int64_t count) const;     // [count, …]
    Tensor columns(int64_t begin, int64_t count) const;  // rank 2: [rows, count], keeps row_stride
    Tensor reshaped(Shape shape) const;                  // contiguous only, same count

    /// A contiguous copy in memory of its own.
    Tensor clone() const;
    void fill_zero();
    void copy_from(const Tensor& other);  // same shape and dtype

  private:
    int64_t row_count() const {
        return shape_.rank() == 0 || shape_[0] == 0 ? row_stride_ : shape_.count() / shape_[0];
    }

    std::shared_ptr<const void> owner_;
    std::byte* data_ = nullptr;
    Shape shape_;
    int64_t row_stride_ = 0;
    DType dtype_ = DType::f32;
};

/// Throws Error(internal) naming `what` unless the tensor has this type and shape. −1 in `shape`
/// matches any size.
void require(const Tensor& tensor, DType dtype, Shape shape, std::string_view what);

}  // namespace hadal
