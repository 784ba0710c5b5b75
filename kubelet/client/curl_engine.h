// SPDX-License-Identifier: Apache-2.0
// REQUIRES: the process ignores SIGPIPE, as TLS is written to broken connections.
// libcurl's multi interface on our loop: its sockets wait in one epoll descriptor that the loop
// watches, its timer is one of the loop's clock. Loop only.
#pragma once

#include <curl/curl.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"

namespace keelson::kubelet::client {

class CurlEngine;

// One request and its answer. Destroying it takes the request back: an HTTP/2 stream is reset and
// its connection stays. The easy handle is the caller's to set up before Start.
class Exchange {
 public:
  // Not started yet. `engine` outlives it.
  explicit Exchange(CurlEngine& engine);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  CURL* easy() { return easy_; }
  // Headers and CONNECT_TO entries live as long as the exchange.
  void AddHeader(const std::string& line);
  void ConnectTo(const std::string& entry);
  void SetBody(std::string body);
  // With `streaming`, Changed() also fires for the head and for each piece of the body.
  absl::Status Start(bool streaming, size_t max_body);

  // Set by the engine. `body` may be taken out as it grows; `max_body` bounds what is not taken.
  bool head_done = false;  // status and headers are there
  bool done = false;       // nothing more will come; `result` says how it went
  long status = 0;
  std::string content_type, retry_after;  // headers' values, empty: not sent
  std::string body;
  bool too_long = false;
  CURLcode result = CURLE_OK;
  base::Wakeup changed;

  // Unavailable, DeadlineExceeded, ResourceExhausted; OK when it ended well. `what` is the request.
  absl::Status Failure(std::string_view what) const;
  // The connection broke under the request; nobody knows whether it was carried out.
  bool Broken() const;
  base::MonoTime started() const { return started_; }

 private:
  friend class CurlEngine;
  static size_t OnHeader(char* data, size_t size, size_t count, void* arg);
  static size_t OnBody(char* data, size_t size, size_t count, void* arg);
  static size_t OnRead(char* buffer, size_t size, size_t count, void* arg);

  CurlEngine& engine_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  curl_slist* connect_to_ = nullptr;
  std::string request_body_;
  size_t body_sent_ = 0;
  std::array<char, CURL_ERROR_SIZE> error_{};
  size_t max_body_ = 0;
  bool streaming_ = false;
  bool attached_ = false;
  base::MonoTime started_;
};

struct EngineOptions {
  base::Nanos idle_probe, probe_timeout;
  // Sets up a request that any living server answers quickly, as GET /version.
  std::function<void(Exchange&)> prepare_probe;
};

class CurlEngine {
 public:
  static absl::StatusOr<std::unique_ptr<CurlEngine>> Create(base::Loop& loop,
                                                            EngineOptions options);
  ~CurlEngine();  // REQUIRES: no exchange left

  // Ends the connections that have brought nothing since `since`; their exchanges fail.
  void GiveUp(base::MonoTime since);
  // As a request that timed out shows: over HTTP/2 all of them share the connection's fate. With
  // HTTP/1 a silent connection is a quiet watch.
  void GiveUpSilent(base::MonoTime since);
  size_t connections() const { return connections_.size(); }
  base::Loop& loop() { return loop_; }

 private:
  friend class Exchange;
  struct Waiter;
  struct Connection {
    base::MonoTime heard;  // bytes came, or it was opened
    bool in_use = false;   // curl waits for it
  };

  CurlEngine(base::Loop& loop, EngineOptions options);
  absl::Status Open();
  void Arm();
  // Everything that is ready.
  void Turn();
  void CollectDone();
  void PlanProbe();
  void Probe();
  void EndProbe();
  static int OnSocket(CURL* easy, curl_socket_t fd, int what, void* arg, void* socket);
  static int OnTimer(CURLM* multi, long timeout_ms, void* arg);
  static curl_socket_t OnOpen(void* arg, curlsocktype purpose, curl_sockaddr* address);
  static int OnClose(void* arg, curl_socket_t fd);

  base::Loop& loop_;
  const EngineOptions options_;
  CURLM* multi_ = nullptr;
  std::unique_ptr<Waiter> waiter_;  // the epoll descriptor
  std::map<int, Connection> connections_;
  std::map<CURL*, Exchange*> exchanges_;
  bool http2_ = false;  // the latest answer came over it
  base::Clock::TimerId timer_{}, probe_timer_{};
  bool probe_planned_ = false;
  std::unique_ptr<Exchange> probe_;
};

}  // namespace keelson::kubelet::client
