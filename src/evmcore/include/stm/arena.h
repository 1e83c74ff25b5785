// Memory of one worker for one block: taken piece by piece, released all at once, and kept for the next block.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace evmcore::stm {

// Each arena has cache lines of its own: its worker writes it at every step.
class alignas(64) Arena {
public:
    Arena() = default;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena() {
        while (first_ != nullptr) {
            Chunk* next = first_->next;
            std::free(first_);
            first_ = next;
        }
    }

    // 16-byte aligned, not cleared; nullptr when there is no memory.
    void* take(size_t bytes) {
        if (bytes > SIZE_MAX / 2) return nullptr;
        bytes = (bytes + 15) & ~size_t{15};
        while (current_ == nullptr || current_->size - used_ < bytes) {
            if (current_ != nullptr && current_->next != nullptr) {
                current_ = current_->next;
            } else {
                Chunk* fresh = chunk(bytes > kChunk ? bytes : kChunk);
                if (fresh == nullptr) return nullptr;
                (current_ == nullptr ? first_ : current_->next) = fresh;
                current_ = fresh;
            }
            used_ = 0;
        }
        void* piece = current_->data() + used_;
        used_ += bytes;
        taken_ += bytes;
        return piece;
    }

    template <class T>
    T* take_array(size_t count) {
        return count > SIZE_MAX / sizeof(T) ? nullptr : static_cast<T*>(take(count * sizeof(T)));
    }

    // Where the next piece begins if it fits the current chunk. nullptr: nothing was taken yet.
    const uint8_t* next() const { return current_ == nullptr ? nullptr : current_->data() + used_; }

    // Returns the unused end of the latest piece, which keeps its first `bytes` bytes.
    void trim(const void* piece, size_t bytes) {
        const size_t end = static_cast<size_t>(static_cast<const uint8_t*>(piece) - current_->data()) + ((bytes + 15) & ~size_t{15});
        taken_ -= used_ - end;
        used_ = end;
    }

    void reset() {
        current_ = first_;
        used_ = taken_ = 0;
    }

    size_t taken() const { return taken_; }   // bytes since the last reset
    size_t held() const { return held_; }     // bytes this arena holds from the system

private:
    friend struct Inspect;             // tests/native
    static constexpr size_t kChunk = size_t{1} << 18;
    struct Chunk {
        Chunk* next;
        size_t size;
        uint8_t* data() { return reinterpret_cast<uint8_t*>(this) + 16; }
    };

    Chunk* chunk(size_t bytes) {
        Chunk* fresh = static_cast<Chunk*>(std::malloc(bytes + 16));
        if (fresh != nullptr) {
            fresh->next = nullptr;
            fresh->size = bytes;
            held_ += bytes + 16;
        }
        return fresh;
    }

    Chunk* first_ = nullptr;
    Chunk* current_ = nullptr;
    size_t used_ = 0, taken_ = 0, held_ = 0;
};

}  // namespace evmcore::stm
