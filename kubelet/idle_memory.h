// SPDX-License-Identifier: Apache-2.0
// Gives memory back once pods have come to rest: starting many at a time leaves free heap and code
// behind that is not needed while they just run. Loop only.
#pragma once

#include "base/loop.h"
#include "base/task.h"

namespace keelson::kubelet {

class IdleMemory {
 public:
  explicit IdleMemory(base::Loop& loop) : loop_(loop) { changed_.Set(); }
  // Something happened to a pod.
  void Touch() { changed_.Set(); }
  // Until cancelled: releases memory after each busy time, when nothing happened for a few seconds.
  base::Task<void> Run();

 private:
  base::Loop& loop_;
  base::Wakeup changed_;
};

}  // namespace keelson::kubelet
