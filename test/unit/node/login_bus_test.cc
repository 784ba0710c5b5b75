// SPDX-License-Identifier: Apache-2.0
// logind over a real connection, with a peer that speaks as logind and systemd do.
#include "kubelet/node/login_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/files.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using namespace std::chrono_literals;
using base::Task;
using testing::ElementsAre;
using testing::HasSubstr;

class BusPeer {
 public:
  BusPeer(base::Loop& loop, int fd) : loop_(loop), tasks_(loop) {
    sd_id128_t id = {};
    id.bytes[0] = 1;
    EXPECT_GE(sd_bus_new(&bus_), 0);
    EXPECT_GE(sd_bus_set_fd(bus_, fd, fd), 0);
    EXPECT_GE(sd_bus_set_server(bus_, 1, id), 0);
    EXPECT_GE(sd_bus_negotiate_fds(bus_, 1), 0);
    EXPECT_GE(sd_bus_add_filter(bus_, nullptr, &OnMessage, this), 0);
    EXPECT_GE(sd_bus_start(bus_), 0);
    tasks_.Spawn("peer", Pump());
  }
  ~BusPeer() {
    sd_bus_close_unref(bus_);
    if (lock_ >= 0) ::close(lock_);
  }
  Task<void> Stop() { co_await tasks_.CancelAndJoin(); }
  void HangUp() { bus_ = sd_bus_close_unref(bus_); }
  void Signal(bool begins) {
    sd_bus_message* signal = nullptr;
    sd_bus_message_new_signal(bus_, &signal, "/org/freedesktop/login1",
                              "org.freedesktop.login1.Manager", "PrepareForShutdown");
    sd_bus_message_set_sender(signal, "org.freedesktop.login1");
    sd_bus_message_append(signal, "b", static_cast<int>(begins));
    EXPECT_GE(sd_bus_send(bus_, signal, nullptr), 0);
    sd_bus_message_unref(signal);
    sd_bus_flush(bus_);
  }
  bool LockHeld() const {
    char c;
    return lock_ >= 0 && ::recv(lock_, &c, 1, MSG_DONTWAIT) < 0;
  }

  std::vector<std::string> calls;
  bool refuse = false;

 private:
  static int OnMessage(sd_bus_message* message, void* self, sd_bus_error*) {
    return static_cast<BusPeer*>(self)->Answer(message);
  }
  int Answer(sd_bus_message* message) {
    const char* member = sd_bus_message_get_member(message);
    uint8_t type = 0;
    sd_bus_message_get_type(message, &type);
    if (type != SD_BUS_MESSAGE_METHOD_CALL || !member) return 0;
    calls.push_back(member);
    if (refuse)
      return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_ACCESS_DENIED, "not for you");
    if (calls.back() == "Get")
      return sd_bus_reply_method_return(message, "v", "t", uint64_t{5'000'000});
    if (calls.back() == "KillUnit") {
      const char *unit = nullptr, *who = nullptr;
      int32_t signal = 0;
      sd_bus_message_read(message, "ssi", &unit, &who, &signal);
      calls.back() += std::string(" ") + unit + " " + std::to_string(signal);
      return sd_bus_reply_method_return(message, "");
    }
    const char *what = nullptr, *by = nullptr, *why = nullptr, *mode = nullptr;
    sd_bus_message_read(message, "ssss", &what, &by, &why, &mode);
    calls.back() += std::string(" ") + what + " " + by + " " + mode;
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    lock_ = pair[0];
    const int sent = sd_bus_reply_method_return(message, "h", pair[1]);
    sd_bus_flush(bus_);
    ::close(pair[1]);
    return sent;
  }
  Task<void> Pump() {
    while (true) {
      int done = 1;
      while (done > 0) done = sd_bus_process(bus_, nullptr);
      if (done < 0) co_return;
      const absl::Status ready = co_await base::WaitReadable(loop_, sd_bus_get_fd(bus_));
      if (!ready.ok()) co_return;
    }
  }

  base::Loop& loop_;
  sd_bus* bus_ = nullptr;
  int lock_ = -1;
  base::TaskGroup tasks_;
};

