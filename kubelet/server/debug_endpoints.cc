// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/debug_endpoints.h"

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "absl/strings/str_split.h"
#include "base/cpu_profiler.h"
#include "base/files.h"
#include "base/log_level.h"
#include "base/strings.h"
#include "kubelet/server/log_target.h"
#include "kubelet/server/replies.h"
#include "kubelet/stats/profile.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;
using proto::Value;

constexpr base::Nanos kProfilePeriod = std::chrono::milliseconds(10);  // as Go's
constexpr int kLongestProfile = 600;                                   // seconds
constexpr const char* kWarning =
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only.\n";
constexpr const char* kPaths[] = {"/checkpoint", "/configz", "/flagz",   "/healthz", "/metrics",
                                  "/pods",       "/stats",   "/statusz", "/debug",   "/logs"};

Value Page(const char* kind) {
  Value metadata = Value::Map();
  metadata.members.push_back({"name", 0, Value::String("kubelet")});
  Value page = Value::Map();
  page.members.push_back({"kind", 0, Value::String(kind)});
  page.members.push_back({"apiVersion", 0, Value::String("config.k8s.io/v1alpha1")});
  page.members.push_back({"metadata", 0, std::move(metadata)});
  return page;
}

HttpResponse NotAcceptable() {
  return TextResponse(
      406,
      "request accept header not supported, supported media types: "
      "[text/plain application/json;as=Flagz or Statusz;v=v1alpha1;g=config.k8s.io]\n");
}

HttpResponse Failed(const HttpRequest& request, std::string_view why) {
  return TextResponse(500, StrCat("checkpointing of ", request.params.at("namespace"), "/",
                                  request.params.at("pod"), "/", request.params.at("container"),
                                  " failed (", why, ")"));
}

// containerd://<id>
std::string IdOf(const k8s::v1::ContainerStatus* status) {
  if (status == nullptr || !status->state().has_running()) return "";
  const size_t slashes = status->containerid().find("://");
  return slashes == std::string::npos ? "" : status->containerid().substr(slashes + 3);
}

}  // namespace

PageForm FormOf(const std::string& accept, const std::string& kind) {
  if (accept.empty()) return PageForm::kText;
  std::string packed = accept;
  std::erase(packed, ' ');
  const std::vector<std::string> entries = absl::StrSplit(packed, ',');
  for (const std::string& entry : entries) {
    const std::set<std::string> parameters = absl::StrSplit(entry, ';');
    if (parameters.contains("*/*") || parameters.contains("text/*") ||
        parameters.contains("text/plain"))
      return PageForm::kText;
    if (parameters.contains("application/json") && parameters.contains("v=v1alpha1") &&
        parameters.contains("g=config.k8s.io") && parameters.contains("as=" + kind))
      return PageForm::kJson;
  }
  return PageForm::kNone;
}

std::string Uptime(base::Nanos time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  char text[64];
  std::snprintf(text, sizeof(text), "%lld hr %02lld min %02lld sec",
                static_cast<long long>(seconds / 3600), static_cast<long long>(seconds / 60 % 60),
                static_cast<long long>(seconds % 60));
  return text;
}

std::string UnixDate(base::WallTime time) {
  const time_t seconds = base::ToUnixNanos(time) / 1'000'000'000;
  tm utc = {};
  ::gmtime_r(&seconds, &utc);
  char text[64];
  ::strftime(text, sizeof(text), "%a %b %e %H:%M:%S UTC %Y", &utc);
  return text;
}

