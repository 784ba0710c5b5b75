// SPDX-License-Identifier: Apache-2.0
#include "kubelet/start_gate.h"

#include <algorithm>
#include <variant>

namespace keelson::kubelet {

struct StartGate::State {
  State(base::Clock& c, int w) : clock(c), width(static_cast<size_t>(std::max(w, 1))) {}

  void LetIn() {
    while (!waiting.empty() && inside.size() < width) {
      auto first = waiting.extract(waiting.begin());
      const Ticket ticket = first.key();
      inside[ticket] = clock.Schedule(clock.Monotonic() + kPatience, [this, ticket] {
        inside.erase(ticket);
        LetIn();
      });
      first.mapped().Set({});
    }
  }

  void Leave(Ticket ticket) {
    waiting.erase(ticket);
    if (auto it = inside.find(ticket); it != inside.end()) {
      clock.Cancel(it->second);
      inside.erase(it);
    }
    LetIn();
  }

  // Nobody is let in any more, and the clock may go.
  void Close() {
    waiting.clear();
    for (const auto& [ticket, timer] : inside) clock.Cancel(timer);
    inside.clear();
  }

  base::Clock& clock;
  const size_t width;
  uint64_t tickets = 0;
  std::map<Ticket, base::OneShot<std::monostate>> waiting;
  std::map<Ticket, base::Clock::TimerId> inside;
};

StartGate::StartGate(base::Clock& clock, int width)
    : state_(std::make_shared<State>(clock, width)) {}

StartGate::~StartGate() { state_->Close(); }

StartGate::Place::~Place() {
  if (state_) state_->Leave(ticket_);
}

base::Task<StartGate::Place> StartGate::Enter(StartStep step) {
  const Ticket ticket(step, ++state_->tickets);
  // From here on whoever is cancelled leaves, waiting or let in.
  Place place(state_, ticket);
  base::OneShot<std::monostate> turn;
  state_->waiting.emplace(ticket, turn);
  state_->LetIn();
  co_await turn.Wait();
  co_return place;
}

}  // namespace keelson::kubelet
