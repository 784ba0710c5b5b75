// SPDX-License-Identifier: Apache-2.0
// The answers most handlers give.
#pragma once

#include <string>
#include <utility>

#include "kubelet/server/http_message.h"

namespace keelson::kubelet {

inline HttpResponse TextResponse(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

inline HttpResponse JsonResponse(std::string body) {
  HttpResponse response = TextResponse(200, std::move(body));
  response.content_type = "application/json";
  return response;
}

inline base::Task<void> Reply(Responder& responder, HttpResponse response) {
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no answer
}

}  // namespace keelson::kubelet
