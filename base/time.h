// SPDX-License-Identifier: Apache-2.0
// Wall time is for people and API objects; every timer and every order uses monotonic time, so a
// stepped clock moves what is displayed and nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keelson::base {

using Nanos = std::chrono::nanoseconds;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Nanos>;
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Nanos>;

// RFC 3339 in UTC with whole seconds: 2026-01-02T03:04:05Z, as metav1.Time.
std::string FormatRfc3339(WallTime time);
// RFC 3339 in UTC with up to nine digits, trailing zeros cut, as Go's RFC3339Nano.
std::string FormatRfc3339Nano(WallTime time);
// Any RFC 3339 text with offset; nullopt when malformed or out of range.
std::optional<WallTime> ParseRfc3339(std::string_view text);

inline WallTime FromUnixNanos(int64_t nanos) { return WallTime(Nanos(nanos)); }
inline int64_t ToUnixNanos(WallTime time) { return time.time_since_epoch().count(); }

// A duration for people: 45s, 3m10s, 5h2m, 3d4h, as kubectl prints ages.
std::string HumanDuration(Nanos duration);
// A duration as Go prints it: 1m30s, 1.5s, 300ms, 0s.
std::string GoDuration(Nanos duration);

}  // namespace keelson::base
