// SPDX-License-Identifier: Apache-2.0
// Who may pull what: pull secrets and the node's Docker configuration files.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "proto/cri/api.pb.h"

namespace keelson::cri {

namespace rt = ::runtime::v1;

// Credentials of one source, found by image. Plain data.
class Keyring {
 public:
  // Docker's config.json (`{"auths": {...}}`) or the older .dockercfg (the same without "auths").
  // InvalidArgument when the text is neither; nothing is added then. Entries that are no URL are
  // left out, as upstream leaves them.
  absl::Status AddConfigJson(std::string_view text);
  absl::Status AddDockercfg(std::string_view text);
  // One credential for the images a key of those files would match.
  void Add(std::string_view key, rt::AuthConfig auth);

  // All credentials for `image`, "registry/repository": those of longer paths first (keys in
  // reverse order). A key matches with the same port, as many host labels, `*` and `?` inside a
  // label, and a path that is a prefix. Docker Hub's images also use the entry index.docker.io.
  std::vector<rt::AuthConfig> Lookup(const std::string& image) const;

  bool empty() const { return entries_.empty(); }

 private:
  std::map<std::string, std::vector<rt::AuthConfig>, std::greater<>> entries_;
};

// Whether a key of a Keyring, or a plugin's matchImages, matches "registry/repository".
bool MatchesImage(std::string_view pattern, std::string_view image);
// Whether it could match any.
bool IsImagePattern(std::string_view pattern);

// The node's own files: config.json in <root>, the working directory, $HOME/.docker, /.docker, then
// .dockercfg in <root>, the working directory, $HOME, /. The first one that can be read counts, for
// five minutes.
// Loop only; reads small local files.
class NodeKeyring {
 public:
  struct Places {
    std::vector<std::string> config_json_dirs;
    std::vector<std::string> dockercfg_dirs;
  };
  // `home` may be empty: then it is not looked in.
  static Places DefaultPlaces(const std::string& root_dir, const std::string& working_dir,
                              const std::string& home);

  NodeKeyring(base::Clock& clock, Places places) : clock_(clock), places_(std::move(places)) {}

  std::vector<rt::AuthConfig> Lookup(const std::string& image);

 private:
  void Read();

  base::Clock& clock_;
  const Places places_;
  Keyring keyring_;
  base::MonoTime read_at_{};
  bool read_ = false;
};

// A pull secret's data, by its type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg.
struct PullSecret {
  std::string type;
  std::map<std::string, std::string> data;
  std::string uid{}, ns{}, name{};  // of the object
};
// The keys of a pod's secrets, in order. Secrets of other types are skipped; a broken one is an
// error that says so without its content.
absl::StatusOr<Keyring> KeyringOf(const std::vector<PullSecret>& secrets);

}  // namespace keelson::cri
