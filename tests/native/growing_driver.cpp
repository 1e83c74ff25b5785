// Growing arrays and their memory (include/growing.h): contents stay, and large pieces are reused.
//
//   g++ -std=c++17 -O2 -pthread -I src/evmcore/include tests/native/growing_driver.cpp -o growing_driver && ./growing_driver
#include "growing.h"

#include <cstdio>
#include <thread>
#include <vector>

using namespace evmcore;

static void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::exit(1);
}

static void check_growth(bool keeps) {
    Retired retired{keeps, nullptr};
    uint32_t* items = nullptr;
    size_t capacity = 0;
    std::vector<uint32_t*> seen;
    for (uint32_t i = 0; i < 300'000; ++i) {
        require(grow_array(reinterpret_cast<void**>(&items), &capacity, i + 1, sizeof *items, false, &retired), "room");
        if (seen.empty() || seen.back() != items) seen.push_back(items);
        items[i] = i * 2654435761u;
    }
    for (uint32_t i = 0; i < 300'000; ++i) require(items[i] == i * 2654435761u, "what was written is there after growing");
    for (size_t at = 0; keeps && at + 1 < seen.size(); ++at)
        require(seen[at][0] == 0 && seen[at][1] == 2654435761u, "a reader may still look at where an array was");
    free_retired(&retired);
    free_array(items);
}

static void check_pieces() {
    for (size_t bytes : {size_t{70'000}, size_t{1'000'000}, size_t{10'000'000}}) {
        void* first = new_array(bytes);
        std::memset(first, 1, bytes);
        free_array(first);
        void* second = new_array(bytes - 1000);
        require(second == first, "a large piece comes back");
        void* third = new_array(bytes);
        require(third != second, "only once");
        free_array(second);
        free_array(third);
    }
    require(new_array(SIZE_MAX - 8) == nullptr, "more than there can be is refused");
    free_array(nullptr);
    free_array(new_array(0));
}

static void check_threads() {
    std::vector<std::thread> threads;
    for (int number = 0; number < 4; ++number)
        threads.emplace_back([number] {
            for (int round = 0; round < 2000; ++round) {
                const size_t bytes = size_t{60'000} << (round % 5);
                auto* piece = static_cast<unsigned char*>(new_array(bytes));
                std::memset(piece, number, 64);
                std::memset(piece + bytes - 64, number, 64);
                for (int i = 0; i < 64; ++i)
                    require(piece[i] == number && piece[bytes - 1 - i] == number, "a piece is one thread's at a time");
                free_array(piece);
            }
        });
    for (std::thread& thread : threads) thread.join();
}

int main() {
    check_growth(false);
    check_growth(true);
    check_pieces();
    check_threads();
    std::puts("arrays as they should be");
}
