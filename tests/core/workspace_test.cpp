#include "core/workspace.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "core/random.h"

using namespace hadal;

namespace {

/// Nested scopes that take pieces of random sizes, each filled with a value of its own: a piece
/// that overlapped another would have lost it.
class Nest {
  public:
    explicit Nest(uint64_t seed) : random_(seed) {}

    void run(int depth) {
        const Workspace::Scope scope(workspace_);
        std::vector<std::span<uint64_t>> pieces;
        const size_t before = live_;
        for (uint64_t i = 0; i < 1 + random_.below(5); ++i) {
            const auto count = int64_t(random_.below(random_.below(8) == 0 ? 400'000 : 2'000));
            const auto piece = workspace_.take<uint64_t>(count);
            REQUIRE(reinterpret_cast<uintptr_t>(piece.data()) % 64 == 0);
            std::ranges::fill(piece, ++last_value_);
            pieces.push_back(piece);
            values_.push_back(last_value_);
            live_ += piece.size_bytes();
            most_ = std::max(most_, live_);
            if (depth > 0 && random_.below(2) == 0) run(depth - 1);
        }
        for (size_t i = pieces.size(); i-- > 0; values_.pop_back()) {
            const uint64_t value = values_.back();
            REQUIRE(std::ranges::all_of(pieces[i], [&](uint64_t found) { return found == value; }));
        }
        live_ = before;
    }

    size_t most() const {
        return most_;
    }
    const Workspace& workspace() const {
        return workspace_;
    }

  private:
    Workspace workspace_;
    RandomSequence random_;
    std::vector<uint64_t> values_;
    uint64_t last_value_ = 0;
    size_t live_ = 0;
    size_t most_ = 0;
};

}  // namespace

TEST_CASE("workspace: pieces of nested scopes never overlap, over many rounds") {
    for (uint64_t seed = 0; seed < 5; ++seed) {
        Nest nest(seed);
        for (int round = 0; round < 8; ++round) nest.run(4);
        CHECK(nest.workspace().peak_bytes() >= nest.most());
    }
}

TEST_CASE("workspace: memory is used again after its scope, and none more is asked for") {
    Workspace workspace;
    const auto round = [&] {
        const Workspace::Scope scope(workspace);
        workspace.take<float>(100'000);
        workspace.take<float>(3'000'000);
        return workspace.take<float>(10).data();
    };
    round();
    const size_t peak = workspace.peak_bytes();
    const float* second = round();
    CHECK(round() == second);  // one chunk holds all of it by now
    CHECK(round() == second);
    CHECK(workspace.peak_bytes() <= peak + 4096);
}

TEST_CASE("workspace: tensors come with their shape, absent sizes included") {
    Workspace workspace;
    const Workspace::Scope scope(workspace);
    const Tensor a = workspace.take({3, 5}, DType::bf16);
    CHECK(a.shape() == Shape{3, 5});
    CHECK(a.bytes() == 30);
    const Tensor none = workspace.take({0, 5}, DType::f32);
    CHECK(none.count() == 0);
    CHECK(!none.empty());
}
