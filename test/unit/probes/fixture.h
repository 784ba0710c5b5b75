// SPDX-License-Identifier: Apache-2.0
// Pods, a runtime that only runs commands, and a loop that a test moves by hand.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/strings.h"
#include "cri/error.h"
#include "probes/prober.h"
#include "test/unit/cri/stub_runtime.h"

namespace keelson::probes {

using namespace std::chrono_literals;

// Runs a command by looking up its first word.
class ExecRuntime : public cri::StubRuntime {
 public:
  explicit ExecRuntime(base::Loop& loop) : loop_(loop) {}

  struct Call {
    std::string container_id;
    std::vector<std::string> command;
    std::chrono::seconds timeout;
  };
  cri::Reply<cri::rt::ExecSyncResponse> ExecSync(std::string container_id,
                                                 std::vector<std::string> command,
                                                 std::chrono::seconds timeout) override {
    calls.push_back({container_id, command, timeout});
    const std::string name = command.front();
    if (takes > 0s) co_await base::Sleep(loop_.clock(), takes);
    if (errors[name] > 0) {
      --errors[name];
      co_return cri::CallError(absl::StatusCode::kUnavailable, "ExecSync", "runtime is away");
    }
    if (hangs.contains(name))
      co_return cri::CallError(absl::StatusCode::kDeadlineExceeded, "ExecSync", "timeout");
    cri::rt::ExecSyncResponse response;
    response.set_exit_code(exit_codes[name]);
    response.set_stdout("out ");
    response.set_stderr("err");
    co_return response;
  }

  int CallsOf(const std::string& name) const {
    int count = 0;
    for (const auto& call : calls) count += call.command.front() == name;
    return count;
  }

  std::map<std::string, int> exit_codes;  // by the command's first word; zero unless set
  std::map<std::string, int> errors;      // how many of the next calls fail
  std::map<std::string, bool> hangs;      // commands that outlast every timeout
  base::Nanos takes{};
  std::vector<Call> calls;

 private:
  base::Loop& loop_;
};

inline k8s::v1::Pod MakePod() {
  k8s::v1::Pod pod;
  pod.mutable_metadata()->set_name("web");
  pod.mutable_metadata()->set_namespace_("default");
  pod.mutable_metadata()->set_uid("uid-1");
  pod.mutable_spec()->add_containers()->set_name("app");
  return pod;
}

inline k8s::v1::Probe ExecProbe(std::string command, int period = 10, int failures = 3) {
  k8s::v1::Probe probe;
  probe.mutable_handler()->mutable_exec()->add_command(command);
  probe.set_periodseconds(period);
  probe.set_timeoutseconds(1);
  probe.set_successthreshold(1);
  probe.set_failurethreshold(failures);
  return probe;
}

// What was said about containers: "reason: message".
struct Events {
  std::vector<std::string> seen;
  auto Sink() {
    return [this](const k8s::v1::Pod&, const std::string&, bool, const std::string& reason,
                  const std::string& message) { seen.push_back(reason + ": " + message); };
  }
};

class VirtualLoopTest : public testing::Test {
 protected:
  void Advance(base::Nanos by) { base::RunFor(loop_, clock_, by); }

  // Starts `task`; its result is there once it has ended.
  template <typename T>
  std::shared_ptr<std::optional<T>> Begin(base::Task<T> task) {
    auto out = std::make_shared<std::optional<T>>();
    tasks_.Spawn("test", Store(std::move(task), out));
    loop_.RunReady();
    return out;
  }
  template <typename T>
  static base::Task<void> Store(base::Task<T> task, std::shared_ptr<std::optional<T>> out) {
    out->emplace(co_await std::move(task));
  }
  void Finish(base::Task<void> task) {
    tasks_.Spawn("finish", std::move(task));
    while (tasks_.size() > 0) loop_.RunReady();
  }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  base::TaskGroup tasks_{loop_};
  ExecRuntime runtime_{loop_};
  Events events_;
};

}  // namespace keelson::probes
