// SPDX-License-Identifier: Apache-2.0
// Turns at the runtime when many pods start at once. Starting a container is processor work of the
// runtime; sixty at a time on two processors take longer than six at a time, and all of them come up
// last. What is begun is finished first. Loop only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/task.h"

namespace keelson::kubelet {

// In the order in which they are let in.
enum class StartStep { kStartContainer, kCreateContainer, kRunSandbox };

class StartGate {
 public:
  // Calls that take longer wait for something else than a processor (a network plugin, a device):
  // their place is given to the next, so that what hangs holds up nobody.
  static constexpr base::Nanos kPatience = std::chrono::seconds(1);

  // `width`: how many calls are made at once, at least 1. `clock` outlives the gate.
  StartGate(base::Clock& clock, int width);
  StartGate(const StartGate&) = delete;
  StartGate& operator=(const StartGate&) = delete;
  // Places that are held or waited for may outlive the gate; they let nobody in any more.
  ~StartGate();

  class Place;
  // Waits for a turn: steps in the order of StartStep, among equals the first to come. The place is
  // kept until it is destroyed. Cancelling leaves the queue.
  base::Task<Place> Enter(StartStep step);

 private:
  using Ticket = std::pair<StartStep, uint64_t>;
  struct State;
  std::shared_ptr<State> state_;

 public:
  // Move-only; empty after a move.
  class Place {
   public:
    Place(std::shared_ptr<State> state, Ticket ticket)
        : state_(std::move(state)), ticket_(ticket) {}
    Place(Place&&) = default;
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    std::shared_ptr<State> state_;
    Ticket ticket_;
  };
};

}  // namespace keelson::kubelet
