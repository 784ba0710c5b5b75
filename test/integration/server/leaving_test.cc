// SPDX-License-Identifier: Apache-2.0
// What becomes of a command whose client has gone is the runtime's affair: containerd 1.6 ends its
// input and lets it go on, 2.x kills it. Who its client was must make no difference.
#include <gmock/gmock.h>

#include "base/strings.h"
#include "test/integration/server/stream_clients.h"

namespace keelson::integration {
namespace {

using base::StrCat;
using testing::HasSubstr;

// Ours over SPDY, ours over a WebSocket, and one that asks the runtime itself.
enum class Way { kSpdy, kWebSocket, kRuntime };
constexpr Way kWays[] = {Way::kSpdy, Way::kWebSocket, Way::kRuntime};
const char* Name(Way way) {
  return way == Way::kSpdy ? "SPDY" : way == Way::kWebSocket ? "WebSocket" : "runtime";
}

// A command of container sh that says "here".
struct Command {
  std::string script;
  bool input = false, terminal = false;
};

// By the end of its script, which is its own.
pid_t Find(const Command& command) {
  const std::string program =
      command.script.find("while") == std::string::npos ? "sleep" : "/bin/sh";
  return FindProcess(program, command.script.substr(command.script.rfind(' ') + 1));
}

class LeavingTest : public ServerTest {
 protected:
  // Runs it until it is here, and leaves without a word. Its process on this machine.
  static pid_t LeaveOnceHere(Way way, const Command& command) {
    const std::vector<std::string> words = {"/bin/sh", "-c", command.script};
    const std::string target = ExecTarget(
        "sh", words,
        StrCat("output=1", command.input ? "&input=1" : "", command.terminal ? "&tty=1" : ""));
    if (way == Way::kWebSocket) {
      Channels socket(node(), target, "v5.channel.k8s.io");
      EXPECT_THAT(socket.ReadUntil(1, "here"), HasSubstr("here"));
      return Find(command);
    }
    constexpr char kV4[] = "v4.channel.k8s.io";
    std::unique_ptr<Spdy> spdy;
    if (way == Way::kSpdy) {
      spdy = std::make_unique<Spdy>(node(), target, kV4);
    } else {
      runtime::v1::ExecRequest request;
      request.set_container_id(FindContainer("web", "sh").id);
      request.mutable_cmd()->Assign(words.begin(), words.end());
      request.set_stdin(command.input);
      request.set_stdout(true);
      request.set_tty(command.terminal);
      spdy = std::make_unique<Spdy>(TheContainerd().ExecUrl(request), kV4);
    }
    spdy->Open({{"streamtype", "error"}});
    if (command.input) spdy->Open({{"streamtype", "stdin"}});
    const uint32_t output = spdy->Open({{"streamtype", "stdout"}});
    if (command.terminal) spdy->Open({{"streamtype", "resize"}});
    EXPECT_THAT(spdy->ReadUntil(output, "here"), HasSubstr("here"));
    return Find(command);
  }
  static void Settle(const Command& command) {
    for (const Way way : kWays) {
      Command own = command;
      base::StrAppend(&own.script, 10'000 + ++count_);
      const std::string mark = std::to_string(10'000 + count_);
      const pid_t pid = LeaveOnceHere(way, own);
      const std::string asleep = StrCat("sleep", std::string(1, '\0'), mark, std::string(1, '\0'));
      // Without a client it comes to sleep where it reads on, and is no more where it is killed.
      EXPECT_TRUE(Eventually([&] {
        const std::string now = CommandLine(pid);
        return TheContainerd().is_2x() ? now.find(mark) == now.npos : now == asleep;
      })) << Name(way)
          << ": " << own.script << " is " << CommandLine(pid);
    }
  }

 private:
  static inline int count_ = 0;
};

TEST_F(LeavingTest, ACommandThatReadsHearsOfItsClientsEnd) {
  Settle({.script = "echo here; while read line; do :; done; exec sleep ", .input = true});
}

TEST_F(LeavingTest, ACommandWithoutInputFaresAsTheRuntimeHasIt) {
  Settle({.script = "echo here; exec sleep "});
}

TEST_F(LeavingTest, ACommandAtATerminalFaresAsTheRuntimeHasIt) {
  Settle({.script = "echo here; exec sleep ", .input = true, .terminal = true});
}

}  // namespace
}  // namespace keelson::integration
