// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/transport.h"

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;

long Milliseconds(base::Nanos time) {
  return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

void SetBlob(CURL* easy, CURLoption option, const std::string& text) {
  curl_blob blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
  curl_easy_setopt(easy, option, &blob);
}

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : StrCat("[", host, "]");
}

}  // namespace

CurlTransport::CurlTransport(KubeConfig config, TransportOptions options)
    : config_(std::move(config)),
      options_(std::move(options)),
      server_(ParseServer(config_.cluster.server)),
      proxy_(ProxyFor(server_, config_.cluster.proxy_url, ProxyEnvironment::FromProcess())) {}

absl::StatusOr<std::shared_ptr<CurlTransport>> CurlTransport::Open(base::Loop& loop,
                                                                   KubeConfig config,
                                                                   TransportOptions options) {
  std::shared_ptr<CurlTransport> self(new CurlTransport(std::move(config), std::move(options)));
  if (self->server_.port == 0) {
    return absl::InvalidArgumentError(StrCat("kubeconfig: server \"", self->config_.cluster.server,
                                             "\": expected https://host:port"));
  }
  auto credentials = CredentialSource::Create(loop, self->config_,
                                              self->options_.certificate_may_come);
  RETURN_IF_ERROR(base::Annotate(credentials.status(), "kubeconfig"));
  self->credentials_ = *std::move(credentials);
  self->last_ = std::make_shared<Credentials>();
  EngineOptions engine_options;
  engine_options.idle_probe = self->options_.idle_probe;
  engine_options.probe_timeout = self->options_.probe_timeout;
  engine_options.prepare_probe = [transport = self.get()](Exchange& probe) {
    transport->Dress(&probe, "/version", *transport->last_);
  };
  auto engine = CurlEngine::Create(loop, std::move(engine_options));
  RETURN_IF_ERROR(engine.status());
  self->engine_ = *std::move(engine);
  return self;
}

absl::StatusOr<std::unique_ptr<Exchange>> CurlTransport::Start(HttpCall call,
                                                               const Credentials& who) {
  if (last_->tls_version != 0 && last_->tls_version != who.tls_version) {
    KLOG_INFO("Client credentials changed, closing connections to the API server");
    CloseConnections();
  }
  last_ = std::make_shared<Credentials>(who);
  auto exchange = std::make_unique<Exchange>(*engine_);
  CURL* easy = exchange->easy();
  Dress(exchange.get(), call.path, who);
  exchange->AddHeader("Accept: " + call.accept);
  if (call.content_type.empty()) {
    if (call.method != "GET") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  } else {
    exchange->AddHeader("Content-Type: " + call.content_type);
    exchange->AddHeader("Expect:");  // a round trip spared, also for large bodies
    exchange->SetBody(std::move(call.body));
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  }
  if (call.compressed && !config_.cluster.disable_compression) {
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
  }
  if (call.timeout.count() > 0) {
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, Milliseconds(call.timeout));
  }
  RETURN_IF_ERROR(exchange->Start(call.streaming, call.max_body));
  return exchange;
}

void CurlTransport::Answered(const std::string& method, int code, base::Nanos took) const {
  if (!options_.on_answer) return;
  const std::string& url = config_.cluster.server;
  const size_t scheme = url.find("://");
  const size_t begin = scheme == url.npos ? 0 : scheme + 3;
  options_.on_answer(url.substr(begin, url.find('/', begin) - begin), method, code, took);
}

void CurlTransport::Dress(Exchange* exchange, const std::string& path,
                          const Credentials& who) const {
  CURL* easy = exchange->easy();
  const std::string& tls_name = config_.cluster.tls_server_name;
  const std::string& host = tls_name.empty() ? server_.host : tls_name;
  const std::string url =
      StrCat(server_.scheme, "://", Bracketed(host), ":", server_.port, server_.path, path);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  if (!tls_name.empty()) {
    // curl checks the URL's name, so the URL has the name that the certificate has, and is sent
    // where the server is.
    exchange->ConnectTo(StrCat("::", Bracketed(server_.host), ":", server_.port));
    exchange->AddHeader(StrCat("Host: ", Bracketed(server_.host), ":", server_.port));
  }
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  // Never followed: a redirect would take our credentials along.
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);  // rather a stream than a connection
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, Milliseconds(options_.connect_timeout));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  // Decided by us: an empty proxy keeps curl from the environment.
  curl_easy_setopt(easy, CURLOPT_PROXY, proxy_.c_str());
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (server_.scheme == "https") DressTls(easy, who);
  if (!who.authorization.empty()) exchange->AddHeader("Authorization: " + who.authorization);
}

void CurlTransport::DressTls(CURL* easy, const Credentials& who) const {
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (config_.cluster.insecure_skip_tls_verify) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!who.ca_pem.empty()) {
    SetBlob(easy, CURLOPT_CAINFO_BLOB, who.ca_pem);
    // Only these: the system's authorities have no say about a cluster.
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (!who.cert_pem.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
    SetBlob(easy, CURLOPT_SSLCERT_BLOB, who.cert_pem);
    SetBlob(easy, CURLOPT_SSLKEY_BLOB, who.key_pem);
  }
}

absl::StatusOr<std::shared_ptr<Transport>> Transport::Create(base::Loop& loop, KubeConfig config,
                                                             TransportOptions options) {
  auto transport = CurlTransport::Open(loop, std::move(config), std::move(options));
  RETURN_IF_ERROR(transport.status());
  return std::shared_ptr<Transport>(*std::move(transport));
}

}  // namespace keelson::kubelet::client
