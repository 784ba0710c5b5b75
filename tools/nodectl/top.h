// SPDX-License-Identifier: Apache-2.0
// The tables of `nodectl top`, as kubectl's. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/k8s/stats.pb.h"
#include "tools/nodectl/lists.h"

namespace keelson::nodectl {

struct TopStyle {
  ListStyle list{};
  bool containers = false;           // a line for each
  std::string sort{};                // cpu, memory, or empty: by name
  std::string ns{};                  // empty: all
  std::vector<std::string> names{};  // empty: all
};

// False: the agent measures some CPU for the first time, and has a rate a moment later.
bool HasRates(const k8s::stats::v1alpha1::Summary& summary);

std::string TopPodsTable(const k8s::stats::v1alpha1::Summary& summary, const TopStyle& style);
// Shares are of the whole machine: `cpus` processors and `memory` bytes.
std::string TopNodeTable(const k8s::stats::v1alpha1::Summary& summary, int cpus, uint64_t memory,
                         const ListStyle& style);

}  // namespace keelson::nodectl
