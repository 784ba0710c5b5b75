// SPDX-License-Identifier: Apache-2.0
// What tests of an agent with its HTTPS server on have in common. One thread.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "test/integration/lib/agent_fixture.h"
#include "test/integration/lib/free_port.h"

namespace keelson::integration {

// A manifest of pod `name` in namespace shop, which ends at once and has an emptyDir v;
// `containers` is the YAML of the list, indented by two.
inline std::string ShopPod(const std::string& name, const std::string& containers) {
  return base::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                      ", namespace: shop}\nspec:\n  terminationGracePeriodSeconds: 0\n"
                      "  volumes: [{name: v, emptyDir: {}}]\n  containers:\n",
                      containers);
}

// The words of a process of this machine, each with a zero byte behind it; empty when it has ended.
inline std::string CommandLine(pid_t pid) {
  return ReadAll(base::StrCat("/proc/", pid, "/cmdline"));
}

// Waits for a process of this machine, in whatever namespace, whose first word is `program` and
// whose words contain `mark`. 0 after having failed the test.
inline pid_t FindProcess(const std::string& program, const std::string& mark) {
  pid_t found = 0;
  EXPECT_TRUE(Eventually([&] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (!std::isdigit(static_cast<unsigned char>(name[0]))) continue;
      const std::string words = CommandLine(std::stoi(name));
      if (words.c_str() == program && words.find(mark) != words.npos) found = std::stoi(name);
    }
    return found != 0;
  })) << program
      << " ... " << mark;
  return found;
}

// Starts an agent that serves on 127.0.0.1:`port`, gives it `pod`, and waits until `settled`.
inline std::unique_ptr<Agent> StartServing(uint16_t port, const std::string& config,
                                           std::vector<std::string> flags, const std::string& pod,
                                           const std::function<bool(const Agent&)>& settled) {
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
