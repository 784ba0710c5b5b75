// SPDX-License-Identifier: Apache-2.0
// Lines of a CRI container log: `<RFC3339Nano> <stdout|stderr> <P|F[:tags]> <content>`
// (CRI api.proto, "log format"). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace keelson::kubelet {

struct LogFilter {
  std::optional<base::WallTime> since;  // older lines are left out
  bool timestamps = false;              // each output line begins with its time, nine digits
  std::string stream{};                 // stdout or stderr alone; empty: both
};

// Turns the bytes of a log file into what the container wrote. Content is passed on as it comes, so
// memory does not grow with a line. Lines that are not CRI lines are left out.
class LogDecoder {
 public:
  // `at_line_start`: false when the output so far ended in the middle of a line (a P line).
  explicit LogDecoder(LogFilter filter, bool at_line_start = true)
      : filter_(std::move(filter)), at_line_start_(at_line_start) {}

  // Appends the output for the next bytes of the file to `out`.
  void Feed(std::string_view bytes, std::string* out);
  bool at_line_start() const { return at_line_start_; }

 private:
  enum class State { kHeader, kContent, kSkip };
  std::string_view EatHeader(std::string_view bytes, std::string* out);
  std::string_view EatContent(std::string_view bytes, std::string* out);
  std::string_view EatSkipped(std::string_view bytes);
  State ParseHeader(std::string* out);

  const LogFilter filter_;
  State state_ = State::kHeader;
  std::string header_;    // of the current line, up to its third space
  int spaces_ = 0;        // seen in header_
  bool partial_ = false;  // the current line has tag P
  bool at_line_start_;
};

}  // namespace keelson::kubelet
