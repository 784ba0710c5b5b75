// SPDX-License-Identifier: Apache-2.0
// A node that shuts down gracefully: who ends when.
#include "kubelet/node/shutdown.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>

#include "base/files.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using namespace std::chrono_literals;
using base::Task;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int32_t kCritical = 2'000'000'000;

PodPtr PodOf(const std::string& name, int32_t priority, std::optional<int64_t> grace = {}) {
  auto pod = std::make_shared<v1::Pod>();
  pod->mutable_metadata()->set_name(name);
  pod->mutable_metadata()->set_uid(name);
  pod->mutable_spec()->set_priority(priority);
  if (grace) pod->mutable_spec()->set_terminationgraceperiodseconds(*grace);
  return pod;
}

// --- Decisions ---

TEST(ShutdownGroupsTest, ComeFromTwoPeriodsOrFromPriorities) {
  EXPECT_THAT(ShutdownGroups(0s, 0s, {}), IsEmpty());
  EXPECT_THAT(ShutdownGroups(10s, 20s, {}), IsEmpty());
  EXPECT_THAT(ShutdownGroups(30s, 10s, {}),
              ElementsAre(ShutdownGroup{0, 20}, ShutdownGroup{kCritical, 10}));
  EXPECT_THAT(ShutdownGroups(30s, 0s, {}),
              ElementsAre(ShutdownGroup{0, 30}, ShutdownGroup{kCritical, 0}));
  EXPECT_THAT(ShutdownGroups(0s, 0s, {{1000, 60}, {0, 10}}),
              ElementsAre(ShutdownGroup{0, 10}, ShutdownGroup{1000, 60}));
  EXPECT_EQ(ShutdownPeriod({{0, 10}, {1000, 60}}), 70s);
}

TEST(ShutdownStepsTest, APodIsInTheHighestGroupAtOrBelowItsPriority) {
  struct Case {
    int32_t priority;
    int32_t group;
  };
  const std::vector<ShutdownGroup> groups = {{-5, 1}, {100, 2}, {kCritical, 3}};
  for (const Case& c : {Case{-10, -5}, Case{-5, -5}, Case{0, -5}, Case{99, -5}, Case{100, 100},
                        Case{101, 100}, Case{kCritical - 1, 100}, Case{kCritical, kCritical},
                        Case{kCritical + 1000, kCritical}}) {
    const auto steps = ShutdownSteps(groups, {PodOf("p", c.priority)});
    ASSERT_EQ(steps.size(), 1u) << "groups without pods take no time";
    EXPECT_EQ(steps[0].group.priority, c.group) << c.priority;
  }
}

TEST(ShutdownStepsTest, LowPrioritiesEndFirst) {
  const auto steps = ShutdownSteps({{0, 1}, {kCritical, 3}},
                                   {PodOf("c", kCritical), PodOf("a", 0), PodOf("b", 5)});
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].pods.size(), 2u);
  EXPECT_EQ(steps[1].pods[0]->metadata().name(), "c");
}

TEST(ShutdownGraceTest, IsThePodsOwnWithinTheGroups) {
  EXPECT_EQ(ShutdownGrace(*PodOf("p", 0), {0, 20}), 20);
  EXPECT_EQ(ShutdownGrace(*PodOf("p", 0, 5), {0, 20}), 5);
  EXPECT_EQ(ShutdownGrace(*PodOf("p", 0, 30), {0, 20}), 20);
  EXPECT_EQ(ShutdownGrace(*PodOf("p", 0, 0), {0, 20}), 0);
}

// --- A whole shutdown, on a virtual clock ---

struct Logind {
  base::Nanos delay = 5s;
  base::Nanos delay_after_reload = 1h;  // what it takes over at the look of this number
  int takes_over_at_look = 2;
  bool away = false;
  int connections = 0, looks = 0, requests = 0;
  std::vector<int> locks;  // read ends: closed when the other end is
  std::deque<bool> signals;
  bool broken = false;
  base::Wakeup changed;

