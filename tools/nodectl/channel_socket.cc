// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/channel_socket.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errno_status.h"

namespace keelson::nodectl {
namespace {

constexpr size_t kMaxHead = 64 << 10;
constexpr uint8_t kEndOf = 255;

absl::StatusOr<std::string> RandomKey() {
  unsigned char bytes[16];
  if (::getrandom(bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes)))
    return base::ErrnoStatus("getrandom");
  unsigned char text[25];
  const int size = EVP_EncodeBlock(text, bytes, sizeof(bytes));
  return std::string(reinterpret_cast<char*>(text), static_cast<size_t>(size));
}

absl::Status SendAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return base::ErrnoStatus("write to the agent");
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

// All that comes until `enough`, or to the end.
absl::StatusOr<std::string> ReadUntil(int fd, std::string_view enough) {
  std::string in;
  char block[4096];
  while (enough.empty() || in.find(enough) == in.npos) {
    const ssize_t got = ::read(fd, block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ECONNRESET) return base::ErrnoStatus("read from the agent");
    if (got <= 0) break;
    in.append(block, static_cast<size_t>(got));
    if (in.size() > kMaxHead) return absl::InternalError("the agent's answer has no end of headers");
  }
  return in;
}

// The agent's words: the body of a refusal.
absl::Status Refusal(int fd, std::string answer) {
  if (answer.empty())
    return absl::PermissionDeniedError("the agent closed the connection; only root may ask it");
  auto rest = ReadUntil(fd, "");
  if (rest.ok()) answer += *rest;
  const size_t body = answer.find("\r\n\r\n");
  std::string words = body == answer.npos ? answer : answer.substr(body + 4);
  while (words.ends_with('\n')) words.pop_back();
  if (words.empty()) words = answer.substr(0, answer.find("\r\n"));
  return answer.starts_with("HTTP/1.1 404") ? absl::NotFoundError(words)
                                            : absl::FailedPreconditionError(words);
}

}  // namespace

absl::StatusOr<ChannelSocket> ChannelSocket::Open(const Client& client, const std::string& path,
                                                  const QueryParams& query,
                                                  const std::string& protocol) {
  auto connected = client.Connect();
  if (!connected.ok()) return connected.status();
  base::UniqueFd fd(*connected);
  auto key = RandomKey();
  if (!key.ok()) return key.status();
  RETURN_IF_ERROR(SendAll(
      fd.get(), base::StrCat("GET ", Target(path, query),
                             " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                             "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: ", *key, "\r\nSec-WebSocket-Protocol: ", protocol,
                             "\r\n\r\n")));
  auto answer = ReadUntil(fd.get(), "\r\n\r\n");
  if (!answer.ok()) return answer.status();
  if (!answer->starts_with("HTTP/1.1 101 ")) {
    ::shutdown(fd.get(), SHUT_WR);  // so that the agent ends its answer
    return Refusal(fd.get(), std::move(*answer));
  }
  const size_t head = answer->find("\r\n\r\n") + 4;
  if (answer->substr(0, head).find(base::WsAccept(*key)) == answer->npos)
    return absl::InternalError("the agent's answer is not a WebSocket's");
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) < 0) return base::ErrnoStatus("fcntl O_NONBLOCK");
  ChannelSocket socket(std::move(fd));
  socket.in_.Feed(std::string_view(*answer).substr(head));
  return socket;
}

void ChannelSocket::Send(uint8_t channel, std::string_view data) {
  std::string message(1, static_cast<char>(channel));
  message.append(data);
  if (sent_ > 0) out_.erase(0, std::exchange(sent_, 0));
  out_ += base::WsFrame(base::WsRole::kClient, base::WsOpcode::kBinary, message);
}

void ChannelSocket::End(uint8_t channel) {
  Send(kEndOf, std::string_view(reinterpret_cast<const char*>(&channel), 1));
}

absl::Status ChannelSocket::Flush() {
  while (pending() > 0) {
    const ssize_t put = ::send(fd_.get(), out_.data() + sent_, pending(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return absl::OkStatus();
    // It has closed: what it said last is still to be read.
    if (put < 0 && (errno == EPIPE || errno == ECONNRESET)) break;
    if (put < 0) return base::ErrnoStatus("write to the agent");
    sent_ += static_cast<size_t>(put);
  }
  out_.clear();
  sent_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<bool> ChannelSocket::HandOn(const Sink& sink) {
  for (;;) {
    auto event = in_.Next();
    if (!event.ok()) return event.status();
    if (!*event) return true;
    const base::WsEvent& one = **event;
    if (one.kind == base::WsEvent::Kind::kClose) {
      if (one.payload.size() > 2) close_reason_ = one.payload.substr(2);
      return false;
    }
    if (one.kind == base::WsEvent::Kind::kPing)
      out_ += base::WsFrame(base::WsRole::kClient, base::WsOpcode::kPong, one.payload);
    if (one.kind != base::WsEvent::Kind::kData) continue;
    std::string_view data = one.payload;
    if (one.begins) channel_.reset();
    if (!channel_ && !data.empty()) {
      channel_ = static_cast<uint8_t>(data[0]);
      data.remove_prefix(1);
    }
    if (channel_ && !data.empty()) RETURN_IF_ERROR(sink(*channel_, data));
  }
}

absl::StatusOr<bool> ChannelSocket::Receive(const Sink& sink) {
  absl::StatusOr<bool> more = HandOn(sink);  // what came with the answer to our request
  if (!more.ok() || !*more) return more;
  char block[64 << 10];
  const ssize_t got = ::recv(fd_.get(), block, sizeof(block), 0);
  if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return true;
  if (got < 0 && errno != ECONNRESET) return base::ErrnoStatus("read from the agent");
  if (got <= 0) {
    close_reason_ = "the agent ended the connection";
    return false;
  }
  in_.Feed({block, static_cast<size_t>(got)});
  return HandOn(sink);
}

}  // namespace keelson::nodectl
