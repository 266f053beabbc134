// Scratch memory of operators: a stack of bytes that grows in the first steps and is then reused
// for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace hadal {

class Workspace {
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
    std::byte* take_bytes(size_t bytes);
    void release(size_t chunk, size_t used);

    std::vector<Chunk> chunks_;
    size_t chunk_ = 0;   // index of the chunk in use
    size_t used_ = 0;    // bytes used in it
    size_t before_ = 0;  // bytes in the chunks before it
    size_t peak_ = 0;
};

}  // namespace hadal
