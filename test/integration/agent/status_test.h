// SPDX-License-Identifier: Apache-2.0
// Verbs for tests that look at statuses and events of pods.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "proto/codec/codec.h"
#include "proto/k8s/pod.pb.h"
#include "test/integration/agent/pod_test.h"

namespace keelson::integration {

namespace v1 = k8s::v1;

class StatusTest : public PodTest {
 protected:
  // Empty while the agent does not know the pod.
  v1::Pod Read(const std::string& pod) {
    v1::Pod read;
    const CommandResult json = agent_.TryNodectl({"get", "pods", pod + "-klnode", "-o", "json"});
    if (json.exit_code != 0) return {};
    EXPECT_TRUE(proto::DecodeJson(json.output, &read, {}).ok()) << json.output;
    return read;
  }
  v1::ContainerStatus Status(const std::string& pod, const std::string& container = "c") {
    const v1::Pod read = Read(pod);
    for (const auto& status : read.status().containerstatuses())
      if (status.name() == container) return status;
    return {};
  }
  v1::PodCondition Condition(const std::string& pod, const std::string& type) {
    const v1::Pod read = Read(pod);
    for (const auto& condition : read.status().conditions())
      if (condition.type() == type) return condition;
    return {};
  }
  // The pod's condition and its containers' agree.
  bool IsReady(const std::string& pod, bool wanted) {
    const std::string word = wanted ? "True" : "False";
    return Eventually([&] {
      int agreed = 0;
      const v1::Pod read = Read(pod);
      for (const auto& condition : read.status().conditions())
        agreed += (condition.type() == "Ready" || condition.type() == "ContainersReady") &&
                  condition.status() == word;
      return agreed == 2;
    });
  }
  std::string Events(const std::string& pod) {
    return agent_.TryNodectl({"events", "--for", "pod/" + pod + "-klnode"}).output;
  }
  // There is an event of this reason with these words.
  bool Happened(const std::string& pod, const std::string& reason, const std::string& words) {
    const bool happened = Eventually([&] {
      std::istringstream lines(Events(pod));
      for (std::string line; std::getline(lines, line);)
        if (line.find(" " + reason + " ") != line.npos && line.find(words) != line.npos) return true;
      return false;
    });
    if (!happened) ADD_FAILURE() << "no " << reason << ": " << words << "\n" << Events(pod);
    return happened;
  }
  std::string Ip(const std::string& pod) {
    return TheContainerd().SandboxIp(FindContainer(pod, "c").sandbox_id);
  }
};

}  // namespace keelson::integration