void DebugEndpoints::AddRoutes(HttpRoutes& routes) {
  routes.Add("*", "/debug/flags/v", [this](const HttpRequest& request, Responder& responder) {
    return Reply(responder, SetVerbosity(request));
  });
  if (o_.profiling)
    routes.Add("GET", "/debug/pprof/{name*}",
               [this](const HttpRequest& request, Responder& responder) {
                 const std::string& name = request.params.at("name");
                 if (name == "profile") return Profile(request, responder);
                 return Reply(responder, Debug(name));
               });
  if (o_.checkpoint)
    routes.Add("POST", "/checkpoint/{namespace}/{pod}/{container}",
               [this](const HttpRequest& request, Responder& responder) {
                 return Checkpoint(request, responder);
               });
  if (o_.flagz)
    routes.Add("GET", "/flagz", [this](const HttpRequest& request, Responder& responder) {
      return Reply(responder, Flagz(request));
    });
  if (o_.statusz)
    routes.Add("GET", "/statusz", [this](const HttpRequest& request, Responder& responder) {
      return Reply(responder, Statusz(request));
    });
}

HttpResponse DebugEndpoints::Flagz(const HttpRequest& request) const {
  const PageForm form = FormOf(request.Header("accept").value_or(""), "Flagz");
  if (form == PageForm::kNone) return NotAcceptable();
  const auto flags = o_.flags();
  if (form == PageForm::kJson) {
    Value values = Value::Map();
    for (const auto& [name, value] : flags)
      values.members.push_back({name, 0, Value::String(value)});
    Value page = Page("Flagz");
    page.members.push_back({"flags", 0, std::move(values)});
    return JsonResponse(proto::ToJson(page));
  }
  std::string text = StrCat("\nkubelet flagz\n", kWarning, "\n");
  for (const auto& [name, value] : flags) base::StrAppend(&text, name, "=", value, "\n");
  return TextResponse(200, std::move(text));
}

// Upstream also names the version of Go; there is none here.
HttpResponse DebugEndpoints::Statusz(const HttpRequest& request) const {
  const PageForm form = FormOf(request.Header("accept").value_or(""), "Statusz");
  if (form == PageForm::kNone) return NotAcceptable();
  const base::Nanos up = loop_.clock().Now() - o_.started;
  if (form == PageForm::kJson) {
    Value paths = Value::List();
    for (const char* path : kPaths) paths.items.push_back(Value::String(path));
    Value page = Page("Statusz");
    page.members.push_back({"startTime", 0, Value::String(base::FormatRfc3339(o_.started))});
    page.members.push_back(
        {"uptimeSeconds", 0,
         Value::Number(std::to_string(
             std::chrono::duration_cast<std::chrono::seconds>(up).count()))});
    page.members.push_back({"binaryVersion", 0, Value::String(o_.version)});
    page.members.push_back({"paths", 0, std::move(paths)});
    return JsonResponse(proto::ToJson(page));
  }
  std::string text = StrCat("\nkubelet statusz\n", kWarning, "\nStarted: ", UnixDate(o_.started),
                            "\nUp: ", Uptime(up), "\nBinary version: ", o_.version, "\nPaths:");
  for (const char* path : kPaths) base::StrAppend(&text, " ", path);
  return TextResponse(200, text + "\n");
}

HttpResponse DebugEndpoints::SetVerbosity(const HttpRequest& request) const {
  if (!o_.debug_flags) return TextResponse(405, "flags endpoint is disabled.\n");
  if (request.method != "PUT") return TextResponse(406, "unsupported http method");
  int level = 0;
  const char* begin = request.body.data();
  const char* end = begin + request.body.size();
  auto [parsed, error] = std::from_chars(begin, end, level);
  if (error != std::errc() || parsed != end)
    return TextResponse(
        400, StrCat("failed set klog.logging.verbosity ", request.body, ": not a number"));
  base::SetLogVerbosity(level);
  return TextResponse(200, StrCat("successfully set klog.logging.verbosity to ", level));
}

