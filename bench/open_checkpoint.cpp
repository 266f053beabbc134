// How long it takes to open the 671B model: index, 163 headers, every check, no weight.
//     bench/open_checkpoint [DIRECTORY]      (default: a layout of sparse files, made and removed
//     here)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <vector>

#include "checkpoint/hugging_face.h"
#include "checkpoint/temporary_directory.h"
#include "checkpoint/v3_layout.h"

int main(int argc, char** argv) {
    try {
        std::optional<hadal::test::TemporaryDirectory> scratch;
        std::filesystem::path directory = argc > 1 ? argv[1] : "";
        if (argc <= 1) {
            directory = scratch.emplace() / "v3";
            hadal::test::write_v3_layout(directory);
        }
        std::vector<double> seconds;
        size_t tensors = 0;
        for (int i = 0; i < 7; ++i) {
            const auto begin = std::chrono::steady_clock::now();
            const auto model = hadal::checkpoint::HuggingFace::open(directory);
            const auto end = std::chrono::steady_clock::now();
            seconds.push_back(std::chrono::duration<double>(end - begin).count());
            tensors = model.tensors().size();
        }
        std::sort(seconds.begin(), seconds.end());
        std::printf("{\"tensors\": %zu, \"median_seconds\": %.4f, \"slowest_seconds\": %.4f}\n",
                    tensors, seconds[seconds.size() / 2], seconds.back());
        return 0;
    } catch (const hadal::Error& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return error.exit_status();
    }
}
