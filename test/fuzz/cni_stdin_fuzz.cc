// SPDX-License-Identifier: Apache-2.0
// The stdin of every plugin: parsing, validation and the spelling of results. Nothing outside is
// looked at: the environment names no namespace.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cni-plugins/lib/skel.h"

namespace {

using keelson::cni::Json;
using keelson::cni::NetConf;

void Require(bool truth) {
  if (!truth) std::abort();
}

// What is read can be written and read again, in every version.
void RoundTrip(std::string_view text) {
  auto json = Json::Parse(text);
  if (!json.ok()) return;
  const std::string once = json->Dump();
  auto again = Json::Parse(once);
  Require(again.ok() && again->Dump() == once);
  auto conf = NetConf::Parse(text);
  if (!conf.ok() || !conf->prev_result) return;
  for (const std::string_view version : keelson::cni::SupportedVersions()) {
    auto spelled = conf->prev_result->ToJson(version);
    if (spelled.ok()) Require(keelson::cni::Result::FromJson(*spelled, version).ok());
  }
}

// Every plugin refuses or accepts; an error is always one the specification can spell.
void Verb(const keelson::cni::PluginEntry& plugin, const char* command, std::string_view text) {
  const auto env = [&](const char* name) -> std::string {
    const std::string_view n = name;
    if (n == "CNI_COMMAND") return command;
    if (n == "CNI_CONTAINERID") return "c";
    if (n == "CNI_IFNAME") return "eth0";
    if (n == "CNI_ARGS") return "IgnoreUnknown=1;MAC=02:00:00:00:00:01;IP=10.0.0.9";
    return n == "CNI_NETNS" || n == "CNI_PATH" ? "/no/such/place" : "";
  };
  const auto answer = keelson::cni::Serve(
      plugin, env, [&]() -> keelson::cni::Or<std::string> { return std::string(text); });
  // ADD and CHECK end at the missing namespace at the latest.
  Require(answer.exit_code == 1);
  auto json = Json::Parse(answer.out);
  Require(json.ok() && json->Find("code") && json->Find("msg") &&
          !json->Find("msg")->text().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  RoundTrip(text);
  // The plugin it is meant for and, for speed, every fourth of the others.
  const auto conf = NetConf::Parse(text);
  const std::string type = conf.ok() ? conf->type : "";
  size_t turn = size + (size > 0 ? data[size / 2] : 0);
  for (const auto& plugin : keelson::cni::AllPlugins()) {
    if (turn++ % 4 != 0 && plugin.name != type) continue;
    Verb(plugin, "ADD", text);
    Verb(plugin, "CHECK", text);
  }
  return 0;
}
