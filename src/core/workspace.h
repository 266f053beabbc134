// Scratch memory of operators: a stack of bytes that grows in the first steps and is then reused
// for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <vector>

#include "core/tensor.h"

namespace hadal {

/// As a memory resource it serves lists that live no longer than a Scope: give it to a
/// std::pmr::vector that is declared after the Scope, and that no deeper Scope makes grow.
class Workspace : public std::pmr::memory_resource {
  public:
    Workspace() = default;
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    /// Everything taken while a Scope lives is given back when it ends.
    class Scope {
      public:
        explicit Scope(Workspace& workspace)
            : workspace_(workspace), chunk_(workspace.chunk_), used_(workspace.used_) {}
        ~Scope() {
            workspace_.release(chunk_, used_);
        }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Workspace& workspace_;
        size_t chunk_;
        size_t used_;
    };

    /// Uninitialised memory, aligned to 64 bytes, until the enclosing Scope ends. From one thread
    /// only.
    template <class T>
    std::span<T> take(int64_t count) {
        return {reinterpret_cast<T*>(take_bytes(size_t(count) * sizeof(T))), size_t(count)};
    }
    /// The same as a tensor.
    Tensor take(Shape shape, DType dtype);

    /// Largest number of bytes ever in use.
    size_t peak_bytes() const {
        return peak_;
    }

  private:
    struct Chunk {
        std::shared_ptr<std::byte> memory;
        size_t size = 0;
    };
    void* do_allocate(size_t bytes, size_t alignment) override;
    void do_deallocate(void*, size_t, size_t) override {}  // the Scope's end gives it back
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }
    std::byte* take_bytes(size_t bytes);
    void release(size_t chunk, size_t used);

    std::vector<Chunk> chunks_;
    size_t chunk_ = 0;   // index of the chunk in use
    size_t used_ = 0;    // bytes used in it
    size_t before_ = 0;  // bytes in the chunks before it
    size_t peak_ = 0;
};

}  // namespace hadal
