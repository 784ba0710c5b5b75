// SPDX-License-Identifier: Apache-2.0
// Credential provider plugins: programs of the operator's that know registry credentials
// (CredentialProviderConfig of kubelet.config.k8s.io, exec API credentialprovider.kubelet.k8s.io).
//
// A plugin is run for images its matchImages name, unless an earlier answer still holds for the
// image, its registry or all (cacheKeyType). Equal questions at the same time run it once. What it
// says goes into no log. Loop only; a plugin runs for a minute at most, as a child in base/.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "cri/credentials.h"

namespace k8s::kubelet::v1beta1 {
class CredentialProvider;
class CredentialProviderConfig;
}  // namespace k8s::kubelet::v1beta1

namespace keelson::cri {

// On whose behalf an image is pulled.
struct PullPod {
  std::string ns, name, uid;
  std::string service_account;  // empty: none
};

// Where plugins with tokenAttributes get what they are told of a pod's service account.
class ServiceAccountSource {
 public:
  struct Account {
    std::string uid;
    std::map<std::string, std::string> annotations;
  };
  virtual ~ServiceAccountSource() = default;
  virtual base::Task<absl::StatusOr<Account>> Find(std::string ns, std::string name) = 0;
  virtual base::Task<absl::StatusOr<std::string>> Token(PullPod pod, std::string audience) = 0;
};

// What a plugin answered.
struct PluginAnswer {
  enum class CacheKey { kImage, kRegistry, kGlobal };
  CacheKey cache_key = CacheKey::kImage;
  std::optional<base::Nanos> cache_duration;  // nullopt: defaultCacheDuration; 0: not kept
  std::map<std::string, rt::AuthConfig> auth;  // by image pattern
};
// InvalidArgument without quoting the answer. Pure.
absl::StatusOr<PluginAnswer> ParsePluginAnswer(std::string_view json,
                                               const std::string& api_version);

class CredentialPlugins {
 public:
  // Reads --image-credential-provider-config, and makes sure that each plugin is in `bin_dir`.
  static absl::StatusOr<std::unique_ptr<CredentialPlugins>> Load(base::Loop& loop,
                                                                 const std::string& config_path,
                                                                 const std::string& bin_dir);
  ~CredentialPlugins();

  // Null: none, then plugins that need a service account are not asked. Outlives this.
  void set_service_accounts(ServiceAccountSource* accounts) { accounts_ = accounts; }
  // Some plugin speaks for service accounts: what it gives is not for every pod.
  bool uses_service_accounts() const;
  // Credentials for "registry/repository", those of longer patterns first. A plugin that fails has
  // none, and says why in the log. REQUIRES: this outlives the task.
  base::Task<std::vector<rt::AuthConfig>> Lookup(std::string repository, PullPod pod);

 private:
  struct Question;
  struct Flight;
  struct Kept {
    PluginAnswer answer;
    base::MonoTime until;
  };
  struct Plugin;

  CredentialPlugins(base::Loop& loop, const std::string& bin_dir,
                    k8s::kubelet::v1beta1::CredentialProviderConfig config);
  base::Task<absl::StatusOr<PluginAnswer>> Ask(Plugin& plugin, std::string repository, PullPod pod);
  // nullopt: the plugin is not for this pod.
  base::Task<absl::StatusOr<std::optional<Question>>> MakeQuestion(Plugin& plugin,
                                                                   std::string repository,
                                                                   PullPod pod);
  const PluginAnswer* Remembered(Plugin& plugin, const Question& question);
  void Remember(Plugin& plugin, const Question& question, const PluginAnswer& answer);
  base::Task<absl::StatusOr<PluginAnswer>> Run(Plugin& plugin, Question question);

  base::Loop& loop_;
  std::vector<std::unique_ptr<Plugin>> plugins_;
  ServiceAccountSource* accounts_ = nullptr;
};

}  // namespace keelson::cri
