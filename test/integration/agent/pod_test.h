// SPDX-License-Identifier: Apache-2.0
// Verbs for tests of single pods on a fresh agent.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "test/integration/lib/agent_fixture.h"

namespace keelson::integration {

class PodTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }

  // A pod named `name` with these lines below spec.
  void Put(const std::string& name, const std::string& spec) {
    agent_.Put(name + ".yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
                                   "}\nspec:\n  terminationGracePeriodSeconds: 1\n" + spec);
  }
  void PutShell(const std::string& name, const std::string& script, const std::string& more = "") {
    Put(name, more + "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
                     "    command: [/bin/sh, -c, '" + script + "; sleep 1000']\n");
  }
  std::string Table() { return agent_.Nodectl({"get", "pods"}); }
  bool Shows(const std::string& text) {
    return Eventually([&] { return Table().find(text) != std::string::npos; });
  }
  bool Runs(const std::string& pod, const std::string& container = "c") {
    return Eventually([&] { return IsRunning(pod, container); });
  }
  std::string Said(const std::string& pod, const std::string& container = "c") {
    CommandResult logs;
    Eventually([&] {
      logs = agent_.TryNodectl({"logs", pod + "-klnode", "-c", container});
      return logs.exit_code == 0 && !logs.output.empty();
    });
    return logs.output;
  }
  std::string Exec(const std::string& pod, const std::string& script, const std::string& container = "c") {
    return TheContainerd().Exec(FindContainer(pod, container).id, {"/bin/sh", "-c", script}).output;
  }

  Agent agent_;
};

}  // namespace keelson::integration
