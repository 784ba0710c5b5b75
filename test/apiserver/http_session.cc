// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/http_session.h"

#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/strings.h"

namespace keelson::apiserver {

using base::StrCat;
using base::Task;

// --- HttpAnswer ---

void HttpAnswer::Head(int status, std::map<std::string, std::string> headers) {
  if (session != nullptr) session->OnHead(*this, status, headers);
}
void HttpAnswer::Write(std::string_view bytes) {
  pending.append(bytes);
  if (session != nullptr) session->OnBytes(*this);
}
void HttpAnswer::Finish() {
  finished = true;
  on_gone = nullptr;
  if (session != nullptr) session->OnBytes(*this);
}
void HttpAnswer::BreakConnection() {
  if (session != nullptr) session->Break();
}

// --- HTTP/2 ---

struct HttpSession::Callbacks {
  static HttpSession* Self(void* user) { return static_cast<HttpSession*>(user); }

  static int BeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto answer = std::make_shared<HttpAnswer>();
    answer->session = Self(user);
    answer->stream = frame->hd.stream_id;
    Self(user)->answers_[frame->hd.stream_id] = std::move(answer);
    return 0;
  }
  static int Header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    const auto found = Self(user)->answers_.find(frame->hd.stream_id);
    if (found == Self(user)->answers_.end()) return 0;
    HttpQuestion& question = found->second->question;
    const std::string key(reinterpret_cast<const char*>(name), name_size);
    const std::string text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":method") question.method = text;
    if (key == ":path") question.path = text;
    question.headers[key] = text;
    return 0;
  }
  static int Data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                  void* user) {
    const auto found = Self(user)->answers_.find(stream);
    if (found != Self(user)->answers_.end()) {
      found->second->question.body.append(reinterpret_cast<const char*>(data), size);
    }
    return 0;
  }
  static int Frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    const auto found = Self(user)->answers_.find(frame->hd.stream_id);
    if (last && carries && found != Self(user)->answers_.end()) Self(user)->Serve(found->second);
    return 0;
  }
  static int Close(nghttp2_session*, int32_t stream, uint32_t, void* user) {
    Self(user)->Forget(stream);
    return 0;
  }
  static ssize_t Read(nghttp2_session*, int32_t, uint8_t* buffer, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void*) {
    auto* answer = static_cast<HttpAnswer*>(source->ptr);
    const size_t count = std::min(size, answer->pending.size());
    std::copy_n(answer->pending.data(), count, buffer);
    answer->pending.erase(0, count);
    if (answer->pending.empty() && answer->finished)
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (count == 0)
      return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(count);
  }
};

bool HttpSession::StartHttp2() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &Callbacks::BeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::Header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::Data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Callbacks::Frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::Close);
  const int made = nghttp2_session_server_new(&http2_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry streams{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 250};
  if (made != 0 || nghttp2_submit_settings(http2_, NGHTTP2_FLAG_NONE, &streams, 1) != 0)
    return false;
  Pump();
  return true;
}

bool HttpSession::Http2Input(std::string_view bytes) {
  const ssize_t used = nghttp2_session_mem_recv(
      http2_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  Pump();
  return used >= 0 && (nghttp2_session_want_read(http2_) || nghttp2_session_want_write(http2_));
}

void HttpSession::Pump() {
  if (http2_ != nullptr) {
    const uint8_t* data = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(http2_, &data)) > 0;) {
      out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
  }
  if (!out_.empty()) output_.Set();
}

void HttpSession::Forget(int stream) {
  const auto found = answers_.find(stream);
  if (found == answers_.end()) return;
  const AnswerPtr answer = found->second;
  answers_.erase(found);
  answer->session = nullptr;
  if (const auto gone = std::exchange(answer->on_gone, nullptr)) gone();
}

void HttpSession::Serve(const AnswerPtr& answer) {
  answer->question.peer = peer_;
  handler_(answer);
}

void HttpSession::OnHead(HttpAnswer& answer, int status,
                         const std::map<std::string, std::string>& headers) {
  if (http2_ == nullptr) {
    base::StrAppend(&out_, "HTTP/1.1 ", status, " \r\n");
    for (const auto& [name, value] : headers) base::StrAppend(&out_, name, ": ", value, "\r\n");
    out_ += "transfer-encoding: chunked\r\n\r\n";
    return Pump();
  }
  const std::string code = StrCat(status);
  std::vector<nghttp2_nv> fields;
  const auto add = [&](const std::string& name, const std::string& value) {
    // nghttp2 copies both.
    fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                      value.size(), NGHTTP2_NV_FLAG_NONE});
  };
  const std::string status_name = ":status";
  add(status_name, code);
  for (const auto& [name, value] : headers) add(name, value);
  nghttp2_data_provider provider{};
  provider.source.ptr = &answer;  // in answers_ until the stream is closed
  provider.read_callback = &Callbacks::Read;
  nghttp2_submit_response(http2_, answer.stream, fields.data(), fields.size(), &provider);
  PumpLater(answer);
}

// Not at once: we may be inside one of nghttp2's callbacks.
void HttpSession::PumpLater(const HttpAnswer& answer) {
  loop_.Post([this, alive = std::weak_ptr<HttpAnswer>(answers_[answer.stream])] {
    if (const auto kept = alive.lock(); kept != nullptr && kept->session == this) Pump();
  });
}

