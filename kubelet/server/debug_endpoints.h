// SPDX-License-Identifier: Apache-2.0
// For people who look into a node: /flagz and /statusz (config.k8s.io/v1alpha1), /checkpoint, and
// of /debug/pprof what a program without Go's runtime has: profile (for the pprof tool), heap (the
// allocator's own account, malloc_info(3)) and cmdline; /debug/flags/v sets the log's verbosity.
// Loop only.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cri/runtime.h"
#include "kubelet/server/http_server.h"
#include "kubelet/server/node_view.h"

namespace keelson::kubelet {

struct DebugEndpointOptions {
  std::string checkpoints_dir;  // <root-dir>/checkpoints
  std::string version;          // of this program
  base::WallTime started;
  bool profiling = true;    // enableProfilingHandler
  bool debug_flags = true;  // enableDebugFlagsHandler
  bool checkpoint = true;  // gate ContainerCheckpoint
  bool flagz = true;       // gate ComponentFlagz
  bool statusz = true;     // gate ComponentStatusz
  // Every flag with its value in force, sorted; nothing confidential.
  std::function<std::vector<std::pair<std::string, std::string>>()> flags;
};

class DebugEndpoints {
 public:
  // `view` and `runtime` outlive this.
  DebugEndpoints(base::Loop& loop, NodeView& view, cri::Runtime& runtime,
                 DebugEndpointOptions options)
      : loop_(loop), view_(view), runtime_(runtime), o_(std::move(options)) {}
  // `routes` are served while this lives.
  void AddRoutes(HttpRoutes& routes);

 private:
  base::Task<void> Checkpoint(const HttpRequest& request, Responder& responder);
  base::Task<void> Profile(const HttpRequest& request, Responder& responder);
  HttpResponse Debug(const std::string& name) const;
  HttpResponse SetVerbosity(const HttpRequest& request) const;
  HttpResponse Flagz(const HttpRequest& request) const;
  HttpResponse Statusz(const HttpRequest& request) const;

  base::Loop& loop_;
  NodeView& view_;
  cri::Runtime& runtime_;
  const DebugEndpointOptions o_;
};

// Which form of a z-page an Accept header asks for; upstream's rules: JSON only with its version,
// group and kind. kNone: none that there is.
enum class PageForm { kText, kJson, kNone };
PageForm FormOf(const std::string& accept, const std::string& kind);

// 0 hr 03 min 21 sec
std::string Uptime(base::Nanos time);
// Wed Oct 16 21:03:43 UTC 2024
std::string UnixDate(base::WallTime time);

}  // namespace keelson::kubelet
