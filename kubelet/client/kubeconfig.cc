// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/kubeconfig.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/k8s/client_config.pb.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;
namespace wire = ::k8s::clientcmd::v1;

constexpr std::string_view kExecExtension = "client.authentication.k8s.io/exec";

// Where something in the file is wrong, and what.
class Reader {
 public:
  Reader(const wire::Config& config, const std::string& dir, const std::string& source)
      : config_(config), dir_(dir), source_(source) {}

  absl::StatusOr<KubeConfig> Read();

 private:
  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(source_.empty() ? StrCat("kubeconfig: ", what)
                                                      : StrCat(source_, ": ", what));
  }
  // Relative paths are relative to the file.
  std::string Absolute(const std::string& path) const {
    return path.empty() || path.starts_with('/') ? path : base::JoinPath(dir_, path);
  }
  absl::Status ReadCluster(const std::string& name, const wire::Cluster& from, ClusterConfig* to);
  absl::Status ReadUser(const std::string& name, const wire::User& from, KubeConfig* to);
  absl::Status ReadExec(const std::string& name, const wire::ExecConfig& from, UserConfig* to);

  const wire::Config& config_;
  const std::string& dir_;
  const std::string& source_;
};

// Of entries with the same name the first counts, as upstream.
template <typename List>
auto* Named(const List& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const auto& entry) { return entry.name() == name; });
  return found == list.end() ? nullptr : &*found;
}

absl::StatusOr<KubeConfig> Reader::Read() {
  const std::string& current = config_.currentcontext();
  if (current.empty()) return Error("current-context is not set: name the context to use");
  const auto* context = Named(config_.contexts(), current);
  if (context == nullptr)
    return Error(StrCat("current-context \"", current, "\": no such context"));
  const std::string& cluster_name = context->context().cluster();
  const auto* cluster = Named(config_.clusters(), cluster_name);
  if (cluster == nullptr) {
    return Error(
        StrCat("contexts[", current, "].context.cluster \"", cluster_name, "\": no such cluster"));
  }
  KubeConfig result;
  result.ns = context->context().namespace_();
  RETURN_IF_ERROR(ReadCluster(cluster_name, cluster->cluster(), &result.cluster));
  const std::string& user_name = context->context().user();
  if (user_name.empty()) return result;  // anonymous
  const auto* user = Named(config_.users(), user_name);
  if (user == nullptr) {
    return Error(StrCat("contexts[", current, "].context.user \"", user_name, "\": no such user"));
  }
  RETURN_IF_ERROR(ReadUser(user_name, user->user(), &result));
  return result;
}

