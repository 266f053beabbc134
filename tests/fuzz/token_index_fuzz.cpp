// Any bytes as the index of packed tokens, over an .bin of twenty bytes: refused with an Error, or
// every document and every token can be read.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/token_dataset.h"

namespace {

std::filesystem::path write_pair(const uint8_t* data, size_t size) {
    const auto path = std::filesystem::temp_directory_path() /
                      ("hadal-token-index-fuzz-" + std::to_string(::getpid()));
    std::ofstream(path.string() + ".bin", std::ios::binary) << "12345678901234567890";
    std::ofstream(path.string() + ".idx", std::ios::binary)
        .write(reinterpret_cast<const char*>(data), std::streamsize(size));
    return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::filesystem::path path = write_pair(data, size);
    try {
        const auto dataset = hadal::data::TokenDataset::open(path);
        std::vector<int32_t> ids(size_t(dataset.tokens()));
        dataset.copy(0, ids);
        int64_t end = 0;
        for (int64_t i = 0; i < dataset.documents(); ++i) {
            if (dataset.document(i).begin != end) std::abort();
            end = dataset.document(i).end;
        }
        if (end != dataset.tokens()) std::abort();
        for (int64_t i = 0; i < dataset.tokens(); ++i) {
            const auto [begin, stop] = dataset.document(dataset.document_of(i));
            if (i < begin || i >= stop) std::abort();
        }
    } catch (const hadal::Error&) {
    }
    std::filesystem::remove(path.string() + ".bin");
    std::filesystem::remove(path.string() + ".idx");
    return 0;
}
