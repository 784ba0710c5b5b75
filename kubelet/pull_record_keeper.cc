// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pull_record_keeper.h"

#include "base/log.h"

namespace keelson::kubelet {

base::Task<void> RecoverPullRecords(cri::Runtime& runtime, PullRecords& records) {
  auto answer = co_await runtime.ListImages();
  if (!answer.ok()) {
    KLOG_WARNING("Cannot list images to settle pulls that were cut short",
                 {"err", answer.status()});
    co_return;
  }
  std::map<std::string, std::string> here;
  for (const auto& image : answer->images()) {
    for (const auto& digest : image.repo_digests()) here[digest] = image.id();
    for (const auto& tag : image.repo_tags()) here[tag] = image.id();
  }
  records.Recover(here);
}

base::Task<void> PrunePullRecords(base::Loop& loop, cri::Runtime& runtime, PullRecords& records) {
  while (true) {
    co_await base::Sleep(loop.clock(), kPrunePullRecords);
    const base::WallTime listed = loop.clock().Now();
    auto answer = co_await runtime.ListImages();
    if (!answer.ok()) continue;
    std::set<std::string> here;
    for (const auto& image : answer->images()) {
      here.insert(image.id());
      here.insert(image.repo_digests().begin(), image.repo_digests().end());
    }
    records.Prune(here, listed);
  }
}

}  // namespace keelson::kubelet