Task<void> DebugEndpoints::Profile(const HttpRequest& request, Responder& responder) {
  const std::string text = request.QueryValue("seconds").value_or("30");
  int seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || seconds <= 0 || seconds > kLongestProfile) seconds = 30;
  auto profiler = base::CpuProfiler::Start(kProfilePeriod);
  if (!profiler.ok()) {
    co_await Reply(responder, TextResponse(500, StrCat("Could not enable CPU profiling: ",
                                                       base::Message(profiler.status()), "\n")));
    co_return;
  }
  CpuSamples samples;
  samples.period = kProfilePeriod;
  samples.began = loop_.clock().Now();
  const base::MonoTime began = loop_.clock().Monotonic();
  co_await base::Sleep(loop_.clock(), std::chrono::seconds(seconds));
  samples.stacks = (*profiler)->Stop();
  samples.lasted = loop_.clock().Monotonic() - began;
  auto maps = base::ReadFile("/proc/self/maps", 16 << 20);
  HttpResponse response = TextResponse(200, EncodeProfile(samples, maps.ok() ? *maps : ""));
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("Content-Disposition", "attachment; filename=\"profile\"");
  co_await Reply(responder, std::move(response));
}

// Of Go's profiles, those that are no affair of Go's runtime.
HttpResponse DebugEndpoints::Debug(const std::string& name) const {
  if (name.empty())
    return TextResponse(200, "/debug/pprof/\n\nProfiles:\ncmdline\nheap\nprofile\n");
  if (name == "cmdline") {
    auto line = base::ReadFile("/proc/self/cmdline");
    if (!line.ok()) return TextResponse(500, std::string(base::Message(line.status())));
    if (!line->empty()) line->pop_back();  // as Go joins the arguments
    return TextResponse(200, *std::move(line));
  }
  if (name == "heap") {
    char* text = nullptr;
    size_t size = 0;
    std::FILE* memory = ::open_memstream(&text, &size);
    if (memory == nullptr) return TextResponse(500, "no memory\n");
    const int told = ::malloc_info(0, memory);
    std::fclose(memory);
    HttpResponse response = TextResponse(told == 0 ? 200 : 500, std::string(text, size));
    std::free(text);
    response.content_type = "text/xml";
    return response;
  }
  return TextResponse(404, "Unknown profile\n");
}

Task<void> DebugEndpoints::Checkpoint(const HttpRequest& request, Responder& responder) {
  const std::string& ns = request.params.at("namespace");
  const std::string& name = request.params.at("pod");
  const std::string& container = request.params.at("container");
  HttpResponse answer = TextResponse(404, "pod does not exist");
  cri::rt::CheckpointContainerRequest checkpoint;
  for (const k8s::v1::Pod& pod : view_.Pods()) {
    if (pod.metadata().namespace_() != ns || pod.metadata().name() != name) continue;
    answer = HasContainer(pod.spec(), container)
                 ? Failed(request, StrCat("container ", container, " not found"))
                 : TextResponse(404, StrCat("container ", container, " does not exist"));
    checkpoint.set_container_id(IdOf(FindContainerStatus(pod.status(), container)));
    // The file's name is upstream's; the names in it are those of a pod that was accepted.
    checkpoint.set_location(StrCat(o_.checkpoints_dir, "/checkpoint-", name, "_", ns, "-",
                                   container, "-", base::FormatRfc3339(loop_.clock().Now()),
                                   ".tar"));
    break;
  }
  for (const auto& [key, value] : request.query) {
    if (key != "timeout") continue;
    int64_t seconds = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (error != std::errc() || end != value.data() + value.size()) {
      checkpoint.clear_container_id();
      answer = TextResponse(404, "cannot parse value of timeout parameter");
      break;
    }
    checkpoint.set_timeout(seconds);
  }
  if (checkpoint.container_id().empty()) {
    co_await Reply(responder, std::move(answer));
    co_return;
  }
  absl::Status made = base::MakeDirs(o_.checkpoints_dir, 0700);
  const std::string location = checkpoint.location();
  if (made.ok()) made = co_await runtime_.CheckpointContainer(std::move(checkpoint));
  if (made.ok()) {
    Value items = Value::List();
    items.items.push_back(Value::String(location));
    Value body = Value::Map();
    body.members.push_back({"items", 0, std::move(items)});
    answer = JsonResponse(proto::ToJson(body));
  } else {
    answer = Failed(request, base::Message(made));
  }
  co_await Reply(responder, std::move(answer));
}

}  // namespace keelson::kubelet
