// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/stub_server.h"

#include <arpa/inet.h>
#include <google/protobuf/message.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <list>

#include "base/errno_status.h"
#include "base/strings.h"
#include "test/apiserver/http_session.h"
#include "test/apiserver/stub_wire.h"

namespace keelson::apiserver {

using base::StrCat;
using base::Task;
using kubelet::client::Verb;
namespace client = kubelet::client;

namespace {

int SelectProtocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
                   unsigned in_size, void* arg) {
  const std::string_view wanted = *static_cast<const bool*>(arg) ? "\x08http/1.1" : "\x02h2";
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, size, reinterpret_cast<const unsigned char*>(wanted.data()),
                            static_cast<unsigned>(wanted.size()), in, in_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

struct StubServer::State {
  State(base::Loop& l, FakeApiServer& f, StubOptions o)
      : loop(l), fake(f), options(std::move(o)), tasks(l), connections(l) {}
  ~State() { SSL_CTX_free(tls); }

  absl::Status SetUpTls();
  absl::Status Listen(int port, int* bound);
  Task<void> Accept();
  Task<void> Connection(std::shared_ptr<HttpSession> session);
  void OnQuestion(AnswerPtr answer);
  Task<void> Answer(AnswerPtr answer);
  Task<void> ServeWatch(AnswerPtr answer, Route route, bool protobuf);
  void Fail(const AnswerPtr& answer, const absl::Status& status, bool protobuf);
  // The name of who asks; nullopt: 401.
  std::optional<std::string> UserOf(const HttpQuestion& question) const;

  base::Loop& loop;
  FakeApiServer& fake;
  StubOptions options;
  SSL_CTX* tls = nullptr;
  base::UniqueFd listener;
  std::list<std::shared_ptr<HttpSession>> sessions;
  int accepted = 0;
  std::vector<std::string> users;
  std::map<std::string, std::string> last_headers;
  base::TaskGroup tasks;        // accepting and answering: ended by cancelling
  base::TaskGroup connections;  // end when they are broken
};

absl::Status StubServer::State::SetUpTls() {
  tls = SSL_CTX_new(TLS_server_method());
  const auto read = [](const std::string& pem) {
    return BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  };
  BIO* bio = read(options.serving.cert_pem);
  X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = read(options.serving.key_pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  const bool usable = cert != nullptr && key != nullptr &&
                      SSL_CTX_use_certificate(tls, cert) == 1 &&
                      SSL_CTX_use_PrivateKey(tls, key) == 1;
  X509_free(cert);
  EVP_PKEY_free(key);
  if (!usable) return absl::InvalidArgumentError("stub: serving certificate");
  if (!options.client_ca.empty()) {
    bio = read(options.client_ca);
    X509* ca = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), ca);
    X509_free(ca);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, nullptr);  // asked for, not demanded
  }
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);  // a new certificate is seen by a full handshake
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(tls, &SelectProtocol, &options.http1);
  return absl::OkStatus();
}

absl::Status StubServer::State::Listen(int port, int* bound) {
  listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t size = sizeof address;
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) < 0 ||
      ::listen(listener.get(), 128) < 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) < 0) {
    return base::ErrnoStatus("listen on 127.0.0.1", StrCat(port));
  }
  *bound = ntohs(address.sin_port);
  return absl::OkStatus();
}

Task<void> StubServer::State::Accept() {
  for (;;) {
    const int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      ++accepted;
      auto session = std::make_shared<HttpSession>(
          loop, base::UniqueFd(fd), tls, [this](AnswerPtr answer) { OnQuestion(answer); });
      sessions.push_back(session);
      connections.Spawn("stub connection", Connection(session));
      continue;
    }
    auto ready = co_await base::WaitReadable(loop, listener.get());
    if (!ready.ok()) co_return;
  }
}

Task<void> StubServer::State::Connection(std::shared_ptr<HttpSession> session) {
  co_await session->Run();
  sessions.remove(session);
}

void StubServer::State::OnQuestion(AnswerPtr answer) {
  tasks.Spawn("stub answer", Answer(std::move(answer)));
}

std::optional<std::string> StubServer::State::UserOf(const HttpQuestion& question) const {
  if (const auto found = question.headers.find("authorization"); found != question.headers.end()) {
    constexpr std::string_view kBearer = "Bearer ";
    if (!found->second.starts_with(kBearer)) return std::nullopt;
    const auto user = options.tokens.find(found->second.substr(kBearer.size()));
    if (user == options.tokens.end()) return std::nullopt;
    return user->second;
  }
  if (!question.peer.empty()) return question.peer;
  return options.anonymous ? std::optional<std::string>("") : std::nullopt;
}

void StubServer::State::Fail(const AnswerPtr& answer, const absl::Status& status, bool protobuf) {
  const auto error = client::ApiErrorOf(status);
  if (!error) return answer->BreakConnection();  // as the fake words a connection that broke
  std::map<std::string, std::string> headers{
      {"content-type", protobuf ? std::string(kProtobuf) : "application/json"}};
  if (error->retry_after.count() > 0) {
    headers["retry-after"] =
        StrCat(std::chrono::ceil<std::chrono::seconds>(error->retry_after).count());
  }
  answer->Head(error->code, headers);
  answer->Write(EncodeError(*error, protobuf));
  answer->Finish();
}

