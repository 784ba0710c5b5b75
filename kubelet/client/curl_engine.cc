// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/curl_engine.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;

bool HeaderIs(std::string_view line, std::string_view name, std::string* value) {
  if (line.size() <= name.size() || line[name.size()] != ':') return false;
  for (size_t i = 0; i < name.size(); ++i) {
    if ((line[i] | 32) != (name[i] | 32)) return false;
  }
  line.remove_prefix(name.size() + 1);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  *value = line;
  return true;
}

// A peer that is gone is noticed by the kernel too, whatever the protocol above: after 30 + 3 x 5 s
// of silence, or when what we sent stays unacknowledged for as long (tcp(7)).
void KeepAlive(int fd) {
  const auto set = [fd](int level, int option, int value) {
    // Without it the connection works, and breaks later.
    if (::setsockopt(fd, level, option, &value, sizeof value) < 0) {
      KLOG_V(2, "setsockopt of a connection failed", {"err", base::ErrnoStatus("setsockopt")});
    }
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 45'000);
}

}  // namespace

// --- Exchange ---

Exchange::Exchange(CurlEngine& engine) : engine_(engine), easy_(curl_easy_init()) {
  KEELSON_CHECK(easy_ != nullptr);
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  // Taking a request back must not wait for its name lookup.
  curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_.data());
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Exchange::OnBody);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Exchange::OnHeader);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &CurlEngine::OnOpen);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, &engine_);
  curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETFUNCTION, &CurlEngine::OnClose);
  curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETDATA, &engine_);
}

Exchange::~Exchange() {
  if (attached_) {
    curl_multi_remove_handle(engine_.multi_, easy_);
    engine_.exchanges_.erase(easy_);
  }
  curl_easy_cleanup(easy_);
  curl_slist_free_all(headers_);
  curl_slist_free_all(connect_to_);
}

void Exchange::AddHeader(const std::string& line) {
  headers_ = curl_slist_append(headers_, line.c_str());
}
void Exchange::ConnectTo(const std::string& entry) {
  connect_to_ = curl_slist_append(connect_to_, entry.c_str());
}
void Exchange::SetBody(std::string body) {
  request_body_ = std::move(body);
  // Read by a callback that cannot be rewound: else curl sends a POST a second time by itself when
  // a kept connection breaks before the answer, and nobody knows what the first one did.
  curl_easy_setopt(easy_, CURLOPT_POST, 1L);
  curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(request_body_.size()));
  curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &Exchange::OnRead);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
}

size_t Exchange::OnRead(char* buffer, size_t size, size_t count, void* arg) {
  auto* self = static_cast<Exchange*>(arg);
  const size_t piece = std::min(size * count, self->request_body_.size() - self->body_sent_);
  std::copy_n(self->request_body_.data() + self->body_sent_, piece, buffer);
  self->body_sent_ += piece;
  return piece;
}

absl::Status Exchange::Start(bool streaming, size_t max_body) {
  streaming_ = streaming;
  max_body_ = max_body;
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  if (connect_to_ != nullptr) curl_easy_setopt(easy_, CURLOPT_CONNECT_TO, connect_to_);
  started_ = engine_.loop_.clock().Monotonic();
  if (const CURLMcode code = curl_multi_add_handle(engine_.multi_, easy_); code != CURLM_OK) {
    return absl::InternalError(StrCat("curl_multi_add_handle: ", curl_multi_strerror(code)));
  }
  attached_ = true;
  engine_.exchanges_[easy_] = this;
  return absl::OkStatus();
}

size_t Exchange::OnHeader(char* data, size_t size, size_t count, void* arg) {
  auto* self = static_cast<Exchange*>(arg);
  const std::string_view line(data, size * count);
  if (line == "\r\n" || line == "\n") {
    curl_easy_getinfo(self->easy_, CURLINFO_RESPONSE_CODE, &self->status);
    long version = 0;
    curl_easy_getinfo(self->easy_, CURLINFO_HTTP_VERSION, &version);
    self->engine_.http2_ = version == CURL_HTTP_VERSION_2_0;
    self->head_done = self->status >= 200;
    self->engine_.PlanProbe();
    if (self->streaming_) self->changed.Set();
  } else if (!HeaderIs(line, "content-type", &self->content_type)) {
    HeaderIs(line, "retry-after", &self->retry_after);
  }
  return size * count;
}

