// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/login_bus.h"

#include <fcntl.h>
#include <poll.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <functional>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "probes/live_time.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

constexpr char kLogin[] = "org.freedesktop.login1";
constexpr char kLoginPath[] = "/org/freedesktop/login1";
constexpr char kLoginManager[] = "org.freedesktop.login1.Manager";
constexpr char kConfigName[] = "99-kubelet.conf";

// What a call of sd-bus returned: below zero is an errno.
absl::Status BusStatus(int result, std::string_view what) {
  if (result >= 0) return absl::OkStatus();
  errno = -result;
  return base::ErrnoStatus(what);
}

struct Message {  // one reference to a message
  ~Message() { sd_bus_message_unref(get); }
  sd_bus_message* get = nullptr;
};

class SdLoginBus : public LoginBus {
 public:
  SdLoginBus(base::Loop& loop, sd_bus* bus, LoginBusOptions options)
      : loop_(loop), bus_(bus), o_(std::move(options)) {}
  ~SdLoginBus() override {
    sd_bus_slot_unref(call_);
    sd_bus_slot_unref(match_);
    sd_bus_close_unref(bus_);
  }

  // Afterwards no signal is missed.
  Task<absl::Status> Listen();
  Task<absl::StatusOr<base::Nanos>> InhibitDelay() override;
  Task<absl::Status> RequestInhibitDelay(base::Nanos delay) override;
  Task<absl::StatusOr<base::UniqueFd>> Inhibit() override;
  Task<absl::StatusOr<bool>> NextShutdown() override;

 private:
  static int OnSignal(sd_bus_message* message, void* self, sd_bus_error*);
  static int OnReply(sd_bus_message* message, void* self, sd_bus_error*);
  // Sends and waits; the reply is in reply_ then. Takes `message`.
  Task<absl::Status> Call(sd_bus_message* message, std::string what);
  // Reads and writes until `done`.
  Task<absl::Status> Pump(std::function<bool()> done);
  Task<void> PumpInto(std::function<bool()> done, std::shared_ptr<absl::Status> status);

  base::Loop& loop_;
  sd_bus* bus_;
  const LoginBusOptions o_;
  sd_bus_slot* match_ = nullptr;
  sd_bus_slot* call_ = nullptr;  // the call in progress
  Message reply_;
  std::deque<bool> signals_;
};

int SdLoginBus::OnSignal(sd_bus_message* message, void* self, sd_bus_error*) {
  int begins = 0;
  if (sd_bus_message_read(message, "b", &begins) > 0)
    static_cast<SdLoginBus*>(self)->signals_.push_back(begins != 0);
  return 0;
}

int SdLoginBus::OnReply(sd_bus_message* message, void* self, sd_bus_error*) {
  static_cast<SdLoginBus*>(self)->reply_.get = sd_bus_message_ref(message);
  return 0;
}

Task<absl::Status> SdLoginBus::Pump(std::function<bool()> done) {
  while (true) {
    int result = sd_bus_process(bus_, nullptr);
    while (result > 0) result = sd_bus_process(bus_, nullptr);
    if (done()) co_return absl::OkStatus();
    if (result < 0)
      co_return absl::UnavailableError(
          StrCat("connection to the system bus: ", base::Message(BusStatus(result, "read"))));
    const int fd = sd_bus_get_fd(bus_);
    const int events = sd_bus_get_events(bus_);
    if (fd < 0 || events < 0) co_return absl::UnavailableError("the system bus is gone");
    absl::Status ready;
    if (events & POLLOUT)
      ready = co_await base::WaitWritable(loop_, fd);
    else
      ready = co_await base::WaitReadable(loop_, fd);
    CO_RETURN_IF_ERROR(ready);
  }
}

Task<void> SdLoginBus::PumpInto(std::function<bool()> done, std::shared_ptr<absl::Status> status) {
  *status = co_await Pump(std::move(done));
}

Task<absl::Status> SdLoginBus::Call(sd_bus_message* message, std::string what) {
  Message sent{message};
  sd_bus_message_unref(std::exchange(reply_.get, nullptr));
  call_ = sd_bus_slot_unref(call_);  // of a call that was cancelled
  // Our own limit is the one that counts.
  const int called = sd_bus_call_async(bus_, &call_, sent.get, &OnReply, this, UINT64_MAX);
  if (called < 0) co_return BusStatus(called, what);
  auto status = std::make_shared<absl::Status>();
  std::function<bool()> done = [this] { return reply_.get != nullptr; };
  Task<void> work = PumpInto(std::move(done), status);
  const bool in_time = co_await probes::RunWithin(loop_, o_.call_timeout, std::move(work));
  call_ = sd_bus_slot_unref(call_);
  if (!in_time) co_return absl::DeadlineExceededError(StrCat(what, ": no answer"));
  if (!status->ok()) co_return base::Annotate(*status, what);
  const sd_bus_error* error = sd_bus_message_get_error(reply_.get);
  if (error == nullptr) co_return absl::OkStatus();
  const absl::Status failed = BusStatus(-sd_bus_message_get_errno(reply_.get), what);
  const std::string text = StrCat(what, ": ", error->message ? error->message : error->name);
  co_return absl::Status(failed.code(), text);
}

