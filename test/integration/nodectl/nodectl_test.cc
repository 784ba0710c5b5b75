// SPDX-License-Identifier: Apache-2.0
// The real nodectl against the real local API of a node that a test makes up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "base/process.h"
#include "kubelet/server/local_api.h"
#include "test/unit/server/fake_node_view.h"
#include "test/unit/server/raw_client.h"

namespace keelson::kubelet {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Line(const std::string& text) { return "2026-01-01T00:00:00Z stdout F " + text + "\n"; }

class NodectlTest : public ::testing::Test {
 protected:
  NodectlTest() : tasks_(thread_.loop()) {
    view_.log_root = dir_.At("pods");
    view_.pods.push_back(RunningPod("default", "web"));
    view_.pods.push_back(RunningPod("kube-system", "dns"));
    LocalApiOptions options{socket_, ::geteuid()};
    api_ = std::make_unique<LocalApi>(thread_.loop(), view_, std::move(options));
    EXPECT_TRUE(api_->Start().ok());
    thread_.Start();
  }
  ~NodectlTest() override {
    thread_.Stop([this] { return api_->Close(); });
  }

  base::ChildResult Run(std::vector<std::string> args) {
    args.insert(args.begin(), NODECTL_BINARY);
    return RunAny(std::move(args), {"KEELSON_SOCKET=" + socket_, "TZ=UTC"});
  }
  base::ChildResult RunAny(std::vector<std::string> argv, std::vector<std::string> env,
                           std::string input = {}) {
    base::ChildOptions options;
    options.argv = std::move(argv);
    options.env = std::move(env);
    options.stdin_data = std::move(input);
    std::promise<base::ChildResult> done;
    thread_.loop().Post([&] { tasks_.Spawn("child", RunIt(std::move(options), &done)); });
    return done.get_future().get();
  }
  std::string Out(std::vector<std::string> args) {
    const base::ChildResult result = Run(std::move(args));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  void AddEvent(const std::string& pod, const std::string& reason) {
    k8s::v1::Event& event = view_.events.emplace_back();
    event.mutable_metadata()->set_namespace_("default");
    event.mutable_involvedobject()->set_kind("Pod");
    event.mutable_involvedobject()->set_name(pod);
    event.mutable_involvedobject()->set_uid(pod + "-uid");
    event.set_reason(reason);
    event.set_type("Normal");
    event.set_message("message of " + reason);
  }
  // What bash offers for the last of these words, behind nodectl.
  std::string Completed(const std::vector<std::string>& words) {
    std::string line = "nodectl";
    for (const std::string& word : words) line += " " + word;
    const std::string script = Out({"completion", "bash"}) + "nodectl() { " + NODECTL_BINARY +
                               " \"$@\"; }\nCOMP_WORDS=(" + line +
                               "); COMP_CWORD=" + std::to_string(words.size()) +
                               "; _nodectl\nprintf '%s\\n' \"${COMPREPLY[*]}\"\n";
    return RunAny({"/bin/bash"}, {"KEELSON_SOCKET=" + socket_, "PATH=/usr/bin:/bin"}, script).out;
  }
  void WriteLog(const std::string& lines) {
    view_.WriteLog(view_.LogPath("default", "web", "c"), lines);
  }

  SocketDir dir_;
  const std::string socket_ = dir_.At("s");
  FakeNodeView view_;
  LoopThread thread_;
  base::TaskGroup tasks_;
  std::unique_ptr<LocalApi> api_;

 private:
  base::Task<void> RunIt(base::ChildOptions options, std::promise<base::ChildResult>* done) {
    absl::StatusOr<base::ChildResult> result =
        co_await base::RunChild(thread_.loop(), std::move(options));
    EXPECT_TRUE(result.ok()) << result.status();
    done->set_value(result.ok() ? *result : base::ChildResult{});
  }
};

TEST_F(NodectlTest, PodsOfAllNamespacesByDefault) {
  const std::string wanted =
      "NAMESPACE     NAME   READY   STATUS    RESTARTS   AGE\n"
      "default       web    1/1     Running   0          <unknown>\n"
      "kube-system   dns    1/1     Running   0          <unknown>\n";
  EXPECT_EQ(Out({"get", "pods"}), wanted);
  EXPECT_EQ(Out({"get", "po", "-A"}), wanted);
}

TEST_F(NodectlTest, OneNamespaceNeedsNoColumnForIt) {
  EXPECT_EQ(Out({"get", "pods", "-n", "default", "-o", "wide"}),
            "NAME   READY   STATUS    RESTARTS   AGE         IP       NODE    NOMINATED NODE   "
            "READINESS GATES\n"
            "web    1/1     Running   0          <unknown>   <none>   node1   <none>           "
            "<none>\n");
}

TEST_F(NodectlTest, NamesAndObjects) {
  EXPECT_EQ(Out({"get", "pods", "-o", "name"}), "pod/web\npod/dns\n");
  EXPECT_THAT(Out({"get", "pods", "web", "-o", "json"}), HasSubstr("\"kind\": \"Pod\""));
  EXPECT_THAT(Out({"get", "pods", "-o", "yaml"}), HasSubstr("kind: PodList\n"));
  EXPECT_THAT(Out({"get", "pods", "-o", "yaml"}), HasSubstr("name: dns\n"));
}

TEST_F(NodectlTest, NothingFound) {
  const base::ChildResult none = Run({"get", "pods", "-n", "empty"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_EQ(none.err, "No resources found in empty namespace.\n");
  const base::ChildResult missing = Run({"get", "pods", "nope"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_EQ(missing.err, "nodectl: pods \"nope\" not found\n");
}

TEST_F(NodectlTest, OptionsThatMeanNothingAreRefused) {
  EXPECT_EQ(Run({"get", "images", "-n", "default"}).exit_code, 1);
  EXPECT_EQ(Run({"get", "events", "web"}).exit_code, 1);
  EXPECT_EQ(Run({"get", "pods", "-A", "-n", "default"}).exit_code, 1);
  EXPECT_GT(Run({"get", "nodes"}).exit_code, 100);
}

TEST_F(NodectlTest, DescribeShowsThePodsOwnEvents) {
  AddEvent("web", "Started");
  AddEvent("dns", "Killing");
  const std::string text = Out({"describe", "pod", "web"});
  EXPECT_THAT(text, StartsWith("Name:         web\nNamespace:    default\n"));
  EXPECT_THAT(text, HasSubstr("message of Started"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("Killing")));
}

TEST_F(NodectlTest, NameInTwoNamespacesMustBeChosen) {
  view_.pods.push_back(RunningPod("other", "web"));
  const base::ChildResult result = Run({"describe", "pod", "web"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("default, other; choose with -n"));
  EXPECT_EQ(Run({"describe", "pod", "web", "-n", "other"}).exit_code, 0);
}

TEST_F(NodectlTest, Logs) {
  WriteLog(Line("one") + Line("two"));
  EXPECT_EQ(Out({"logs", "web"}), "one\ntwo\n");
  EXPECT_EQ(Out({"logs", "pod/web", "--tail", "1"}), "two\n");
  EXPECT_EQ(Out({"logs", "web", "--timestamps", "--tail=1", "-c", "c"}),
            "2026-01-01T00:00:00.000000000Z two\n");
  EXPECT_EQ(Out({"logs", "web", "--since-time", "2026-01-02T00:00:00Z"}), "");
  EXPECT_EQ(Out({"logs", "web", "--since", "1s"}), "");
  EXPECT_EQ(Out({"logs", "web", "--limit-bytes", "5"}), "one\nt");
  WriteLog("2026-01-01T00:00:00Z stderr F wrong\n");
  EXPECT_EQ(Out({"logs", "web", "--stream", "stderr"}), "wrong\n");
  EXPECT_EQ(Out({"logs", "web", "--stream", "stdout"}), "one\ntwo\n");
  EXPECT_EQ(Out({"logs", "web", "--stream=all", "--tail", "2"}), "two\nwrong\n");
  EXPECT_THAT(Run({"logs", "web", "--stream=stderr", "--tail=1"}).err, HasSubstr("mutually exclusive"));
  EXPECT_GT(Run({"logs", "web", "--stream", "both"}).exit_code, 100);
  const base::ChildResult previous = Run({"logs", "-p", "web"});
  EXPECT_EQ(previous.exit_code, 1);
  EXPECT_EQ(previous.err,
            "nodectl: previous terminated container \"c\" in pod \"web\" not found\n");
}

TEST_F(NodectlTest, LogsOfTheFirstOfSeveralContainersSaySo) {
  view_.pods[0].mutable_spec()->add_containers()->set_name("second");
  WriteLog(Line("one"));
  EXPECT_EQ(Run({"logs", "web"}).err, "Defaulted container \"c\" out of: c, second\n");
}

TEST_F(NodectlTest, FollowingEndsWithTheContainer) {
  WriteLog(Line("one"));
  EXPECT_EQ(Out({"logs", "-f", "web"}), "one\n");
}

TEST_F(NodectlTest, Events) {
  AddEvent("web", "Started");
  AddEvent("dns", "Killing");
  EXPECT_EQ(Out({"events", "--for", "pod/web"}),
            "NAMESPACE   LAST SEEN   TYPE     REASON    OBJECT    MESSAGE\n"
            "default     <unknown>   Normal   Started   pod/web   message of Started\n");
  EXPECT_THAT(Out({"get", "events"}), HasSubstr("Killing"));
}

TEST_F(NodectlTest, ImagesAndCallsInFlight) {
  view_.images = std::vector<NodeImage>{{"sha256:1", {"busybox:1"}, {}, 4261550, false}};
  view_.inflight.push_back({"cri", "PullImage", "busybox", std::chrono::seconds(2)});
  EXPECT_EQ(Out({"get", "images"}),
            "IMAGE     TAG   IMAGE ID   SIZE\nbusybox   1     1          4.26MB\n");
  EXPECT_EQ(Out({"inflight"}),
            "TARGET   CALL        OBJECT    AGE\ncri      PullImage   busybox   2s\n");
}

TEST_F(NodectlTest, AgentThatDoesNotRunIsNamed) {
  const base::ChildResult result = Run({"--socket", "/tmp/kl-no.sock", "get", "pods"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("agent is not running: there is no socket /tmp/kl-no.sock"));
}

TEST_F(NodectlTest, HelpTellsOfNamespacesAndFiles) {
  const std::string help = Out({"--help"});
  for (const char* word :
       {"NAMESPACES", "ENVIRONMENT", "FILES", "EXAMPLES", "NO_COLOR", "--socket"})
    EXPECT_THAT(help, HasSubstr(word));
}

TEST_F(NodectlTest, CompletionScriptsAreValidShell) {
  const base::ChildResult bash = RunAny({"/bin/bash", "-n"}, {}, Out({"completion", "bash"}));
  EXPECT_EQ(bash.exit_code, 0) << bash.err;
  EXPECT_EQ(bash.err, "");
  EXPECT_THAT(Out({"completion", "zsh"}), StartsWith("#compdef nodectl"));
  EXPECT_THAT(Out({"completion", "fish"}), HasSubstr("complete -c nodectl"));
}

TEST_F(NodectlTest, BashCompletionOffersPods) {
  EXPECT_EQ(Completed({"logs", "w"}), "web\n");
  EXPECT_EQ(Completed({"get", "pods", "d"}), "dns\n");
  EXPECT_EQ(Completed({"logs", "web", "--stream", "std"}), "stdout stderr\n");
}

// The script is a text of its own: what the program takes, it must offer.
TEST_F(NodectlTest, BashCompletionOffersEveryOption) {
  for (const char* command : {"get", "describe", "logs", "exec", "attach", "cp", "port-forward", "top",
                              "web", "events", "inflight"}) {
    const std::string offered = " " + Completed({command, "-"});
    const std::string help = Out({command, "--help"});
    const std::regex option("(^|\n| |,)(--?[a-z][a-z-]*)(?=[ ,\n])", std::regex::icase);
    for (std::sregex_iterator it(help.begin(), help.end(), option), end; it != end; ++it) {
      const std::string name = (*it)[2];
      if (name == "-h" || name == "--socket" || name == "--version") continue;
      EXPECT_THAT(offered, ContainsRegex("[ \n]" + name + "[ \n]")) << command;
    }
  }
}

}  // namespace
}  // namespace keelson::kubelet
