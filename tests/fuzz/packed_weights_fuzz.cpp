// Any bytes as a model file with packed weights, the first part of them its config.json: refused
// with an Error, or every weight of INT4 and INT8 is unpacked without a step outside.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "checkpoint/hugging_face.h"
#include "model/config.h"

namespace {

/// This process's folder, removed at its end.
class Folder {
  public:
    Folder() {
        std::filesystem::create_directories(path_);
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    void write(const char* name, std::string_view bytes) const {
        std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << bytes;
    }
    const std::filesystem::path& path() const {
        return path_;
    }

  private:
    std::filesystem::path path_ = std::filesystem::temp_directory_path() /
                                  ("packed_weights_fuzz." + std::to_string(::getpid()));
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const Folder folder;
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const size_t config_size = std::min(input.find('\n'), size);
    try {
        hadal::model::parse_config(input.substr(0, config_size), "config");
    } catch (const hadal::Error&) {
    }
    folder.write("config.json", "{}");
    folder.write("model.safetensors", input.substr(std::min(config_size + 1, size)));
    try {
        const auto files = hadal::checkpoint::HuggingFace::open(folder.path());
        for (const auto& tensor : files.tensors()) {
            const std::string_view weight = files.packed_weight_of(tensor.name);
            if (weight.empty()) continue;
            const hadal::Tensor values = files.load(weight, hadal::DType::f32);
            if (values.shape() != files.packed_weight(weight)->shape) std::abort();
        }
    } catch (const hadal::Error&) {
    }
    return 0;
}
