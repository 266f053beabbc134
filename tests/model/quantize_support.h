// What tests of quantised models share: a folder with models in it, and what is refused.
#pragma once

#include <cstring>
#include <string>

#include "checkpoint/temporary_directory.h"
#include "model/quantize_model.h"
#include "model/support.h"

namespace hadal::test {

/// Models by name in a folder of the test's own.
struct ModelFolder {
    model::QuantizeResult quantize(const std::string& from, const std::string& to,
                                   const model::QuantizeOptions& options) {
        return model::quantize_model(machine.context, folder / from, folder / to, options);
    }
    /// The error's text, "" if there was none; a refused model leaves nothing behind.
    std::string refusal(const std::string& from, const model::QuantizeOptions& options) {
        try {
            quantize(from, "refused", options);
        } catch (const Error& error) {
            CHECK(!std::filesystem::exists(folder / "refused"));
            return error.what();
        }
        return "";
    }

    TemporaryDirectory folder;
    Machine machine{2};
};

inline bool same(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0;
}

}  // namespace hadal::test