size_t Exchange::OnBody(char* data, size_t size, size_t count, void* arg) {
  auto* self = static_cast<Exchange*>(arg);
  if (self->body.size() + size * count > self->max_body_) {
    self->too_long = true;
    return 0;
  }
  self->body.append(data, size * count);
  if (self->streaming_) self->changed.Set();
  return size * count;
}

absl::Status Exchange::Failure(std::string_view what) const {
  if (too_long) {
    return absl::ResourceExhaustedError(
        StrCat(what, ": the answer is longer than ", max_body_, " bytes"));
  }
  if (result == CURLE_OK) return absl::OkStatus();
  const std::string text =
      StrCat(what, ": ", error_[0] != '\0' ? error_.data() : curl_easy_strerror(result));
  return result == CURLE_OPERATION_TIMEDOUT ? absl::DeadlineExceededError(text)
                                            : absl::UnavailableError(text);
}

bool Exchange::Broken() const {
  return !too_long &&
         (result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR || result == CURLE_GOT_NOTHING ||
          result == CURLE_PARTIAL_FILE || result == CURLE_HTTP2 || result == CURLE_HTTP2_STREAM);
}

// --- CurlEngine ---

struct CurlEngine::Waiter {
  explicit Waiter(boost::asio::io_context& io) : epoll(io) {}
  boost::asio::posix::stream_descriptor epoll;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

CurlEngine::CurlEngine(base::Loop& loop, EngineOptions options)
    : loop_(loop), options_(std::move(options)), waiter_(std::make_unique<Waiter>(loop.io())) {}

CurlEngine::~CurlEngine() {
  probe_.reset();
  KEELSON_CHECK(exchanges_.empty());
  *waiter_->alive = false;
  curl_multi_cleanup(multi_);  // closes connections, and so calls OnSocket, OnTimer and OnClose
  loop_.clock().Cancel(timer_);
  loop_.clock().Cancel(probe_timer_);
}

absl::StatusOr<std::unique_ptr<CurlEngine>> CurlEngine::Create(base::Loop& loop,
                                                               EngineOptions options) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return absl::InternalError(curl_easy_strerror(global));
  std::unique_ptr<CurlEngine> engine(new CurlEngine(loop, std::move(options)));
  RETURN_IF_ERROR(engine->Open());
  return engine;
}

absl::Status CurlEngine::Open() {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return base::ErrnoStatus("epoll_create1");
  waiter_->epoll.assign(epoll);
  multi_ = curl_multi_init();
  if (multi_ == nullptr) return absl::ResourceExhaustedError("curl_multi_init");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlEngine::OnSocket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlEngine::OnTimer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  // The server's SETTINGS say how many streams it takes; curl's own bound of 100 is below its 250.
  curl_multi_setopt(multi_, CURLMOPT_MAX_CONCURRENT_STREAMS, 1000L);
  Arm();
  return absl::OkStatus();
}

void CurlEngine::Arm() {
  waiter_->epoll.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                            [this, alive = waiter_->alive](const boost::system::error_code& error) {
                              if (error || !*alive) return;
                              Turn();
                              Arm();
                            });
}

void CurlEngine::Turn() {
  std::array<epoll_event, 32> events;
  const int count = ::epoll_wait(waiter_->epoll.native_handle(), events.data(), events.size(), 0);
  int running = 0;
  const base::MonoTime now = loop_.clock().Monotonic();
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<size_t>(i)];
    if (const auto found = connections_.find(event.data.fd);
        found != connections_.end() && (event.events & EPOLLIN) != 0) {
      found->second.heard = now;
    }
    const int mask = (event.events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                     (event.events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                     (event.events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(multi_, event.data.fd, mask, &running);
  }
  CollectDone();
}

void CurlEngine::CollectDone() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const auto found = exchanges_.find(message->easy_handle);
    if (found == exchanges_.end()) continue;
    Exchange& exchange = *found->second;
    exchange.result = message->data.result;
    exchange.done = true;
    exchange.changed.Set();
    if (&exchange == probe_.get())
      loop_.Post([this, alive = waiter_->alive] {
        if (*alive) EndProbe();
      });
  }
}