void HttpSession::OnBytes(HttpAnswer& answer) {
  if (http2_ != nullptr) {
    nghttp2_session_resume_data(http2_, answer.stream);
    PumpLater(answer);
    return;
  }
  if (!answer.pending.empty()) {
    std::array<char, 17> hex{};
    const auto end = std::to_chars(hex.data(), hex.data() + hex.size(), answer.pending.size(), 16);
    base::StrAppend(&out_, std::string(hex.data(), end.ptr), "\r\n", answer.pending, "\r\n");
    answer.pending.clear();
  }
  if (answer.finished) out_ += "0\r\n\r\n";
  const bool finished = answer.finished;
  Pump();
  if (finished) Forget(answer.stream);
}

// --- HTTP/1.1: one request after the other ---

bool HttpSession::Http1Input(std::string_view bytes) {
  http1_input_.append(bytes);
  const size_t head = http1_input_.find("\r\n\r\n");
  if (head == std::string::npos) return http1_input_.size() < 65536;
  HttpQuestion question;
  size_t line = http1_input_.find("\r\n");
  const std::string first = http1_input_.substr(0, line);
  question.method = first.substr(0, first.find(' '));
  question.path = first.substr(question.method.size() + 1);
  question.path.resize(std::min(question.path.find(' '), question.path.size()));
  while (line < head) {
    const size_t end = http1_input_.find("\r\n", line + 2);
    const std::string field = http1_input_.substr(line + 2, end - line - 2);
    const size_t colon = std::min(field.find(':'), field.size());
    std::string name = field.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const size_t value = field.find_first_not_of(" ", colon + 1);
    question.headers[name] = value == std::string::npos ? "" : field.substr(value);
    line = end;
  }
  size_t length = 0;
  const std::string& text = question.headers["content-length"];
  std::from_chars(text.data(), text.data() + text.size(), length);
  if (http1_input_.size() < head + 4 + length) return true;
  question.body = http1_input_.substr(head + 4, length);
  http1_input_.erase(0, head + 4 + length);
  auto answer = std::make_shared<HttpAnswer>();
  answer->session = this;
  answer->stream = 1;
  answer->question = std::move(question);
  answers_[1] = answer;
  Serve(answer);
  return true;
}

// --- The connection ---

HttpSession::HttpSession(base::Loop& loop, base::UniqueFd socket, SSL_CTX* tls, Handler handler)
    : loop_(loop),
      socket_(std::move(socket)),
      writing_(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 3)),
      ssl_(SSL_new(tls)),
      handler_(std::move(handler)) {
  SSL_set_fd(ssl_, socket_.get());
  SSL_set_accept_state(ssl_);
}

HttpSession::~HttpSession() {
  while (!answers_.empty()) Forget(answers_.begin()->first);
  if (http2_ != nullptr) nghttp2_session_del(http2_);
  SSL_free(ssl_);
}

void HttpSession::Break() {
  broken_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);
  output_.Set();
}

Task<void> HttpSession::WaitFor(bool readable) {
  absl::Status status;
  if (readable) {
    status = co_await base::WaitReadable(loop_, socket_.get());
  } else {
    status = co_await base::WaitWritable(loop_, writing_.get());
  }
  broken_ = broken_ || !status.ok();
}

Task<bool> HttpSession::Handshake() {
  while (!broken_) {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_);
    if (done == 1) break;
    const int error = SSL_get_error(ssl_, done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) co_return false;
    co_await WaitFor(error == SSL_ERROR_WANT_READ);
  }
  if (X509* cert = SSL_get0_peer_certificate(ssl_)) {
    std::array<char, 256> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name.data(),
                              static_cast<int>(name.size()));
    peer_ = name.data();
  }
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &protocol, &size);
  const bool http2 = std::string_view(reinterpret_cast<const char*>(protocol), size) == "h2";
  co_return !broken_ && (!http2 || StartHttp2());
}

Task<void> HttpSession::Writer() {
  while (!broken_) {
    if (out_.empty() || frozen_) {
      co_await output_.Wait();
      continue;
    }
    ERR_clear_error();
    const size_t piece = std::min<size_t>(out_.size(), 1 << 20);
    const int count = SSL_write(ssl_, out_.data(), static_cast<int>(piece));
    if (count > 0) {
      out_.erase(0, static_cast<size_t>(count));
      continue;
    }
    if (SSL_get_error(ssl_, count) != SSL_ERROR_WANT_WRITE) co_return Break();
    co_await WaitFor(/*readable=*/false);
  }
}

Task<void> HttpSession::Run() {
  const bool up = co_await Handshake();
  base::TaskGroup writer(loop_);
  if (up) writer.Spawn("stub writer", Writer());
  std::array<char, 16384> buffer;
  while (up && !broken_) {
    ERR_clear_error();
    const int count = frozen_ ? -1 : SSL_read(ssl_, buffer.data(), buffer.size());
    if (count > 0) {
      const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
      if (!(http2_ != nullptr ? Http2Input(bytes) : Http1Input(bytes))) break;
      continue;
    }
    if (frozen_) {
      // Nothing more in either direction; Break ends it.
      while (!broken_) co_await output_.Wait();
      break;
    }
    if (SSL_get_error(ssl_, count) != SSL_ERROR_WANT_READ) break;
    co_await WaitFor(/*readable=*/true);
  }
  Break();
  while (!answers_.empty()) Forget(answers_.begin()->first);
  co_await writer.CancelAndJoin();
}

}  // namespace keelson::apiserver