  void Signal(bool begins) {
    signals.push_back(begins);
    changed.Set();
  }
  void Break() {
    broken = true;
    changed.Set();
  }
  // How many of the locks it gave are still held.
  int Held() const {
    int held = 0;
    for (int fd : locks) {
      char c;
      held += ::recv(fd, &c, 1, MSG_DONTWAIT) < 0;
    }
    return held;
  }
  ~Logind() {
    for (int fd : locks) ::close(fd);
  }
};

class FakeLoginBus : public LoginBus {
 public:
  explicit FakeLoginBus(Logind& logind) : l_(logind) {}
  Task<absl::StatusOr<base::Nanos>> InhibitDelay() override {
    ++l_.looks;
    if (l_.requests > 0 && l_.looks >= l_.takes_over_at_look) l_.delay = l_.delay_after_reload;
    co_return l_.delay;
  }
  Task<absl::Status> RequestInhibitDelay(base::Nanos) override {
    ++l_.requests;
    co_return absl::OkStatus();
  }
  Task<absl::StatusOr<base::UniqueFd>> Inhibit() override {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) co_return absl::InternalError("pair");
    l_.locks.push_back(pair[0]);
    co_return base::UniqueFd(pair[1]);
  }
  Task<absl::StatusOr<bool>> NextShutdown() override {
    while (l_.signals.empty()) {
      if (std::exchange(l_.broken, false)) co_return absl::UnavailableError("broken");
      co_await l_.changed.Wait();
    }
    const bool begins = l_.signals.front();
    l_.signals.pop_front();
    co_return begins;
  }

 private:
  Logind& l_;
};

class Notes : public EventRecorder {
 public:
  void PodEvent(const v1::Pod&, EventType, std::string_view, std::string, std::string) override {}
  void NodeEvent(EventType, std::string_view reason, std::string message) override {
    seen.push_back(std::string(reason) + ": " + message);
  }
  std::vector<std::string> seen;
};

class NodeShutdownTest : public testing::Test {
 protected:
  ~NodeShutdownTest() override {
    tasks_.Cancel();
    while (tasks_.size() > 0) loop_.RunReady();
  }
  void Start(std::vector<ShutdownGroup> groups = {{0, 20}, {kCritical, 10}}) {
    ShutdownHooks hooks;
    hooks.active_pods = [this] { return pods_; };
    hooks.end_pod = [this](const PodUid& uid, int64_t grace, const PodVerdict& verdict) {
      EXPECT_EQ(verdict.reason, "Terminated");
      EXPECT_EQ(verdict.message, "Pod was terminated in response to imminent node shutdown.");
      EXPECT_EQ(verdict.disruption, verdict.message);
      told_.push_back(uid + " " + std::to_string(grace));
    };
    hooks.pod_ended = [this](const PodUid& uid) { return ended_.contains(uid); };
    hooks.changed = [this] { ++changes_; };
    auto connect = [this]() -> Task<absl::StatusOr<std::unique_ptr<LoginBus>>> {
      return Connect();
    };
    shutdown_.emplace(loop_, connect, notes_, ShutdownOptions{std::move(groups), dir_ / "state"},
                      std::move(hooks));
    tasks_.Spawn("shutdown", shutdown_->Run());
    Pass(1s);
  }
  Task<absl::StatusOr<std::unique_ptr<LoginBus>>> Connect() {
    ++logind_.connections;
    if (logind_.away) co_return absl::NotFoundError("no bus");
    co_return std::make_unique<FakeLoginBus>(logind_);
  }
  void End(const PodUid& uid) {
    ended_.insert(uid);
    shutdown_->PodsChanged();
    Pass(0s);
  }
  void Pass(base::Nanos time) { base::RunFor(loop_, clock_, time); }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  Logind logind_;
  Notes notes_;
  const base::TempDir dir_;
  std::vector<PodPtr> pods_ = {PodOf("low", 0, 5), PodOf("mid", 10), PodOf("high", kCritical)};
  std::vector<std::string> told_;
  std::set<PodUid> ended_;
  int changes_ = 0;
  std::optional<NodeShutdown> shutdown_;
  base::TaskGroup tasks_{loop_};
};

