// SPDX-License-Identifier: Apache-2.0
// Frames and texts of streams from anywhere: WebSocket and SPDY frames, container logs, archives. However
// the bytes are cut, the same comes out. The first byte chooses the reader.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/strings.h"
#include "base/websocket.h"
#include "kubelet/logs/cri_log.h"
#include "kubelet/server/spdy.h"
#include "kubelet/server/upgrade.h"
#include "tools/nodectl/tar.h"

namespace {

using namespace keelson;

// What a decoder tells, with the data of neighbours put together.
template <typename Decoder>
std::string Told(Decoder decoder, std::string_view bytes, size_t step) {
  std::string told;
  for (size_t at = 0; at < bytes.size(); at += step) {
    decoder.Feed(bytes.substr(at, step));
    for (;;) {
      auto event = decoder.Next();
      if (!event.ok()) return told + "!";
      if (!*event) break;
      told += (*event)->payload;
      const int kind = static_cast<int>((*event)->kind);
      if constexpr (requires { (*event)->ends; }) {
        if (kind != 0 || (*event)->ends) base::StrAppend(&told, "|", kind, "|");
      } else if (kind != 1 || (*event)->fin) {
        base::StrAppend(&told, "|", kind, ",", (*event)->id, (*event)->fin, "|");
      }
    }
  }
  return told;
}

std::string LogOf(std::string_view bytes, size_t step) {
  kubelet::LogDecoder decoder({.since = std::nullopt, .timestamps = true});
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += step) decoder.Feed(bytes.substr(at, step), &out);
  return out;
}

std::string ArchiveOf(std::string_view bytes, size_t step) {
  std::string told;
  nodectl::TarReader reader({[&](const nodectl::TarEntry& entry) {
                               auto target = nodectl::TargetOf(entry.name, ".", "here");
                               if (!target.ok()) return target.status();
                               KEELSON_CHECK(target->starts_with("here") && ("/" + *target + "/").find("/../") == std::string::npos);
                               told += *target + entry.type;
                               return absl::OkStatus();
                             },
                             [&](std::string_view data) {
                               told += data;
                               return absl::OkStatus();
                             }});
  for (size_t at = 0; at < bytes.size(); at += step)
    if (!reader.Feed(bytes.substr(at, step)).ok()) return told + "!";
  return told + (reader.Finish().ok() ? "." : "?");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t all = bytes.size() + 1;
  switch (data[0] % 6) {
    case 0:
      KEELSON_CHECK(Told(base::WsDecoder(base::WsRole::kServer), bytes, all) ==
                    Told(base::WsDecoder(base::WsRole::kServer), bytes, 7));
      break;
    case 1:
      KEELSON_CHECK(Told(base::WsDecoder(base::WsRole::kClient), bytes, all) ==
                    Told(base::WsDecoder(base::WsRole::kClient), bytes, 3));
      break;
    case 2:
      KEELSON_CHECK(Told(kubelet::SpdyDecoder(), bytes, all) == Told(kubelet::SpdyDecoder(), bytes, 5));
      break;
    case 3:
      KEELSON_CHECK(LogOf(bytes, all) == LogOf(bytes, 11));
      break;
    case 4:
      KEELSON_CHECK(ArchiveOf(bytes, all) == ArchiveOf(bytes, 100));
      break;
    default: {
      auto url = kubelet::ParseStreamUrl(std::string(bytes));
      if (url.ok()) KEELSON_CHECK(url->target.find_first_of(" \r\n") == url->target.npos && url->port > 0);
      kubelet::HttpRequest request;
      request.headers = {{"sec-websocket-protocol", std::string(bytes)}};
      static_cast<void>(kubelet::WebSocketProtocols(request));
    }
  }
  return 0;
}