class LoginBusTest : public testing::Test {
 public:
  LoginBusTest() {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    peer_.emplace(loop_, pair[0]);
    EXPECT_GE(sd_bus_new(&bus_), 0);
    EXPECT_GE(sd_bus_set_fd(bus_, pair[1], pair[1]), 0);
    EXPECT_GE(sd_bus_negotiate_fds(bus_, 1), 0);
    EXPECT_GE(sd_bus_start(bus_), 0);
  }
  // Runs the story, then stops the peer.
  void Tell(Task<void> story) {
    base::TaskGroup tasks(loop_);
    tasks.Spawn("story", All(std::move(story)));
    loop_.Run();
  }
  Task<void> All(Task<void> story) {
    co_await std::move(story);
    co_await peer_->Stop();
    loop_.Stop();
  }
  Task<std::unique_ptr<LoginBus>> Connected() {
    LoginBusOptions options;
    options.config_dir = dir_ / "logind.conf.d";
    auto login = co_await UseLoginBus(loop_, bus_, std::move(options));
    EXPECT_TRUE(login.ok()) << login.status();
    co_return *std::move(login);
  }

  base::Loop loop_;
  const base::TempDir dir_;
  std::optional<BusPeer> peer_;
  sd_bus* bus_ = nullptr;
};

TEST_F(LoginBusTest, SpeaksToLogindAndHearsOfShutdowns) {
  struct Story {
    static Task<void> Of(LoginBusTest* t) {
      auto login = co_await t->Connected();
      auto delay = co_await login->InhibitDelay();
      EXPECT_TRUE(delay.ok()) << delay.status();
      EXPECT_EQ(delay.value_or(0s), 5s);
      const absl::Status raised = co_await login->RequestInhibitDelay(90s);
      EXPECT_TRUE(raised.ok()) << raised;
      auto file = base::ReadFile(t->dir_ / "logind.conf.d/99-kubelet.conf");
      EXPECT_THAT(file.value_or(""), HasSubstr("[Login]\nInhibitDelayMaxSec=90\n"));
      auto lock = co_await login->Inhibit();
      EXPECT_TRUE(lock.ok()) << lock.status();
      EXPECT_TRUE(t->peer_->LockHeld());
      EXPECT_THAT(t->peer_->calls,
                  ElementsAre("Get", "KillUnit systemd-logind.service 1",
                              "Inhibit shutdown kubelet delay"));
      t->peer_->Signal(true);
      t->peer_->Signal(false);
      for (const bool begins : {true, false}) {
        auto heard = co_await login->NextShutdown();
        EXPECT_TRUE(heard.ok()) << heard.status();
        EXPECT_EQ(heard.value_or(!begins), begins);
      }
      if (lock.ok()) lock->reset();
      EXPECT_FALSE(t->peer_->LockHeld());
    }
  };
  Tell(Story::Of(this));
}

TEST_F(LoginBusTest, ARefusalAndABrokenConnectionAreErrors) {
  struct Story {
    static Task<void> Of(LoginBusTest* t) {
      auto login = co_await t->Connected();
      t->peer_->refuse = true;
      auto lock = co_await login->Inhibit();
      EXPECT_EQ(lock.status().code(), absl::StatusCode::kPermissionDenied) << lock.status();
      EXPECT_THAT(std::string(lock.status().message()), HasSubstr("not for you"));
      co_await t->peer_->Stop();
      t->peer_->HangUp();
      auto heard = co_await login->NextShutdown();
      EXPECT_TRUE(absl::IsUnavailable(heard.status())) << heard.status();
    }
  };
  Tell(Story::Of(this));
}

}  // namespace
}  // namespace keelson::kubelet
