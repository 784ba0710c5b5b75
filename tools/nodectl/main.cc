// SPDX-License-Identifier: Apache-2.0
// nodectl: what runs on this node, asked of the agent itself, without an API server.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "base/strings.h"
#include "tools/nodectl/commands.h"
#include "tools/nodectl/completion.h"

namespace keelson::nodectl {
namespace {

constexpr const char* kFooter = R"(
NAMESPACES
  nodectl looks at one node, so it shows all namespaces unless -n chooses one.
  Commands on one pod find it by its name in any namespace.

ENVIRONMENT
  KEELSON_SOCKET   socket of the agent, as --socket
  NO_COLOR         when set and not empty, no colours

FILES
  /var/lib/kubelet/nodectl.sock   the agent's socket below its --root-dir; root only

EXIT STATUS
  0 on success, 1 when something failed, more than 100 for a wrong command line. exec and attach end
  with the exit code of what ran, 128 and the signal's number when a signal ended nodectl.

EXAMPLES
  nodectl get pods -o wide
  nodectl describe pod web-node1
  nodectl logs -f --tail 20 web-node1 -c nginx
  nodectl events --for pod/web-node1
  nodectl exec -it web-node1 -- /bin/sh
  nodectl cp web-node1:/etc/nginx ./nginx
  nodectl port-forward web-node1 8080:80
  nodectl inflight
  source <(nodectl completion bash))";

bool WantColor() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  if (no_color != nullptr && *no_color != '\0') return false;
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return ::isatty(STDOUT_FILENO) == 1;
}

void AddNamespace(CLI::App* command, Options* options) {
  command->add_option("-n,--namespace", options->ns, "Only this namespace (default: all)");
}

void AddAll(CLI::App* command, Options* options) {
  command->add_flag("-A,--all-namespaces", options->all, "All namespaces, which is the default");
}

// A command on one container of a pod.
void AddContainer(CLI::App* command, Options* options) {
  command->add_option("-c,--container", options->container, "Container (default: the first)");
  AddNamespace(command, options);
}

// The same with the pod as its only word.
CLI::App* AddOnContainer(CLI::App* app, const char* name, const char* about, Options* options) {
  CLI::App* command = app->add_subcommand(name, about);
  command->add_option("pod", options->names, "Name of the pod")->required()->expected(1);
  AddContainer(command, options);
  return command;
}

void AddConversation(CLI::App* command, Options* options) {
  command->add_flag("-i,--stdin", options->stdin_on, "Pass our input on");
  command->add_flag("-t,--tty", options->tty, "At a terminal; with -i");
}

CLI::App* AddGet(CLI::App* app, Options* options) {
  CLI::App* get = app->add_subcommand("get", "List pods, images or events");
  get->add_option("kind", options->kind, "pods, images or events")
      ->required()
      ->check(CLI::IsMember({"pods", "pod", "po", "images", "image", "events", "event", "ev"}));
  get->add_option("name", options->names, "Only the pods of these names");
  get->add_option("-o,--output", options->output, "wide, json, yaml or name")
      ->check(CLI::IsMember({"wide", "json", "yaml", "name"}));
  AddNamespace(get, options);
  AddAll(get, options);
  return get;
}

CLI::App* AddDescribe(CLI::App* app, Options* options) {
  CLI::App* describe = app->add_subcommand("describe", "Tell all about a pod, with its events");
  describe->add_option("kind", options->kind, "pod")
      ->required()
      ->check(CLI::IsMember({"pod", "pods", "po"}));
  describe->add_option("name", options->names, "Name of the pod")->required();
  AddNamespace(describe, options);
  return describe;
}

CLI::App* AddLogs(CLI::App* app, Options* options) {
  CLI::App* logs = AddOnContainer(app, "logs", "Print what a container of a pod wrote", options);
  logs->add_flag("-f,--follow", options->follow, "Go on until the container ends");
  logs->add_flag("-p,--previous", options->previous, "Of the instance before the present one");
  logs->add_flag("--timestamps", options->timestamps, "Begin each line with its time");
  logs->add_option("--stream", options->stream, "stdout, stderr or all (the default)")
      ->check(CLI::IsMember({"stdout", "stderr", "all"}));
  logs->add_option("--tail", options->tail, "Only the last N lines")->type_name("N");
  logs->add_option("--limit-bytes", options->limit_bytes, "At most N bytes")->type_name("N");
  auto* since = logs->add_option("--since", options->since, "Newer than this: 5s, 2m, 3h");
  logs->add_option("--since-time", options->since_time, "Newer than this time (RFC 3339)")
      ->excludes(since);
  return logs;
}

CLI::App* AddEvents(CLI::App* app, Options* options) {
  CLI::App* events = app->add_subcommand("events", "List what happened, oldest first");
  events->add_option("--for", options->for_object, "Only about this object: pod/NAME");
  events->add_option("-o,--output", options->output, "json or yaml")
      ->check(CLI::IsMember({"json", "yaml"}));
  AddNamespace(events, options);
  AddAll(events, options);
  return events;
}

