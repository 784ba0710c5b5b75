// SPDX-License-Identifier: Apache-2.0
// Answers that stay good for a while, bounded in number: the oldest give way. Pure; loop only.
#pragma once

#include <list>
#include <map>
#include <optional>
#include <utility>

#include "base/time.h"

namespace keelson::kubelet::auth {

template <typename Key, typename Value>
class VerdictCache {
 public:
  explicit VerdictCache(size_t most) : most_(most) {}

  std::optional<Value> Find(const Key& key, base::MonoTime now) {
    auto found = index_.find(key);
    if (found == index_.end()) return std::nullopt;
    if (found->second->expires <= now) {
      Drop(found);
      return std::nullopt;
    }
    return found->second->value;
  }

  // A time to live of zero keeps nothing.
  void Put(const Key& key, Value value, base::MonoTime now, base::Nanos ttl) {
    if (auto found = index_.find(key); found != index_.end()) Drop(found);
    if (ttl <= base::Nanos(0)) return;
    if (entries_.size() >= most_) Drop(index_.find(entries_.front().key));
    entries_.push_back({key, std::move(value), now + ttl});
    index_.emplace(key, std::prev(entries_.end()));
  }

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Key key;
    Value value;
    base::MonoTime expires;
  };
  using Entries = std::list<Entry>;
  using Index = std::map<Key, typename Entries::iterator>;

  void Drop(typename Index::iterator at) {
    entries_.erase(at->second);
    index_.erase(at);
  }

  const size_t most_;
  Entries entries_;  // oldest first
  Index index_;
};

}  // namespace keelson::kubelet::auth