absl::Status Reader::ReadCluster(const std::string& name, const wire::Cluster& from,
                                 ClusterConfig* to) {
  const std::string where = StrCat("clusters[", name, "].cluster.");
  to->server = from.server();
  if (to->server.empty()) return Error(StrCat(where, "server is not set"));
  if (to->server.find("://") == std::string::npos) to->server = "https://" + to->server;
  while (to->server.ends_with('/')) to->server.pop_back();
  if (!to->server.starts_with("https://") && !to->server.starts_with("http://")) {
    return Error(StrCat(where, "server \"", from.server(), "\": expected an https URL"));
  }
  to->ca = {from.certificateauthoritydata(), Absolute(from.certificateauthority())};
  to->tls_server_name = from.tlsservername();
  to->proxy_url = from.proxyurl();
  if (!to->proxy_url.empty() && !to->proxy_url.starts_with("http://") &&
      !to->proxy_url.starts_with("https://") && !to->proxy_url.starts_with("socks5://")) {
    return Error(StrCat(where, "proxy-url \"", to->proxy_url,
                        "\": expected http://, https:// or socks5://"));
  }
  to->insecure_skip_tls_verify = from.insecureskiptlsverify();
  if (to->insecure_skip_tls_verify && !to->ca.empty()) {
    return Error(
        StrCat(where, "insecure-skip-tls-verify: not together with certificate-authority"));
  }
  to->disable_compression = from.disablecompression();
  if (const auto* extension = Named(from.extensions(), std::string(kExecExtension))) {
    to->exec_config_json = extension->extension().raw();
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadUser(const std::string& name, const wire::User& from, KubeConfig* config) {
  const std::string where = StrCat("users[", name, "].user");
  UserConfig* to = &config->user;
  to->certificate = {from.clientcertificatedata(), Absolute(from.clientcertificate())};
  to->key = {from.clientkeydata(), Absolute(from.clientkey())};
  if (to->certificate.empty() != to->key.empty()) {
    return Error(
        StrCat(where, ": client-certificate and client-key: one is set without the other"));
  }
  to->token = from.token();
  to->token_file = Absolute(from.tokenfile());
  to->username = from.username();
  to->password = from.password();
  const bool has_token = !to->token.empty() || !to->token_file.empty();
  if (has_token && !to->username.empty()) {
    return Error(StrCat(where, ": token and username: only one of them can be sent"));
  }
  if (from.has_authprovider()) {
    return Error(StrCat(where, ".auth-provider: no longer part of Kubernetes; use exec"));
  }
  if (from.has_as() || from.has_asuid() || from.asgroups_size() > 0 || from.has_asuserextra()) {
    config->warnings.push_back(
        StrCat(where, ".as: impersonation is ignored; a node speaks for itself only"));
  }
  return from.has_exec() ? ReadExec(StrCat(where, ".exec"), from.exec(), to) : absl::OkStatus();
}

absl::Status Reader::ReadExec(const std::string& where, const wire::ExecConfig& from,
                              UserConfig* to) {
  const std::string& version = from.apiversion();
  if (version != "client.authentication.k8s.io/v1" &&
      version != "client.authentication.k8s.io/v1beta1") {
    return Error(
        StrCat(where, ".apiVersion \"", version, "\": expected client.authentication.k8s.io/v1"));
  }
  if (from.command().empty()) return Error(StrCat(where, ".command is not set"));
  const std::string& mode = from.interactivemode();
  if (mode.empty() && version.ends_with("/v1")) {
    return Error(StrCat(where, ".interactiveMode is not set: say Never or IfAvailable"));
  }
  if (!mode.empty() && mode != "Never" && mode != "IfAvailable" && mode != "Always") {
    return Error(StrCat(where, ".interactiveMode \"", mode, "\": expected Never or IfAvailable"));
  }
  if (mode == "Always") {
    return Error(StrCat(where, ".interactiveMode Always: a node has no terminal to ask at"));
  }
  if (!to->certificate.empty() || !to->token.empty() || !to->token_file.empty() ||
      !to->username.empty()) {
    return Error(StrCat(where, ": not together with other credentials"));
  }
  ExecConfig exec;
  exec.api_version = version;
  // A bare name is looked up in PATH, all else is a path.
  exec.command =
      from.command().find('/') == std::string::npos ? from.command() : Absolute(from.command());
  exec.args.assign(from.args().begin(), from.args().end());
  for (const auto& variable : from.env()) exec.env.emplace_back(variable.name(), variable.value());
  exec.install_hint = from.installhint();
  exec.provide_cluster_info = from.provideclusterinfo();
  to->exec = std::move(exec);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KubeConfig> ParseKubeConfig(std::string_view text, const std::string& dir,
                                           const proto::DecodeOptions& options) {
  wire::Config config;
  std::vector<proto::DecodeWarning> unknown;
  RETURN_IF_ERROR(proto::DecodeYaml(text, &config, options, &unknown));
  auto result = Reader(config, dir, options.source).Read();
  if (!result.ok()) return result;
  for (const auto& warning : unknown) {
    result->warnings.push_back(
        StrCat("line ", warning.line, ": ", warning.path, ": ", warning.message));
  }
  return result;
}

absl::StatusOr<KubeConfig> LoadKubeConfig(const std::string& path) {
  auto text = base::ReadFile(path);
  if (!text.ok()) return base::Annotate(text.status(), "kubeconfig");
  const size_t slash = path.rfind('/');
  proto::DecodeOptions options;
  options.source = path;
  return ParseKubeConfig(*text, slash == std::string::npos ? "." : path.substr(0, slash + 1),
                         options);
}

absl::StatusOr<std::string> WriteKubeConfig(const ClusterConfig& cluster,
                                            const std::string& pem_path) {
  wire::Config config;
  auto* to = config.add_clusters();
  to->set_name("default-cluster");
  auto* fields = to->mutable_cluster();
  fields->set_server(cluster.server);
  if (!cluster.ca.data.empty()) {
    fields->set_certificateauthoritydata(cluster.ca.data);
  } else if (!cluster.ca.file.empty()) {
    fields->set_certificateauthority(cluster.ca.file);
  }
  if (!cluster.tls_server_name.empty()) fields->set_tlsservername(cluster.tls_server_name);
  if (!cluster.proxy_url.empty()) fields->set_proxyurl(cluster.proxy_url);
  if (cluster.insecure_skip_tls_verify) fields->set_insecureskiptlsverify(true);
  if (cluster.disable_compression) fields->set_disablecompression(true);
  auto* user = config.add_users();
  user->set_name("default-auth");
  user->mutable_user()->set_clientcertificate(pem_path);
  user->mutable_user()->set_clientkey(pem_path);
  auto* context = config.add_contexts();
  context->set_name("default-context");
  context->mutable_context()->set_cluster("default-cluster");
  context->mutable_context()->set_namespace_("default");
  context->mutable_context()->set_user("default-auth");
  config.set_currentcontext("default-context");
  proto::EncodeOptions options;
  options.type = {"v1", "Config"};
  return proto::EncodeYaml(config, options);
}

}  // namespace keelson::kubelet::client
