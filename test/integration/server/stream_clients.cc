// SPDX-License-Identifier: Apache-2.0
#include "test/integration/server/stream_clients.h"

#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "kubelet/server/upgrade.h"

namespace keelson::integration {

std::string ExecTarget(const std::string& container, const std::vector<std::string>& command,
                       const std::string& streams) {
  std::string target = "/exec/shop/web-klnode/" + container + "?" + streams;
  for (const std::string& word : command) {
    target += "&command=";
    for (unsigned char c : word) {
      const char* hex = "0123456789ABCDEF";
      if (std::isalnum(c)) target += static_cast<char>(c);
      else target += {'%', hex[c >> 4], hex[c & 15]};
    }
  }
  return target;
}

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::system::error_code;

// What Beast asks of the stream below.
class TlsLayer {
 public:
  using executor_type = asio::io_context::executor_type;
  TlsLayer(asio::io_context& io, StreamClient& tls) : io_(io), tls_(tls) {}
  executor_type get_executor() { return io_.get_executor(); }

  template <typename Buffers>
  size_t read_some(const Buffers& buffers) {
    error_code ec;
    const size_t got = read_some(buffers, ec);
    if (ec) throw boost::system::system_error(ec);
    return got;
  }
  template <typename Buffers>
  size_t read_some(const Buffers& buffers, error_code& ec) {
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
      const asio::mutable_buffer buffer(*at);
      if (buffer.size() == 0) continue;
      const ssize_t got = tls_.Some(static_cast<char*>(buffer.data()), buffer.size());
      if (got > 0) return static_cast<size_t>(got);
      ec = asio::error::eof;
      return 0;
    }
    return 0;
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers) {
    error_code ec;
    const size_t put = write_some(buffers, ec);
    if (ec) throw boost::system::system_error(ec);
    return put;
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers, error_code& ec) {
    std::string all;
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
      const asio::const_buffer buffer(*at);
      all.append(static_cast<const char*>(buffer.data()), buffer.size());
    }
    if (!all.empty() && !tls_.Send(all)) ec = asio::error::broken_pipe;
    return ec ? 0 : all.size();
  }

 private:
  asio::io_context& io_;
  StreamClient& tls_;
};

void teardown(beast::role_type, TlsLayer&, error_code& ec) { ec = {}; }
template <typename Handler>
void async_teardown(beast::role_type, TlsLayer&, Handler&&) {}  // nobody here is asynchronous

struct Channels::Impl {
  explicit Impl(const ServedNode& node) : tls(node), ws(io, tls) {}
  asio::io_context io;
  StreamClient tls;
  websocket::stream<TlsLayer> ws;
};

Channels::Channels(const ServedNode& node, const std::string& target, const std::string& protocol)
    : impl_(std::make_unique<Impl>(node)) {
  impl_->ws.read_message_max(64 << 20);
  impl_->ws.set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
    request.set(beast::http::field::sec_websocket_protocol, protocol);
  }));
  websocket::response_type response;
  error_code ec;
  impl_->ws.handshake(response, "127.0.0.1", target, ec);
  EXPECT_FALSE(ec) << ec.message() << ": " << response;
  EXPECT_EQ(std::string(response[beast::http::field::sec_websocket_protocol]), protocol);
  open_ = !ec;
  impl_->ws.binary(true);
}

Channels::~Channels() = default;

void Channels::SendMessage(const std::string& message) {
  error_code ec;
  impl_->ws.write(asio::buffer(message), ec);
  EXPECT_FALSE(ec) << ec.message();
}

void Channels::Ping() {
  error_code ec;
  impl_->ws.ping("are you there", ec);
  EXPECT_FALSE(ec) << ec.message();
}

std::optional<std::string> Channels::ReadMessage() {
  beast::flat_buffer buffer;
  error_code ec;
  impl_->ws.read(buffer, ec);
  if (ec) return std::nullopt;
  return std::string(static_cast<const char*>(buffer.data().data()), buffer.size());
}

bool Channels::ReadOne() {
  const auto message = ReadMessage();
  if (!message || message->empty()) return message.has_value();
  got_[static_cast<uint8_t>((*message)[0])].append(*message, 1);
  return true;
}

