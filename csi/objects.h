// SPDX-License-Identifier: Apache-2.0
// Where volumes, environments and sandboxes get objects of the API server from. Loop only. A node
// without an API server has no source (a null pointer), and what asks for an object then fails with
// those words. Errors carry the words of upstream's kubelet, fit for a container's status.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/task.h"
#include "csi/volumes.h"

namespace k8s::v1 {
class ConfigMap;
class Secret;
class Service;
}  // namespace k8s::v1

namespace keelson::csi {

// The pod a token is bound to, and what is asked for (authentication.k8s.io/v1 TokenRequest).
struct TokenSpec {
  std::string pod_namespace, service_account, pod_name, pod_uid;
  std::string audience;  // empty: the API server's own
  int64_t expiration_seconds = 3600;
  auto operator<=>(const TokenSpec&) const = default;
};

struct Token {
  std::string value;
  std::chrono::system_clock::time_point issued, expires;
};

// The objects of its own namespace that a pod names, whether or not it needs them to start.
struct References {
  std::set<std::string> config_maps, secrets;  // by name, none empty
  bool operator==(const References&) const = default;
};

class ObjectSource {
 public:
  virtual ~ObjectSource() = default;

  // Of an object that a registered pod names. NotFound, `configmap "x" not found`: it does not exist.
  // Unavailable: the API server did not tell within a second, and nothing was known from before.
  virtual base::Task<absl::StatusOr<std::shared_ptr<const k8s::v1::ConfigMap>>> ConfigMap(
      std::string name_space, std::string name) = 0;
  virtual base::Task<absl::StatusOr<std::shared_ptr<const k8s::v1::Secret>>> Secret(
      std::string name_space, std::string name) = 0;
  // The services of the namespace and of `default`. With `complete`, Unavailable until they were
  // read once; without, what is known now.
  virtual base::Task<absl::StatusOr<std::vector<std::shared_ptr<const k8s::v1::Service>>>> Services(
      std::string name_space, bool complete) = 0;
  // The runtime handler of a RuntimeClass. NotFound: `runtimeclass.node.k8s.io "x" not found`.
  virtual base::Task<absl::StatusOr<std::string>> RuntimeHandler(std::string runtime_class) = 0;
  // A token of a registered pod; the source caches it and gets a new one in good time. While that
  // fails, the old one for as long as it is good.
  virtual base::Task<absl::StatusOr<Token>> ServiceAccountToken(TokenSpec spec) = 0;

  // Keeps the objects the pod names at hand until Unregister. `changed` runs on the loop after one
  // of them changed or a token of the pod came due; never from within Register. Registering again
  // replaces what was registered. Immutable objects are read once.
  virtual void Register(PodPtr pod, References references, std::function<void()> changed) = 0;
  virtual void Unregister(const std::string& pod_uid) = 0;
};

}  // namespace keelson::csi
