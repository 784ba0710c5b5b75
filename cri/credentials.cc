// SPDX-License-Identifier: Apache-2.0
#include "cri/credentials.h"

#include <fnmatch.h>

#include <algorithm>
#include <optional>

#include "absl/strings/escaping.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/codec/value.h"

namespace keelson::cri {

using base::StrCat;
using proto::Value;

namespace {

constexpr std::chrono::minutes kCacheTime(5);
constexpr size_t kMaxFile = 10 << 20;
constexpr std::string_view kHubKey = "index.docker.io";
constexpr char kNoJson[] = "error occurred while trying to unmarshal json";

std::string Text(const Value& map, std::string_view key) {
  const Value* value = map.Find(key);
  return value && value->kind == Value::Kind::kString ? value->text : "";
}

// base64(username:password), with or without padding.
bool DecodeAuth(const std::string& text, rt::AuthConfig* auth) {
  std::string padded = text.substr(0, text.find_last_not_of('=') + 1);
  padded.append((4 - padded.size() % 4) % 4, '=');
  std::string decoded;
  if (!absl::Base64Unescape(padded, &decoded)) return false;
  const size_t colon = decoded.find(':');
  if (colon == decoded.npos) return false;
  auth->set_username(decoded.substr(0, colon));
  auth->set_password(decoded.substr(colon + 1));
  return true;
}

struct Url {
  std::string host;
  std::string port;
  std::string path;
};

// Host and path of a key, whose scheme, and a path /v1/ or /v2/ in front, do not matter.
std::optional<std::string> KeyOf(std::string_view location) {
  for (std::string_view scheme : {"https://", "http://"})
    if (location.starts_with(scheme)) location.remove_prefix(scheme.size());
  location = location.substr(0, location.find_first_of("?#"));
  if (location.find_first_of(" \t\n\x7f") != location.npos) return std::nullopt;
  const size_t slash = std::min(location.find('/'), location.size());
  const std::string_view host = location.substr(0, slash);
  std::string_view path = location.substr(slash);
  if (path.starts_with("/v2/") || path.starts_with("/v1/")) path.remove_prefix(3);
  if (path == "/") path = {};
  return StrCat(host, path);
}

Url Split(std::string_view key) {
  const size_t slash = std::min(key.find('/'), key.size());
  const std::string_view host = key.substr(0, slash);
  const size_t bracket = host.rfind(']');
  const size_t colon = host.find(':', bracket == host.npos ? 0 : bracket);
  if (colon == host.npos) return {std::string(host), "", std::string(key.substr(slash))};
  std::string_view name = host.substr(0, colon);
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  return {std::string(name), std::string(host.substr(colon + 1)), std::string(key.substr(slash))};
}

std::vector<std::string> Labels(std::string_view host) {
  std::vector<std::string> labels;
  while (true) {
    const size_t dot = host.find('.');
    labels.emplace_back(host.substr(0, dot));
    if (dot == host.npos) return labels;
    host.remove_prefix(dot + 1);
  }
}

bool Matches(const Url& key, const Url& image) {
  if (key.port != image.port || !image.path.starts_with(key.path)) return false;
  const auto globs = Labels(key.host), labels = Labels(image.host);
  return globs.size() == labels.size() &&
         std::equal(globs.begin(), globs.end(), labels.begin(),
                    [](const std::string& glob, const std::string& label) {
                      return ::fnmatch(glob.c_str(), label.c_str(), FNM_PATHNAME) == 0;
                    });
}

// Docker Hub, by any of its names or by none.
bool IsHubImage(std::string_view image) {
  const size_t slash = image.find('/');
  const std::string_view first = image.substr(0, slash);
  if (first.empty()) return false;
  return slash == image.npos || first == "docker.io" || first == kHubKey ||
         first.find_first_of(".:") == first.npos;
}

using Entries = std::map<std::string, std::vector<rt::AuthConfig>, std::greater<>>;

absl::StatusOr<Entries> ReadEntries(const Value& auths) {
  if (auths.kind != Value::Kind::kMap) return absl::InvalidArgumentError(kNoJson);
  Entries entries;
  for (const auto& member : auths.members) {
    if (member.value.kind != Value::Kind::kMap) return absl::InvalidArgumentError(kNoJson);
    rt::AuthConfig auth;
    auth.set_username(Text(member.value, "username"));
    auth.set_password(Text(member.value, "password"));
    const std::string encoded = Text(member.value, "auth");
    if (!encoded.empty() && !DecodeAuth(encoded, &auth)) return absl::InvalidArgumentError(kNoJson);
    if (auto key = KeyOf(member.key)) entries[*key].push_back(std::move(auth));
  }
  return entries;
}

absl::StatusOr<Value> ParseJson(std::string_view text) {
  proto::DecodeOptions options;
  options.max_bytes = kMaxFile;
  auto tree = proto::ParseJsonTree(text, options);
  if (!tree.ok()) return absl::InvalidArgumentError(kNoJson);  // never quote a file of passwords
  return tree;
}

void Merge(Entries more, Entries* into) {
  for (auto& [key, list] : more) {
    auto& own = (*into)[key];
    own.insert(own.end(), list.begin(), list.end());
  }
}

// The first file called `name` that can be used; `add` says whether it can.
template <typename Add>
bool ReadFirst(const std::vector<std::string>& dirs, const char* name, Add add) {
  for (const std::string& dir : dirs) {
    const std::string path = base::JoinPath(dir, name);
    auto text = base::ReadFile(path, kMaxFile);
    if (absl::IsNotFound(text.status())) continue;
    const absl::Status status = text.ok() ? add(*text) : text.status();
    if (status.ok()) return true;
    KLOG_WARNING("Skipping a file of registry credentials", {"path", path}, {"err", status});
  }
  return false;
}

}  // namespace

absl::Status Keyring::AddConfigJson(std::string_view text) {
  auto tree = ParseJson(text);
  if (!tree.ok()) return tree.status();
  if (tree->kind != Value::Kind::kMap) return absl::InvalidArgumentError(kNoJson);
  const Value* auths = tree->Find("auths");
  if (!auths || auths->kind == Value::Kind::kNull) return absl::OkStatus();
  auto entries = ReadEntries(*auths);
  if (!entries.ok()) return entries.status();
  Merge(*std::move(entries), &entries_);
  return absl::OkStatus();
}

absl::Status Keyring::AddDockercfg(std::string_view text) {
  auto tree = ParseJson(text);
  if (!tree.ok()) return tree.status();
  auto entries = ReadEntries(*tree);
  if (!entries.ok()) return entries.status();
  Merge(*std::move(entries), &entries_);
  return absl::OkStatus();
}

void Keyring::Add(std::string_view key, rt::AuthConfig auth) {
  if (auto parsed = KeyOf(key)) entries_[*parsed].push_back(std::move(auth));
}

bool MatchesImage(std::string_view pattern, std::string_view image) {
  return Matches(Split(pattern), Split(image));
}

bool IsImagePattern(std::string_view pattern) {
  return !pattern.empty() && pattern.front() != '/' &&
         pattern.find("://") == std::string_view::npos && KeyOf(pattern);
}

std::vector<rt::AuthConfig> Keyring::Lookup(const std::string& image) const {
  std::vector<rt::AuthConfig> found;
  const Url target = Split(image);
  for (const auto& [key, auths] : entries_)
    if (Matches(Split(key), target)) found.insert(found.end(), auths.begin(), auths.end());
  if (!found.empty() || !IsHubImage(image)) return found;
  auto hub = entries_.find(std::string(kHubKey));
  return hub == entries_.end() ? found : hub->second;
}

NodeKeyring::Places NodeKeyring::DefaultPlaces(const std::string& root_dir,
                                               const std::string& working_dir,
                                               const std::string& home) {
  Places places{{root_dir, working_dir}, {root_dir, working_dir}};
  if (!home.empty()) {
    places.config_json_dirs.push_back(base::JoinPath(home, ".docker"));
    places.dockercfg_dirs.push_back(home);
  }
  places.config_json_dirs.push_back("/.docker");
  places.dockercfg_dirs.push_back("/");
  return places;
}

void NodeKeyring::Read() {
  keyring_ = {};
  const auto json = [this](std::string_view text) { return keyring_.AddConfigJson(text); };
  const auto cfg = [this](std::string_view text) { return keyring_.AddDockercfg(text); };
  if (!ReadFirst(places_.config_json_dirs, "config.json", json))
    ReadFirst(places_.dockercfg_dirs, ".dockercfg", cfg);
}

std::vector<rt::AuthConfig> NodeKeyring::Lookup(const std::string& image) {
  const base::MonoTime now = clock_.Monotonic();
  if (!read_ || now - read_at_ >= kCacheTime) {
    Read();
    read_ = true;
    read_at_ = now;
  }
  return keyring_.Lookup(image);
}

absl::StatusOr<Keyring> KeyringOf(const std::vector<PullSecret>& secrets) {
  Keyring keyring;
  for (const PullSecret& secret : secrets) {
    const bool json = secret.type == "kubernetes.io/dockerconfigjson";
    if (!json && secret.type != "kubernetes.io/dockercfg") continue;
    auto data = secret.data.find(json ? ".dockerconfigjson" : ".dockercfg");
    if (data == secret.data.end() || data->second.empty()) continue;
    auto status = json ? keyring.AddConfigJson(data->second) : keyring.AddDockercfg(data->second);
    if (!status.ok()) return status;
  }
  return keyring;
}

}  // namespace keelson::cri
