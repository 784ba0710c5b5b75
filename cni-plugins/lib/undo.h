// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// Steps that take a half-finished creation back: run last first when the scope is left, unless
// Keep() was called. A step that fails is reported on stderr (the runtime logs it) and the rest
// still run.
class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    for (auto it = steps_.rbegin(); it != steps_.rend(); ++it) {
      if (Status s = it->second(); !s.ok()) {
        std::fprintf(stderr, "undo: %s: %s\n", it->first.c_str(), s.message().c_str());
      }
    }
  }
  void Push(std::string what, std::function<Status()> step) {
    steps_.emplace_back(std::move(what), std::move(step));
  }
  void Keep() { steps_.clear(); }

 private:
  std::vector<std::pair<std::string, std::function<Status()>>> steps_;
};

}  // namespace keelson::cni
