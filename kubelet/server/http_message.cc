// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/http_message.h"

#include "base/strings.h"

namespace keelson::kubelet {
namespace {

std::optional<std::string> FirstOf(const std::vector<std::pair<std::string, std::string>>& list,
                                   std::string_view name) {
  for (const auto& [key, value] : list)
    if (key == name) return value;
  return std::nullopt;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Takes the text before the next `separator` off `rest`.
std::string_view NextPiece(std::string_view* rest, char separator) {
  const size_t end = rest->find(separator);
  std::string_view piece = rest->substr(0, end);
  *rest = end == rest->npos ? std::string_view() : rest->substr(end + 1);
  return piece;
}

}  // namespace

std::optional<std::string> HttpRequest::QueryValue(std::string_view name) const {
  return FirstOf(query, name);
}

std::optional<std::string> HttpRequest::Header(std::string_view name) const {
  return FirstOf(headers, name);
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

absl::Status ParseTarget(std::string_view target, HttpRequest* request) {
  const absl::Status bad = absl::InvalidArgumentError(base::StrCat("bad request target: ", target));
  if (!target.starts_with('/')) return bad;
  std::string_view rest = target;
  auto path = PercentDecode(NextPiece(&rest, '?'), false);
  if (!path || path->find('\0') != path->npos) return bad;
  request->path = std::move(*path);
  while (!rest.empty()) {
    std::string_view pair = NextPiece(&rest, '&');
    if (pair.empty()) continue;
    auto key = PercentDecode(NextPiece(&pair, '='), true);
    auto value = PercentDecode(pair, true);
    if (!key || !value) return bad;
    request->query.emplace_back(std::move(*key), std::move(*value));
  }
  return absl::OkStatus();
}

std::optional<std::map<std::string, std::string>> MatchPattern(std::string_view pattern,
                                                               std::string_view path) {
  std::map<std::string, std::string> values;
  while (!pattern.empty() && (!path.empty() || pattern.ends_with("*}"))) {
    std::string_view want = NextPiece(&pattern, '/');
    if (want.ends_with("*}")) {
      values.emplace(want.substr(1, want.size() - 3), path);
      return values;
    }
    std::string_view have = NextPiece(&path, '/');
    if (want.starts_with('{')) {
      if (have.empty()) return std::nullopt;
      values.emplace(want.substr(1, want.size() - 2), have);
    } else if (want != have) {
      return std::nullopt;
    }
  }
  if (!pattern.empty() || !path.empty()) return std::nullopt;
  return values;
}

}  // namespace keelson::kubelet
