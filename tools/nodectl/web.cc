// SPDX-License-Identifier: Apache-2.0
// web: a page about this node for a browser on it. Who has no token gets nothing, and a page of another
// site cannot ask either: names that are not ours (DNS rebinding) and other origins are turned away.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <list>
#include <optional>

#include "base/errno_status.h"
#include "base/fd.h"
#include "tools/nodectl/client.h"
#include "tools/nodectl/commands.h"
#include "tools/nodectl/terminal.h"
#include "tools/nodectl/web_page.h"

namespace keelson::nodectl {
namespace {

constexpr size_t kMaxHead = 16 << 10;
constexpr size_t kMaxVisitors = 64;
constexpr size_t kEnough = 256 << 10;  // bytes for the browser above which we read no more
// What a browser may ask of the agent.
constexpr std::string_view kAgentPaths[] = {"/pods", "/events", "/stats/summary", "/containerLogs/"};

constexpr std::string_view kSafety =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n";

std::string Head(std::string_view status, std::string_view type) {
  return base::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", type, "\r\n", kSafety, "\r\n");
}

// Value of a header in a request or answer; empty when absent.
std::string_view HeaderOf(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const size_t end = head.find("\r\n");
    std::string_view line = head.substr(0, end);
    const size_t colon = line.find(':');
    if (colon == name.size() &&
        std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
          return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
        })) {
      line.remove_prefix(colon + 1);
      while (line.starts_with(' ')) line.remove_prefix(1);
      return line;
    }
    head = end == head.npos ? std::string_view() : head.substr(end + 2);
  }
  return {};
}

bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  int difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= a[i] ^ b[i];
  return difference == 0;
}

// Whom we serve, and by which name.
struct Site {
  const Client& client;
  std::string token;
  uint16_t port = 0;
};

// One request of a browser. Nothing waits.
class Visitor {
 public:
  explicit Visitor(base::UniqueFd browser) : browser_(std::move(browser)) {}

  void AddTo(std::vector<pollfd>* wait) const {
    const bool hungry = out_.size() < kEnough && agent_.ok();
    wait->push_back({browser_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0});
    wait->push_back({hungry ? agent_.get() : -1, POLLIN, 0});
  }

  // False: it is over.
  bool Turn(const Site& site, const pollfd& browser, const pollfd& agent) {
    if (browser.revents != 0 && !ReadBrowser(site)) return false;
    if (agent.revents != 0) ReadAgent();
    return WriteBrowser() && !(last_ && out_.empty());
  }
  bool asking() const { return !asked_; }

