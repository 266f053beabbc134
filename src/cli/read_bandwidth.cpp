#include "cli/read_bandwidth.h"

#include <chrono>
#include <cstring>
#include <vector>

#include "core/tensor.h"

namespace hadal::cli {

namespace {

using Clock = std::chrono::steady_clock;

/// Sum of all 64-bit words, for the memory traffic and not for the sum.
uint64_t read_words(const std::byte* data, int64_t begin, int64_t end) {
    uint64_t sum = 0;
    for (int64_t offset = begin; offset < end; offset += 8) {
        uint64_t word;
        std::memcpy(&word, data + offset, sizeof word);
        sum += word;
    }
    return sum;
}

}  // namespace

double read_bandwidth(Context& context) {
    constexpr int64_t kBytes = 512 << 20, kPiece = 1 << 20;
    Tensor buffer = Tensor::uninitialized({kBytes}, DType::u8);
    const int64_t pieces = kBytes / kPiece;
    // The first touch places each page near the thread that writes it.
    context.threads.parallel_for(pieces, 8, [&](int64_t i) {
        std::memset(buffer.data() + i * kPiece, int(i), size_t(kPiece));
    });
    std::vector<uint64_t> sums(size_t(context.threads.size()), 0);
    const Clock::time_point begin = Clock::now();
    double seconds = 0;
    int64_t passes = 0;
    while (seconds < 1) {
        context.threads.parallel_ranges(pieces, 8, [&](int64_t first, int64_t last, int thread) {
            sums[size_t(thread)] += read_words(buffer.data(), first * kPiece, last * kPiece);
        });
        ++passes;
        seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    const volatile uint64_t keep = total;  // the sums must not be optimised away
    (void)keep;
    return double(passes) * double(kBytes) / seconds / 1e9;
}

}  // namespace hadal::cli
