// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/cri_log.h"

namespace keelson::kubelet {
namespace {

// Time, stream and tags of real lines take some 45 bytes.
constexpr size_t kMaxHeader = 1024;

// Seconds take 19 bytes: 2006-01-02T15:04:05. The zone stays as written.
std::string WithNineDigits(std::string_view time) {
  std::string result(time.substr(0, 19));
  size_t zone = 19;
  std::string digits;
  if (zone < time.size() && time[zone] == '.')
    for (++zone; zone < time.size() && time[zone] >= '0' && time[zone] <= '9'; ++zone)
      digits += time[zone];
  digits.resize(9, '0');
  return result.append(".").append(digits).append(time.substr(zone));
}

}  // namespace

void LogDecoder::Feed(std::string_view bytes, std::string* out) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHeader:
        bytes = EatHeader(bytes, out);
        break;
      case State::kContent:
        bytes = EatContent(bytes, out);
        break;
      case State::kSkip:
        bytes = EatSkipped(bytes);
        break;
    }
  }
}

std::string_view LogDecoder::EatHeader(std::string_view bytes, std::string* out) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c == '\n' || header_.size() >= kMaxHeader) {
      state_ = c == '\n' ? State::kHeader : State::kSkip;
    } else {
      header_ += c;
      if (c != ' ' || ++spaces_ < 3) continue;
      state_ = ParseHeader(out);
    }
    header_.clear();
    spaces_ = 0;
    return bytes.substr(i + 1);
  }
  return {};
}

LogDecoder::State LogDecoder::ParseHeader(std::string* out) {
  const std::string_view header = header_;
  const size_t first = header.find(' ');
  const size_t second = header.find(' ', first + 1);
  const std::string_view time_text = header.substr(0, first);
  const std::string_view stream = header.substr(first + 1, second - first - 1);
  const std::string_view tags = header.substr(second + 1, header.size() - second - 2);

  const auto time = base::ParseRfc3339(time_text);
  if (!time || (stream != "stdout" && stream != "stderr")) return State::kSkip;
  if (!filter_.stream.empty() && stream != filter_.stream) return State::kSkip;
  partial_ = tags.substr(0, tags.find(':')) == "P";
  if (filter_.since && *time < *filter_.since) return State::kSkip;
  if (filter_.timestamps && at_line_start_) out->append(WithNineDigits(time_text)).append(" ");
  return State::kContent;
}

std::string_view LogDecoder::EatContent(std::string_view bytes, std::string* out) {
  const size_t end = bytes.find('\n');
  out->append(bytes.substr(0, end));
  if (end == bytes.npos) return {};
  if (!partial_) out->push_back('\n');
  at_line_start_ = !partial_;
  state_ = State::kHeader;
  return bytes.substr(end + 1);
}

std::string_view LogDecoder::EatSkipped(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  if (end == bytes.npos) return {};
  state_ = State::kHeader;
  return bytes.substr(end + 1);
}

}  // namespace keelson::kubelet
