#include "core/thread_pool.h"

#include <doctest/doctest.h>

#include <numeric>
#include <stdexcept>
#include <vector>

using hadal::ThreadPool;

TEST_CASE("thread_pool: every index is visited once, for any count, grain and number of threads") {
    for (const int threads : {1, 2, 3, 4}) {
        ThreadPool pool(threads);
        for (const int64_t count : {0, 1, 2, 7, 1000}) {
            for (const int64_t grain : {1, 3, 64, 5000}) {
                CAPTURE(threads);
                CAPTURE(count);
                CAPTURE(grain);
                std::vector<std::atomic<int>> visits(size_t(count) + 1);
                pool.parallel_for(count, grain, [&](int64_t i) { ++visits[size_t(i)]; });
                int64_t total = 0;
                for (int64_t i = 0; i < count; ++i) {
                    CHECK(visits[size_t(i)] == 1);
                    total += visits[size_t(i)];
                }
                CHECK(total == count);
            }
        }
    }
}

TEST_CASE("thread_pool: the thread index is unique among the ranges that run at one time") {
    ThreadPool pool(4);
    std::vector<std::atomic<int>> busy(4);
    std::atomic<int> clashes = 0;
    pool.parallel_ranges(2000, 1, [&](int64_t, int64_t, int thread) {
        if (busy[size_t(thread)].fetch_add(1) != 0) ++clashes;
        busy[size_t(thread)].fetch_sub(1);
    });
    CHECK(clashes == 0);
}

TEST_CASE("thread_pool: an exception of a body reaches the caller and the pool goes on working") {
    ThreadPool pool(3);
    CHECK_THROWS_AS(pool.parallel_for(100,
                                      [](int64_t i) {
                                          if (i == 37) throw std::runtime_error("x");
                                      }),
                    std::runtime_error);
    std::atomic<int64_t> sum = 0;
    pool.parallel_for(100, [&](int64_t i) { sum += i; });
    CHECK(sum == 4950);
}

TEST_CASE("thread_pool: a call from inside a body runs on the calling thread") {
    ThreadPool pool(4);
    std::atomic<int64_t> sum = 0;
    pool.parallel_for(8, [&](int64_t) { pool.parallel_for(10, [&](int64_t i) { sum += i; }); });
    CHECK(sum == 8 * 45);
}

TEST_CASE("thread_pool: thousands of small jobs lose none") {
    ThreadPool pool(4);
    std::atomic<int64_t> sum = 0;
    for (int round = 0; round < 5000; ++round) {
        pool.parallel_for(4, [&](int64_t) { sum.fetch_add(1, std::memory_order_relaxed); });
    }
    CHECK(sum == 20000);
}
