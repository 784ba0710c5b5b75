// SPDX-License-Identifier: Apache-2.0
// One cgroup as files: a directory in every v1 hierarchy, or one of v2. Blocking: through the pool.
// Any thread; no state but the mount points.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cgroups/hierarchy.h"
#include "cgroups/pod_cgroups.h"

namespace keelson::cgroups {

class GroupFiles {
 public:
  explicit GroupFiles(Hierarchies hierarchies);

  // `group` is a path such as /kubepods/burstable/pod<uid>. Afterwards it and its parents exist with
  // all controllers usable. Existing ones stay as they are.
  absl::Status Create(const std::string& group) const;
  absl::Status SetLimits(const std::string& group, const Limits& limits) const;
  // In every hierarchy that pods need.
  bool Exists(const std::string& group) const;
  // Kills what runs at or below `group` and removes it all. OK if nothing is there. Unavailable when
  // processes did not go away: try again.
  absl::Status Destroy(const std::string& group) const;
  // Names of the groups directly below, of any hierarchy.
  std::vector<std::string> Children(const std::string& group) const;

 private:
  absl::Status CreateV1(const std::string& mount, const std::string& group) const;
  absl::Status CreateV2(const std::string& group) const;
  absl::Status SetV1(const std::string& group, const Limits& limits) const;
  absl::Status SetV2(const std::string& group, const Limits& limits) const;
  absl::Status Write(const std::string& controller, const std::string& group,
                     const std::string& file, const std::string& value) const;

  const Hierarchies hierarchies_;
  const std::vector<std::string> mounts_;  // each mount point once
};

// The files to write for `limits`, in order: (controller, file, value). Pure.
struct LimitFile {
  std::string controller;
  std::string file;
  std::string value;
  bool operator==(const LimitFile&) const = default;
};
std::vector<LimitFile> LimitFilesV1(const Limits& limits);
std::vector<LimitFile> LimitFilesV2(const Limits& limits);

}  // namespace keelson::cgroups
