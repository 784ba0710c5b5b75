// SPDX-License-Identifier: Apache-2.0
// The reading half of http_call.h (RFC 9112).
#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "base/errno_status.h"
#include "base/strings.h"
#include "probes/http_call.h"

namespace keelson::probes {

using base::StrCat;

namespace {

constexpr size_t kMaxHeadBytes = 256 << 10;
constexpr size_t kMaxLines = 1024;  // of chunk sizes and trailers

std::string_view Trim(std::string_view text) {
  return base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(text)));
}

absl::Status Malformed(std::string_view what, std::string_view line) {
  return absl::InvalidArgumentError(StrCat(
      "malformed HTTP ", what, " \"",
      absl::CHexEscape(base::ToAbsl(line.substr(0, 100))), "\""));
}

template <typename Number>
bool Parse(std::string_view text, int base, Number* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return error == std::errc() && end == text.data() + text.size();
}

// "HTTP/1.1 200 OK" or "HTTP/1.0 200".
absl::StatusOr<int> StatusCode(std::string_view line) {
  const size_t space = line.find(' ');
  if (!line.starts_with("HTTP/1.") || space == line.npos) return Malformed("response", line);
  std::string_view code = line.substr(space + 1);
  code = code.substr(0, code.find(' '));
  int value = 0;
  if (code.size() != 3 || !Parse(code, 10, &value) || value < 100)
    return Malformed("status code", code);
  return value;
}

}  // namespace

absl::Status HttpReply::Feed(std::string_view bytes) {
  in_.append(bytes);
  if (part_ == Part::kHead) RETURN_IF_ERROR(TakeHead());
  if (part_ == Part::kHead) return absl::OkStatus();
  return TakeBody();
}

absl::Status HttpReply::End() {
  if (part_ == Part::kToEnd) part_ = Part::kDone;
  if (part_ == Part::kDone) return absl::OkStatus();
  const bool nothing = part_ == Part::kHead && in_.empty();
  return absl::DataLossError(nothing ? "EOF" : "unexpected EOF");
}

bool HttpReply::TakeLine(std::string* line) {
  const size_t end = in_.find('\n');
  if (end == in_.npos) return false;
  *line = in_.substr(0, end);
  if (line->ends_with('\r')) line->pop_back();
  in_.erase(0, end + 1);
  return true;
}

absl::Status HttpReply::TakeHead() {
  while (part_ == Part::kHead) {
    size_t end = in_.find("\n\r\n");
    size_t skip = 3;
    if (const size_t bare = in_.find("\n\n"); bare < end) {
      end = bare;
      skip = 2;
    }
    if (end == in_.npos) {
      // What is no HTTP at all is told apart early, not after its timeout.
      constexpr std::string_view kBegin = "HTTP/";
      if (!kBegin.starts_with(std::string_view(in_).substr(0, kBegin.size())))
        return Malformed("response", std::string_view(in_).substr(0, in_.find('\n')));
      if (in_.size() > kMaxHeadBytes)
        return absl::InvalidArgumentError(
            StrCat("net/http: server response headers exceeded ", kMaxHeadBytes, " bytes; aborted"));
      return absl::OkStatus();
    }
    const std::string body = in_.substr(end + skip);
    in_.resize(end + 1);
    std::string line;
    TakeLine(&line);
    auto code = StatusCode(line);
    if (!code.ok()) return code.status();
    code_ = *code;
    while (TakeLine(&line)) RETURN_IF_ERROR(TakeHeader(line));
    in_ = body;
    const bool interim = code_ < 200 && code_ != 101;
    if (!interim) part_ = chunked_ ? Part::kChunkSize : length_ ? Part::kLength : Part::kToEnd;
  }
  left_ = length_.value_or(0);
  if (code_ == 101 || code_ == 204 || code_ == 304) part_ = Part::kDone;
  return absl::OkStatus();
}

absl::Status HttpReply::TakeHeader(std::string_view line) {
  const size_t colon = line.find(':');
  if (line.starts_with(' ') || line.starts_with('\t')) return absl::OkStatus();  // obsolete folding
  if (colon == line.npos || colon == 0) return Malformed("header", line);
  const auto name = base::ToAbsl(line.substr(0, colon));
  const std::string_view value = Trim(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "location") && !location_) location_ = std::string(value);
  if (absl::EqualsIgnoreCase(name, "transfer-encoding"))
    chunked_ = absl::EqualsIgnoreCase(base::ToAbsl(value), "chunked");
  if (absl::EqualsIgnoreCase(name, "content-length")) {
    uint64_t length = 0;
    if (!Parse(value, 10, &length)) return Malformed("Content-Length", value);
    length_ = length;
  }
  return absl::OkStatus();
}

void HttpReply::Keep(size_t bytes) {
  body_.append(in_, 0, std::min(bytes, kMaxBodyBytes - body_.size()));
  in_.erase(0, bytes);
  if (body_.size() == kMaxBodyBytes) part_ = Part::kDone;
}

// Takes what is there of `left_`; true when none is left of it.
bool HttpReply::TakeBytes() {
  const size_t bytes = static_cast<size_t>(std::min<uint64_t>(left_, in_.size()));
  left_ -= bytes;
  Keep(bytes);
  return left_ == 0;
}

absl::Status HttpReply::TakeBody() {
  std::string line;
  while (part_ != Part::kDone) {
    if (part_ == Part::kToEnd) {
      Keep(in_.size());
      return absl::OkStatus();
    }
    if (part_ == Part::kLength || part_ == Part::kChunk) {
      const bool whole = TakeBytes();
      if (part_ == Part::kDone) return absl::OkStatus();
      if (!whole) return absl::OkStatus();
      part_ = part_ == Part::kLength ? Part::kDone : Part::kChunkEnd;
      continue;
    }
    if (!TakeLine(&line)) {
      if (in_.size() > kMaxHeadBytes) return Malformed("chunk", in_);
      return absl::OkStatus();
    }
    if (++lines_ > kMaxLines + kMaxBodyBytes) return Malformed("chunk", line);
    if (part_ == Part::kChunkEnd) {
      if (!line.empty()) return Malformed("chunk", line);
      part_ = Part::kChunkSize;
    } else if (part_ == Part::kTrailer) {
      if (line.empty()) part_ = Part::kDone;
    } else {
      const std::string_view size = Trim(std::string_view(line).substr(0, line.find(';')));
      if (size.empty() || !Parse(size, 16, &left_)) return Malformed("chunk size", line);
      part_ = left_ == 0 ? Part::kTrailer : Part::kChunk;
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::probes
