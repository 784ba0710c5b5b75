// SPDX-License-Identifier: Apache-2.0
// The floor under every pod start and stop: the CRI calls an agent cannot do without, with the same
// contents, issued directly and nothing else. Prints one JSON object of seconds.
//
//   floor SOCKET OUT_DIR CGROUP_PARENT single|burst|kill COUNT
//
// A pod's own cgroup is CGROUP_PARENT/pod<name>, with names f0, g0... and k0; whoever calls makes them.
#include <grpcpp/create_channel.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "proto/cri/api.grpc.pb.h"

namespace {

namespace rt = ::runtime::v1;
using Clock = std::chrono::system_clock;

constexpr const char* kImage = "docker.io/library/busybox:1.36";

// What a container may not see or change, as an agent asks for it.
constexpr const char* kMasked[] = {"/proc/asound",       "/proc/acpi",         "/proc/interrupts",
                                   "/proc/kcore",        "/proc/keys",         "/proc/latency_stats",
                                   "/proc/timer_list",   "/proc/timer_stats",  "/proc/sched_debug",
                                   "/proc/scsi",         "/sys/firmware"};
constexpr const char* kReadOnly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                     "/proc/sysrq-trigger"};

double Now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "floor: %s\n", what.c_str());
  std::exit(1);
}

void Check(const grpc::Status& status, const char* call) {
  if (!status.ok()) Die(std::string(call) + ": " + status.error_message());
}

class Pod {
 public:
  Pod(std::shared_ptr<grpc::Channel> channel, std::string name, std::string out, std::string cgroup)
      : stub_(rt::RuntimeService::NewStub(channel)), name_(std::move(name)), out_(std::move(out)) {
    config_.mutable_metadata()->set_name(name_);
    config_.mutable_metadata()->set_uid("floor-" + name_);
    config_.mutable_metadata()->set_namespace_("bench");
    config_.set_hostname(name_);
    config_.set_log_directory(out_ + "-logs/" + name_);
    config_.mutable_dns_config()->add_servers("192.0.2.53");
    for (const char* label : {"name", "namespace", "uid"})
      (*config_.mutable_labels())[std::string("io.kubernetes.pod.") + label] = name_;
    auto* sandbox = config_.mutable_linux();
    sandbox->set_cgroup_parent(cgroup + "/pod" + name_);
    sandbox->mutable_resources()->set_cpu_shares(2);
    sandbox->mutable_security_context()->mutable_namespace_options()->set_pid(rt::CONTAINER);
    // A sandbox runs under the runtime's own filter, which takes runc 10 ms to compile.
    sandbox->mutable_security_context()->mutable_seccomp()->set_profile_type(
        rt::SecurityProfile::RuntimeDefault);
    std::filesystem::create_directories(config_.log_directory());
    for (const char* file : {"hosts", "termination-log"})
      std::ofstream(config_.log_directory() + "/" + file) << "127.0.0.1\tlocalhost\n";
  }

  void Start() {
    rt::RunPodSandboxRequest request;
    *request.mutable_config() = config_;
    rt::RunPodSandboxResponse response;
    grpc::ClientContext context;
    Check(stub_->RunPodSandbox(&context, request, &response), "RunPodSandbox");
    sandbox_ = response.pod_sandbox_id();
    StartContainer();
  }

  void StartContainer() {
    rt::CreateContainerRequest create;
    create.set_pod_sandbox_id(sandbox_);
    *create.mutable_sandbox_config() = config_;
    auto* c = create.mutable_config();
    c->mutable_metadata()->set_name("c");
    c->mutable_metadata()->set_attempt(attempt_++);
    c->mutable_image()->set_image(kImage);
    c->add_command("/bin/sh");
    c->add_command("-c");
    c->add_command("echo $$ >> /out/" + name_ + "; exec sleep 100000");
    auto* security = c->mutable_linux()->mutable_security_context();
    // A PID namespace of its own, as the agent gives it: sleep is its init and ignores SIGTERM.
    security->mutable_namespace_options()->set_pid(rt::CONTAINER);
    security->mutable_seccomp()->set_profile_type(rt::SecurityProfile::Unconfined);
    for (const char* path : kMasked) security->add_masked_paths(path);
    for (const char* path : kReadOnly) security->add_readonly_paths(path);
    c->mutable_linux()->mutable_resources()->set_cpu_shares(2);
    c->mutable_linux()->mutable_resources()->set_oom_score_adj(1000);
    c->set_log_path("c" + std::to_string(attempt_) + ".log");
    Mount(*c, out_, "/out");
    Mount(*c, config_.log_directory() + "/hosts", "/etc/hosts");
    Mount(*c, config_.log_directory() + "/termination-log", "/dev/termination-log");
    rt::CreateContainerResponse created;
    grpc::ClientContext create_context;
    Check(stub_->CreateContainer(&create_context, create, &created), "CreateContainer");
    container_ = created.container_id();
    rt::StartContainerRequest start;
    start.set_container_id(container_);
    rt::StartContainerResponse started;
    grpc::ClientContext start_context;
    Check(stub_->StartContainer(&start_context, start, &started), "StartContainer");
  }