CLI::App* AddExec(CLI::App* app, Options* options) {
  CLI::App* exec =
      app->add_subcommand("exec", "Run a command in a container; its exit code is ours");
  exec->add_option("words", options->names, "POD -- COMMAND and its arguments")
      ->required()
      ->expected(2, 1 << 20);
  AddConversation(exec, options);
  AddContainer(exec, options);
  return exec;
}

CLI::App* AddAttach(CLI::App* app, Options* options) {
  CLI::App* attach =
      AddOnContainer(app, "attach", "Connect to a container's first process", options);
  AddConversation(attach, options);
  attach
      ->add_option("--detach-keys", options->detach_keys,
                   "Keys that leave the terminal, its program goes on; empty: none")
      ->capture_default_str();
  return attach;
}

CLI::App* AddCopy(CLI::App* app, Options* options) {
  CLI::App* copy = app->add_subcommand("cp", "Copy a file or folder from or to a container");
  copy->add_option("places", options->names, "SOURCE TARGET; one of them is [NAMESPACE/]POD:PATH")
      ->required()
      ->expected(2);
  AddContainer(copy, options);
  return copy;
}

CLI::App* AddPortForward(CLI::App* app, Options* options) {
  CLI::App* forward = app->add_subcommand("port-forward", "Make ports of a pod reachable here");
  forward->add_option("places", options->names, "POD and ports: LOCAL:REMOTE, :REMOTE or PORT")
      ->required()
      ->expected(2, 100);
  forward->add_option("--address", options->address, "Local IPv4 address to listen on")
      ->capture_default_str();
  AddNamespace(forward, options);
  return forward;
}

CLI::App* AddTop(CLI::App* app, Options* options) {
  CLI::App* top = app->add_subcommand("top", "Show CPU and memory in use");
  top->add_option("kind", options->kind, "pods or node")
      ->required()
      ->check(CLI::IsMember({"pods", "pod", "po", "node", "nodes", "no"}));
  top->add_option("name", options->names, "Only the pods of these names");
  top->add_flag("--containers", options->containers, "A line for each container");
  top->add_option("--sort-by", options->sort, "cpu or memory")
      ->check(CLI::IsMember({"cpu", "memory"}));
  AddNamespace(top, options);
  AddAll(top, options);
  return top;
}

absl::Status CheckNamespace(const Options& options) {
  if (options.all && !options.ns.empty())
    return absl::InvalidArgumentError("-A and -n exclude each other");
  return absl::OkStatus();
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fflush(stdout);
  std::fprintf(stderr, "nodectl: %s\n", std::string(base::Message(status)).c_str());
  return 1;
}

int ReportCode(const absl::StatusOr<int>& code) {
  return code.ok() ? *code : Report(code.status());
}

int Main(int argc, char** argv) {
  Options options;
  options.color = WantColor();
  std::string shell;
  CLI::App app("nodectl: see what runs on this node, as the agent itself sees it", "nodectl");
  app.set_version_flag("--version", "nodectl " KEELSON_VERSION);
  app.require_subcommand(1);
  app.add_option("--socket", options.socket, "Socket of the agent")
      ->envname("KEELSON_SOCKET")
      ->capture_default_str();
  app.fallthrough();  // --socket may stand behind the command
  CLI::App* get = AddGet(&app, &options);
  CLI::App* describe = AddDescribe(&app, &options);
  CLI::App* logs = AddLogs(&app, &options);
  CLI::App* events = AddEvents(&app, &options);
  CLI::App* exec = AddExec(&app, &options);
  CLI::App* attach = AddAttach(&app, &options);
  CLI::App* copy = AddCopy(&app, &options);
  CLI::App* forward = AddPortForward(&app, &options);
  CLI::App* top = AddTop(&app, &options);
  CLI::App* web = app.add_subcommand("web", "Serve a page about this node to a browser on it");
  web->add_option("--port", options.port, "Port on 127.0.0.1 (default: a free one)");
  CLI::App* inflight =
      app.add_subcommand("inflight", "List calls to the outside that have not returned");
  inflight->add_option("-o,--output", options.output, "json")->check(CLI::IsMember({"json"}));
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script");
  completion->add_option("shell", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app.footer(kFooter);  // last: subcommands would inherit it
  CLI11_PARSE(app, argc, argv);

  if (absl::Status bad = CheckNamespace(options); !bad.ok()) return Report(bad);
  if (get->parsed()) return Report(Get(options));
  if (describe->parsed()) return Report(Describe(options));
  if (logs->parsed()) return Report(Logs(options));
  if (events->parsed()) return Report(Events(options));
  if (exec->parsed()) return ReportCode(Exec(options));
  if (attach->parsed()) return ReportCode(Attach(options));
  if (copy->parsed()) return ReportCode(Copy(options));
  if (forward->parsed()) return ReportCode(PortForward(options));
  if (top->parsed()) return Report(Top(options));
  if (web->parsed()) return Report(Web(options));
  if (inflight->parsed()) return Report(Inflight(options));
  if (completion->parsed()) std::fputs(std::string(CompletionScript(shell)).c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace keelson::nodectl

int main(int argc, char** argv) { return keelson::nodectl::Main(argc, argv); }
