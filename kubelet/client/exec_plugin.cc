// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/exec_plugin.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "kubelet/client/credentials.h"
#include "proto/codec/codec.h"
#include "proto/k8s/client_config.pb.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;
namespace wire = ::k8s::clientcmd::v1;

std::string FindProgram(const std::string& command) {
  if (command.find('/') != std::string::npos) {
    return ::access(command.c_str(), X_OK) == 0 ? command : "";
  }
  const char* variable = std::getenv("PATH");
  std::string_view path = variable == nullptr ? "/usr/bin:/bin" : variable;
  while (!path.empty()) {
    const size_t colon = std::min(path.find(':'), path.size());
    const std::string_view dir = path.substr(0, colon);
    // A relative entry would make the program depend on where we were started.
    const std::string file = base::JoinPath(dir, command);
    if (dir.starts_with('/') && ::access(file.c_str(), X_OK) == 0) return file;
    path.remove_prefix(std::min(colon + 1, path.size()));
  }
  return "";
}

absl::StatusOr<std::string> ExecInfo(const ExecConfig& exec, const ClusterConfig& cluster,
                                     const std::string& ca_pem) {
  wire::ExecCredential info;
  info.mutable_spec()->set_interactive(false);
  if (exec.provide_cluster_info) {
    auto* to = info.mutable_spec()->mutable_cluster();
    to->set_server(cluster.server);
    if (!cluster.tls_server_name.empty()) to->set_tlsservername(cluster.tls_server_name);
    if (cluster.insecure_skip_tls_verify) to->set_insecureskiptlsverify(true);
    if (!ca_pem.empty()) to->set_certificateauthoritydata(ca_pem);
    if (!cluster.proxy_url.empty()) to->set_proxyurl(cluster.proxy_url);
    if (cluster.disable_compression) to->set_disablecompression(true);
    if (!cluster.exec_config_json.empty()) to->mutable_config()->set_raw(cluster.exec_config_json);
  }
  proto::EncodeOptions options;
  options.type = {exec.api_version, "ExecCredential"};
  return proto::EncodeJson(info, options);
}

}  // namespace

std::string PluginName(const ExecConfig& exec) { return "credential plugin " + exec.command; }

absl::StatusOr<base::ChildOptions> PluginCommand(const ExecConfig& exec,
                                                 const ClusterConfig& cluster,
                                                 const std::string& ca_pem) {
  const std::string program = FindProgram(exec.command);
  if (program.empty()) {
    std::string text = StrCat(PluginName(exec), ": no such program that may be run");
    if (!exec.install_hint.empty()) base::StrAppend(&text, ". ", exec.install_hint);
    return absl::NotFoundError(text);
  }
  auto info = ExecInfo(exec, cluster, ca_pem);
  RETURN_IF_ERROR(info.status());
  base::ChildOptions child;
  child.argv = {program};
  child.argv.insert(child.argv.end(), exec.args.begin(), exec.args.end());
  // The last of two values of a variable is what counts, as in Go.
  std::vector<std::pair<std::string, std::string>> ours = exec.env;
  ours.emplace_back("KUBERNETES_EXEC_INFO", *info);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    const auto same = [&](const auto& variable) { return variable.first == name; };
    if (std::none_of(ours.begin(), ours.end(), same)) child.env.emplace_back(text);
  }
  for (const auto& [name, value] : ours) child.env.push_back(StrCat(name, "=", value));
  return child;
}

absl::StatusOr<ExecAnswer> ParseExecAnswer(std::string_view json, const std::string& api_version) {
  auto type = proto::PeekTypeMeta(json);
  RETURN_IF_ERROR(type.status());
  if (type->kind != "ExecCredential" || type->api_version != api_version) {
    return absl::InvalidArgumentError(StrCat("answered ", type->kind, " ", type->api_version,
                                             ", expected ExecCredential ", api_version));
  }
  wire::ExecCredential answer;
  RETURN_IF_ERROR(proto::DecodeJson(json, &answer, {}));
  const auto& status = answer.status();
  ExecAnswer result{status.token(), status.clientcertificatedata(), status.clientkeydata(), {}};
  if (result.cert_pem.empty() != result.key_pem.empty()) {
    return absl::InvalidArgumentError("answered a certificate without a key, or a key alone");
  }
  if (result.token.empty() && result.cert_pem.empty()) {
    return absl::InvalidArgumentError("answered neither a token nor a certificate");
  }
  if (status.has_expirationtimestamp()) {
    result.expires = base::WallTime(std::chrono::seconds(status.expirationtimestamp().seconds()));
  }
  return result;
}

}  // namespace keelson::kubelet::client
