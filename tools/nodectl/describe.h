// SPDX-License-Identifier: Apache-2.0
// One pod told at length, in the shape of `kubectl describe pod`. Pure.
#pragma once

#include <string>

#include "base/strings.h"
#include "base/time.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::nodectl {

// `events` are those of this pod.
std::string DescribePod(const k8s::v1::Pod& pod, const k8s::v1::EventList& events,
                        base::WallTime now);

// 10s (x3 over 2m): when it was last seen, and how often since when.
std::string LastSeen(const k8s::v1::Event& event, base::WallTime now);

// Lines of text with tabs between cells, to be aligned at the end.
class TabbedText {
 public:
  // `level` indents by two spaces each.
  template <typename... Parts>
  void Line(int level, const Parts&... parts) {
    text_.append(2 * level, ' ');
    base::StrAppend(&text_, parts...);
    text_ += '\n';
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// describe_container.cc: the containers of one kind with their state.
struct ContainerGroup {
  std::string title;  // Containers, Init Containers
  std::vector<const k8s::v1::Container*> containers;
  std::vector<const k8s::v1::ContainerStatus*> statuses;
};
void DescribeContainers(const k8s::v1::Pod& pod, const ContainerGroup& group, TabbedText* out);

// Mon, 02 Jan 2006 15:04:05 +0000, in local time.
std::string LongTime(const k8s::meta::v1::Time& time);

}  // namespace keelson::nodectl
