// Runs a fuzz target without libFuzzer: every file of a corpus folder, and a few hundred mutations
// of each.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file_map.h"
#include "core/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& input) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string mutated(std::string input, hadal::RandomSequence& random) {
    const uint64_t changes = 1 + random.below(4);
    for (uint64_t i = 0; i < changes; ++i) {
        if (input.empty()) return std::string(1, char(random.below(256)));
        const size_t at = size_t(random.below(input.size()));
        switch (random.below(4)) {
            case 0:
                input[at] = char(random.below(256));
                break;
            case 1:
                input.erase(at, 1 + size_t(random.below(8)));
                break;
            case 2:
                input.insert(at, 1, char(random.below(256)));
                break;
            default:
                input.resize(at);
                break;
        }
    }
    return input;
}

}  // namespace

int main(int count, char** arguments) {
    std::vector<std::string> corpus = {"", "{}", "\xff\xfe"};
    if (count > 1 && std::filesystem::is_directory(arguments[1])) {
        for (const auto& entry : std::filesystem::directory_iterator(arguments[1])) {
            corpus.push_back(hadal::read_file(entry.path()));
        }
    }
    hadal::RandomSequence random(1);
    constexpr int kMutations = 300;
    for (const std::string& input : corpus) {
        run(input);
        for (int i = 0; i < kMutations; ++i) run(mutated(input, random));
    }
    std::printf("%zu inputs with %d mutations each\n", corpus.size(), kMutations);
    return 0;
}
