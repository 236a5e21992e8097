// Boost.Context's fibers: a switch, and creating one that runs to its end.
//
//   peer switch | spawn N        prints: ns X
//
// Written after Boost.Context's own performance/fiber/performance.cpp: resume through a moved fiber object. A round trip
// counts as two transfers. Stacks of 64 KiB come from its pooled allocator.

#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace context = boost::context;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int rounds = 5;
constexpr double floor_ns = 20e6;
constexpr std::size_t stack_bytes = 64 * 1024;

// What a round did: operations, and how long they took.
struct Sample {
    std::uint64_t operations;
    double ns;
};

template <typename Body>
Sample timed(std::uint64_t operations, Body body) {
    auto start = Clock::now();
    body();
    std::chrono::duration<double, std::nano> elapsed = Clock::now() - start;
    return {operations, elapsed.count()};
}

// Finds out how many operations fill a round, and takes the median of so many rounds.
template <typename Measure>
double median(Measure measure) {
    std::uint64_t operations = 1;
    for (;;) {
        Sample sample = measure(operations);
        operations = sample.operations;
        if (sample.ns >= floor_ns) break;
        operations *= 4;
    }
    std::vector<double> ns;
    for (int i = 0; i < rounds; ++i) {
        Sample sample = measure(operations);
        ns.push_back(sample.ns / static_cast<double>(sample.operations));
    }
    std::sort(ns.begin(), ns.end());
    return ns[rounds / 2];
}

double switches() {
    context::fiber other{std::allocator_arg, context::pooled_fixedsize_stack(stack_bytes),
                         [](context::fiber &&back) {
                             for (;;) back = std::move(back).resume();
                             return std::move(back);
                         }};
    other = std::move(other).resume();
    return median([&](std::uint64_t operations) {
        std::uint64_t trips = (operations + 1) / 2;
        return timed(2 * trips, [&] {
            for (std::uint64_t i = 0; i < trips; ++i) other = std::move(other).resume();
        });
    });
}

double spawns(std::uint64_t batch) {
    // Stacks that it hands out again keep their pages, like everybody's here.
    context::pooled_fixedsize_stack pool(stack_bytes);
    std::vector<context::fiber> made;
    made.reserve(batch);
    return median([&](std::uint64_t operations) {
        std::uint64_t batches = (operations + batch - 1) / batch;
        return timed(batches * batch, [&] {
            for (std::uint64_t i = 0; i < batches; ++i) {
                for (std::uint64_t j = 0; j < batch; ++j) {
                    made.emplace_back(std::allocator_arg, pool,
                                      [](context::fiber &&back) { return std::move(back); });
                }
                for (auto &fiber : made) fiber = std::move(fiber).resume();
                made.clear();
            }
        });
    });
}

}  // namespace

int main(int count, char **words) {
    if (count == 2 && std::strcmp(words[1], "switch") == 0) {
        std::printf("ns %.3f\n", switches());
        return 0;
    }
    if (count == 3 && std::strcmp(words[1], "spawn") == 0) {
        std::printf("ns %.3f\n", spawns(std::max(std::strtoull(words[2], nullptr, 10), 1ULL)));
        return 0;
    }
    std::fprintf(stderr, "no such part\n");
    return 2;
}
