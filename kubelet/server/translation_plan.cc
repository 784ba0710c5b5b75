// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/translation_plan.h"

#include <algorithm>

#include "base/strings.h"
#include "kubelet/server/upgrade.h"

namespace keelson::kubelet {
namespace {

constexpr char kV5[] = "v5.channel.k8s.io";
constexpr char kLocalForward[] = "v1.portforward.keelson";

bool Offers(const HttpRequest& request, std::string_view wanted) {
  const auto protocols = WebSocketProtocols(request);
  return IsWebSocket(request) && std::ranges::find(protocols, wanted) != protocols.end();
}

}  // namespace

TranslationPlan PlanRemoteCommand(const StreamOptions& options) {
  TranslationPlan plan;
  plan.subprotocol = kV5;
  plan.runtime_protocol = "v4.channel.k8s.io";
  plan.outcome = 3;
  plan.greeting = options.stdout_on ? 1 : options.stderr_on ? 2 : 3;
  auto add = [&plan](uint8_t channel, const char* type, bool from_client) {
    plan.streams.push_back({channel, {{"streamtype", type}}, from_client, !from_client});
  };
  add(3, "error", false);
  if (options.stdin_on) add(0, "stdin", true);
  if (options.stdout_on) add(1, "stdout", false);
  if (options.stderr_on) add(2, "stderr", false);
  if (options.tty) add(4, "resize", true);
  return plan;
}

TranslationPlan PlanForward(int32_t port) {
  TranslationPlan plan;
  plan.subprotocol = kLocalForward;
  plan.runtime_protocol = "portforward.k8s.io";
  plan.tells_ends = true;
  auto headers = [port](const char* type) -> SpdyEncoder::Headers {
    return {{"streamtype", type}, {"port", base::StrCat(port)}, {"requestid", "0"}};
  };
  plan.streams.push_back({1, headers("error"), false, true});
  plan.streams.push_back({0, headers("data"), true, true});
  return plan;
}

bool AsksForV5(const HttpRequest& request) { return Offers(request, kV5); }

bool AsksForLocalForward(const HttpRequest& request) { return Offers(request, kLocalForward); }

}  // namespace keelson::kubelet
