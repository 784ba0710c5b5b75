// SPDX-License-Identifier: Apache-2.0
// nodectl web with the real local API of a node that a test makes up, and a real browser.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/strings.h"
#include "kubelet/server/local_api.h"
#include "test/unit/server/fake_node_view.h"
#include "test/unit/server/raw_client.h"

namespace keelson::kubelet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kHostile[] = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>";

class WebTest : public ::testing::Test {
 protected:
  WebTest() {
    view_.log_root = dir_.At("pods");
    view_.pods.push_back(RunningPod("shop", "web"));
    view_.pods.push_back(RunningPod("shop", "evil"));
    auto* status = view_.pods[1].mutable_status();
    status->set_phase("Failed");
    status->set_reason(kHostile);
    status->mutable_containerstatuses(0)->set_restartcount(3);
    view_.WriteLog(view_.LogPath("shop", "web", "c"),
                   base::StrCat("2026-01-01T00:00:00Z stdout F a line of log ", kHostile, "\n"));
    auto& event = view_.events.emplace_back();
    event.mutable_involvedobject()->set_kind("Pod");
    event.mutable_involvedobject()->set_name("web");
    event.set_reason("Started");
    event.set_message(kHostile);
    api_ = std::make_unique<LocalApi>(thread_.loop(), view_, LocalApiOptions{socket_, ::geteuid()});
    EXPECT_TRUE(api_->Start().ok());
    thread_.Start();
    StartWeb();
  }
  ~WebTest() override {
    ::kill(pid_, SIGTERM);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    thread_.Stop([this] { return api_->Close(); });
  }

  // Runs a program and returns what it prints on stdout.
  static std::string Output(std::vector<std::string> argv) {
    int out[2];
    EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
    const pid_t pid = Spawn(std::move(argv), out[1], false);
    ::close(out[1]);
    std::string text;
    char block[4096];
    for (ssize_t got; (got = ::read(out[0], block, sizeof(block))) > 0;) text.append(block, static_cast<size_t>(got));
    ::close(out[0]);
    ::waitpid(pid, nullptr, 0);
    return text;
  }
  // One request over TCP; the whole answer.
  std::string Ask(const std::string& request) const {
    const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string answer;
    char block[4096];
    for (ssize_t got; (got = ::recv(fd.get(), block, sizeof(block), 0)) > 0;) answer.append(block, static_cast<size_t>(got));
    return answer;
  }
  std::string Get(const std::string& path, const std::string& headers = {}) const {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port_) + "\r\n" + headers + "\r\n");
  }

  SocketDir dir_;
  const std::string socket_ = dir_.At("s");
  FakeNodeView view_;
  LoopThread thread_;
  std::unique_ptr<LocalApi> api_;
  pid_t pid_ = 0;
  std::string url_, path_;  // path_ begins with the token: /TOKEN/
  uint16_t port_ = 0;

 private:
  static pid_t Spawn(std::vector<std::string> argv, int out, bool quiet) {
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::dup2(out, STDOUT_FILENO);
    if (quiet) ::dup2(out, STDERR_FILENO);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  void StartWeb() {
    int out[2];
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    pid_ = Spawn({NODECTL_BINARY, "--socket", socket_, "web"}, out[1], false);
    ::close(out[1]);
    char c;
    while (::read(out[0], &c, 1) == 1 && c != '\n') url_ += c;
    ::close(out[0]);
    ASSERT_THAT(url_, StartsWith("http://127.0.0.1:"));
    const std::string rest = url_.substr(17);
    port_ = static_cast<uint16_t>(std::stoi(rest));
    path_ = rest.substr(rest.find('/'));
    ASSERT_EQ(path_.size(), 50u);  // 24 random bytes
  }
};

TEST_F(WebTest, OnlyTheTokenOpensAndNoOtherSiteMayAsk) {
  EXPECT_THAT(Get(path_), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Security-Policy: default-src 'none'"),
                                HasSubstr("Referrer-Policy: no-referrer\r\n"), HasSubstr("<!doctype html>")));
  EXPECT_THAT(Get(path_ + "api/pods"), AllOf(HasSubstr("application/json"), HasSubstr(R"("kind":"PodList")")));
  EXPECT_THAT(Get(path_ + "api/containerLogs/shop/web/c"), HasSubstr("a line of log"));
  std::string wrong = path_;
  wrong[5] = wrong[5] == 'a' ? 'b' : 'a';
  for (const std::string& path : {std::string("/"), wrong, wrong + "api/pods", std::string("/api/pods"), path_ + "nothing",
                                  path_ + "api/configz", path_ + "api/exec/shop/web/c", path_ + "api/containerLogs/../pods"})
    EXPECT_THAT(Get(path), StartsWith("HTTP/1.1 404 ")) << path;
  EXPECT_THAT(Ask("GET " + path_ + " HTTP/1.1\r\nHost: evil.example\r\n\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(Get(path_ + "api/pods", "Sec-Fetch-Site: cross-site\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(Ask("POST " + path_ + "api/pods HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port_) + "\r\n\r\n"),
              StartsWith("HTTP/1.1 405 "));
  EXPECT_EQ(Ask(std::string(20'000, 'x')), "");
}

TEST_F(WebTest, ABrowserShowsThePodsTheirLogsAndEventsAsText) {
  const std::string dom = Output({"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--incognito",
                                  "--user-data-dir=" + dir_.At("browser"), "--virtual-time-budget=3000", "--dump-dom",
                                  url_ + "#shop/web/c"});
  EXPECT_THAT(dom, AllOf(HasSubstr("<td>shop</td><td>web</td><td>1/1</td><td class=\"good\">Running</td><td>0</td>"),
                         HasSubstr("<td>evil</td>"), HasSubstr("<td>3</td>"), HasSubstr("a line of log"),
                         HasSubstr("<td>Started</td>")));
  // The hostile words are there, three times, and are nothing but words.
  EXPECT_THAT(dom, AllOf(HasSubstr("&lt;script&gt;document.title"), Not(HasSubstr("<img")), Not(HasSubstr("owned</title>"))));
}

}  // namespace
}  // namespace keelson::kubelet
