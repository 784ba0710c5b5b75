// SPDX-License-Identifier: Apache-2.0
#include "probes/http_call.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/errno_status.h"
#include "base/strings.h"

namespace keelson::probes {

using base::StrCat;

namespace {

constexpr int64_t kText = 1;  // IntOrString's type

bool IsHex(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

// Characters a path keeps as they are; the rest is percent-encoded.
bool StaysInPath(char c) {
  constexpr std::string_view kMarks = "-_.~!$&'()*+,;=:@[]/";
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kMarks.find(c) != kMarks.npos;
}
bool StaysInQuery(char c) { return c > 0x20 && c < 0x7f && c != '#' && c != '"'; }

void AppendEncoded(std::string* out, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  *out += '%';
  *out += kDigits[byte >> 4];
  *out += kDigits[byte & 15];
}

bool IsWellFormed(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) return false;
    if (c != '%') continue;
    if (i + 2 >= path.size() || !IsHex(path[i + 1]) || !IsHex(path[i + 2])) return false;
  }
  return true;
}

// A path that is no URL's path is sent all the same, every odd character encoded.
std::string Target(std::string_view text) {
  const bool well_formed = IsWellFormed(text);
  if (well_formed) text = text.substr(0, text.find('#'));
  std::string out;
  if (!text.starts_with('/')) out += '/';
  bool query = false;
  for (char c : text) {
    if (well_formed && c == '?') query = true;
    const bool stays = query ? StaysInQuery(c) : StaysInPath(c) || (well_formed && c == '%');
    if (stays)
      out += c;
    else
      AppendEncoded(&out, c);
  }
  return out;
}

bool IsHost(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    constexpr std::string_view kParts = "/?#@\\\"<>";
    return c > 0x20 && c < 0x7f && kParts.find(c) == kParts.npos;
  });
}

absl::StatusOr<int> CheckPort(int64_t port) {
  if (port > 0 && port < 65536) return static_cast<int>(port);
  return absl::InvalidArgumentError(StrCat("invalid port number: ", port));
}

std::optional<int64_t> Number(std::string_view text, int base = 10) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

bool IsToken(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kMarks.find(c) != kMarks.npos;
  });
}

bool IsHeaderValue(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t';
  });
}

bool Is(std::string_view name, std::string_view other) {
  return absl::EqualsIgnoreCase(base::ToAbsl(name), base::ToAbsl(other));
}

// Framing is ours: a GET without a body.
bool IsOurs(std::string_view name) {
  return Is(name, "Content-Length") || Is(name, "Transfer-Encoding") || Is(name, "Trailer");
}

std::string_view Trim(std::string_view text) {
  return base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(text)));
}

// Without the segments "." and ".." (RFC 3986, 5.2.4).
std::string WithoutDots(std::string_view target) {
  const size_t query = std::min(target.find('?'), target.size());
  std::string_view path = target.substr(0, query);
  std::vector<std::string_view> kept;
  bool open = false;  // ends in a slash
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    open = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!open) kept.push_back(segment);
  }
  std::string out;
  for (std::string_view segment : kept) base::StrAppend(&out, "/", segment);
  if (open || out.empty()) out += '/';
  return StrCat(out, target.substr(query));
}

absl::Status BadLocation(std::string_view location) {
  return absl::InvalidArgumentError(
      StrCat("failed to parse Location header \"", location, "\": not an http or https URL"));
}

// "//host[:port][/path][?query]" into `url`.
absl::Status TakeAuthority(std::string_view rest, HttpUrl* url) {
  rest.remove_prefix(2);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  url->target = Target(end < rest.size() ? rest.substr(end) : "/");
  if (const size_t at = authority.rfind('@'); at != authority.npos) authority.remove_prefix(at + 1);
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  url->port = url->tls ? 443 : 80;
  if (colon != authority.npos && (bracket == authority.npos || colon > bracket)) {
    const std::string_view digits = authority.substr(colon + 1);
    if (!digits.empty()) {
      auto port = Number(digits);
      if (!port || *port < 1 || *port > 65535) return BadLocation(rest);
      url->port = static_cast<int>(*port);
    }
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  if (!IsHost(authority)) return BadLocation(rest);
  url->host = std::string(authority);
  return absl::OkStatus();
}

}  // namespace

std::string HostPort(std::string_view host, int port) {
  if (host.find(':') != host.npos) return StrCat("[", host, "]:", port);
  return StrCat(host, ":", port);
}

