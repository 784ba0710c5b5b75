// SPDX-License-Identifier: Apache-2.0
#include "probes/probe_state.h"

#include <algorithm>

#include "base/strings.h"

namespace keelson::probes {

using base::StrCat;
using std::chrono::seconds;

namespace {

constexpr int kDefaultPeriodSeconds = 10;
constexpr int kDefaultTimeoutSeconds = 1;
constexpr int kDefaultSuccesses = 1;
constexpr int kDefaultFailures = 3;

int PositiveOr(int value, int otherwise) { return value > 0 ? value : otherwise; }

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kUnknown:
      return "unknown";
    case Verdict::kSuccess:
      return "success";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kFailure:
      return "failure";
  }
  return "unknown";
}

}  // namespace

std::string_view KindName(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kLiveness:
      return "Liveness";
    case ProbeKind::kReadiness:
      return "Readiness";
    case ProbeKind::kStartup:
      return "Startup";
  }
  return "";
}

const k8s::v1::Probe* ProbeOf(const k8s::v1::Container& container, ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kLiveness:
      return container.has_livenessprobe() ? &container.livenessprobe() : nullptr;
    case ProbeKind::kReadiness:
      return container.has_readinessprobe() ? &container.readinessprobe() : nullptr;
    case ProbeKind::kStartup:
      return container.has_startupprobe() ? &container.startupprobe() : nullptr;
  }
  return nullptr;
}

std::optional<ProbeEvent> EventOf(ProbeKind kind, const Answer& answer) {
  const std::string_view name = KindName(kind);
  if (answer.error)
    return ProbeEvent{"Unhealthy", StrCat(name, " probe errored and resulted in ",
                                          VerdictName(answer.verdict), " state: ", *answer.error)};
  if (answer.verdict == Verdict::kWarning)
    return ProbeEvent{"ProbeWarning", StrCat(name, " probe warning: ", answer.output)};
  if (answer.verdict == Verdict::kFailure)
    return ProbeEvent{"Unhealthy", StrCat(name, " probe failed: ", answer.output)};
  return std::nullopt;
}

ProbeState::ProbeState(ProbeKind kind, const k8s::v1::Probe& probe)
    : kind_(kind),
      success_threshold_(PositiveOr(probe.successthreshold(), kDefaultSuccesses)),
      failure_threshold_(PositiveOr(probe.failurethreshold(), kDefaultFailures)) {}

Result ProbeState::initial() const {
  switch (kind_) {
    case ProbeKind::kLiveness:
      return Result::kSuccess;
    case ProbeKind::kReadiness:
      return Result::kFailure;
    case ProbeKind::kStartup:
      return Result::kUnknown;
  }
  return Result::kUnknown;
}

std::optional<Result> ProbeState::Observe(const Answer& answer) {
  if (answer.error || finished_) return std::nullopt;
  const bool good = answer.verdict == Verdict::kSuccess || answer.verdict == Verdict::kWarning;
  const Result result = good ? Result::kSuccess : Result::kFailure;
  run_ = result == last_ ? run_ + 1 : 1;
  last_ = result;
  if (run_ < (good ? success_threshold_ : failure_threshold_)) return std::nullopt;
  // A container about to be killed is left alone, and one that has started is not asked again.
  finished_ = kind_ == ProbeKind::kStartup || (kind_ == ProbeKind::kLiveness && !good);
  return result;
}

base::MonoTime FirstRun(base::WallTime started_at, base::WallTime wall, base::MonoTime now,
                        base::Nanos delay) {
  const base::Nanos age = std::max(base::Nanos(0), wall - started_at);
  return now + std::max(base::Nanos(0), delay - age);
}

base::Nanos Spread(base::Nanos agent_age, base::Nanos period, double share) {
  if (agent_age >= period) return base::Nanos(0);
  return base::Nanos(static_cast<int64_t>(share * static_cast<double>(period.count())));
}

base::MonoTime NextTurn(base::MonoTime turn, base::Nanos period, base::MonoTime now) {
  const base::MonoTime next = turn + period;
  if (now < next) return next;
  return next + (now - next) / period * period;
}

base::Nanos PeriodOf(const k8s::v1::Probe& probe) {
  return seconds(PositiveOr(probe.periodseconds(), kDefaultPeriodSeconds));
}

base::Nanos TimeoutOf(const k8s::v1::Probe& probe) {
  return seconds(PositiveOr(probe.timeoutseconds(), kDefaultTimeoutSeconds));
}

}  // namespace keelson::probes