Task<absl::Status> SdLoginBus::Listen() {
  const int matched = sd_bus_match_signal_async(bus_, &match_, kLogin, kLoginPath, kLoginManager,
                                                "PrepareForShutdown", &OnSignal, nullptr, this);
  co_return BusStatus(matched, "listen for PrepareForShutdown");
}

Task<absl::StatusOr<base::Nanos>> SdLoginBus::InhibitDelay() {
  sd_bus_message* message = nullptr;
  int result = sd_bus_message_new_method_call(bus_, &message, kLogin, kLoginPath,
                                              "org.freedesktop.DBus.Properties", "Get");
  if (result >= 0) result = sd_bus_message_append(message, "ss", kLoginManager,
                                                  "InhibitDelayMaxUSec");
  if (result < 0) {
    sd_bus_message_unref(message);
    co_return BusStatus(result, "ask logind for InhibitDelayMaxUSec");
  }
  const absl::Status status = co_await Call(message, "ask logind for InhibitDelayMaxUSec");
  if (!status.ok()) co_return status;
  uint64_t microseconds = 0;
  result = sd_bus_message_read(reply_.get, "v", "t", &microseconds);
  if (result < 0) co_return BusStatus(result, "read InhibitDelayMaxUSec");
  constexpr uint64_t kMost = static_cast<uint64_t>(INT64_MAX) / 1000;
  co_return std::chrono::microseconds(std::min(microseconds, kMost));
}

Task<absl::Status> SdLoginBus::RequestInhibitDelay(base::Nanos delay) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(delay).count();
  absl::Status written = base::MakeDirs(o_.config_dir, 0755);
  if (written.ok())
    written = base::WriteFileAtomic(
        base::JoinPath(o_.config_dir, kConfigName),
        StrCat("# The kubelet's: time for pods to end before the node does.\n[Login]\n"
               "InhibitDelayMaxSec=",
               seconds, "\n"),
        0644);
  CO_RETURN_IF_ERROR(written);
  // The only way to make logind read it again: SIGHUP.
  sd_bus_message* message = nullptr;
  int result = sd_bus_message_new_method_call(
      bus_, &message, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
      "org.freedesktop.systemd1.Manager", "KillUnit");
  if (result >= 0)
    result = sd_bus_message_append(message, "ssi", "systemd-logind.service", "all",
                                   static_cast<int32_t>(SIGHUP));
  if (result < 0) {
    sd_bus_message_unref(message);
    co_return BusStatus(result, "have logind read its configuration");
  }
  const absl::Status status = co_await Call(message, "have logind read its configuration");
  co_return status;
}

Task<absl::StatusOr<base::UniqueFd>> SdLoginBus::Inhibit() {
  sd_bus_message* message = nullptr;
  int result = sd_bus_message_new_method_call(bus_, &message, kLogin, kLoginPath, kLoginManager,
                                              "Inhibit");
  if (result >= 0)
    result = sd_bus_message_append(message, "ssss", "shutdown", "kubelet",
                                   "Kubelet needs time to handle node shutdown", "delay");
  if (result < 0) {
    sd_bus_message_unref(message);
    co_return BusStatus(result, "delay shutdowns");
  }
  const absl::Status status = co_await Call(message, "delay shutdowns");
  if (!status.ok()) co_return status;
  int fd = -1;  // the message's
  result = sd_bus_message_read(reply_.get, "h", &fd);
  if (result < 0) co_return BusStatus(result, "read the inhibitor lock");
  base::UniqueFd lock(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  sd_bus_message_unref(std::exchange(reply_.get, nullptr));  // or the lock would stay with it
  if (!lock.ok()) co_return base::ErrnoStatus("dup", "the inhibitor lock");
  co_return lock;
}

Task<absl::StatusOr<bool>> SdLoginBus::NextShutdown() {
  std::function<bool()> done = [this] { return !signals_.empty(); };
  const absl::Status status = co_await Pump(std::move(done));
  if (!status.ok()) co_return status;
  const bool begins = signals_.front();
  signals_.pop_front();
  co_return begins;
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<LoginBus>>> UseLoginBus(base::Loop& loop, sd_bus* bus,
                                                            LoginBusOptions options) {
  auto login = std::make_unique<SdLoginBus>(loop, bus, std::move(options));
  const absl::Status status = co_await login->Listen();
  if (!status.ok()) co_return status;
  co_return std::unique_ptr<LoginBus>(std::move(login));
}

Task<absl::StatusOr<std::unique_ptr<LoginBus>>> ConnectLoginBus(base::Loop& loop,
                                                                LoginBusOptions options) {
  sd_bus* bus = nullptr;
  const int opened = sd_bus_open_system(&bus);
  if (opened < 0) co_return BusStatus(opened, "connect to the system bus");
  auto login = co_await UseLoginBus(loop, bus, std::move(options));
  co_return login;
}

}  // namespace keelson::kubelet
