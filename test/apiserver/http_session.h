// SPDX-License-Identifier: Apache-2.0
// One connection of the stub: TLS, then HTTP/2 (nghttp2) or HTTP/1.1, to requests and answers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/loop.h"

using SSL = struct ssl_st;
using SSL_CTX = struct ssl_ctx_st;
using nghttp2_session = struct nghttp2_session;

namespace keelson::apiserver {

struct HttpQuestion {
  std::string method, path;                    // path with its query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string peer;  // common name of the client's certificate, empty: none
};

class HttpSession;

// The answer to one question; it is written as it grows. Stays usable when the client has gone.
class HttpAnswer {
 public:
  // Once, before the rest.
  void Head(int status, std::map<std::string, std::string> headers);
  void Write(std::string_view bytes);
  void Finish();
  void BreakConnection();
  bool gone() const { return session == nullptr; }  // nobody listens any more
  // Called when nobody listens any more; not after Finish.
  std::function<void()> on_gone;

  // For the session alone.
  HttpSession* session = nullptr;
  int stream = 0;
  std::string pending;
  bool finished = false;
  HttpQuestion question;
};
using AnswerPtr = std::shared_ptr<HttpAnswer>;

class HttpSession {
 public:
  using Handler = std::function<void(AnswerPtr)>;

  HttpSession(base::Loop& loop, base::UniqueFd socket, SSL_CTX* tls, Handler handler);
  ~HttpSession();
  // Serves until the peer is done, or Break. REQUIRES: not cancelled; the session outlives it.
  base::Task<void> Run();
  void Break();
  void Freeze() { frozen_ = true; }

 private:
  friend class HttpAnswer;
  struct Callbacks;
  base::Task<bool> Handshake();
  base::Task<void> Writer();
  base::Task<void> WaitFor(bool readable);
  bool StartHttp2();
  bool Http2Input(std::string_view bytes);
  bool Http1Input(std::string_view bytes);
  void Serve(const AnswerPtr& answer);
  // Has everything that is to be sent put to `out_`.
  void Pump();
  void PumpLater(const HttpAnswer& answer);
  void Forget(int stream);
  void OnHead(HttpAnswer& answer, int status, const std::map<std::string, std::string>& headers);
  void OnBytes(HttpAnswer& answer);

  base::Loop& loop_;
  base::UniqueFd socket_, writing_;  // the same, so that two can wait
  SSL* ssl_ = nullptr;
  const Handler handler_;
  nghttp2_session* http2_ = nullptr;
  std::string http1_input_;
  std::map<int, AnswerPtr> answers_;
  std::string peer_;
  std::string out_;
  base::Wakeup output_;
  bool broken_ = false, frozen_ = false;
};

}  // namespace keelson::apiserver
