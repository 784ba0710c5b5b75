// SPDX-License-Identifier: Apache-2.0
// The tables of `nodectl get` and `nodectl inflight`. Pure.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::nodectl {

struct ListStyle {
  bool wide = false;
  bool namespaces = true;  // a column for them
  bool color = false;
  base::WallTime now{};
};

// Sorted by namespace and name.
std::string PodsTable(const k8s::v1::PodList& pods, const ListStyle& style);
// In the order given.
std::string EventsTable(const k8s::v1::EventList& events, const ListStyle& style);
// Of the agent's JSON (kubelet/server/local_api.cc). InvalidArgument: it is something else.
absl::StatusOr<std::string> ImagesTable(std::string_view json, const ListStyle& style);
absl::StatusOr<std::string> InflightTable(std::string_view json, const ListStyle& style);

// 4.26MB: three digits, powers of a thousand.
std::string HumanBytes(double bytes);

}  // namespace keelson::nodectl
