// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/http_client.h"

#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "base/errno_status.h"
#include "base/fd.h"
#include "base/strings.h"
#include "kubelet/sources/names.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;
using base::Task;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// What one request collects.
struct Transfer {
  HttpResponse response;
  size_t max_bytes = 0;
  bool too_long = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* arg) {
  auto* transfer = static_cast<Transfer*>(arg);
  if (transfer->response.body.size() + size * count > transfer->max_bytes) {
    transfer->too_long = true;
    return 0;
  }
  transfer->response.body.append(data, size * count);
  return size * count;
}

size_t OnHeader(char* data, size_t size, size_t count, void* arg) {
  auto* response = &static_cast<Transfer*>(arg)->response;
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // of the next answer, after a redirect
    response->etag.clear();
    response->last_modified.clear();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.remove_suffix(1);
  const std::string name = Lower(line.substr(0, colon));
  if (name == "etag") response->etag = value;
  if (name == "last-modified") response->last_modified = value;
  return size * count;
}

absl::Status CurlStatus(CURLcode code, const char* detail, const Transfer& transfer,
                        const std::string& url) {
  if (transfer.too_long) {
    return absl::ResourceExhaustedError(
        StrCat("GET ", url, ": the answer is longer than ", transfer.max_bytes, " bytes"));
  }
  const std::string text = StrCat("GET ", url, ": ", *detail ? detail : curl_easy_strerror(code));
  return code == CURLE_OPERATION_TIMEDOUT ? absl::DeadlineExceededError(text)
                                          : absl::UnavailableError(text);
}

}  // namespace

struct HttpClient::Engine {
  explicit Engine(base::Loop& loop) : loop(loop) {}
  ~Engine() {
    // The multi handle closes its connections, which calls OnSocket: the descriptors go last.
    if (easy != nullptr) curl_easy_cleanup(easy);
    if (multi != nullptr) curl_multi_cleanup(multi);
  }

  static int OnSocket(CURL*, curl_socket_t fd, int what, void* arg, void*) {
    const int epoll = static_cast<Engine*>(arg)->epoll.get();
    epoll_event event{};
    event.data.fd = fd;
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (what == CURL_POLL_REMOVE) {
      ::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);  // may be closed already, and so gone
    } else if (::epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0) {
      ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
  }

  static int OnTimer(CURLM*, long timeout_ms, void* arg) {
    itimerspec when{};
    if (timeout_ms >= 0) {
      when.it_value.tv_sec = timeout_ms / 1000;
      // Zero would disarm: one nanosecond is "at once".
      when.it_value.tv_nsec = std::max(timeout_ms % 1000 * 1'000'000, timeout_ms == 0 ? 1L : 0L);
    }
    ::timerfd_settime(static_cast<Engine*>(arg)->timer.get(), 0, &when, nullptr);
    return 0;
  }

  absl::Status Open();
  // Runs what is ready; true once the transfer has ended.
  bool Turn(CURLcode* result);

  base::Loop& loop;
  base::UniqueFd epoll, timer;
  CURLM* multi = nullptr;
  CURL* easy = nullptr;
};

absl::Status HttpClient::Engine::Open() {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return absl::InternalError(curl_easy_strerror(global));
  epoll.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.ok()) return base::ErrnoStatus("epoll_create1");
  timer.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.ok()) return base::ErrnoStatus("timerfd_create");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = timer.get();
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event) < 0) {
    return base::ErrnoStatus("epoll_ctl");
  }
  multi = curl_multi_init();
  easy = curl_easy_init();
  if (multi == nullptr || easy == nullptr) return absl::ResourceExhaustedError("curl_easy_init");
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Engine::OnSocket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Engine::OnTimer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  return absl::OkStatus();
}

bool HttpClient::Engine::Turn(CURLcode* result) {
  std::array<epoll_event, 16> events;
  const int count = ::epoll_wait(epoll.get(), events.data(), events.size(), 0);
  int running = 0;
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<size_t>(i)];
    if (event.data.fd == timer.get()) {
      uint64_t ticks;
      if (::read(timer.get(), &ticks, sizeof ticks) < 0) continue;  // disarmed meanwhile
      curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
      continue;
    }
    const int mask = (event.events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                     (event.events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                     (event.events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(multi, event.data.fd, mask, &running);
  }
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    *result = message->data.result;
    return true;
  }
  return false;
}

HttpClient::HttpClient(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
HttpClient::~HttpClient() = default;

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(base::Loop& loop) {
  auto engine = std::make_unique<Engine>(loop);
  RETURN_IF_ERROR(engine->Open());
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(engine)));
}

namespace {

void Prepare(CURL* easy, const HttpRequest& request, curl_slist* headers, char* error,
             Transfer* transfer) {
  curl_easy_reset(easy);  // keeps connections
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "keelson/" KEELSON_VERSION);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(request.timeout).count();
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(ms));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
  if (const char* file = std::getenv("SSL_CERT_FILE")) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, file);
  }
  if (const char* dir = std::getenv("SSL_CERT_DIR")) curl_easy_setopt(easy, CURLOPT_CAPATH, dir);
}

// Takes the transfer out of the multi handle, also when the waiting task is cancelled.
struct Attached {
  Attached(CURLM* multi, CURL* easy) : multi(multi), easy(easy) {
    curl_multi_add_handle(multi, easy);
  }
  ~Attached() { curl_multi_remove_handle(multi, easy); }
  CURLM* multi;
  CURL* easy;
};

}  // namespace

Task<absl::StatusOr<HttpResponse>> HttpClient::Get(HttpRequest request) {
  Engine& engine = *engine_;
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const auto& [name, value] : request.headers) {
    // "Name;" is curl's way to send a header without a value.
    const std::string line = value.empty() ? name + ";" : StrCat(name, ": ", value);
    headers.reset(curl_slist_append(headers.release(), line.c_str()));
  }
  Transfer transfer;
  transfer.max_bytes = request.max_bytes;
  std::array<char, CURL_ERROR_SIZE> error{};
  Prepare(engine.easy, request, headers.get(), error.data(), &transfer);
  CURLcode result = CURLE_OK;
  {
    Attached attached(engine.multi, engine.easy);
    while (!engine.Turn(&result)) {
      auto ready = co_await base::WaitReadable(engine.loop, engine.epoll.get());
      CO_RETURN_IF_ERROR(ready);
    }
  }
  if (result != CURLE_OK) {
    co_return CurlStatus(result, error.data(), transfer, request.url);
  }
  curl_easy_getinfo(engine.easy, CURLINFO_RESPONSE_CODE, &transfer.response.status);
  co_return std::move(transfer.response);
}

}  // namespace keelson::kubelet::sources
