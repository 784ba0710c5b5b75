// SPDX-License-Identifier: Apache-2.0
// nodectl's streams into containers, through a real agent and a real runtime, without an API server.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/fd.h"
#include "test/integration/lib/served_agent.h"

namespace keelson::integration {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kContainers[] = R"(  - {name: sh, image: 'docker.io/library/busybox:1.36', command: [/bin/sleep, '10000']}
  - name: cat
    image: docker.io/library/busybox:1.36
    stdin: true
    command: [/bin/sh, -c, 'while read line; do echo "got $line"; done; sleep 10000']
  - {name: tty, image: 'docker.io/library/busybox:1.36', stdin: true, tty: true, command: [/bin/sh]}
  - {name: serve, image: 'docker.io/keelson/testserver:1'}
)";

class NodectlStreamsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // What top shows is measured for the server.
    agent_ = StartServing(FreePort(), {}, {}, ShopPod("web", kContainers), [](const Agent& agent) {
      return agent.TryNodectl({"get", "pods"}).output.find("4/4") != std::string::npos;
    });
  }
  static void TearDownTestSuite() { agent_.reset(); }

  static CommandResult Nodectl(std::vector<std::string> args) { return agent_->TryNodectl(args); }
  // A shell line in which $N is nodectl with its socket.
  static CommandResult Line(const std::string& line) {
    return RunCommand({"/bin/bash", "-c", "N='" + Words()[0] + " --socket " + agent_->socket() + "'; " + line});
  }
  static std::vector<std::string> Words() { return {KEELSON_NODECTL, "--socket", agent_->socket()}; }
  // Starts nodectl with a terminal of 100 x 30 (`terminal` is our end) or with its output in a pipe.
  static pid_t Start(std::vector<std::string> args, base::UniqueFd* ours, bool terminal) {
    std::vector<std::string> words = Words();
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    winsize size{30, 100, 0, 0};
    int fd = -1, out[2] = {-1, -1};
    // Without a terminal there is an input that nothing comes from and that does not end.
    int in[2] = {-1, -1};
    if (!terminal && (::pipe2(out, O_CLOEXEC) < 0 || ::pipe(in) < 0)) return -1;
    const pid_t pid = terminal ? ::forkpty(&fd, nullptr, nullptr, &size) : ::fork();
    if (pid == 0) {
      if (!terminal) ::dup2(out[1], STDOUT_FILENO);
      if (!terminal) ::dup2(in[0], STDIN_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    for (const int end : {out[1], in[0], in[1]})
      if (end >= 0) ::close(end);
    ours->reset(terminal ? fd : out[0]);
    return pid;
  }
  // What comes until `text` is in it; fails after half a minute of silence.
  static std::string ReadUntil(int fd, const std::string& text) {
    std::string in;
    char block[4096];
    while (in.find(text) == in.npos) {
      pollfd ready{fd, POLLIN, 0};
      if (::poll(&ready, 1, 30'000) != 1) return in + "<silence>";
      const ssize_t got = ::read(fd, block, sizeof(block));
      if (got <= 0) return in + "<end>";
      in.append(block, static_cast<size_t>(got));
    }
    return in;
  }
  static void Type(const base::UniqueFd& terminal, const std::string& text) {
    EXPECT_EQ(::write(terminal.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static int CodeOf(pid_t pid) {
    int status = 0;
    if (!Eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; })) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  static inline std::unique_ptr<Agent> agent_;
};

TEST_F(NodectlStreamsTest, ExecPassesOutputsApartAndTheExitCode) {
  const CommandResult result = Nodectl({"exec", "web-klnode", "-c", "sh", "--", "sh", "-c", "echo out; exit 42"});
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.exit_code, 42);
  EXPECT_EQ(Line("$N exec web-klnode -c sh -- sh -c 'echo out; echo err >&2' 2>/dev/null").output, "out\n");
  EXPECT_EQ(Line("$N exec web-klnode -c sh -- sh -c 'echo out; echo err >&2' 2>&1 >/dev/null").output, "err\n");
  const CommandResult missing = Nodectl({"exec", "web-klnode", "-c", "sh", "--", "/no/such"});
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_THAT(missing.output, HasSubstr("/no/such"));
  EXPECT_THAT(Nodectl({"exec", "web-klnode", "-c", "nope", "--", "true"}).output, HasSubstr("container not found"));
}

TEST_F(NodectlStreamsTest, ExecTakesInputToItsEnd) {
  EXPECT_EQ(Line("head -c 3000000 /dev/zero | tr '\\0' 'x' | $N exec -i web-klnode -c sh -- wc -c").output, "3000000\n");
  EXPECT_EQ(Line("seq 1 200000 | $N exec -i web-klnode -c sh -- cat | cmp - <(seq 1 200000) && echo same").output, "same\n");
}

TEST_F(NodectlStreamsTest, ExecAtATerminalIsRawAndFollowsItsSize) {
  base::UniqueFd terminal;
  const pid_t pid = Start({"exec", "-it", "web-klnode", "-c", "sh", "--", "/bin/sh"}, &terminal, true);
  ReadUntil(terminal.get(), "# ");
  Type(terminal, "stty size\r");
  EXPECT_THAT(ReadUntil(terminal.get(), "30 100"), HasSubstr("30 100"));
  const winsize larger{44, 111, 0, 0};
  ::ioctl(terminal.get(), TIOCSWINSZ, &larger);
  Type(terminal, "until [ \"$(stty size)\" = '44 111' ]; do sleep 0.05; done; echo si''zed\r");
  EXPECT_THAT(ReadUntil(terminal.get(), "sized"), HasSubstr("sized"));
  // Ctrl-C is the shell's affair, not ours: it ends what would sleep for hours (128 + SIGINT). Before
  // that runs the key would be the shell's own.
  Type(terminal, "sleep 12321\r");
  EXPECT_NE(FindProcess("sleep", "12321"), 0);
  Type(terminal, "\x03");
  EXPECT_THAT(ReadUntil(terminal.get(), "# "), HasSubstr("# "));
  Type(terminal, "echo co''de $?; exit 5\r");
  EXPECT_THAT(ReadUntil(terminal.get(), "code 130"), HasSubstr("code 130"));
  EXPECT_EQ(CodeOf(pid), 5);
}

TEST_F(NodectlStreamsTest, ExecTellsOfSignalsAndOfWhatEndsItself) {
  EXPECT_EQ(Nodectl({"exec", "web-klnode", "-c", "sh", "--", "sh", "-c", "kill -9 $$"}).exit_code, 137);
  base::UniqueFd out;
  const pid_t pid = Start({"exec", "-i", "web-klnode", "-c", "sh", "--", "sh", "-c",
                           "echo here; while read line; do :; done; exec sleep 12322"}, &out, false);
  EXPECT_EQ(ReadUntil(out.get(), "here\n"), "here\n");
  const pid_t command = FindProcess("sh", "12322");
  ::kill(pid, SIGTERM);
  EXPECT_EQ(CodeOf(pid), 128 + SIGTERM);
  // Its command's input has ended with it, and with 2.x the command, too.
  EXPECT_TRUE(Eventually([&] { return CommandLine(command).find("while") == std::string::npos; }));
}

TEST_F(NodectlStreamsTest, DetachKeysLeaveTheTerminalAsItIs) {
  const std::vector<std::string> attach = {"attach", "-it", "web-klnode", "-c", "tty"};
  base::UniqueFd terminal;
  pid_t pid = Start(attach, &terminal, true);
  Type(terminal, "VALUE=ke''pt; echo val''ue set\r");
  EXPECT_THAT(ReadUntil(terminal.get(), "value set"), HasSubstr("value set"));
  const winsize larger{55, 122, 0, 0};
  ::ioctl(terminal.get(), TIOCSWINSZ, &larger);
  Type(terminal, "until [ \"$(stty size)\" = '55 122' ]; do sleep 0.05; done; echo si''zed\r");
  EXPECT_THAT(ReadUntil(terminal.get(), "sized"), HasSubstr("sized"));
  Type(terminal, "\x10\x11");  // Ctrl-P, Ctrl-Q
  EXPECT_EQ(CodeOf(pid), 0);
  auto again = attach;
  again.insert(again.end(), {"--detach-keys", "ctrl-x"});
  pid = Start(again, &terminal, true);
  Type(terminal, "echo $VALUE.\r");
  EXPECT_THAT(ReadUntil(terminal.get(), "kept."), HasSubstr("kept."));
  Type(terminal, "\x18");
  EXPECT_EQ(CodeOf(pid), 0);
  EXPECT_THAT(Nodectl({"attach", "-it", "web-klnode", "-c", "tty", "--detach-keys", "ctrl-1"}).output,
              HasSubstr("\"ctrl-1\" is no key"));
}

TEST_F(NodectlStreamsTest, AttachReachesTheFirstProcess) {
  base::UniqueFd terminal;
  const pid_t pid = Start({"attach", "-i", "web-klnode", "-c", "cat"}, &terminal, true);
  EXPECT_TRUE(Eventually([&] {
    if (::write(terminal.get(), "hello\n", 6) != 6) return false;
    return ReadUntil(terminal.get(), "got hello").find("got hello") != std::string::npos;
  }));
  ::kill(pid, SIGTERM);
  EXPECT_EQ(CodeOf(pid), 128 + SIGTERM);
}

TEST_F(NodectlStreamsTest, PortForwardServesSeveralConnections) {
  base::UniqueFd out;
  const pid_t pid = Start({"port-forward", "web-klnode", ":8080"}, &out, false);
  const std::string said = ReadUntil(out.get(), "-> 8080\n");
  ASSERT_THAT(said, StartsWith("Forwarding from 127.0.0.1:"));
  const std::string url = "http://127.0.0.1:" + std::to_string(std::stoi(said.substr(26))) + "/";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RunCommand({"curl", "-s", url}).output, "web-klnode\n");
  ::kill(pid, SIGINT);
  EXPECT_EQ(CodeOf(pid), 0);
  EXPECT_THAT(Nodectl({"port-forward", "web-klnode", "80:x"}).output, HasSubstr("is not LOCAL:REMOTE"));
}

TEST_F(NodectlStreamsTest, CopiesBothWays) {
  const fs::path here = agent_->dir() + "/copies";
  fs::create_directories(here / "in/deep");
  std::ofstream(here / "in/a") << "a\n";
  std::ofstream(here / "in/deep/b") << std::string(300'000, 'b');
  const CommandResult up = Nodectl({"cp", "-c", "sh", here / "in", "shop/web-klnode:/tmp/up"});
  EXPECT_EQ(up.exit_code, 0) << up.output;
  EXPECT_EQ(Nodectl({"exec", "web-klnode", "-c", "sh", "--", "wc", "-c", "/tmp/up/deep/b"}).output, "300000 /tmp/up/deep/b\n");
  const CommandResult down = Nodectl({"cp", "-c", "sh", "web-klnode:/tmp/up", here / "out"});
  EXPECT_EQ(down.exit_code, 0) << down.output;
  EXPECT_EQ(RunCommand({"diff", "-r", here / "in", here / "out"}).output, "");
  // A file into a folder that is there keeps its name.
  EXPECT_EQ(Nodectl({"cp", "-c", "sh", here / "in/a", "web-klnode:/tmp"}).exit_code, 0);
  EXPECT_EQ(Nodectl({"cp", "-c", "sh", "web-klnode:/tmp/a", here}).exit_code, 0);
  EXPECT_EQ(ReadAll(here / "a"), "a\n");
  EXPECT_NE(Nodectl({"cp", "-c", "sh", "web-klnode:/tmp/none", here}).exit_code, 0);
  EXPECT_NE(Nodectl({"cp", "-c", "sh", "web-klnode:/a", "web-klnode:/b"}).exit_code, 0);
}

TEST_F(NodectlStreamsTest, TopHasFiguresOfPodsAndNode) {
  EXPECT_THAT(Nodectl({"top", "pods"}).output,
              AllOf(StartsWith("NAMESPACE"), ContainsRegex("shop +web-klnode +[0-9]+m +[0-9]+Mi\n")));
  EXPECT_THAT(Nodectl({"top", "node"}).output, ContainsRegex("klnode +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+%\n"));
}

}  // namespace
}  // namespace keelson::integration