Task<void> StubServer::State::Answer(AnswerPtr answer) {
  HttpQuestion& question = answer->question;
  last_headers = question.headers;
  const bool protobuf =
      !options.json_only && question.headers["accept"].find(kProtobuf) != std::string::npos;
  const auto user = UserOf(question);
  users.push_back(user.value_or("refused"));
  if (!user) co_return Fail(answer, ApiFailure(401, "Unauthorized", "Unauthorized"), protobuf);
  std::optional<Route> route = RouteOf(question);
  if (!route) {
    auto raw = co_await fake.GetRaw(question.path);
    if (!raw.ok()) co_return Fail(answer, raw.status(), protobuf);
    answer->Head(200, {{"content-type", "text/plain"}});
    answer->Write(*raw);
    answer->Finish();
    co_return;
  }
  if (options.json_only && question.headers["content-type"].starts_with(kProtobuf)) {
    co_return Fail(answer, ApiFailure(415, "UnsupportedMediaType", "JSON only"), false);
  }
  if (route->is_watch) {
    co_await ServeWatch(answer, *std::move(route), protobuf);
    co_return;
  }
  ApiRequest& request = route->request;
  if (auto status = ReadBody(question, &request); !status.ok()) {
    co_return Fail(answer, ApiFailure(400, "BadRequest", std::string(base::Message(status))),
                   protobuf);
  }
  const proto::TypeMeta type = TypeOf(request);
  const int success = request.verb == Verb::kCreate ? 201 : 200;
  const auto object = NewAnswer(request);
  auto status = co_await fake.Do(std::move(request), object.get());
  if (!status.ok()) co_return Fail(answer, status, protobuf);
  answer->Head(success, {{"content-type", protobuf ? std::string(kProtobuf) : "application/json"}});
  answer->Write(Encode(*object, type, protobuf));
  answer->Finish();
}

Task<void> StubServer::State::ServeWatch(AnswerPtr answer, Route route, bool protobuf) {
  const Resource& resource = *route.request.resource;
  const proto::TypeMeta type{resource.ApiVersion(), std::string(resource.kind)};
  auto watch = co_await fake.Watch(resource, route.request.ns, route.watch);
  if (!watch.ok()) co_return Fail(answer, watch.status(), protobuf);
  auto* stream = static_cast<FakeWatch*>(watch->get());
  answer->on_gone = [stream] { stream->End(absl::OkStatus()); };
  struct Unhook {  // also when we are cancelled
    ~Unhook() { answer->on_gone = nullptr; }
    AnswerPtr answer;
  };
  const Unhook unhook{answer};
  if (answer->gone()) co_return;
  answer->Head(
      200, {{"content-type", protobuf ? StrCat(kProtobuf, ";stream=watch") : "application/json"}});
  for (;;) {
    auto event = co_await stream->Next();
    if (answer->gone()) break;
    if (!event.ok()) {
      const auto error = client::ApiErrorOf(event.status());
      if (!error) {
        answer->BreakConnection();
        break;
      }
      answer->Write(FrameOf("ERROR", EncodeError(*error, protobuf), protobuf));
    }
    if (!event.ok() || !*event) break;
    const std::string object = Encode(*(*event)->object, type, protobuf);
    answer->Write(FrameOf(TypeName((*event)->type), object, protobuf));
  }
  answer->Finish();
}

absl::StatusOr<std::unique_ptr<StubServer>> StubServer::Start(base::Loop& loop, FakeApiServer& fake,
                                                              StubOptions options, int port) {
  auto state = std::make_shared<State>(loop, fake, std::move(options));
  RETURN_IF_ERROR(state->SetUpTls());
  std::unique_ptr<StubServer> server(new StubServer(state));
  RETURN_IF_ERROR(state->Listen(port, &server->port_));
  state->tasks.Spawn("stub", state->Accept());
  return server;
}

StubServer::~StubServer() = default;

Task<void> StubServer::Stop() {
  co_await state_->tasks.CancelAndJoin();
  DropConnections();
  co_await state_->connections.Join();
  state_->listener.reset();
}

std::string StubServer::url() const { return StrCat("https://127.0.0.1:", port_); }
size_t StubServer::connections() const { return state_->sessions.size(); }
int StubServer::accepted() const { return state_->accepted; }
const std::vector<std::string>& StubServer::users() const { return state_->users; }
const std::map<std::string, std::string>& StubServer::last_headers() const {
  return state_->last_headers;
}
StubOptions& StubServer::options() { return state_->options; }
void StubServer::DropConnections() {
  for (const auto& session : state_->sessions) session->Break();
}
void StubServer::Freeze() {
  for (const auto& session : state_->sessions) session->Freeze();
}

}  // namespace keelson::apiserver
