#include "core/background_task.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

using hadal::BackgroundTask;

TEST_CASE("background task: jobs run one after the other, each before the wait for it ends") {
    BackgroundTask task;
    int sum = 0;  // no atomic: a second thread at the same time is a race that TSan sees
    for (int i = 1; i <= 200; ++i) task.start([&sum, i] { sum = sum * 2 % 1000 + i; });
    task.wait();
    int expected = 0;
    for (int i = 1; i <= 200; ++i) expected = expected * 2 % 1000 + i;
    CHECK(sum == expected);
    task.wait();  // nothing runs
}

TEST_CASE("background task: what a job throws is thrown once by the wait, and the next job runs") {
    BackgroundTask task;
    task.start([] { throw std::runtime_error("lost"); });
    CHECK_THROWS_WITH_AS(task.wait(), "lost", std::runtime_error);
    task.wait();
    task.start([] { throw std::runtime_error("seen at the next start"); });
    CHECK_THROWS_AS(task.start([] {}), std::runtime_error);
    bool ran = false;
    task.start([&] { ran = true; });
    task.wait();
    CHECK(ran);
}

TEST_CASE("background task: its end finishes the job, thrown errors included") {
    bool ran = false;
    {
        BackgroundTask task;
        task.start([&] {
            ran = true;
            throw std::runtime_error("nobody asks");
        });
    }
    CHECK(ran);
}

TEST_CASE("background task: only its own thread becomes nice") {
    std::atomic<int> niceness = -100;
    BackgroundTask task(5);
    const int before = ::getpriority(PRIO_PROCESS, id_t(::gettid()));
    task.start([&] { niceness = ::getpriority(PRIO_PROCESS, id_t(::gettid())); });
    task.wait();
    CHECK(niceness == 5);
    CHECK(::getpriority(PRIO_PROCESS, id_t(::gettid())) == before);
}
