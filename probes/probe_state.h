// SPDX-License-Identifier: Apache-2.0
// What a probe's answers mean and when the next one is due. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "probes/prober.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::probes {

enum class ProbeKind { kLiveness, kReadiness, kStartup };

// "Liveness": how events name it.
std::string_view KindName(ProbeKind kind);

// The probe of `kind`, or nullptr when the container has none.
const k8s::v1::Probe* ProbeOf(const k8s::v1::Container& container, ProbeKind kind);

// One answer of a container, or the reason why there is none.
enum class Verdict { kUnknown, kSuccess, kWarning, kFailure };
struct Answer {
  Verdict verdict = Verdict::kUnknown;
  std::string output;
  // Set: the probe could not be carried out and does not count.
  std::optional<std::string> error;

  static Answer Success(std::string output) { return {Verdict::kSuccess, std::move(output), {}}; }
  static Answer Warning(std::string output) { return {Verdict::kWarning, std::move(output), {}}; }
  static Answer Failure(std::string output) { return {Verdict::kFailure, std::move(output), {}}; }
  static Answer Error(Verdict verdict, std::string error) { return {verdict, "", std::move(error)}; }
};

// The event an answer deserves; none for a success. All of them are warnings.
struct ProbeEvent {
  std::string reason;
  std::string message;
  bool operator==(const ProbeEvent&) const = default;
};
std::optional<ProbeEvent> EventOf(ProbeKind kind, const Answer& answer);

// The result of one probe of one container instance.
class ProbeState {
 public:
  ProbeState(ProbeKind kind, const k8s::v1::Probe& probe);

  // Before the first answers: alive, not ready, not known to have started.
  Result initial() const;
  // Counts an answer. The result it leads to, once it came as often in a row as the threshold asks;
  // nullopt leaves the result as it is.
  std::optional<Result> Observe(const Answer& answer);
  // This instance needs no more probing: it is to be killed, or it has started.
  bool finished() const { return finished_; }

 private:
  const ProbeKind kind_;
  const int success_threshold_;
  const int failure_threshold_;
  Result last_ = Result::kUnknown;
  int run_ = 0;  // answers in a row that said `last_`
  bool finished_ = false;
};

// When a container that runs since `started_at` may be probed first: `delay` after its start, now if
// that has passed. A start in the future (a stepped clock) waits for no more than `delay`.
base::MonoTime FirstRun(base::WallTime started_at, base::WallTime wall, base::MonoTime now,
                        base::Nanos delay);

// The part of a period, `share` in [0, 1), by which first runs are spread when an agent that has just
// started finds many containers; zero once it runs longer than a period.
base::Nanos Spread(base::Nanos agent_age, base::Nanos period, double share);

// The turn after the one of `turn`, on the grid of `period`. When a probe outlasted its period, the
// turns it missed count as one, which is due at once.
base::MonoTime NextTurn(base::MonoTime turn, base::Nanos period, base::MonoTime now);

// What is in force when a field is not set or, in a manifest that was not defaulted, nonsense.
base::Nanos PeriodOf(const k8s::v1::Probe& probe);
base::Nanos TimeoutOf(const k8s::v1::Probe& probe);

}  // namespace keelson::probes
