// Threads that share one reader of the cache: some bring in what the cache does not take, others look it up meanwhile.
// Every thread finds what was brought in, unchanged, as soon as it was announced.
//
//   g++ -std=c++17 -O2 -Wall -Wextra -pthread -I src/evmcore/include tests/native/reader_driver.cpp -o reader_driver
//   (for the sanitizers add -g -fsanitize=thread, or -g -fsanitize=address,undefined)
//   ./reader_driver [--slots N]
#include "cache/reader.h"
#include "cache/state_cache.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

using namespace evmcore::cache;

static constexpr uint64_t FIRST = 1000, THREADS = 2;
static std::atomic<uint64_t> told[THREADS];     // slots that each bringing thread has announced

static void fail(const char* what, uint64_t number) {
    fprintf(stderr, "FAILED: %s: %llu\n", what, static_cast<unsigned long long>(number));
    abort();
}

static void address_of(uint64_t owner, uint64_t number, uint8_t* out) {
    memset(out, 0x11, 20);
    memcpy(out, &owner, 8);
    number *= 0x9e3779b97f4a7c15;               // in no order
    memcpy(out + 8, &number, 8);
}

static u256 key_of(uint64_t number) { return u256{{number, 0, 0, number * 0x9e3779b97f4a7c15}}; }

static void bring(Reader* reader, uint64_t owner, uint64_t slots) {
    for (uint64_t number = 0; number < slots; ++number) {
        uint8_t address[20];
        address_of(owner, number, address);
        AccountRecord record = record_without_account(EXISTS);
        record.nonce = number;
        reader->own_account(address, record);
        const u256 key = key_of(number), value{{number + 1, 0, 0, 0}};
        reader->own_slot(address, &key, value);
        told[owner].store(number + 1, std::memory_order_release);
    }
}

static void look(Reader* reader, uint64_t slots) {
    uint64_t step = 0;
    for (uint64_t owner = 0; told[owner].load(std::memory_order_acquire) < slots; owner = (owner + 1) % THREADS) {
        const uint64_t count = told[owner].load(std::memory_order_acquire);
        if (!count)
            continue;
        const uint64_t number = ++step * 7919 % count;
        uint8_t address[20];
        address_of(owner, number, address);
        AccountRecord record;
        if (reader->account(address, &record) != Answer::KNOWN || record.nonce != number)
            fail("account", number);
        const u256 key = key_of(number);
        u256 value;
        if (reader->slot(address, &key, &value) != Answer::KNOWN || value.w[0] != number + 1)
            fail("slot", number);
    }
}

int main(int argc, char** argv) {
    uint64_t slots = 2000;
    if (argc == 3 && std::string_view(argv[1]) == "--slots")
        slots = strtoull(argv[2], nullptr, 10);
    StateCache cache(HashKey{}, FIRST, 16, 40, 0);
    Reader reader;
    if (!cache.open(&reader.view, FIRST))
        fail("open", FIRST);
    cache.begin(&reader.view);
    std::vector<std::thread> threads;
    for (uint64_t owner = 0; owner < THREADS; ++owner)
        threads.emplace_back(bring, &reader, owner, slots);
    for (uint64_t i = 0; i < THREADS; ++i)
        threads.emplace_back(look, &reader, slots);
    for (std::thread& thread : threads)
        thread.join();
    cache.end(&reader.view);
    cache.close(&reader.view);
    printf("%llu slots\n", static_cast<unsigned long long>(slots));
}
