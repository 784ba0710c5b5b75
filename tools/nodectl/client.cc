// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstring>
#include <limits>

#include "base/errno_status.h"
#include "base/fd.h"

namespace keelson::nodectl {
namespace {

namespace http = boost::beast::http;
using Parser = http::response_parser<http::string_body>;

constexpr size_t kMaxErrorText = 64 << 10;

// RFC 3986 unreserved characters stand for themselves, and so does the slash of a path.
std::string Encode(std::string_view text, bool keep_slash) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~' ||
        (keep_slash && c == '/')) {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

absl::Status SendAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return base::ErrnoStatus("write to the agent");
    text.remove_prefix(sent);
  }
  return absl::OkStatus();
}

absl::Status ErrorOf(unsigned code, std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  if (text.empty()) text = base::StrCat("the agent answered ", code);
  if (code == 404) return absl::NotFoundError(text);
  return code < 500 ? absl::FailedPreconditionError(text) : absl::InternalError(text);
}

// Hands on the body of a good answer, keeps that of a bad one as the error's text.
class Answer {
 public:
  explicit Answer(const std::function<void(std::string_view)>& sink) : sink_(sink) {
    parser_.body_limit(std::numeric_limits<uint64_t>::max());
    parser_.eager(true);
  }

  // What is not used stays in `in`.
  absl::Status Feed(std::string* in) {
    while (!in->empty() && !parser_.is_done()) {
      boost::system::error_code ec;
      const size_t used = parser_.put(boost::asio::buffer(in->data(), in->size()), ec);
      in->erase(0, used);
      TakeBody();
      if (ec == http::error::need_more) break;
      if (ec) return absl::InternalError(base::StrCat("the agent's answer: ", ec.message()));
      if (used == 0) break;
    }
    return absl::OkStatus();
  }
  bool done() const { return parser_.is_done(); }
  absl::Status End() {
    boost::system::error_code ec;
    if (!parser_.got_some())
      return absl::PermissionDeniedError("the agent closed the connection; only root may ask it");
    if (!parser_.is_done()) parser_.put_eof(ec);
    if (ec) return absl::UnavailableError("the agent ended in the middle of its answer");
    return absl::OkStatus();
  }
  absl::Status Result() {
    const unsigned code = parser_.get().result_int();
    return code < 400 ? absl::OkStatus() : ErrorOf(code, error_);
  }

 private:
  void TakeBody() {
    if (!parser_.is_header_done()) return;
    std::string& body = parser_.get().body();
    if (parser_.get().result_int() < 400)
      sink_(body);
    else if (error_.size() < kMaxErrorText)
      error_ += body;
    body.clear();
  }

  const std::function<void(std::string_view)>& sink_;
  Parser parser_;
  std::string error_;
};

}  // namespace

std::string Target(const std::string& path, const QueryParams& query) {
  std::string target = Encode(path, true);
  char separator = '?';
  for (const auto& [name, value] : query) {
    base::StrAppend(&target, separator, Encode(name, false), "=", Encode(value, false));
    separator = '&';
  }
  return target;
}

absl::StatusOr<int> Client::Connect() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(base::StrCat("socket path too long: ", socket_path_));
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return base::ErrnoStatus("socket");
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0)
    return fd.release();
  switch (errno) {
    case ENOENT:
      return absl::UnavailableError(
          base::StrCat("the agent is not running: there is no socket ", socket_path_,
                       "\nStart kubelet, or name the socket below its --root-dir with --socket."));
    case ECONNREFUSED:
      return absl::UnavailableError(
          base::StrCat("the agent is not running: nobody listens on ", socket_path_));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          base::StrCat("only root may use ", socket_path_, "; try again with sudo"));
    default:
      return base::ErrnoStatus("connect", socket_path_);
  }
}

absl::Status Client::Stream(const std::string& path, const QueryParams& query,
                            const std::function<void(std::string_view)>& sink) const {
  auto connected = Connect();
  if (!connected.ok()) return connected.status();
  base::UniqueFd fd(*connected);
  RETURN_IF_ERROR(SendAll(fd.get(), base::StrCat("GET ", Target(path, query),
                                                 " HTTP/1.1\r\nHost: localhost\r\n"
                                                 "Connection: close\r\n\r\n")));
  Answer answer(sink);
  std::string in;
  char block[64 << 10];
  while (!answer.done()) {
    const ssize_t got = ::read(fd.get(), block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    // Turned away by its credentials: the socket is closed with our request unread.
    if (got < 0 && errno != ECONNRESET) return base::ErrnoStatus("read from the agent");
    if (got <= 0) {
      RETURN_IF_ERROR(answer.End());
      break;
    }
    in.append(block, got);
    RETURN_IF_ERROR(answer.Feed(&in));
  }
  return answer.Result();
}

absl::StatusOr<std::string> Client::Get(const std::string& path, const QueryParams& query) const {
  std::string body;
  RETURN_IF_ERROR(Stream(path, query, [&](std::string_view piece) { body.append(piece); }));
  return body;
}

}  // namespace keelson::nodectl