const std::string& Channels::ReadUntil(int channel, const std::string& text) {
  while (got_[channel].find(text) == std::string::npos && ReadOne()) {
  }
  return got_[channel];
}

std::map<int, std::string>& Channels::ReadAll() {
  while (ReadOne()) {
  }
  return got_;
}

int Channels::close_code() const { return impl_->ws.reason().code; }

namespace {

class PlainClient : public kubelet::TcpClient {
 public:
  using TcpClient::TcpClient;
  ssize_t Some(char* data, size_t size) { return Read(data, size); }
};

template <typename Client>
class SocketPipe : public Pipe {
 public:
  template <typename... Args>
  explicit SocketPipe(Args&&... args) : client(std::forward<Args>(args)...) {}
  void Send(const std::string& bytes) override { EXPECT_TRUE(client.Send(bytes)); }
  std::string Some() override {
    std::string block(64 << 10, '\0');
    const ssize_t got = client.Some(block.data(), block.size());
    block.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return block;
  }
  Client client;
};

class Tunnel : public Pipe {
 public:
  Tunnel(const ServedNode& node, const std::string& target, const std::string& protocol)
      : socket(node, target, "SPDY/3.1+" + protocol) {}
  void Send(const std::string& bytes) override { socket.SendMessage(bytes); }
  std::string Some() override { return socket.ReadMessage().value_or(""); }
  Channels socket;
};

}  // namespace

Spdy::Spdy(const ServedNode& node, const std::string& target, const std::string& protocol,
           bool tunnelled) {
  if (tunnelled) {
    auto tunnel = std::make_unique<Tunnel>(node, target, protocol);
    open_ = tunnel->socket.open();
    pipe_ = std::move(tunnel);
    return;
  }
  Upgrade(std::make_unique<SocketPipe<StreamClient>>(node), target, protocol);
}

Spdy::Spdy(const std::string& url, const std::string& protocol) {
  const auto where = kubelet::ParseStreamUrl(url);
  EXPECT_TRUE(where.ok()) << where.status();
  if (where.ok()) Upgrade(std::make_unique<SocketPipe<PlainClient>>(where->port), where->target, protocol);
}

template <typename Socket>
void Spdy::Upgrade(std::unique_ptr<Socket> socket, const std::string& target,
                   const std::string& protocol) {
  socket->Send("POST " + target + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
               "X-Stream-Protocol-Version: " + protocol + "\r\n\r\n");
  const std::string answer = socket->client.ReadUntil("\r\n\r\n");
  open_ = answer.starts_with("HTTP/1.1 101 ");
  EXPECT_TRUE(open_) << answer;
  decoder_.Feed(std::string_view(answer).substr(answer.find("\r\n\r\n") + 4));
  pipe_ = std::move(socket);
}

uint32_t Spdy::Open(const kubelet::SpdyEncoder::Headers& headers) {
  const uint32_t id = std::exchange(next_, next_ + 2);
  pipe_->Send(encoder_.Open(id, headers));
  while (!replied_[id] && ReadOne()) {
  }
  EXPECT_TRUE(replied_[id]);
  return id;
}

void Spdy::Send(uint32_t id, const std::string& data, bool fin) {
  pipe_->Send(kubelet::SpdyEncoder::Data(id, data, fin));
}

bool Spdy::ReadOne() {
  for (;;) {
    auto event = decoder_.Next();
    EXPECT_TRUE(event.ok()) << event.status();
    if (!event.ok()) return false;
    if (*event) {
      if ((*event)->kind == kubelet::SpdyEvent::Kind::kReply) replied_[(*event)->id] = true;
      got_[(*event)->id] += (*event)->payload;
      if ((*event)->fin) ended_[(*event)->id] = true;
      return true;
    }
    const std::string some = pipe_->Some();
    if (some.empty()) return false;
    decoder_.Feed(some);
  }
}

const std::string& Spdy::ReadAll(uint32_t id) {
  while (!ended_[id] && ReadOne()) {
  }
  return got_[id];
}

const std::string& Spdy::ReadUntil(uint32_t id, const std::string& text) {
  while (got_[id].find(text) == std::string::npos && !ended_[id] && ReadOne()) {
  }
  return got_[id];
}

}  // namespace keelson::integration
