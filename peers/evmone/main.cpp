/// Runs messages and blocks on evmone for evmcore's benchmark. It speaks the protocol in ../README.md.
#include <time.h>

#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

#include "json.hpp"
#include "work.hpp"

namespace peer {
namespace {

int64_t nanoseconds(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Json repeat(Work& work, int times) {
    std::vector<int64_t> wall;
    std::vector<int64_t> cpu;
    for (int i = 0; i < times; ++i) {
        work.prepare();
        const auto cpu_start = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        const auto wall_start = nanoseconds(CLOCK_MONOTONIC);
        work.run();
        wall.push_back(nanoseconds(CLOCK_MONOTONIC) - wall_start);
        cpu.push_back(nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_start);
    }
    return {{"wall_ns", wall}, {"cpu_ns", cpu}};
}

/// Answers one request. A message or a block becomes the current work, which `run` repeats. Work that fails does not.
Json handle(const std::string& line, std::unique_ptr<Work>& current) {
    const auto request = Json::parse(line);
    const std::string kind = request.at("do");
    if (kind == "run") {
        if (!current) throw std::logic_error{"nothing to run: neither a message nor a block came before"};
        return repeat(*current, request.at("times"));
    }
    current.reset();
    std::unique_ptr<Work> work;
    if (kind == "message") {
        work = make_message(request);
    } else if (kind == "block") {
        work = make_block(request);
    } else {
        throw std::invalid_argument{"do is " + kind + ": message, block, or run is needed"};
    }
    work->prepare();
    work->run();
    auto answer = work->answer();
    current = std::move(work);
    return answer;
}

}  // namespace
}  // namespace peer

int main() {
    using peer::Json;
    std::ios::sync_with_stdio(false);
    std::cout << Json{{"name", "evmone"},
                      {"version", EVMONE_COMMIT},
                      {"does", {"message", "block"}},
                      {"threads", false}}
              << std::endl;
    std::unique_ptr<peer::Work> current;
    for (std::string line; std::getline(std::cin, line);) {
        Json answer;
        try {
            answer = peer::handle(line, current);
        } catch (const std::exception& error) {
            answer = {{"error", error.what()}};
        }
        std::cout << answer << std::endl;
    }
}