  void Stop(int grace) {
    rt::StopContainerRequest stop;
    stop.set_container_id(container_);
    stop.set_timeout(grace);
    rt::StopContainerResponse stopped;
    grpc::ClientContext stop_context;
    Check(stub_->StopContainer(&stop_context, stop, &stopped), "StopContainer");
  }

  void Remove() {
    rt::StopPodSandboxRequest stop;
    stop.set_pod_sandbox_id(sandbox_);
    rt::StopPodSandboxResponse stopped;
    grpc::ClientContext stop_context;
    Check(stub_->StopPodSandbox(&stop_context, stop, &stopped), "StopPodSandbox");
    rt::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(sandbox_);
    rt::RemovePodSandboxResponse removed;
    grpc::ClientContext remove_context;
    Check(stub_->RemovePodSandbox(&remove_context, remove, &removed), "RemovePodSandbox");
    std::filesystem::remove_all(config_.log_directory());
  }

  // When the container wrote its n-th line; waits for it.
  double Ran(int lines) const {
    while (true) {
      std::ifstream file(out_ + "/" + name_);
      std::string line;
      int count = 0;
      while (std::getline(file, line)) ++count;
      struct stat st {};
      if (count >= lines && ::stat((out_ + "/" + name_).c_str(), &st) == 0)
        return static_cast<double>(st.st_mtim.tv_sec) + static_cast<double>(st.st_mtim.tv_nsec) / 1e9;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  static void Mount(rt::ContainerConfig& config, const std::string& host, const char* container) {
    auto* mount = config.add_mounts();
    mount->set_host_path(host);
    mount->set_container_path(container);
  }

  std::unique_ptr<rt::RuntimeService::Stub> stub_;
  std::string name_, out_, sandbox_, container_;
  uint32_t attempt_ = 0;
  rt::PodSandboxConfig config_;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Single(std::shared_ptr<grpc::Channel> channel, const std::string& out,
            const std::string& cgroup, int count) {
  std::vector<double> starts, stops;
  for (int i = 0; i < count; ++i) {
    Pod pod(channel, "f" + std::to_string(i), out, cgroup);
    double begun = Now();
    pod.Start();
    starts.push_back(pod.Ran(1) - begun);
    begun = Now();
    pod.Stop(1);
    stops.push_back(Now() - begun);
    pod.Remove();
  }
  std::printf("{\"single_start_s\": %.4f, \"single_stop_s\": %.4f}\n", Median(starts),
              Median(stops));
}

void Burst(std::shared_ptr<grpc::Channel> channel, const std::string& out,
           const std::string& cgroup, int count) {
  std::vector<std::unique_ptr<Pod>> pods;
  for (int i = 0; i < count; ++i)
    pods.push_back(std::make_unique<Pod>(channel, "g" + std::to_string(i), out, cgroup));
  double begun = Now(), last = 0;
  std::vector<std::thread> threads;
  for (auto& pod : pods) threads.emplace_back([&pod] { pod->Start(); });
  for (auto& thread : threads) thread.join();
  for (auto& pod : pods) last = std::max(last, pod->Ran(1) - begun);
  for (auto& pod : pods) {
    pod->Stop(0);
    pod->Remove();
  }
  std::printf("{\"burst_s\": %.3f}\n", last);
}

void Replace(std::shared_ptr<grpc::Channel> channel, const std::string& out,
             const std::string& cgroup, int count) {
  std::vector<double> times;
  Pod pod(channel, "k0", out, cgroup);
  pod.Start();
  pod.Ran(1);
  for (int i = 0; i < count; ++i) {
    pod.Stop(0);
    double begun = Now();
    pod.StartContainer();
    times.push_back(pod.Ran(2 + i) - begun);
  }
  pod.Stop(0);
  pod.Remove();
  std::printf("{\"replace_s\": %.4f}\n", Median(times));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) Die("usage: floor SOCKET OUT_DIR CGROUP_PARENT single|burst|kill COUNT");
  auto channel = grpc::CreateChannel(std::string("unix://") + argv[1],
                                     grpc::InsecureChannelCredentials());
  // An agent is connected, and the machine at rest, when a pod arrives.
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(5)))
    Die(std::string("no runtime at ") + argv[1]);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  std::string mode = argv[4];
  int count = std::atoi(argv[5]);
  if (mode == "single") Single(channel, argv[2], argv[3], count);
  else if (mode == "burst") Burst(channel, argv[2], argv[3], count);
  else if (mode == "kill") Replace(channel, argv[2], argv[3], count);
  else Die("unknown mode " + mode);
  std::_Exit(std::fflush(stdout));
}