 private:
  bool ReadBrowser(const Site& site) {
    char block[4096];
    const ssize_t got = ::recv(browser_.get(), block, sizeof(block), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;  // it has left, or switched to another log
    if (asked_) return true;     // one request is all we take
    in_.append(block, static_cast<size_t>(got));
    if (in_.find("\r\n\r\n") == in_.npos) return in_.size() < kMaxHead;
    asked_ = true;
    Answer(site);
    return true;
  }

  void Say(std::string_view status, std::string_view type, std::string_view body) {
    out_ = base::StrCat(Head(status, type), body);
    last_ = true;
  }
  void Refuse(std::string_view status) { Say(status, "text/plain; charset=utf-8", base::StrCat(status, "\n")); }

  void Answer(const Site& site) {
    const std::string_view line = std::string_view(in_).substr(0, in_.find("\r\n"));
    const std::string_view headers = std::string_view(in_).substr(line.size() + 2);
    const std::string_view host = HeaderOf(headers, "host"), from = HeaderOf(headers, "sec-fetch-site");
    if (host != base::StrCat("127.0.0.1:", site.port) && host != base::StrCat("localhost:", site.port))
      return Refuse("403 Forbidden");
    if (!from.empty() && from != "same-origin" && from != "none") return Refuse("403 Forbidden");
    if (!line.starts_with("GET /") || !line.ends_with(" HTTP/1.1")) return Refuse("405 Method Not Allowed");
    std::string_view target = line.substr(5, line.size() - 5 - 9);
    const size_t slash = target.find('/');
    // Without the token nobody learns what is here.
    if (slash == target.npos || !SameSecret(target.substr(0, slash), site.token))
      return Refuse("404 Not Found");
    target.remove_prefix(slash + 1);
    if (target.starts_with("api/")) return AskAgent(site, target.substr(3));
    const WebFile file = FindWebFile(target);
    if (file.body.empty()) return Refuse("404 Not Found");
    Say("200 OK", file.content_type, file.body);
  }

  // `target` is encoded as it came: it has no space and no line break.
  void AskAgent(const Site& site, std::string_view target) {
    const std::string_view path = target.substr(0, target.find('?'));
    const bool allowed = std::ranges::any_of(kAgentPaths, [&](std::string_view one) {
      return one.ends_with('/') ? path.starts_with(one) : path == one;
    });
    if (!allowed || path.find("..") != path.npos || path.find('%') != path.npos)
      return Refuse("404 Not Found");
    auto fd = site.client.Connect();
    if (!fd.ok()) return Say("502 Bad Gateway", "text/plain; charset=utf-8", base::Message(fd.status()));
    agent_.reset(*fd);
    // By HTTP/1.0 the body ends with the connection, which is how we pass it on.
    const std::string request = base::StrCat("GET ", target, " HTTP/1.0\r\nHost: localhost\r\n\r\n");
    if (::send(agent_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size()) ||
        ::fcntl(agent_.get(), F_SETFL, O_NONBLOCK) < 0)
      Refuse("502 Bad Gateway");
  }

  void ReadAgent() {
    std::string block(32 << 10, '\0');
    const ssize_t got = ::recv(agent_.get(), block.data(), block.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      if (!head_done_) return Refuse("502 Bad Gateway");
      last_ = true;
      agent_.reset();
      return;
    }
    block.resize(static_cast<size_t>(got));
    if (head_done_) {
      out_ += block;
      return;
    }
    agent_head_ += block;
    const size_t end = agent_head_.find("\r\n\r\n");
    if (end == agent_head_.npos) return;
    const std::string_view head = std::string_view(agent_head_).substr(0, end + 2);
    const std::string_view status = head.substr(9, head.find("\r\n") - 9);
    out_ = base::StrCat(Head(status, HeaderOf(head.substr(head.find("\r\n") + 2), "content-type")),
                        std::string_view(agent_head_).substr(end + 4));
    head_done_ = true;
  }

  bool WriteBrowser() {
    while (!out_.empty()) {
      const ssize_t put = ::send(browser_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return errno == EAGAIN;
      out_.erase(0, static_cast<size_t>(put));
    }
    return true;
  }

  base::UniqueFd browser_, agent_;
  std::string in_, out_, agent_head_;
  bool asked_ = false;      // a whole request was read
  bool head_done_ = false;  // the agent's, which is passed on as ours
  bool last_ = false;       // nothing comes behind out_
};

absl::StatusOr<std::string> MakeToken() {
  unsigned char bytes[24];
  if (::getrandom(bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes)))
    return base::ErrnoStatus("getrandom");
  std::string token;
  for (unsigned char byte : bytes) base::StrAppend(&token, absl::Hex(byte, absl::kZeroPad2));
  return token;
}

absl::StatusOr<base::UniqueFd> ListenLocally(uint16_t* port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(*port);
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(where);
  const int on = 1;
  if (!fd.ok() || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
      ::bind(fd.get(), reinterpret_cast<sockaddr*>(&where), size) < 0 || ::listen(fd.get(), SOMAXCONN) < 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&where), &size) < 0)
    return base::ErrnoStatus("listen on", base::StrCat("127.0.0.1:", *port));
  *port = ntohs(where.sin_port);
  return fd;
}

absl::Status Serve(const Site& site, const base::UniqueFd& listener, const base::UniqueFd& signals) {
  std::list<Visitor> visitors;
  for (;;) {
    std::vector<pollfd> wait = {{signals.get(), POLLIN, 0}, {listener.get(), POLLIN, 0}};
    for (const Visitor& visitor : visitors) visitor.AddTo(&wait);
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return base::ErrnoStatus("poll");
    if (wait[0].revents != 0) return absl::OkStatus();
    size_t at = 2;
    for (auto visitor = visitors.begin(); visitor != visitors.end(); at += 2)
      visitor = visitor->Turn(site, wait[at], wait[at + 1]) ? std::next(visitor) : visitors.erase(visitor);
    if (wait[1].revents == 0) continue;
    base::UniqueFd browser(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!browser.ok()) continue;  // it left again
    if (visitors.size() >= kMaxVisitors) {
      // Who has not even asked yet makes room first.
      auto idle = std::ranges::find_if(visitors, &Visitor::asking);
      visitors.erase(idle == visitors.end() ? visitors.begin() : idle);
    }
    visitors.emplace_back(std::move(browser));
  }
}

}  // namespace

absl::Status Web(const Options& options) {
  const Client client(options.socket);
  // Better told here than by an empty page.
  RETURN_IF_ERROR(client.Get("/healthz").status());
  auto token = MakeToken();
  if (!token.ok()) return token.status();
  Site site{client, *token, options.port};
  auto listener = ListenLocally(&site.port);
  if (!listener.ok()) return listener.status();
  auto signals = WatchSignals();
  if (!signals.ok()) return signals.status();
  std::printf("http://127.0.0.1:%u/%s/\n", site.port, site.token.c_str());
  std::fflush(stdout);
  std::fputs("Who knows this address may look; Ctrl-C ends it.\n", stderr);
  return Serve(site, *listener, *signals);
}

}  // namespace keelson::nodectl
