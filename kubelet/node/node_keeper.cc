// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/node_keeper.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/client/api_error.h"
#include "proto/codec/strategic_patch.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;
using k8s::v1::Node;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kFirstRetry(100);
constexpr seconds kLongestRetry(7);
constexpr int kTries = 5;
constexpr double kUpdateJitter = 0.04;

}  // namespace

NodeKeeper::NodeKeeper(base::Loop& loop, client::ApiServer& api, EventRecorder& events,
                       NodeKeeperOptions options, std::function<NodeState()> observe,
                       std::function<void(const std::string&)> on_pod_cidr)
    : loop_(loop),
      api_(api),
      events_(events),
      o_(std::move(options)),
      observe_(std::move(observe)),
      on_pod_cidr_(std::move(on_pod_cidr)),
      random_(o_.seed != 0 ? o_.seed : std::random_device()()) {}

base::Nanos NodeKeeper::Jittered(base::Nanos period, double part) {
  std::uniform_real_distribution<double> spread(0, part);
  return base::Nanos(static_cast<int64_t>(static_cast<double>(period.count()) * (1 + spread(random_))));
}

Task<void> NodeKeeper::Run() {
  if (o_.register_node) co_await Register();
  while (true) {
    co_await ReportOnce();
    const base::MonoTime next = loop_.clock().Monotonic() + Jittered(o_.update, kUpdateJitter);
    co_await changed_.WaitUntil(loop_.clock(), next);
  }
}

Task<void> NodeKeeper::Register() {
  base::Nanos delay = kFirstRetry;
  while (true) {
    absl::Status status = co_await RegisterOnce();
    if (status.ok()) co_return;
    KLOG_WARNING("Cannot register the node; trying again", {"node", o_.settings.name},
                 {"err", status});
    co_await base::Sleep(loop_.clock(), delay);
    delay = std::min<base::Nanos>(delay * 2, kLongestRetry);
  }
}

Task<absl::Status> NodeKeeper::RegisterOnce() {
  auto wanted = NewNode(o_.settings, observe_(), loop_.clock().Now());
  if (!wanted.ok()) co_return wanted.status();
  auto created = co_await api_.Create<Node>(*std::move(wanted));
  if (created.ok()) {
    KLOG_INFO("Successfully registered node", {"node", o_.settings.name});
    Learn(*std::move(created));
    co_return absl::OkStatus();
  }
  // A server may forbid creating before it says that the object exists.
  if (!client::IsAlreadyExists(created.status()) && !client::IsForbidden(created.status()))
    co_return created.status();
  auto existing = co_await api_.Get<Node>("", o_.settings.name);
  if (!existing.ok()) co_return existing.status();
  auto patch = proto::StrategicPatch(*existing, Reconciled(o_.settings, *existing));
  if (!patch.ok()) co_return patch.status();
  if (patch->members.empty()) {
    Learn(*std::move(existing));
    co_return absl::OkStatus();
  }
  auto patched = co_await api_.Patch<Node>("", o_.settings.name, client::PatchType::kStrategicMerge,
                                           *std::move(patch));
  if (!patched.ok()) co_return patched.status();
  Learn(*std::move(patched));
  co_return absl::OkStatus();
}

Task<void> NodeKeeper::ReportOnce() {
  for (int i = 0; i < kTries; ++i) {
    // The first try trusts what we know; after a failure the server is asked.
    absl::Status status = co_await Write(i > 0 || !node_);
    if (status.ok()) co_return;
    KLOG_ERROR("Error updating node status, will retry", {"node", o_.settings.name},
               {"err", status});
  }
  KLOG_ERROR("Unable to update node status", {"node", o_.settings.name}, {"tries", kTries});
}

Task<absl::Status> NodeKeeper::Refresh() {
  auto read = co_await api_.Get<Node>("", o_.settings.name);
  if (!read.ok()) co_return read.status();
  Learn(*std::move(read));
  co_return absl::OkStatus();
}

Task<absl::Status> NodeKeeper::Write(bool read_first) {
  if (read_first) {
    absl::Status read = co_await Refresh();
    CO_RETURN_IF_ERROR(read);
  }
  const base::MonoTime now = loop_.clock().Monotonic();
  Node wanted = *node_;
  auto status =
      MakeNodeStatus(o_.settings, observe_(), loop_.clock().Now(), node_->status());
  if (!status.ok()) co_return status.status();
  *wanted.mutable_status() = *std::move(status);
  const bool differs = NodeStatusDiffers(node_->status(), wanted.status());
  if (!differs && report_due_ && now < *report_due_) co_return absl::OkStatus();
  AnnounceReboot(node_->status().nodeinfo().bootid());

  auto patch = proto::StrategicPatch(*node_, wanted);
  if (!patch.ok()) co_return patch.status();
  auto written = co_await api_.Patch<Node>("", o_.settings.name, client::PatchType::kStrategicMerge,
                                           *std::move(patch), "status");
  if (!written.ok()) co_return written.status();
  Learn(*std::move(written));
  // Half a period around the period, so that nodes changed by one cause do not stay in step.
  std::uniform_real_distribution<double> offset(-0.5, 0.5);
  if (differs || !report_due_)
    report_due_ = now + o_.report +
                  base::Nanos(static_cast<int64_t>(static_cast<double>(o_.report.count()) * offset(random_)));
  else
    report_due_ = now + o_.report;
  co_return absl::OkStatus();
}

void NodeKeeper::Learn(Node node) {
  node.mutable_metadata()->clear_managedfields();
  std::string cidr = absl::StrJoin(node.spec().podcidrs(), ",");
  if (cidr.empty()) cidr = node.spec().podcidr();
  node_ = std::move(node);
  if (on_node_) on_node_(*node_);
  if (cidr.empty() || cidr == pod_cidr_) return;
  pod_cidr_ = cidr;
  on_pod_cidr_(pod_cidr_);
}

void NodeKeeper::AnnounceReboot(const std::string& known_boot_id) {
  const std::string& boot_id = o_.settings.info.bootid();
  if (known_boot_id.empty() || known_boot_id == boot_id || announced_boot_id_ == boot_id) return;
  announced_boot_id_ = boot_id;
  events_.NodeEvent(EventType::kWarning, "Rebooted",
                    StrCat("Node ", o_.settings.name, " has been rebooted, boot id: ", boot_id));
}

}  // namespace keelson::kubelet
