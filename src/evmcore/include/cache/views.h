// Readers' places in history, and how far back they hold it.
#ifndef EVMCORE_CACHE_VIEWS_H
#define EVMCORE_CACHE_VIEWS_H

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace evmcore::cache {

class StateCache;

// A reader's place in history. Opened at a step of the window; sections on it may be nested, and opened by any thread.
struct View {
    StateCache* cache = nullptr;
    uint64_t seq = 0;
    bool usable = false;                // inside a section: whether the step is still held
    std::mutex mutex;                   // guards what follows
    bool open = false;
    bool expired = false;               // the window has passed it; nobody was reading
    uint32_t sections = 0;
    uint32_t parity = 0;
    View* before = nullptr;             // the cache's list
    View* after = nullptr;
};

// Those that are open. `mutex` guards it all, and with it what the cache says is the oldest step.
class Views {
public:
    std::mutex mutex;

    void add(View* view) noexcept {
        view->open = true;
        view->expired = false;
        view->before = nullptr;
        view->after = first_;
        if (first_)
            first_->before = view;
        first_ = view;
        ++count_;
    }

    // Also of one that is not in it.
    void remove(View* view) noexcept {
        if (!view->open)
            return;
        view->open = false;
        (view->before ? view->before->after : first_) = view->after;
        if (view->after)
            view->after->before = view->before;
        --count_;
    }

    // The step that the window may start at, `wanted` or an earlier one where a view is. Views before `last` are closed,
    // unless somebody reads in them just now.
    uint64_t held(uint64_t wanted, uint64_t last) noexcept {
        uint64_t held = wanted;
        for (View* view = first_; view; view = view->after) {
            if (view->seq >= held)
                continue;
            if (view->seq < last) {
                std::lock_guard<std::mutex> own(view->mutex);
                view->expired = view->expired || view->sections == 0;
                if (view->expired)
                    continue;
            }
            held = view->seq;
        }
        return held;
    }

    size_t count() const noexcept { return count_; }

private:
    View* first_ = nullptr;
    size_t count_ = 0;
};

}  // namespace evmcore::cache

#endif
