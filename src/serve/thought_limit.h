// How long a text may think. A model that goes round in circles would use up all of its tokens and
// answer nothing: at the limit the mark that ends thoughts is put behind them, and it goes on from
// there as a new request of the engine, which finds all of it in its cache.
#pragma once

#include <cstdint>
#include <optional>

#include "infer/request.h"

namespace hadal::serve {

class ThoughtLimit {
  public:
    struct Options {
        int64_t tokens;                // at most
        int32_t end;                   // the mark behind thoughts
        std::optional<int32_t> begin;  // and the one before them, for a model that writes it
        bool thinks;                   // from the prompt on
    };
    explicit ThoughtLimit(Options options) : options_(options), thinks_(options.thinks) {}

    /// A token of the text; false if thoughts have to end behind it.
    bool take(int32_t id);
    bool reached() const {
        return thinks_ && count_ >= options_.tokens;
    }
    int32_t end() const {
        return options_.end;
    }

  private:
    Options options_;
    bool thinks_;
    int64_t count_ = 0;
};

/// The rest of a text whose thoughts ended early; nothing if there is no room for more.
std::optional<infer::Request> behind_thoughts(infer::Request first,
                                              const infer::RequestResult& thoughts, int32_t end);
/// Both parts' result, as of one request.
infer::RequestResult joined(const infer::RequestResult& thoughts, int32_t end,
                            const infer::RequestResult& rest);

}  // namespace hadal::serve
