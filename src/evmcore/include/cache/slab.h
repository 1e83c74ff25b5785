// Objects of one type in large pieces of memory: no header per object, addresses that never change, and a number for each
// place, so that all of them can be walked. Not thread-safe: whoever owns the slab locks.
#ifndef EVMCORE_CACHE_SLAB_H
#define EVMCORE_CACHE_SLAB_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace evmcore::cache {

// T is constructed (all zero) once per place, not per use, and needs no destruction. The last eight bytes of a place
// that is not in use hold the link to the next such place.
template <class T>
class Slab {
public:
    static constexpr size_t PER_CHUNK = (64 * 1024) / sizeof(T);

    Slab() = default;
    Slab(const Slab&) = delete;
    Slab& operator=(const Slab&) = delete;
    ~Slab() {
        for (size_t i = 0; i < chunk_count_; ++i)
            free(chunks_[i]);
        free(chunks_);
    }

    // NULL: no memory.
    T* take() noexcept {
        T* item = spare_;
        if (item) {
            memcpy(&spare_, link(item), sizeof(T*));
            __builtin_prefetch(spare_ ? link(spare_) : nullptr);    // the next one to be taken
        } else {
            if (places_ == chunk_count_ * PER_CHUNK && !grow())
                return nullptr;
            item = at(places_++);
        }
        ++in_use_;
        return item;
    }

    // Makes room for `more` objects ahead: the system takes longer to give a page, at its first touch, than we to fill it.
    // Without memory nothing happens; `take` will say so.
    void prepare(size_t more) noexcept {
        while (chunk_count_ * PER_CHUNK - in_use_ < more && grow()) {
        }
    }

    // Nobody may look at the object any more.
    void give(T* item) noexcept {
        memcpy(link(item), &spare_, sizeof(T*));
        spare_ = item;
        --in_use_;
    }

    T* at(size_t place) const noexcept { return chunks_[place / PER_CHUNK] + place % PER_CHUNK; }
    size_t places() const noexcept { return places_; }      // ever used: [0, places) can be walked
    size_t in_use() const noexcept { return in_use_; }
    size_t bytes() const noexcept { return chunk_count_ * PER_CHUNK * sizeof(T); }

private:
    static char* link(T* item) noexcept { return reinterpret_cast<char*>(item) + sizeof(T) - sizeof(T*); }

    bool grow() noexcept {
        if (chunk_count_ == chunk_room_) {
            const size_t room = chunk_room_ ? chunk_room_ * 2 : 16;
            T** bigger = static_cast<T**>(realloc(chunks_, room * sizeof(T*)));
            if (!bigger)
                return false;
            chunks_ = bigger;
            chunk_room_ = room;
        }
        void* memory = nullptr;
        if (posix_memalign(&memory, 64, PER_CHUNK * sizeof(T)) != 0)
            return false;
        memset(memory, 0, PER_CHUNK * sizeof(T));
        chunks_[chunk_count_++] = new (memory) T[PER_CHUNK]();
        return true;
    }

    T** chunks_ = nullptr;
    size_t chunk_count_ = 0;
    size_t chunk_room_ = 0;
    size_t places_ = 0;
    size_t in_use_ = 0;
    T* spare_ = nullptr;
};

}  // namespace evmcore::cache

#endif
