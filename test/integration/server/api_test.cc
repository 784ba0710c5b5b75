// SPDX-License-Identifier: Apache-2.0
// The API as clients with certificates see it: pods, logs, who may come in, and what many or rude clients
// can do to it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <future>

#include "test/integration/server/stream_clients.h"

namespace keelson::integration {
namespace {

using kubelet::TcpClient;
using kubelet::TlsClient;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;

constexpr char kLogs[] = "/containerLogs/shop/web-klnode/";

class ApiTest : public ServerTest {
 protected:
  // Rotation as often as it may be configured, and logs of one stream alone.
  static void SetUpTestSuite() {
    SetUp("containerLogMaxSize: 10Mi\ncontainerLogMonitorInterval: 3s\n"
          "featureGates: {PodLogsQuerySplitStreams: true}\n");
  }
  static void WaitForLine(const std::string& text) {
    ASSERT_TRUE(Eventually([&] { return node().Get(std::string(kLogs) + "sh").find(text) != std::string::npos; }));
  }
  static size_t AgentKilobytes() {
    const std::string status = ReadAll("/proc/" + std::to_string(node().agent->pid()) + "/status");
    return std::stoul(status.substr(status.find("VmRSS:") + 6));
  }
};

TEST_F(ApiTest, PodsAndWhatRunsOfThem) {
  EXPECT_THAT(node().Get("/pods"), AllOf(HasSubstr(R"("kind":"PodList")"), HasSubstr(R"("name":"web-klnode")"),
                                         HasSubstr(R"("phase":"Running")"),
                                         HasSubstr(FindContainer("web", "sh").id)));
  EXPECT_THAT(node().Get("/runningpods/"), AllOf(HasSubstr(R"("namespace":"shop")"), HasSubstr(R"("name":"serve")")));
  EXPECT_THAT(node().Get("/configz"), HasSubstr(R"("containerLogMaxSize":"10Mi")"));
  EXPECT_EQ(node().Get("/healthz"), "ok");
}

TEST_F(ApiTest, OnlyCertificatesOfTheAuthorityOpenTheDoor) {
  const std::string url = "https://127.0.0.1:" + std::to_string(node().port);
  auto status = [&](std::vector<std::string> args, const std::string& path) {
    std::vector<std::string> argv = {"curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code}"};
    argv.insert(argv.end(), args.begin(), args.end());
    argv.push_back(url + path);
    return RunCommand(argv).output;
  };
  for (const char* path : {"/pods", "/healthz", "/containerLogs/shop/web-klnode/sh", "/exec/shop/web-klnode/sh", "/x"})
    EXPECT_EQ(status({}, path), "401") << path;
  EXPECT_EQ(status({"-H", "Authorization: Bearer made-up"}, "/pods"), "401");
  EXPECT_EQ(node().StatusOf({}, "/pods"), "200");
  EXPECT_EQ(node().StatusOf({"--tls-max", "1.2"}, "/pods"), "200");
  const auto other = kubelet::auth::Issue({.name = "clients", .authority = true});
  const auto mallory = kubelet::auth::Issue({.name = "alice", .organizations = {"admins"}}, &other);
  kubelet::TlsClientOptions options;
  options.certificate_pem = mallory.Pem();
  options.key_pem = mallory.KeyPem();
  EXPECT_THAT(TlsClient(node().port, options).Get("/pods"), StartsWith("HTTP/1.1 401 "));
  // 1.1 is refused, and HTTP without TLS is told so.
  options = node().Alice();
  options.max_version = TLS1_1_VERSION;
  EXPECT_FALSE(TlsClient(node().port, options).connected());
  EXPECT_THAT(TcpClient(node().port).Get("/pods"), HasSubstr("Client sent an HTTP request to an HTTPS server."));
}

TEST_F(ApiTest, LogsInEveryShape) {
  WaitForLine("three");
  const std::string logs = std::string(kLogs) + "sh";
  EXPECT_EQ(node().Get(logs + "?tailLines=1"), "three\n");
  EXPECT_EQ(node().Get(logs + "?tailLines=0"), "");
  EXPECT_EQ(node().Get(logs + "?stream=Stderr"), "err\n");
  EXPECT_EQ(node().Get(logs + "?stream=Stdout"), "one\ntwo\nthree\n");
  EXPECT_EQ(node().Get(logs + "?stream=Stdout&limitBytes=5"), "one\nt");
  EXPECT_EQ(node().StatusOf({}, logs + "?stream=Stdout&tailLines=1"), "422");
  EXPECT_THAT(node().Get(logs + "?timestamps=true&tailLines=1"),
              ContainsRegex("^[0-9-]{10}T[0-9:]{8}\\.[0-9]{9}(Z|[+-][0-9:]{5}) three\n$"));
  const std::string time = node().Get(logs + "?timestamps=true&tailLines=1").substr(0, 30);
  EXPECT_EQ(node().Curl({"-G", "--data-urlencode", "sinceTime=" + time}, logs).output, "three\n");
  EXPECT_EQ(node().Get(logs + "?sinceSeconds=100000"), node().Get(logs));
  EXPECT_EQ(node().StatusOf({}, logs + "?sinceSeconds=1&sinceTime=" + time), "422");
  EXPECT_EQ(node().StatusOf({}, logs + "?tailLines=many"), "400");
  // What is asked for together holds together.
  EXPECT_EQ(node().Get(logs + "?tailLines=1&limitBytes=3"), "thr");
  EXPECT_EQ(node().Get(logs + "?tail=1"), "three\n");
  EXPECT_EQ(node().Get(logs + "?tail=all&stream=Stderr"), "err\n");
  EXPECT_EQ(node().Get(logs + "?timestamps=true&tailLines=1&limitBytes=4"), time.substr(0, 4));
  EXPECT_EQ(node().Curl({"-G", "--data-urlencode", "sinceTime=" + time}, logs + "?tailLines=3&limitBytes=4").output,
            "thre");
  EXPECT_EQ(node().Get(logs + "?sinceSeconds=100000&tailLines=1"), "three\n");
  EXPECT_EQ(node().Get(logs + "?follow=true&limitBytes=3&stream=Stdout"), "one");  // and ends there
  EXPECT_EQ(node().StatusOf({}, logs + "?limitBytes=0"), "422");
  EXPECT_EQ(node().StatusOf({}, logs + "?sinceSeconds=0"), "422");
  const std::string twice = std::string(kLogs) + "twice?previous=true";
  EXPECT_EQ(node().Get(twice + "&tailLines=1&limitBytes=3"), "fir");
  EXPECT_THAT(node().Get(twice + "&timestamps=true&sinceSeconds=100000"), ContainsRegex("Z? first\n$"));
  EXPECT_EQ(node().Get(twice + "&follow=true"), "first\n");  // which has ended
  EXPECT_EQ(node().Get(std::string(kLogs) + "twice"), "second\n");
  EXPECT_EQ(node().Get(std::string(kLogs) + "twice?previous=true"), "first\n");
  EXPECT_EQ(node().StatusOf({}, logs + "?previous=true"), "400");
  EXPECT_EQ(node().StatusOf({}, std::string(kLogs) + "nope"), "404");
}

TEST_F(ApiTest, FollowingEndsWithItsContainer) {
  node().agent->Put("brief.yaml",
                    "apiVersion: v1\nkind: Pod\nmetadata: {name: brief, namespace: shop}\nspec:\n"
                    "  restartPolicy: Never\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: c\n"
                    "    image: docker.io/library/busybox:1.36\n"
                    "    command: [/bin/sh, -c, 'echo begin; while [ ! -e /end ]; do sleep 0.05; done; echo end']\n");
  const std::string logs = "/containerLogs/shop/brief-klnode/c";
  ASSERT_TRUE(Eventually([&] { return node().Get(logs) == "begin\n"; }));
  auto followed = std::async(std::launch::async, [&] { return node().Get(logs + "?follow=true"); });
  TheContainerd().Exec(FindContainer("brief", "c").id, {"touch", "/end"});
  EXPECT_EQ(followed.get(), "begin\nend\n");
  node().agent->Remove("brief.yaml");
}

// A follower of numbered lines, checked as they come.
class Follower {
 public:
  Follower(const ServedNode& node, const std::string& target) : client_(node) {
    client_.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  // Reads until line `last` is there; false at the first line that is not the next number.
  bool ReadTo(const std::atomic<uint64_t>& last) {
    while (lines < last) {
      if (!Fill()) return false;
      size_t at = 0;
      for (size_t end; (end = body_.find('\n', at)) != body_.npos; at = end + 1, ++lines) {
        const std::string number = std::to_string(lines) + "x";
        if (body_.compare(at, number.size(), number) != 0 || end - at != number.size() + 99) return false;
      }
      body_.erase(0, at);
    }
    return true;
  }
  std::atomic<uint64_t> lines{0};

 private:
  // Takes the next bytes out of their chunks.
  bool Fill() {
    std::string block(256 << 10, '\0');
    const ssize_t got = client_.Some(block.data(), block.size());
    if (got <= 0) return false;
    raw_.append(block, 0, static_cast<size_t>(got));
    if (!past_head_) {
      const size_t end = raw_.find("\r\n\r\n");
      if (end == raw_.npos) return true;
      raw_.erase(0, end + 4);
      past_head_ = true;
    }
    size_t at = 0;
    for (size_t end; (end = raw_.find("\r\n", at)) != raw_.npos;) {
      const size_t size = std::stoul(raw_.substr(at, end - at), nullptr, 16);
      if (raw_.size() < end + 4 + size) break;
      body_.append(raw_, end + 2, size);
      at = end + 4 + size;
    }
    raw_.erase(0, at);
    return true;
  }
  StreamClient client_;
  std::string raw_, body_;
  bool past_head_ = false;
};

// Writes numbered lines as a runtime does, and goes on in the new file after a rotation.
class Writer {
 public:
  Writer(std::string path, const Follower& follower) : path_(std::move(path)), follower_(follower) { Open(); }
  void Write(size_t size) {
    struct stat now {};
    if (::stat(path_.c_str(), &now) == 0 && now.st_ino != inode_) {
      // The runtime's switch is one step, ours is two: no line of the new file may overtake the old one's.
      EXPECT_TRUE(Eventually([&] { return follower_.lines == lines; }));
      Open();
      ++rotations;
    }
    std::string block;
    while (block.size() < size) {
      const std::string content = std::to_string(lines++) + std::string(100, 'x') + "\n";
      block += "2026-01-01T00:00:00.000000000Z stdout F " + content;
      bytes += content.size();
    }
    for (size_t at = 0; at < block.size();) {
      const ssize_t put = ::write(fd_.get(), block.data() + at, block.size() - at);
      ASSERT_GT(put, 0);
      at += static_cast<size_t>(put);
    }
  }
  uint64_t lines = 0, bytes = 0;
  int rotations = 0;

