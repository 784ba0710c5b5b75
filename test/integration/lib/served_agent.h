// SPDX-License-Identifier: Apache-2.0
// What tests of an agent with its HTTPS server on have in common. One thread.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "test/integration/lib/agent_fixture.h"
#include "test/integration/lib/free_port.h"

namespace keelson::integration {

// A manifest of pod `name` in namespace shop, which ends at once and has an emptyDir v; `containers` is
// the YAML of the list, indented by two.
inline std::string ShopPod(const std::string& name, const std::string& containers) {
  return base::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                      ", namespace: shop}\nspec:\n  terminationGracePeriodSeconds: 0\n"
                      "  volumes: [{name: v, emptyDir: {}}]\n  containers:\n", containers);
}

// Starts an agent that serves on 127.0.0.1:`port`, gives it `pod`, and waits until `settled`.
inline std::unique_ptr<Agent> StartServing(
    uint16_t port, const std::string& config, std::vector<std::string> flags,
    const std::string& pod, const std::function<bool(const Agent&)>& settled) {
  auto agent = std::make_unique<Agent>(AgentOptions{
      base::StrCat("enableServer: true\naddress: 127.0.0.1\nport: ", port, "\n", config),
      std::move(flags)});
  agent->Start();
  agent->Put("pod.yaml", pod);
  EXPECT_TRUE(Eventually([&] { return settled(*agent); }))
      << agent->TryNodectl({"get", "pods"}).output;
  return agent;
}

}  // namespace keelson::integration
