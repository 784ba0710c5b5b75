// SPDX-License-Identifier: Apache-2.0
// The endpoints that reach into containers: run, exec, attach, port-forward. The HTTPS server and
// the local socket share them. Loop only.
#pragma once

#include <optional>
#include <string>

#include "base/loop.h"
#include "cri/runtime.h"
#include "kubelet/server/http_server.h"
#include "kubelet/server/node_view.h"

namespace keelson::kubelet {

struct StreamOptions;

class StreamingEndpoints {
 public:
  // All outlive this. `local`: also the protocol of nodectl's port-forward.
  StreamingEndpoints(base::Loop& loop, NodeView& view, cri::Runtime& runtime, bool local)
      : loop_(loop), view_(view), runtime_(runtime), local_(local) {}

  // This outlives the routes.
  void AddRoutes(HttpRoutes& routes);

 private:
  base::Task<void> Run(const HttpRequest& request, Responder& responder);
  base::Task<void> Exec(const HttpRequest& request, Responder& responder);
  base::Task<void> Attach(const HttpRequest& request, Responder& responder);
  base::Task<void> PortForward(const HttpRequest& request, Responder& responder);

  // The runtime's URL for a conversation with container `id`, which is empty when there is none.
  // May change what the options ask for to what there is. All arguments live until it returns.
  using UrlMaker = base::Task<absl::StatusOr<std::string>> (StreamingEndpoints::*)(
      const HttpRequest& request, const k8s::v1::Pod& pod, std::string id, StreamOptions* options);
  base::Task<absl::StatusOr<std::string>> ExecUrl(const HttpRequest& request,
                                                  const k8s::v1::Pod& pod, std::string id,
                                                  StreamOptions* options);
  base::Task<absl::StatusOr<std::string>> AttachUrl(const HttpRequest& request,
                                                    const k8s::v1::Pod& pod, std::string id,
                                                    StreamOptions* options);
  // What exec and attach have in common.
  base::Task<void> Converse(const HttpRequest& request, Responder& responder, UrlMaker make_url);

  // Hands the request on to `url`, in the way its protocols ask for.
  base::Task<void> Command(std::string url, StreamOptions options, const HttpRequest& request,
                           Responder& responder);
  base::Task<void> Forward(std::string url, int32_t port, const HttpRequest& request,
                           Responder& responder);

  // The pod of {namespace} and {pod}; nullopt after having answered 404.
  base::Task<std::optional<k8s::v1::Pod>> FindPod(const HttpRequest& request, Responder& responder);
  // Id of the running container {container} of `pod`; empty when there is none, or {uid} is
  // another.
  base::Task<absl::StatusOr<std::string>> FindContainer(const HttpRequest& request,
                                                        const k8s::v1::Pod& pod);

  base::Loop& loop_;
  NodeView& view_;
  cri::Runtime& runtime_;
  const bool local_;
};

}  // namespace keelson::kubelet
