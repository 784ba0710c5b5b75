// SPDX-License-Identifier: Apache-2.0
// The kubelet: options, signals, parts, ready, run, stop.
#include <malloc.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "base/loop.h"
#include "base/strings.h"
#include "kubelet/agent.h"
#include "kubelet/options/options.h"

namespace keelson::kubelet {
namespace {

// Few arenas and an early trim: threads of gRPC and the pool must not each keep a heap.
void KeepMemorySmall() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

void LogChoices(const KubeletOptions& options) {
  for (const auto& warning : options.warnings) KLOG_WARNING(warning);
  for (const auto& name : NotYetActedOn(options))
    KLOG_WARNING("This option is accepted but has no effect yet", {"option", name});
}

class Program {
 public:
  explicit Program(KubeletOptions options)
      : agent_(loop_, std::move(options)), signals_(loop_.io(), SIGTERM, SIGINT), tasks_(loop_) {}

  int Run() {
    signals_.async_wait([this](const boost::system::error_code& ec, int number) {
      if (ec) return;
      KLOG_INFO("Stopping; pods go on running", {"signal", number});
      Stop(0);
    });
    tasks_.Spawn("start", Start());
    loop_.Run();
    return exit_code_;
  }

 private:
  base::Task<void> Start() {
    absl::Status started = co_await agent_.Start();
    if (started.ok()) {
      sd_notify(0, "READY=1");
      co_return;
    }
    std::fprintf(stderr, "kubelet: %s\n", std::string(base::Message(started)).c_str());
    Stop(1);
  }

  void Stop(int exit_code) {
    exit_code_ = exit_code;
    sd_notify(0, "STOPPING=1");
    tasks_.Spawn("stop", Shutdown());
  }

  base::Task<void> Shutdown() {
    co_await agent_.Shutdown();
    loop_.Stop();
  }

  base::Loop loop_;
  Agent agent_;
  boost::asio::signal_set signals_;
  int exit_code_ = 0;
  base::TaskGroup tasks_;
};

int Main(int argc, char** argv) {
  auto loaded = LoadOptions(argc, argv);
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", std::string(base::Message(loaded.status())).c_str());
    return 1;
  }
  if (!loaded->early_output.empty()) {
    std::fputs(loaded->early_output.c_str(), stdout);
    return 0;
  }
  base::InitLogging({loaded->options.log_json ? base::LogFormat::kJson : base::LogFormat::kText,
                     loaded->options.verbosity, base::StderrIsJournal()});
  ::signal(SIGPIPE, SIG_IGN);
  KeepMemorySmall();
  LogChoices(loaded->options);
  Program program(std::move(loaded->options));
  return program.Run();
}

}  // namespace
}  // namespace keelson::kubelet

int main(int argc, char** argv) { return keelson::kubelet::Main(argc, argv); }
