// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/lease_keeper.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "kubelet/client/api_error.h"

namespace keelson::kubelet {

using base::Task;
using k8s::coordination::v1::Lease;

namespace {

constexpr char kNamespace[] = "kube-node-lease";
constexpr int kTries = 5;
constexpr std::chrono::milliseconds kFirstRetry(200);
constexpr std::chrono::seconds kLongestRetry(7);
constexpr double kJitter = 0.04;

}  // namespace

LeaseKeeper::LeaseKeeper(base::Loop& loop, client::ApiServer& api, LeaseKeeperOptions options,
                         std::function<const k8s::v1::Node*()> node)
    : loop_(loop),
      api_(api),
      o_(std::move(options)),
      node_(std::move(node)),
      random_(o_.seed != 0 ? o_.seed : std::random_device()()) {}

Task<void> LeaseKeeper::Run() {
  const base::Nanos period = std::chrono::milliseconds(o_.duration_seconds * 250);
  while (true) {
    co_await Renew();
    std::uniform_real_distribution<double> spread(1, 1 + kJitter);
    const base::Nanos pause(
        static_cast<int64_t>(static_cast<double>(period.count()) * spread(random_)));
    co_await base::Sleep(loop_.clock(), pause);
  }
}

// Until it worked once, tries without end; a known lease gets five tries a turn.
Task<void> LeaseKeeper::Renew() {
  base::Nanos delay = kFirstRetry;
  for (int i = 0; lease_ ? i < kTries : true; ++i) {
    absl::Status status;
    if (lease_)
      status = co_await Update();
    else
      status = co_await EnsureExists();
    if (status.ok()) {
      renewed_ = loop_.clock().Monotonic();
      co_return;
    }
    KLOG_WARNING("Cannot renew the node's lease", {"lease", o_.node_name}, {"err", status});
    if (client::IsConflict(status) || client::IsNotFound(status)) lease_.reset();  // read again
    if (lease_) continue;
    co_await base::Sleep(loop_.clock(), delay);
    delay = std::min<base::Nanos>(delay * 2, kLongestRetry);
  }
}

Task<absl::Status> LeaseKeeper::EnsureExists() {
  auto found = co_await api_.Get<Lease>(kNamespace, o_.node_name);
  if (found.ok()) {
    lease_ = *std::move(found);
    absl::Status updated = co_await Update();
    co_return updated;
  }
  if (!client::IsNotFound(found.status())) co_return found.status();
  Lease wanted;
  wanted.mutable_metadata()->set_name(o_.node_name);
  wanted.mutable_metadata()->set_namespace_(kNamespace);
  Fill(&wanted);
  auto created = co_await api_.Create<Lease>(std::move(wanted));
  if (!created.ok()) co_return created.status();
  lease_ = *std::move(created);
  co_return absl::OkStatus();
}

Task<absl::Status> LeaseKeeper::Update() {
  Lease wanted = *lease_;
  Fill(&wanted);
  auto updated = co_await api_.Update<Lease>(std::move(wanted));
  if (!updated.ok()) co_return updated.status();
  lease_ = *std::move(updated);
  co_return absl::OkStatus();
}

void LeaseKeeper::Fill(Lease* lease) const {
  const int64_t now = base::ToUnixNanos(loop_.clock().Now());
  auto* spec = lease->mutable_spec();
  spec->set_holderidentity(o_.node_name);
  spec->set_leasedurationseconds(o_.duration_seconds);
  spec->mutable_renewtime()->set_seconds(now / 1'000'000'000);
  spec->mutable_renewtime()->set_nanos(static_cast<int32_t>(now % 1'000'000'000 / 1000 * 1000));
  const k8s::v1::Node* node = node_();
  if (!node || lease->metadata().ownerreferences_size() > 0) return;
  auto* owner = lease->mutable_metadata()->add_ownerreferences();
  owner->set_apiversion("v1");
  owner->set_kind("Node");
  owner->set_name(node->metadata().name());
  owner->set_uid(node->metadata().uid());
}

}  // namespace keelson::kubelet
