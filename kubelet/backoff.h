// SPDX-License-Identifier: Apache-2.0
// Doubling delays per key, as upstream's flowcontrol back-off counts them for crashing containers and
// failing pulls. Loop only; pure but for its own table.
#pragma once

#include <map>
#include <string>

#include "base/time.h"

namespace keelson::kubelet {

class BackoffTable {
 public:
  // A key that stays quiet for longer than `forget` (twice the maximum unless told) begins anew.
  BackoffTable(base::Nanos initial, base::Nanos max) : BackoffTable(initial, max, 2 * max) {}
  BackoffTable(base::Nanos initial, base::Nanos max, base::Nanos forget)
      : initial_(initial), max_(max), forget_(forget) {}

  // What is left of the delay that began at `event` (a container's end); zero when there is none.
  base::Nanos Remaining(const std::string& key, base::MonoTime event, base::MonoTime now) const;
  // Full length of the delay in force, for messages; zero when there is none.
  base::Nanos Delay(const std::string& key) const;
  // Counts one more failure: the first sets the initial delay, later ones double it up to the
  // maximum; after a quiet time the first one counts again.
  void Next(const std::string& key, base::MonoTime event, base::MonoTime now);
  void Reset(const std::string& key) { entries_.erase(key); }
  // Drops what has been quiet for long enough to begin anew.
  void Prune(base::MonoTime now);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    base::Nanos delay;
    base::MonoTime updated;
  };
  bool Expired(const Entry& entry, base::MonoTime event) const {
    return event - entry.updated > forget_;
  }

  base::Nanos initial_;
  base::Nanos max_;
  base::Nanos forget_;
  std::map<std::string, Entry> entries_;
};

}  // namespace keelson::kubelet
