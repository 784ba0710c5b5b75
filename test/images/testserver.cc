// SPDX-License-Identifier: Apache-2.0
// What runs in test pods: a program that does what a test tells it to, by its arguments
//
//   (nothing) | TEXT...    prints TEXT and waits; SIGTERM ends it with exit code 3
//   stubborn               waits and ignores SIGTERM
//   exit N [SECONDS]       ends with code N, at once or after a while
//   sleep SECONDS          ends with code 0 after a while
//   echo TEXT...           prints TEXT and ends
//   fail-until FILE N      exit code 1 until FILE holds N lines, one more each time; then waits
//   alloc MIB              takes that much memory, touches it and waits
//   page FILE TEXT...      writes FILE now and again every second, in one rename
//   udp PORT               answers each datagram with the host's name and the datagram
//   serve [PORT [DIR]]     HTTP/1.0 server, 8080 by default; see Answer()
//
// One thread; a connection is served before the next one is accepted. C library calls only: the
// binary is static and small.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>

extern char** environ;

namespace {

constexpr size_t kMaxRequest = 8192;
constexpr size_t kMaxFile = 1 << 20;

bool healthy = true;

void OnTerm(int) { _exit(3); }

[[noreturn]] void Wait() {
  for (;;) pause();
}

[[noreturn]] void Die(const char* what) {
  perror(what);
  exit(2);
}

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

std::string Words(char** argv) {
  std::string text;
  for (; *argv; ++argv) text += (text.empty() ? "" : " ") + std::string(*argv);
  return text;
}

bool ReadSmall(const std::string& path, std::string* out) {
  FILE* file = fopen(path.c_str(), "re");
  if (!file) return false;
  out->resize(kMaxFile);
  out->resize(fread(out->data(), 1, out->size(), file));
  fclose(file);
  return true;
}

bool WriteFile(const std::string& path, const std::string& text, const char* mode = "we") {
  FILE* file = fopen(path.c_str(), mode);
  if (!file) return false;
  const bool written = fwrite(text.data(), 1, text.size(), file) == text.size();
  return fclose(file) == 0 && written;
}

void Allocate(size_t mib) {
  for (size_t i = 0; i < mib; ++i) {
    char* block = static_cast<char*>(malloc(1 << 20));
    if (!block) Die("malloc");
    memset(block, 1, 1 << 20);
  }
}

int FailUntil(const std::string& path, int wanted) {
  if (!WriteFile(path, "try\n", "ae")) Die(path.c_str());
  std::string text;
  ReadSmall(path, &text);
  int lines = 0;
  for (char c : text) lines += c == '\n';
  if (lines < wanted) return 1;
  Wait();
}

[[noreturn]] void KeepPage(const std::string& path, const std::string& text) {
  for (;;) {
    const std::string next = path + ".next";
    if (!WriteFile(next, text + "\n") || rename(next.c_str(), path.c_str()) != 0) Die(path.c_str());
    sleep(1);
  }
}

int Listen(int type, int port) {
  const int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  const int yes = 1, no = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<uint16_t>(port));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Die("bind");
  if (type == SOCK_STREAM && listen(fd, 64) != 0) Die("listen");
  return fd;
}

[[noreturn]] void ServeUdp(int port) {
  const int fd = Listen(SOCK_DGRAM, port);
  for (;;) {
    char data[kMaxRequest];
    sockaddr_storage peer;
    socklen_t length = sizeof peer;
    auto* address = reinterpret_cast<sockaddr*>(&peer);
    const ssize_t got = recvfrom(fd, data, sizeof data, 0, address, &length);
    if (got < 0) continue;
    const std::string answer = HostName() + " " + std::string(data, static_cast<size_t>(got));
    sendto(fd, answer.data(), answer.size(), 0, address, length);
  }
}

std::string Reply(int code, const std::string& body) {
  return "HTTP/1.0 " + std::to_string(code) + " -\r\nContent-Type: text/plain\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
}

bool TakePrefix(const std::string& path, const char* prefix, std::string* rest) {
  if (path.rfind(prefix, 0) != 0) return false;
  *rest = path.substr(strlen(prefix));
  return true;
}

