// SPDX-License-Identifier: Apache-2.0
// Lifecycle hooks of real containers: postStart and preStop, by command, request and sleep.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/time.h"
#include "test/integration/agent/status_test.h"
#include "test/integration/sources/test_server.h"

namespace keelson::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::StrCat;
using kubelet::sources::TestServer;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class HooksTest : public StatusTest {
 protected:
  // A container c with these hooks, which sees the agent's folder as /v and writes "term" to
  // /v/order at SIGTERM.
  void PutHooked(const std::string& name, const std::string& lifecycle, const std::string& more = "") {
    agent_.Put(name + ".yaml",
               "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec:\n"
               "  terminationGracePeriodSeconds: 10\n"
               "  volumes: [{name: v, hostPath: {path: " + agent_.dir() + "}}]\n  containers:\n"
               "  - name: c\n    image: docker.io/library/busybox:1.36\n"
               "    command: [/bin/sh, -c, 'trap \"echo term >> /v/order; exit\" TERM; touch /v/up;\n"
               "      while true; do sleep 0.05; done']\n"
               "    volumeMounts: [{name: v, mountPath: /v}]\n"
               "    lifecycle: {" + lifecycle + "}\n" + more);
  }
  bool IsUp() { return Eventually([&] { return fs::exists(agent_.dir() + "/up"); }); }
  std::string Order() { return ReadAll(agent_.dir() + "/order"); }
  bool Ends(const std::string& pod) {
    agent_.Remove(pod + ".yaml");
    return Eventually([&] { return SandboxCount(pod) == 0; });
  }
};

TEST_F(HooksTest, ContainersAfterAPostStartHookWaitForIt) {
  PutHooked("hooked", "postStart: {exec: {command: [/bin/sh, -c, 'echo hook > /v/made']}}",
            "  - {name: d, image: 'docker.io/library/busybox:1.36',\n"
            "     command: [/bin/sh, -c, 'cat /v/made; sleep 1000'],\n"
            "     volumeMounts: [{name: v, mountPath: /v}]}\n");
  PutHooked("asleep", "postStart: {sleep: {seconds: 1}}",
            "  - {name: d, image: 'docker.io/keelson/testserver:1', args: [wait]}\n");
  ASSERT_TRUE(Runs("hooked", "d") && Runs("asleep", "d"));
  EXPECT_EQ(Said("hooked", "d"), "hook\n");
  const auto first = TheContainerd().Status(FindContainer("asleep", "c").id);
  const auto second = TheContainerd().Status(FindContainer("asleep", "d").id);
  EXPECT_GE(second.created_at() - first.started_at(), base::Nanos(1s).count());
  EXPECT_TRUE(IsReady("asleep", true));
}

TEST_F(HooksTest, AContainerRunsForUsersOnceItsPostStartHookHasEnded) {
  PutHooked("begins", "postStart: {exec: {command: [/bin/sh, -c, "
                      "'while [ ! -e /v/go ]; do sleep 0.05; done']}}");
  ASSERT_TRUE(IsUp() && Happened("begins", "Started", "Container started"));
  EXPECT_EQ(Status("begins").state().waiting().reason(), "ContainerCreating");
  EXPECT_TRUE(IsReady("begins", false));
  std::ofstream(agent_.dir() + "/go").flush();
  EXPECT_TRUE(IsReady("begins", true));
}

TEST_F(HooksTest, FailedPostStartStopsTheContainerAndKeepsItsWords) {
  PutHooked("broken",
            "postStart: {exec: {command: [/bin/sh, -c, 'echo secret; exit 7']}},\n"
            "      preStop: {exec: {command: [/bin/sh, -c, 'echo stop >> /v/order']}}");
  EXPECT_TRUE(Happened("broken", "FailedPostStartHook", "PostStartHook failed"));
  EXPECT_TRUE(Happened("broken", "Killing", "FailedPostStartHook"));
  EXPECT_TRUE(Eventually([&] {
    const v1::ContainerState state = Status("broken").state();
    return state.waiting().reason() == "PostStartHookError" ||
           state.waiting().reason() == "CrashLoopBackOff";
  }));
  EXPECT_TRUE(Eventually([&] { return Order().starts_with("stop\n"); }));
  EXPECT_THAT(Events("broken"), Not(HasSubstr("secret")));
}

TEST_F(HooksTest, PreStopRunsBeforeTheSignal) {
  PutHooked("told", "preStop: {exec: {command: [/bin/sh, -c, 'echo stop >> /v/order']}}");
  ASSERT_TRUE(IsUp());
  ASSERT_TRUE(Ends("told"));
  EXPECT_EQ(Order(), "stop\nterm\n");
}

TEST_F(HooksTest, PreStopThatFailsIsToldAndStopsNothing) {
  PutHooked("failing", "preStop: {exec: {command: [/bin/sh, -c, 'echo stop >> /v/order; exit 3']}}");
  ASSERT_TRUE(IsUp());
  ASSERT_TRUE(Ends("failing"));
  EXPECT_TRUE(Happened("failing", "Killing", "Stopping container c"));
  EXPECT_TRUE(Happened("failing", "FailedPreStopHook", "PreStopHook failed"));
  EXPECT_EQ(Order(), "stop\nterm\n");
}

TEST_F(HooksTest, PreStopSleepsBeforeTheSignal) {
  PutHooked("sleepy", "preStop: {sleep: {seconds: 1}}");
  ASSERT_TRUE(IsUp());
  const auto asked = fs::file_time_type::clock::now();
  ASSERT_TRUE(Ends("sleepy"));
  EXPECT_GE(fs::last_write_time(agent_.dir() + "/order") - asked, 1s);
}

TEST_F(HooksTest, HooksCanBeRequests) {
  TestServer server([](const std::string&) { return TestServer::Answer("any", "", "404 Not Found"); });
  const std::string at = StrCat("host: 127.0.0.1, port: ", server.port());
  PutHooked("asking", "postStart: {httpGet: {path: /begun, " + at +
                          ", httpHeaders: [{name: X-Wish, value: here}]}},\n"
                          "      preStop: {httpGet: {path: /ends, " + at + "}}");
  ASSERT_TRUE(IsReady("asking", true));
  EXPECT_THAT(server.Requests(),
              Contains(AllOf(HasSubstr("GET /begun HTTP/1.1\r\n"), HasSubstr("\r\nX-Wish: here\r\n"),
                             HasSubstr("\r\nUser-Agent: kube-lifecycle/1.36\r\n"))));
  EXPECT_THAT(server.Requests(), Not(Contains(HasSubstr("GET /ends"))));
  ASSERT_TRUE(Ends("asking"));
  EXPECT_THAT(server.Requests(), Contains(HasSubstr("GET /ends HTTP/1.1\r\n")));
}

}  // namespace
}  // namespace keelson::integration
