// SPDX-License-Identifier: Apache-2.0
#include "kubelet/backoff.h"

#include <algorithm>

namespace keelson::kubelet {

base::Nanos BackoffTable::Remaining(const std::string& key, base::MonoTime event,
                                    base::MonoTime now) const {
  auto it = entries_.find(key);
  if (it == entries_.end() || Expired(it->second, event)) return base::Nanos(0);
  return std::max(base::Nanos(0), it->second.delay - (now - event));
}

base::Nanos BackoffTable::Delay(const std::string& key) const {
  auto it = entries_.find(key);
  return it == entries_.end() ? base::Nanos(0) : it->second.delay;
}

void BackoffTable::Next(const std::string& key, base::MonoTime event, base::MonoTime now) {
  auto [it, fresh] = entries_.try_emplace(key, Entry{initial_, now});
  if (fresh) return;
  Entry& entry = it->second;
  entry.delay = Expired(entry, event) ? initial_ : std::min(max_, entry.delay * 2);
  entry.updated = now;
}

void BackoffTable::Prune(base::MonoTime now) {
  std::erase_if(entries_, [&](const auto& item) { return now - item.second.updated > forget_; });
}

}  // namespace keelson::kubelet