std::string HttpUrl::Authority() const { return HostPort(host, port); }

std::string HttpUrl::Text() const {
  return StrCat(tls ? "https://" : "http://", Authority(), target);
}

absl::StatusOr<int> ResolvePort(const k8s::intstr::IntOrString& port,
                                const k8s::v1::Container& container) {
  if (port.type() != kText) return CheckPort(port.intval());
  for (const auto& named : container.ports())
    if (named.name() == port.strval()) return CheckPort(named.containerport());
  if (auto number = Number(port.strval())) return CheckPort(*number);
  return absl::InvalidArgumentError(StrCat("port ", port.strval(), " not found"));
}

absl::StatusOr<HttpCall> MakeHttpCall(const k8s::v1::HTTPGetAction& action,
                                      const k8s::v1::Container& container,
                                      const std::string& pod_ip, std::string_view agent) {
  HttpCall call;
  call.url.tls = Is(action.scheme(), "https");
  if (!call.url.tls && !action.scheme().empty() && !Is(action.scheme(), "http"))
    return absl::InvalidArgumentError(
        StrCat("unsupported protocol scheme \"", action.scheme(), "\": use HTTP or HTTPS"));
  call.url.host = action.host().empty() ? pod_ip : action.host();
  if (!IsHost(call.url.host))
    return absl::InvalidArgumentError(StrCat("invalid host \"", call.url.host, "\""));
  auto port = ResolvePort(action.port(), container);
  if (!port.ok()) return port.status();
  call.url.port = *port;
  call.url.target = Target(action.path());

  bool own_agent = false, own_accept = false;
  for (const auto& header : action.httpheaders()) {
    if (Is(header.name(), "Host")) {
      if (call.host_header.empty()) call.host_header = header.value();
      continue;
    }
    const bool is_agent = Is(header.name(), "User-Agent");
    const bool is_accept = Is(header.name(), "Accept");
    // Empty switches these two off; of several agents the first counts.
    const bool dropped = header.value().empty() && (is_agent || is_accept);
    if (!dropped && !IsOurs(header.name()) && !(is_agent && own_agent))
      call.headers.emplace_back(header.name(), header.value());
    own_agent |= is_agent;
    own_accept |= is_accept;
  }
  if (!own_agent) call.headers.emplace_back("User-Agent", agent);
  if (!own_accept) call.headers.emplace_back("Accept", "*/*");
  call.headers.emplace_back("Connection", "close");
  return call;
}

absl::StatusOr<std::string> RequestBytes(const HttpCall& call) {
  const std::string host = call.host_header.empty() ? call.url.Authority() : call.host_header;
  if (!IsHost(host))
    return absl::InvalidArgumentError(StrCat("invalid Host header \"", host, "\""));
  std::string out = StrCat("GET ", call.url.target, " HTTP/1.1\r\nHost: ", host, "\r\n");
  for (const auto& [name, value] : call.headers) {
    if (!IsToken(name))
      return absl::InvalidArgumentError(StrCat("net/http: invalid header field name \"", name, "\""));
    if (!IsHeaderValue(value))
      return absl::InvalidArgumentError(
          StrCat("net/http: invalid header field value for \"", name, "\""));
    base::StrAppend(&out, name, ": ", Trim(value), "\r\n");
  }
  return out + "\r\n";
}

absl::StatusOr<HttpUrl> ResolveLocation(const HttpUrl& from, std::string_view location) {
  HttpUrl url = from;
  const size_t colon = location.find(':');
  const bool absolute =
      colon != location.npos && colon > 0 && colon < location.find_first_of("/?#");
  if (absolute) {
    const std::string_view scheme = location.substr(0, colon);
    url.tls = Is(scheme, "https");
    location.remove_prefix(colon + 1);
    if ((!url.tls && !Is(scheme, "http")) || !location.starts_with("//"))
      return BadLocation(scheme);
  }
  if (location.starts_with("//")) {
    RETURN_IF_ERROR(TakeAuthority(location, &url));
  } else if (location.starts_with('/')) {
    url.target = Target(location);
  } else {
    const std::string path = from.target.substr(0, from.target.find('?'));
    const bool same_file = location.empty() || location.starts_with('?');
    url.target = Target(StrCat(same_file ? path : path.substr(0, path.rfind('/') + 1), location));
  }
  url.target = WithoutDots(url.target);
  return url;
}

}  // namespace keelson::probes
