// SPDX-License-Identifier: Apache-2.0
// cni_bench [ROUNDS [BIN_DIR]]: what a runtime waits for, ADD and DEL of whole networks, each
// plugin a process, ours and the Go plugins taking turns in the same run. Prints a Markdown table.
//
// The containers stay until the end: the kernel tearing a namespace down would disturb whoever
// comes next. Each ADD is the first of its kind in its container.

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "test/integration/cni/harness.h"

namespace keelson::cni::testing {
namespace {

constexpr char kGo[] = "/usr/lib/cni";

class Bench {
 public:
  Bench(std::string work, std::string ours) : work_(std::move(work)), ours_(std::move(ours)) {}

  void Round(int n) {
    for (const bool go : {false, true}) {
      const std::string id = (go ? "go" : "own") + std::to_string(n);
      containers_.push_back(std::make_unique<Container>(id, work_ + "/" + id));
      One(*containers_.back(), go, n);
    }
  }

  void Print() const {
    std::printf("| call | Keelson median | min | Go median | min | ratio of medians |\n");
    std::printf("|---|---|---|---|---|---|\n");
    double sums[2] = {0, 0};
    for (const auto& [name, times] : times_) {
      const auto own = Summary(times[0]), go = Summary(times[1]);
      sums[0] += own.first;
      sums[1] += go.first;
      std::printf("| %s | %.2f ms | %.2f | %.2f ms | %.2f | %.1f |\n", name.c_str() + 2, own.first,
                  own.second, go.first, go.second, go.first / own.first);
    }
    std::printf("| all | %.2f ms | | %.2f ms | | %.1f |\n", sums[0], sums[1], sums[1] / sums[0]);
  }

 private:
  static std::pair<double, double> Summary(std::vector<double> times) {
    std::ranges::sort(times);
    return {times[times.size() / 2], times[0]};
  }

  Json Measure(const std::string& label, bool go, Call call) {
    call.bin_dir = go ? kGo : ours_;
    const Outcome o = Running(call).Wait();
    if (!o.ok()) {
      std::fprintf(stderr, "%s (%s): %s%s\n", label.c_str(), go ? "Go" : "ours", o.out.c_str(),
                   o.err.c_str());
      std::exit(1);
    }
    times_[label][go].push_back(static_cast<double>(o.took.count()) / 1000);
    return o.json();
  }

  void One(const Container& c, bool go, int n) {
    const auto conf = [&](const std::string& type, const std::string& more, const Json& previous) {
      Json j = *Json::Parse(R"({"cniVersion":"1.0.0","name":"klbench","type":")" + type + "\"" +
                            (more.empty() ? "" : "," + more) + "}");
      if (!previous.is_null()) j.Set("prevResult", previous);
      return j.Dump();
    };
    // Separate bridges and leases: neither finds work of the other.
    const std::string who = go ? "1" : "0";
    const std::string bridge = R"("bridge":"klbench)" + who +
                               R"(","isGateway":true,"ipMasq":true,)"
                               R"("hairpinMode":true,"ipam":{"type":"host-local","dataDir":")" +
                               work_ + "/leases" + who + R"(","ranges":[[{"subnet":"10.21)" + who +
                               R"(.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]})";
    const std::string ports = R"("runtimeConfig":{"portMappings":[{"hostPort":)" +
                              std::to_string(20000 + n * 2 + go) +
                              R"(,"containerPort":80,"protocol":"tcp"}]})";
    const std::string rates = R"("ingressRate":8000000,"ingressBurst":8000000,)"
                              R"("egressRate":8000000,"egressBurst":8000000)";
    const auto call = [&](const std::string& plugin, const char* verb, const std::string& text,
                          const char* ifname = "eth0") {
      return Call{plugin, verb, text, c.id(), c.path(), ifname};
    };
    const Json none;
    const std::string lo = conf("loopback", "", none);
    Measure("a loopback ADD", go, call("loopback", "ADD", lo, "lo"));
    const Json r = Measure("b bridge + host-local ADD", go,
                           call("bridge", "ADD", conf("bridge", bridge, none)));
    Measure("c portmap ADD", go, call("portmap", "ADD", conf("portmap", ports, r)));
    Measure("d bandwidth ADD", go, call("bandwidth", "ADD", conf("bandwidth", rates, r)));
    Measure("e bandwidth DEL", go, call("bandwidth", "DEL", conf("bandwidth", rates, r)));
    Measure("f portmap DEL", go, call("portmap", "DEL", conf("portmap", ports, r)));
    Measure("g bridge + host-local DEL", go, call("bridge", "DEL", conf("bridge", bridge, r)));
    Measure("h loopback DEL", go, call("loopback", "DEL", lo, "lo"));
  }

  const std::string work_;
  const std::string ours_;
  std::vector<std::unique_ptr<Container>> containers_;
  std::map<std::string, std::array<std::vector<double>, 2>> times_;
};

}  // namespace
}  // namespace keelson::cni::testing

int main(int argc, char** argv) {
  using namespace keelson::cni::testing;  // NOLINT: a program of one screen
  if (::geteuid() != 0 || ::access((std::string(kGo) + "/bandwidth").c_str(), X_OK) != 0) {
    std::puts("needs root and the Go plugins in /usr/lib/cni");
    return 77;
  }
  // A host of our own, so that nobody's devices and rules count and none of ours stay.
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
    std::perror("unshare");
    return 1;
  }
  char work[] = "/tmp/klbenchXXXXXX";
  if (!::mkdtemp(work)) return 1;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 30;
  {
    Bench bench(work, argc > 2 ? argv[2] : KEELSON_CNI_DIR);
    for (int i = 0; i < rounds; ++i) bench.Round(i);
    bench.Print();
  }
  std::filesystem::remove_all(work);
  return 0;
}