TEST_F(NodeShutdownTest, PodsEndByPriorityAndThenTheNodeMayGo) {
  Start();
  EXPECT_EQ(logind_.requests, 1);
  EXPECT_EQ(logind_.Held(), 1);
  EXPECT_EQ(shutdown_->Problem(), "");
  EXPECT_FALSE(shutdown_->Admit());

  logind_.Signal(true);
  Pass(0s);
  EXPECT_EQ(shutdown_->Problem(), "node is shutting down");
  EXPECT_EQ(changes_, 1);
  ASSERT_TRUE(shutdown_->Admit());
  EXPECT_EQ(shutdown_->Admit()->reason, "NodeShutdown");
  EXPECT_EQ(shutdown_->Admit()->message, "Pod was rejected as the node is shutting down.");
  EXPECT_THAT(notes_.seen, ElementsAre("Shutdown: Shutdown manager detected shutdown event"));
  EXPECT_THAT(told_, ElementsAre("low 5", "mid 20"));
  End("low");
  EXPECT_EQ(told_.size(), 2u);
  End("mid");
  EXPECT_THAT(told_, ElementsAre("low 5", "mid 20", "high 10"));
  EXPECT_EQ(logind_.Held(), 1);
  End("high");
  EXPECT_EQ(logind_.Held(), 0);
  auto state = base::ReadFile(dir_ / "state");
  ASSERT_TRUE(state.ok());
  EXPECT_THAT(*state, HasSubstr("\"startTime\":\"2026-01-01T00:00:0"));
  EXPECT_THAT(*state, HasSubstr("\"endTime\":\"2026-01-01T00:00:0"));
}

TEST_F(NodeShutdownTest, PodsThatDoNotEndHoldUpNobodyLongerThanTheirGroupMay) {
  Start();
  logind_.Signal(true);
  Pass(19s);
  EXPECT_EQ(told_.size(), 2u);
  Pass(1s);
  EXPECT_EQ(told_.size(), 3u);
  EXPECT_EQ(logind_.Held(), 1);
  Pass(10s);
  EXPECT_EQ(logind_.Held(), 0);
}

TEST_F(NodeShutdownTest, ACancelledShutdownIsOverAndTheNextOneIsDelayedAgain) {
  pods_.clear();
  Start();
  logind_.Signal(true);
  Pass(0s);
  EXPECT_EQ(logind_.Held(), 0);
  logind_.Signal(false);
  Pass(0s);
  EXPECT_EQ(shutdown_->Problem(), "");
  EXPECT_FALSE(shutdown_->Admit());
  EXPECT_EQ(logind_.Held(), 1);
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(notes_.seen.back(), "Shutdown: Shutdown manager detected shutdown cancellation");
}

TEST_F(NodeShutdownTest, WithoutABusItIsOff) {
  logind_.away = true;
  Start();
  Pass(1h);
  EXPECT_EQ(logind_.connections, 1);
  EXPECT_EQ(tasks_.size(), 0u);
}

TEST_F(NodeShutdownTest, ALogindThatKeepsItsShortDelayTurnsItOff) {
  logind_.takes_over_at_look = 100;
  Start();
  Pass(1min);
  EXPECT_EQ(logind_.looks, 6);
  EXPECT_EQ(tasks_.size(), 0u);
}

TEST_F(NodeShutdownTest, ADelayThatIsLongEnoughIsLeftAlone) {
  logind_.delay = 30s;
  Start();
  EXPECT_EQ(logind_.requests, 0);
  EXPECT_EQ(logind_.Held(), 1);
}

TEST_F(NodeShutdownTest, ABrokenConnectionIsMadeAgain) {
  Start();
  logind_.away = true;
  logind_.Break();
  Pass(10s);
  EXPECT_EQ(logind_.connections, 11);
  logind_.away = false;
  Pass(1s);
  EXPECT_EQ(logind_.Held(), 1) << "the old lock goes when there is a new one";
  logind_.Signal(true);
  Pass(0s);
  EXPECT_EQ(shutdown_->Problem(), "node is shutting down");
}

}  // namespace
}  // namespace keelson::kubelet
