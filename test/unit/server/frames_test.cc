// SPDX-License-Identifier: Apache-2.0
// WebSocket and SPDY frames: what goes out, what comes in, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "base/strings.h"
#include "base/websocket.h"
#include "kubelet/server/spdy.h"

namespace keelson::kubelet {
namespace {

using base::WsDecoder;
using base::WsEvent;
using base::WsFrame;
using base::WsOpcode;
using base::WsRole;
using ::testing::HasSubstr;

// Everything there is, or the error's text at the end.
std::string Told(WsDecoder& in) {
  std::string told;
  for (;;) {
    auto event = in.Next();
    if (!event.ok()) return told + "error";
    if (!*event) return told;
    const WsEvent& e = **event;
    const char* kinds[] = {"data", "ping", "pong", "close"};
    base::StrAppend(&told, kinds[static_cast<int>(e.kind)], e.begins ? " begin" : "",
                    e.ends ? " end" : "", " ", e.payload, "; ");
  }
}

std::string Read(WsRole role, std::string_view bytes) {
  WsDecoder in(role);
  in.Feed(bytes);
  return Told(in);
}

std::string Bytes(std::initializer_list<int> values) {
  std::string text;
  for (int value : values) text += static_cast<char>(value);
  return text;
}

TEST(WebSocketFrames, AcceptKeyOfTheRfc) {
  EXPECT_EQ(base::WsAccept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(WebSocketFrames, TravelBothWaysAtEveryLength) {
  for (size_t size : {0, 1, 125, 126, 65535, 65536, 200'000}) {
    const std::string payload(size, 'x');
    for (WsRole from : {WsRole::kClient, WsRole::kServer}) {
      WsDecoder in(from == WsRole::kClient ? WsRole::kServer : WsRole::kClient);
      std::string got;
      bool ended = false;
      const std::string frame = WsFrame(from, WsOpcode::kBinary, payload);
      for (size_t at = 0; at < frame.size(); at += 1000) {
        in.Feed(std::string_view(frame).substr(at, 1000));
        for (;;) {
          auto event = in.Next();
          ASSERT_TRUE(event.ok()) << event.status();
          if (!*event) break;
          EXPECT_EQ((*event)->begins, got.empty());
          got += (*event)->payload;
          ended = (*event)->ends;
        }
      }
      EXPECT_EQ(got, payload);
      EXPECT_TRUE(ended);
    }
  }
}

TEST(WebSocketFrames, FragmentsAreOneMessageAndControlFramesComeBetween) {
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x02, 1, 'a', 0x89, 1, 'p', 0x00, 1, 'b', 0x80, 1, 'c'})),
            "data begin a; ping p; data b; data end c; ");
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x88, 2, 'x', 'y'})), "close xy; ");
}

TEST(WebSocketFrames, BrokenOnesAreRefused) {
  EXPECT_EQ(Read(WsRole::kServer, Bytes({0x82, 1, 'a'})), "error");              // no mask
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x82, 0x81, 0, 0, 0, 0, 'a'})), "error");  // a mask
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0xc2, 0})), "error");                   // reserved bit
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x83, 0})), "error");                   // unknown opcode
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x89, 126, 0, 126})), "error");         // long ping
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x09, 0})), "error");                   // half a ping
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x80, 0})), "error");                   // of nothing
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x02, 0, 0x82, 0})), "data begin ; error");
  EXPECT_EQ(Read(WsRole::kClient, Bytes({0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0})), "error");
}

TEST(SpdyFrames, HeadersAreCompressedOverAllStreams) {
  SpdyEncoder out;
  z_stream inflater{};
  ASSERT_EQ(::inflateInit(&inflater), Z_OK);
  for (uint32_t id : {1u, 3u}) {
    const std::string frame = out.Open(id, {{"streamtype", "error"}, {"port", "80"}});
    EXPECT_EQ(frame.substr(0, 4), Bytes({0x80, 3, 0, 1}));
    EXPECT_EQ(static_cast<uint8_t>(frame[11]), id);
    std::string plain(1000, '\0');
    inflater.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(frame.data() + 18));
    inflater.avail_in = static_cast<uInt>(frame.size() - 18);
    inflater.next_out = reinterpret_cast<Bytef*>(plain.data());
    inflater.avail_out = 1000;
    const int first = ::inflate(&inflater, Z_SYNC_FLUSH);
    if (id == 1) {
      // The checksum of the dictionary that the specification demands.
      ASSERT_EQ(first, Z_NEED_DICT);
      EXPECT_EQ(inflater.adler, 0xe3c6a7c2u);
      break;
    }
  }
  ::inflateEnd(&inflater);
}

TEST(SpdyFrames, DataComesInPiecesAndControlFramesAreSkipped) {
  SpdyDecoder in;
  in.Feed(Bytes({0x80, 3, 0, 4, 0, 0, 0, 12}) + std::string(12, 's'));  // SETTINGS
  auto settings = in.Next();
  ASSERT_TRUE(settings.ok() && *settings);
  EXPECT_EQ((*settings)->kind, SpdyEvent::Kind::kOther);
  in.Feed(Bytes({0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 5, 'h', 'h'}));  // SYN_REPLY
  auto reply = in.Next();
  ASSERT_TRUE(reply.ok() && *reply);
  EXPECT_EQ((*reply)->kind, SpdyEvent::Kind::kReply);
  EXPECT_EQ((*reply)->id, 5u);
  const std::string data = SpdyEncoder::Data(5, "hello", true);
  in.Feed(data.substr(0, 10));
  auto piece = in.Next();
  ASSERT_TRUE(piece.ok() && *piece);
  EXPECT_EQ((*piece)->payload, "he");
  EXPECT_FALSE((*piece)->fin);
  EXPECT_FALSE(in.Next()->has_value());
  in.Feed(data.substr(10) + SpdyEncoder::Ping(2));
  piece = in.Next();
  EXPECT_EQ((*piece)->payload, "llo");
  EXPECT_TRUE((*piece)->fin);
  auto ping = in.Next();
  EXPECT_EQ((*ping)->kind, SpdyEvent::Kind::kPing);
  EXPECT_EQ((*ping)->id, 2u);
}

TEST(SpdyFrames, OtherVersionsAreRefused) {
  SpdyDecoder in;
  in.Feed(Bytes({0x80, 2, 0, 1, 0, 0, 0, 0}));
  EXPECT_FALSE(in.Next().ok());
}

}  // namespace
}  // namespace keelson::kubelet
