// SPDX-License-Identifier: Apache-2.0
// kubeconfig files: where the API server is and who we are (client-go's clientcmd api/v1).
// Reading is for start-up and blocks on small local files.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "proto/codec/value.h"

namespace keelson::kubelet::client {

// PEM by content or by file; content wins, as upstream. Both empty: not set.
struct PemSource {
  std::string data;
  std::string file;  // absolute
  bool empty() const { return data.empty() && file.empty(); }
};

struct ClusterConfig {
  std::string server;           // https://host:port, without a slash at its end; may have a path
  PemSource ca;                 // empty: the system's
  std::string tls_server_name;  // empty: the server's host
  std::string proxy_url;        // empty: HTTPS_PROXY, HTTP_PROXY, NO_PROXY
  bool insecure_skip_tls_verify = false;
  bool disable_compression = false;
  std::string exec_config_json;  // extension client.authentication.k8s.io/exec, for plugins
};

// client.authentication.k8s.io/v1 and v1beta1: a program that knows our credentials.
struct ExecConfig {
  std::string api_version;
  std::string command;  // absolute, or looked up in PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;  // beside our own
  std::string install_hint;
  bool provide_cluster_info = false;
};

struct UserConfig {
  PemSource certificate, key;
  std::string token;
  std::string token_file;  // absolute; wins over `token`, and is read again each minute
  std::string username, password;
  std::optional<ExecConfig> exec;
};

struct KubeConfig {
  ClusterConfig cluster;
  UserConfig user;
  std::string ns;                     // of the context; may be empty
  std::vector<std::string> warnings;  // for the log: what is ignored, and why
};

// `dir` is what relative paths in it mean. InvalidArgument names file, place and what to do; also
// for auth-provider, an unknown current-context, and certificates without keys. Impersonation is
// ignored with a warning: the node authorizer knows nodes by their own names only.
absl::StatusOr<KubeConfig> ParseKubeConfig(std::string_view text, const std::string& dir,
                                           const proto::DecodeOptions& options);
// From a file of at most 1 MiB. NotFound when there is none.
absl::StatusOr<KubeConfig> LoadKubeConfig(const std::string& path);

// The kubeconfig that bootstrap leaves for later starts: this cluster, and a user whose certificate
// and key are both in `pem_path`. YAML.
absl::StatusOr<std::string> WriteKubeConfig(const ClusterConfig& cluster,
                                            const std::string& pem_path);

}  // namespace keelson::kubelet::client
