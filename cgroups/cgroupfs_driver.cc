// SPDX-License-Identifier: Apache-2.0
// The cgroupfs driver: the agent makes directories itself.
#include "base/errno_status.h"
#include "base/strings.h"
#include "cgroups/drivers.h"
#include "cgroups/group_files.h"

namespace keelson::cgroups {

using base::StrCat;
using base::Task;

namespace {

constexpr std::string_view kPodPrefix = "pod";

class CgroupfsPods : public PodCgroups {
 public:
  CgroupfsPods(base::Loop& loop, PodCgroupsOptions options)
      : loop_(loop),
        files_(std::make_shared<GroupFiles>(std::move(options.hierarchies))),
        root_(StrCat(options.cgroup_root == "/" ? "" : options.cgroup_root, "/kubepods")) {}

  Task<absl::Status> EnsureRoot(Limits kubepods, Limits burstable, Limits besteffort) override {
    auto work = [files = files_, root = root_, kubepods, burstable, besteffort]() -> absl::Status {
      for (const auto& [group, limits] : {std::pair(root, kubepods),
                                          std::pair(root + "/burstable", burstable),
                                          std::pair(root + "/besteffort", besteffort)}) {
        RETURN_IF_ERROR(files->Create(group));
        RETURN_IF_ERROR(files->SetLimits(group, limits));
      }
      return absl::OkStatus();
    };
    co_return co_await base::RunBlocking(loop_, std::move(work));
  }

  Task<absl::Status> Ensure(std::string pod_uid, QosClass qos, Limits limits) override {
    auto work = [files = files_, group = GroupOf(pod_uid, qos), limits]() -> absl::Status {
      RETURN_IF_ERROR(files->Create(group));
      return files->SetLimits(group, limits);
    };
    co_return co_await base::RunBlocking(loop_, std::move(work));
  }

  Task<absl::StatusOr<bool>> Exists(std::string pod_uid, QosClass qos) override {
    co_return files_->Exists(GroupOf(pod_uid, qos));
  }

  Task<absl::Status> Destroy(std::string pod_uid) override {
    auto work = [files = files_, groups = AllGroupsOf(pod_uid)]() -> absl::Status {
      absl::Status first;
      for (const auto& group : groups) first.Update(files->Destroy(group));
      return first;
    };
    co_return co_await base::RunBlocking(loop_, std::move(work));
  }

  Task<absl::StatusOr<std::vector<std::string>>> ListPods() override {
    auto work = [files = files_, root = root_]() -> absl::StatusOr<std::vector<std::string>> {
      std::vector<std::string> uids;
      for (const char* level : {"", "/burstable", "/besteffort"})
        for (const auto& name : files->Children(root + level))
          if (name.starts_with(kPodPrefix)) uids.push_back(name.substr(kPodPrefix.size()));
      return uids;
    };
    co_return co_await base::RunBlocking(loop_, std::move(work));
  }

  std::string CgroupParent(const std::string& pod_uid, QosClass qos) const override {
    return GroupOf(pod_uid, qos);
  }

 private:
  std::string GroupOf(const std::string& uid, QosClass qos) const {
    switch (qos) {
      case QosClass::kGuaranteed: return StrCat(root_, "/pod", uid);
      case QosClass::kBurstable: return StrCat(root_, "/burstable/pod", uid);
      case QosClass::kBestEffort: return StrCat(root_, "/besteffort/pod", uid);
    }
    return "";
  }
  // Wherever an earlier life of the agent put it.
  std::vector<std::string> AllGroupsOf(const std::string& uid) const {
    return {GroupOf(uid, QosClass::kGuaranteed), GroupOf(uid, QosClass::kBurstable),
            GroupOf(uid, QosClass::kBestEffort)};
  }

  base::Loop& loop_;
  const std::shared_ptr<const GroupFiles> files_;
  const std::string root_;
};

}  // namespace

std::unique_ptr<PodCgroups> MakeCgroupfsDriver(base::Loop& loop, PodCgroupsOptions options) {
  return std::make_unique<CgroupfsPods>(loop, std::move(options));
}

}  // namespace keelson::cgroups
