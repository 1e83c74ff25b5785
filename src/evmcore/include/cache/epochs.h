// When may memory be freed that readers without locks may still look at? Once every section that was open when it was
// taken away has ended. Readers pay one atomic add at each end of a section.
#ifndef EVMCORE_CACHE_EPOCHS_H
#define EVMCORE_CACHE_EPOCHS_H

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace evmcore::cache {

class Epochs {
public:
    using Dispose = void (*)(void* owner, void* item);

    // A section starts; what it returns is given back to `leave`.
    uint32_t enter() noexcept {
        for (;;) {
            const uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
            std::atomic<int64_t>& count = active_[epoch & 1].count;
            count.fetch_add(1, std::memory_order_seq_cst);
            if (epoch_.load(std::memory_order_seq_cst) == epoch)
                return static_cast<uint32_t>(epoch & 1);
            count.fetch_sub(1, std::memory_order_release);      // the epoch moved meanwhile: this one may be over
        }
    }

    void leave(uint32_t parity) noexcept { active_[parity].count.fetch_sub(1, std::memory_order_release); }

    // The rest is for the one writer.

    // New readers cannot find `item` any more; old ones may hold it. Without memory for the note it is never freed.
    void retire(void* item, Dispose dispose) noexcept {
        try {
            waiting_[epoch_.load(std::memory_order_relaxed) % 3].push_back(Retired{item, dispose});
            ++retired_;
        } catch (...) {
        }
    }

    // Moves on when nobody is left in the epoch before, and disposes of what can no longer be seen.
    void advance(void* owner) noexcept {
        const uint64_t epoch = epoch_.load(std::memory_order_relaxed);
        if (retired_ == 0 || active_[(epoch + 1) & 1].count.load(std::memory_order_seq_cst) != 0)
            return;
        epoch_.store(epoch + 1, std::memory_order_seq_cst);
        // Readers are now in `epoch` or `epoch + 1`. What was retired in `epoch - 1` was seen by them never.
        dispose(waiting_[(epoch + 2) % 3], owner);
    }

    // Nobody reads any more: disposes of everything.
    void finish(void* owner) noexcept {
        for (auto& list : waiting_)
            dispose(list, owner);
    }

    size_t retired() const noexcept { return retired_; }

private:
    struct Retired {
        void* item;
        Dispose dispose;
    };
    struct alignas(64) Active {
        std::atomic<int64_t> count{0};
    };

    void dispose(std::vector<Retired>& list, void* owner) noexcept {
        for (const Retired& retired : list)
            retired.dispose(owner, retired.item);
        retired_ -= list.size();
        list.clear();
    }

    std::atomic<uint64_t> epoch_{2};
    Active active_[2];
    std::vector<Retired> waiting_[3];   // by the epoch in which they were retired
    size_t retired_ = 0;
};

}  // namespace evmcore::cache

#endif
