// SPDX-License-Identifier: Apache-2.0
// Tokens of service accounts for pods: each bound to its pod, kept, and replaced in good time
// (upstream's pkg/kubelet/token).
//
// A token comes due after 80 % of its life or 24 hours, whichever is first, up to ten seconds early
// by chance. Its age is counted by our own clocks from the moment it came, by whichever of the two
// says more: a clock that is off or stepped back does not make a token look young, and a machine
// that slept does not trust one that is old. The server's clock is compared with nothing.
//
// Loop only.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "csi/objects.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet {

class TokenCache {
 public:
  // `due` is told a pod's uid when a token of it came due: whoever shows the token asks again. It
  // returns false when nobody does: the pod is not known any more, and its tokens are forgotten.
  // `api` and `loop` outlive the cache. `seed` of the chance above; 0: random.
  TokenCache(base::Loop& loop, client::ApiServer& api,
             std::function<bool(const std::string& pod_uid)> due, uint64_t seed = 0);

  // Calls `due` until cancelled. While the API server refuses a new token, again each minute.
  base::Task<void> Run();

  // Asks the API server when there is none or it is due. Of a refused renewal the old token is the
  // answer until it has expired; from then on the error.
  base::Task<absl::StatusOr<csi::Token>> Get(csi::TokenSpec spec);
  // The pod is gone.
  void Forget(const std::string& pod_uid);

 private:
  struct Entry {
    csi::Token token;
    base::Nanos life{0}, due_after{0};  // since it came
    base::WallTime came_wall;
    base::MonoTime came_mono;
    base::MonoTime told;  // `due` was called then
  };
  base::Nanos Age(const Entry& entry) const;
  base::Task<absl::StatusOr<csi::Token>> Request(csi::TokenSpec spec);
  void Keep(const csi::TokenSpec& spec, const csi::Token& token, base::Nanos life);
  // Calls `due` for what is due and returns when to look again.
  base::MonoTime Look();

  base::Loop& loop_;
  client::ApiServer& api_;
  const std::function<bool(const std::string&)> due_;
  std::map<csi::TokenSpec, Entry> tokens_;
  base::Wakeup changed_;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet
