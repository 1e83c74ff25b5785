// The graph of the states in which a block of two workers can be: each state has one edge per worker. The workers of a
// state are numbered as in its key, first and second; an edge says whether they change places.
#pragma once
#include <cstdint>
#include <vector>

#include "step_state.h"

constexpr uint32_t kNone = ~uint32_t{0};

class Graph {
public:
    // The number of a state; sets `fresh` if the state was not known.
    uint32_t number(const Key& key, bool* fresh) {
        if (2 * nodes_.size() >= slots_.size()) grow();
        const size_t at = place(key);
        *fresh = slots_[at] == kNone;
        if (*fresh) {
            slots_[at] = static_cast<uint32_t>(nodes_.size());
            nodes_.push_back({key.a, key.b, {kNone, kNone}});
        }
        return slots_[at];
    }

    size_t size() const { return nodes_.size(); }

    void connect(uint32_t from, int worker, uint32_t to, bool swap) { nodes_[from].next[worker] = 2 * to + swap; }

    bool is_connected(uint32_t from, int worker) const { return nodes_[from].next[worker] != kNone; }

    bool leads_to(uint32_t from, int worker, const Key& to) const {
        const Node& node = nodes_[nodes_[from].next[worker] / 2];
        return node.a == to.a && node.b == to.b;
    }

    void clear() {
        nodes_.clear();
        std::fill(slots_.begin(), slots_.end(), kNone);
    }

    // Whether two fair workers can go on for ever: there is a strongly connected part in which each worker that is not
    // done has an edge. (If a waiting worker leaves a part with its next step, the other one is only polling
    // meanwhile.) Tarjan's algorithm, over states whose workers have not changed places and states whose workers have.
    bool has_endless_part() const {
        const uint32_t count = static_cast<uint32_t>(2 * nodes_.size());
        std::vector<uint32_t> index(count, kNone), low(count), part(count, kNone), stack, path;
        std::vector<uint8_t> at(count, 0);
        uint32_t parts = 0, indices = 0;
        path.push_back(0);
        while (!path.empty()) {
            const uint32_t node = path.back();
            if (index[node] == kNone) {
                index[node] = low[node] = indices++;
                stack.push_back(node);
            }
            if (at[node] < 2) {
                const uint32_t to = after(node, at[node]++);
                if (to == kNone) continue;
                if (index[to] == kNone) path.push_back(to);
                else if (part[to] == kNone) low[node] = std::min(low[node], index[to]);
                continue;
            }
            path.pop_back();
            if (!path.empty()) low[path.back()] = std::min(low[path.back()], low[node]);
            if (low[node] != index[node]) continue;
            uint32_t member;
            do {
                member = stack.back();
                stack.pop_back();
                part[member] = parts;
            } while (member != node);
            ++parts;
        }
        std::vector<uint8_t> inside(parts, 0), live(parts, 0);
        for (uint32_t node = 0; node < count; ++node)
            for (int worker = 0; worker < 2 && part[node] != kNone; ++worker) {
                const uint32_t to = after(node, worker);
                if (to == kNone) continue;
                live[part[node]] |= 1 << worker;
                if (part[to] == part[node]) inside[part[node]] |= 1 << worker;
            }
        for (uint32_t i = 0; i < parts; ++i)
            if (live[i] != 0 && inside[i] == live[i]) return true;
        return false;
    }

private:
    struct Node {
        uint64_t a, b;
        uint32_t next[2];                        // twice the state, plus 1 if the workers change places
    };

    uint32_t after(uint32_t node, int worker) const {
        const uint32_t to = nodes_[node / 2].next[worker ^ (node & 1)];
        return to == kNone ? kNone : to ^ (node & 1);
    }

    size_t place(const Key& key) const {
        size_t at = key.a & (slots_.size() - 1);
        while (slots_[at] != kNone && (nodes_[slots_[at]].a != key.a || nodes_[slots_[at]].b != key.b))
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    void grow() {
        slots_.assign(slots_.empty() ? size_t{1} << 16 : 2 * slots_.size(), kNone);
        for (uint32_t i = 0; i < nodes_.size(); ++i) slots_[place({nodes_[i].a, nodes_[i].b, false})] = i;
    }

    std::vector<Node> nodes_;
    std::vector<uint32_t> slots_;
};