 private:
  void Open() {
    fd_.reset(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    struct stat info {};
    ASSERT_EQ(::fstat(fd_.get(), &info), 0);
    inode_ = info.st_ino;
  }
  const std::string path_;
  const Follower& follower_;
  base::UniqueFd fd_;
  ino_t inode_ = 0;
};

TEST_F(ApiTest, AFastLogIsFollowedOverRotationWithoutLoss) {
  // The live log of a container that says nothing itself; the agent rotates it, the runtime reopens it.
  std::string log;
  for (const auto& path : PathsBelow(node().agent->logs()))
    if (path.parent_path().filename() == "cat" && path.filename() == "0.log") log = path;
  ASSERT_FALSE(log.empty());
  Follower follower(node(), std::string(kLogs) + "cat?follow=true");
  Writer writer(log, follower);
  std::atomic<uint64_t> target{UINT64_MAX};
  auto reading = std::async(std::launch::async, [&] { return follower.ReadTo(target); });
  const auto start = Clock::now();
  while (writer.bytes < 150'000'000) writer.Write(64 << 10);
  const uint64_t fast = writer.lines;
  ASSERT_TRUE(Eventually([&] { return follower.lines >= fast; }));
  const std::chrono::duration<double> took = Clock::now() - start;
  std::printf("followed at %.0f MB/s\n", 150 / took.count());
  EXPECT_TRUE(Eventually([&] {
    writer.Write(1000);
    return writer.rotations > 0;
  }));
  writer.Write(1 << 20);
  target = writer.lines + 1;
  writer.Write(1);
  EXPECT_TRUE(reading.get()) << "at line " << follower.lines;
  EXPECT_EQ(follower.lines, writer.lines);
}

TEST_F(ApiTest, AThousandIdleAndTwoHundredActiveClients) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  const size_t before = AgentKilobytes();
  std::vector<std::unique_ptr<TlsClient>> idle, active;
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(std::make_unique<TlsClient>(node().port, node().Alice()));
    ASSERT_TRUE(idle.back()->connected());
  }
  const size_t with_idle = AgentKilobytes();
  for (int i = 0; i < 200; ++i) {
    active.push_back(std::make_unique<TlsClient>(node().port, node().Alice()));
    active.back()->Send("GET " + std::string(kLogs) + "sh?follow=true HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_THAT(active.back()->ReadUntil("one\n"), HasSubstr("one\n"));
  }
  const size_t with_all = AgentKilobytes();
  RecordProperty("idle_kB_each", static_cast<int>((with_idle - before) / 1000));
  RecordProperty("active_kB_each", static_cast<int>((with_all - with_idle) / 200));
  std::printf("agent: %zu kB alone, %zu kB with 1000 idle, %zu kB with 200 followers besides\n", before,
              with_idle, with_all);
  EXPECT_LT(with_idle - before, 64'000u);
  EXPECT_LT(with_all - with_idle, 40'000u);
  EXPECT_EQ(node().StatusOf({}, "/pods"), "200");
}

TEST_F(ApiTest, RudeClientsDisturbNobody) {
  std::vector<std::unique_ptr<TlsClient>> slow;
  for (int i = 0; i < 100; ++i) {
    slow.push_back(std::make_unique<TlsClient>(node().port, node().Alice()));
    slow.back()->Send("GET /pods HTTP/1.1\r\nX-Slow: ");
  }
  std::vector<std::unique_ptr<TcpClient>> silent;  // not even a handshake
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<TcpClient>(node().port));
  auto answer = [&](const std::string& request) {
    TlsClient client(node().port, node().Alice());
    client.Send(request);
    return client.ReadUntil("\r\n\r\n");
  };
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nX: " + std::string(2 << 20, 'x') + "\r\n\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(answer("POST /run/a/b/c HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(answer("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer("NONSENSE\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer("GET /pods HTTP/9.9\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 505 "));
  EXPECT_EQ(node().StatusOf({"--path-as-is"}, "/logs/../../etc/passwd"), "404");
  EXPECT_THAT(node().Get("/pods"), HasSubstr("web-klnode"));
}

}  // namespace
}  // namespace keelson::integration