// GET /            DIR/index.html, or the host's name
//     /hostname /env /headers
//     /status/CODE an answer with that code        /healthz  200, or 500 after /unhealthy
//     /exit/CODE   ends the program               /crash    ends it by SIGABRT
//     /stubborn    ignores SIGTERM from now on    /alloc/MIB takes memory
//     /write/PATH  writes "written" to /PATH      /file/PATH reads /PATH
std::string Answer(const std::string& path, const std::string& request, const std::string& dir) {
  std::string rest, body;
  if (path == "/")
    return Reply(200, ReadSmall(dir + "/index.html", &body) ? body : HostName() + "\n");
  if (path == "/hostname") return Reply(200, HostName() + "\n");
  if (path == "/headers") return Reply(200, request);
  if (path == "/env") {
    for (char** e = environ; *e; ++e) body += std::string(*e) + "\n";
    return Reply(200, body);
  }
  if (path == "/healthz") return Reply(healthy ? 200 : 500, healthy ? "ok\n" : "not healthy\n");
  if (path == "/healthy" || path == "/unhealthy") {
    healthy = path == "/healthy";
    return Reply(200, "ok\n");
  }
  if (path == "/stubborn") {
    signal(SIGTERM, SIG_IGN);
    return Reply(200, "ok\n");
  }
  if (path == "/crash") abort();
  if (TakePrefix(path, "/exit/", &rest)) _exit(atoi(rest.c_str()));
  if (TakePrefix(path, "/status/", &rest)) return Reply(atoi(rest.c_str()), rest + "\n");
  if (TakePrefix(path, "/alloc/", &rest)) {
    Allocate(strtoul(rest.c_str(), nullptr, 10));
    return Reply(200, "ok\n");
  }
  if (TakePrefix(path, "/write", &rest))
    return WriteFile(rest, "written\n") ? Reply(200, "ok\n") : Reply(500, strerror(errno));
  if (TakePrefix(path, "/file", &rest))
    return ReadSmall(rest, &body) ? Reply(200, body) : Reply(404, strerror(errno));
  return Reply(404, "no such page\n");
}

void ServeOne(int fd, const std::string& dir) {
  const timeval limit = {5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  std::string request;
  char data[1024];
  while (request.find("\r\n\r\n") == std::string::npos && request.size() < kMaxRequest) {
    const ssize_t got = recv(fd, data, sizeof data, 0);
    if (got <= 0) return;
    request.append(data, static_cast<size_t>(got));
  }
  const size_t begin = request.find(' ');
  const size_t end = begin == std::string::npos ? begin : request.find(' ', begin + 1);
  if (end == std::string::npos) return;
  const std::string answer = Answer(request.substr(begin + 1, end - begin - 1), request, dir);
  for (size_t sent = 0; sent < answer.size();) {
    const ssize_t put = send(fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
    if (put <= 0) return;
    sent += static_cast<size_t>(put);
  }
  shutdown(fd, SHUT_WR);
}

[[noreturn]] void ServeHttp(int port, const std::string& dir) {
  const int fd = Listen(SOCK_STREAM, port);
  printf("serving on port %d\n", port);
  fflush(stdout);
  for (;;) {
    const int peer = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) continue;
    ServeOne(peer, dir);
    close(peer);
  }
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGTERM, OnTerm);
  const std::string verb = argc > 1 ? argv[1] : "";
  const auto number = [&](int at, int fallback) { return argc > at ? atoi(argv[at]) : fallback; };
  if (verb == "exit") {
    sleep(static_cast<unsigned>(number(3, 0)));
    return number(2, 0);
  }
  if (verb == "sleep") return sleep(static_cast<unsigned>(number(2, 0))) ? 1 : 0;
  if (verb == "echo") return puts(Words(argv + 2).c_str()) < 0;
  if (verb == "fail-until" && argc > 3) return FailUntil(argv[2], number(3, 1));
  if (verb == "page" && argc > 3) KeepPage(argv[2], Words(argv + 3));
  if (verb == "udp") ServeUdp(number(2, 8081));
  if (verb == "serve") ServeHttp(number(2, 8080), argc > 3 ? argv[3] : "/www");
  if (verb == "stubborn") signal(SIGTERM, SIG_IGN);
  if (verb == "alloc") Allocate(static_cast<size_t>(number(2, 1)));
  if (argc > 1) puts(Words(argv + 1).c_str());
  fflush(stdout);
  Wait();
}