int CurlEngine::OnSocket(CURL*, curl_socket_t fd, int what, void* arg, void*) {
  auto* self = static_cast<CurlEngine*>(arg);
  const int epoll = self->waiter_->epoll.native_handle();
  epoll_event event{};
  event.data.fd = fd;
  event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
  if (what == CURL_POLL_REMOVE) {
    ::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);  // may be closed already, and so gone
  } else if (::epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0) {
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  if (const auto found = self->connections_.find(fd); found != self->connections_.end()) {
    Connection& connection = found->second;
    const bool in_use = what != CURL_POLL_REMOVE;
    if (in_use && !connection.in_use) connection.heard = self->loop_.clock().Monotonic();
    connection.in_use = in_use;
    if (in_use) self->PlanProbe();
  }
  return 0;
}

int CurlEngine::OnTimer(CURLM*, long timeout_ms, void* arg) {
  auto* self = static_cast<CurlEngine*>(arg);
  base::Clock& clock = self->loop_.clock();
  clock.Cancel(self->timer_);
  if (timeout_ms < 0 || !*self->waiter_->alive) return 0;
  self->timer_ = clock.Schedule(clock.Monotonic() + std::chrono::milliseconds(timeout_ms), [self] {
    int running = 0;
    curl_multi_socket_action(self->multi_, CURL_SOCKET_TIMEOUT, 0, &running);
    self->CollectDone();
  });
  return 0;
}

curl_socket_t CurlEngine::OnOpen(void* arg, curlsocktype, curl_sockaddr* address) {
  auto* self = static_cast<CurlEngine*>(arg);
  const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd < 0) return CURL_SOCKET_BAD;
  KeepAlive(fd);
  self->connections_[fd] = {self->loop_.clock().Monotonic(), false};
  return fd;
}

int CurlEngine::OnClose(void* arg, curl_socket_t fd) {
  static_cast<CurlEngine*>(arg)->connections_.erase(fd);
  return ::close(fd);
}

void CurlEngine::GiveUp(base::MonoTime since) {
  for (const auto& [fd, connection] : connections_) {
    // curl sees its end and fails what uses it; one that is idle is found dead before its next use.
    if (connection.heard <= since) ::shutdown(fd, SHUT_RDWR);
  }
}

void CurlEngine::GiveUpSilent(base::MonoTime since) {
  if (http2_) GiveUp(since);
}

// --- Signs of life ---

void CurlEngine::PlanProbe() {
  if (!http2_ || probe_planned_ || probe_ != nullptr || !*waiter_->alive) return;
  probe_planned_ = true;
  base::MonoTime earliest = base::MonoTime::max();
  for (const auto& [fd, connection] : connections_) {
    if (connection.in_use) earliest = std::min(earliest, connection.heard);
  }
  if (earliest == base::MonoTime::max()) {
    probe_planned_ = false;
    return;
  }
  probe_timer_ = loop_.clock().Schedule(earliest + options_.idle_probe, [this] {
    probe_planned_ = false;
    Probe();
  });
}

void CurlEngine::Probe() {
  const base::MonoTime silent_since = loop_.clock().Monotonic() - options_.idle_probe;
  const bool silent = std::any_of(connections_.begin(), connections_.end(), [&](const auto& entry) {
    return entry.second.in_use && entry.second.heard <= silent_since;
  });
  if (!silent) return PlanProbe();
  probe_ = std::make_unique<Exchange>(*this);
  options_.prepare_probe(*probe_);
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(options_.probe_timeout);
  curl_easy_setopt(probe_->easy(), CURLOPT_TIMEOUT_MS, static_cast<long>(limit.count()));
  if (!probe_->Start(/*streaming=*/false, 1 << 20).ok()) probe_.reset();
}

void CurlEngine::EndProbe() {
  const std::unique_ptr<Exchange> probe = std::move(probe_);
  if (probe == nullptr) return;
  if (probe->result == CURLE_OPERATION_TIMEDOUT) {
    KLOG_WARNING("API server connection is silent, giving it up",
                 {"after", base::GoDuration(options_.idle_probe + options_.probe_timeout)});
    GiveUp(probe->started());
  }
  // Any answer will do: curl chose which connection carries it, and they lead to one server.
  const base::MonoTime now = loop_.clock().Monotonic();
  for (auto& [fd, connection] : connections_) connection.heard = now;
  PlanProbe();
}

}  // namespace keelson::kubelet::client
