// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/spdy.h"

#include <zlib.h>

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"

namespace keelson::kubelet {
namespace {

constexpr uint16_t kVersion = 3;
constexpr uint16_t kSynStream = 1, kSynReply = 2, kRstStream = 3, kPing = 6, kGoAway = 7, kHeaders = 8;
constexpr uint8_t kFin = 1;
constexpr size_t kMaxPiece = 64 << 10;
constexpr size_t kMaxFrame = (1 << 24) - 1;

// What both sides' compressors know beforehand (SPDY/3, section 2.6.10.1).
constexpr char kDictionary[] =
    "\000\000\000\007options\000\000\000\004head\000\000\000\004post\000\000\000\003put"
    "\000\000\000\006delete\000\000\000\005trace\000\000\000\006accept"
    "\000\000\000\016accept-charset\000\000\000\017accept-encoding\000\000\000\017accept-language"
    "\000\000\000\015accept-ranges\000\000\000\003age\000\000\000\005allow"
    "\000\000\000\015authorization\000\000\000\015cache-control\000\000\000\012connection"
    "\000\000\000\014content-base\000\000\000\020content-encoding\000\000\000\020content-language"
    "\000\000\000\016content-length\000\000\000\020content-location\000\000\000\013content-md5"
    "\000\000\000\015content-range\000\000\000\014content-type\000\000\000\004date"
    "\000\000\000\004etag\000\000\000\006expect\000\000\000\007expires\000\000\000\004from"
    "\000\000\000\004host\000\000\000\010if-match\000\000\000\021if-modified-since"
    "\000\000\000\015if-none-match\000\000\000\010if-range\000\000\000\023if-unmodified-since"
    "\000\000\000\015last-modified\000\000\000\010location\000\000\000\014max-forwards"
    "\000\000\000\006pragma\000\000\000\022proxy-authenticate\000\000\000\023proxy-authorization"
    "\000\000\000\005range\000\000\000\007referer\000\000\000\013retry-after"
    "\000\000\000\006server\000\000\000\002te\000\000\000\007trailer"
    "\000\000\000\021transfer-encoding\000\000\000\007upgrade\000\000\000\012user-agent"
    "\000\000\000\004vary\000\000\000\003via\000\000\000\007warning"
    "\000\000\000\020www-authenticate\000\000\000\006method\000\000\000\003get"
    "\000\000\000\006status\000\000\000\006200 OK\000\000\000\007version\000\000\000\010HTTP/1.1"
    "\000\000\000\003url\000\000\000\006public\000\000\000\012set-cookie"
    "\000\000\000\012keep-alive"
    "\000\000\000\006origin1001012012022052063003023033043053063074024054064074084094104114124134"
    "14415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 "
    "Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implem"
    "ented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, T"
    "ue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/"
    "xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchc"
    "harset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
uint32_t Number(const std::string& in, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(in[at + i]);
  return value;
}

void Append(uint32_t value, int bytes, std::string* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out->push_back(static_cast<char>(value >> shift & 0xff));
}

std::string ControlFrame(uint16_t type, std::string_view payload) {
  std::string frame;
  Append(0x8000 | kVersion, 2, &frame);
  Append(type, 2, &frame);
  Append(static_cast<uint32_t>(payload.size()), 4, &frame);  // no flags
  return frame.append(payload);
}

// Types whose payload begins with an id.
bool BeginsWithId(uint16_t type) {
  return type == kSynStream || type == kSynReply || type == kRstStream || type == kPing ||
         type == kHeaders;
}

SpdyEvent::Kind KindOf(uint16_t type) {
  switch (type) {
    case kSynReply: return SpdyEvent::Kind::kReply;
    case kRstStream: return SpdyEvent::Kind::kReset;
    case kPing: return SpdyEvent::Kind::kPing;
    case kGoAway: return SpdyEvent::Kind::kGoAway;
    default: return SpdyEvent::Kind::kOther;
  }
}

}  // namespace

void SpdyDecoder::Feed(std::string_view bytes) {
  if (at_ > 0) in_.erase(0, std::exchange(at_, 0));
  in_.append(bytes);
}

absl::StatusOr<bool> SpdyDecoder::ReadHeader() {
  const size_t have = in_.size() - at_;
  if (have < 8) return false;
  const uint32_t first = Number(in_, at_, 4);
  control_ = (first & 0x80000000) != 0;
  left_ = Number(in_, at_ + 5, 3);
  fin_ = (static_cast<uint8_t>(in_[at_ + 4]) & kFin) != 0;
  id_ = control_ ? 0 : first;
  size_t size = 8;
  if (control_) {
    if ((first >> 16 & 0x7fff) != kVersion)
      return absl::InvalidArgumentError("spdy: a control frame of another version");
    type_ = static_cast<uint16_t>(first & 0xffff);
    if (BeginsWithId(type_)) {
      if (left_ < 4) return absl::InvalidArgumentError("spdy: a control frame without its stream");
      if (have < 12) return false;
      id_ = Number(in_, at_ + 8, 4) & (type_ == kPing ? 0xffffffff : 0x7fffffff);
      left_ -= 4;
      size += 4;
    }
  }
  at_ += size;
  has_header_ = true;
  return true;
}

absl::StatusOr<std::optional<SpdyEvent>> SpdyDecoder::Next() {
  for (;;) {
    if (!has_header_) {
      absl::StatusOr<bool> read = ReadHeader();
      if (!read.ok()) return read.status();
      if (!*read) return std::nullopt;
    }
    const size_t have = in_.size() - at_;
    if (have == 0 && left_ > 0) return std::nullopt;
    const size_t piece = std::min<size_t>({have, left_, kMaxPiece});
    at_ += piece;
    left_ -= static_cast<uint32_t>(piece);
    if (left_ == 0) has_header_ = false;
    SpdyEvent event;
    event.id = id_;
    event.fin = fin_ && left_ == 0;
    if (!control_) {
      event.kind = SpdyEvent::Kind::kData;
      event.payload = in_.substr(at_ - piece, piece);
      return event;
    }
    if (left_ > 0) continue;  // what a control frame says besides is skipped
    event.kind = KindOf(type_);
    if (event.kind != SpdyEvent::Kind::kReply && type_ != kHeaders) event.fin = false;
    return event;
  }
}

struct SpdyEncoder::Compressor {
  Compressor() {
    KEELSON_CHECK(::deflateInit(&stream, Z_BEST_SPEED) == Z_OK);
    // Without the terminating zero of the literal.
    KEELSON_CHECK(::deflateSetDictionary(&stream, reinterpret_cast<const Bytef*>(kDictionary),
                                         sizeof(kDictionary) - 1) == Z_OK);
  }
  ~Compressor() { ::deflateEnd(&stream); }
  z_stream stream{};
};

SpdyEncoder::SpdyEncoder() : compressor_(std::make_unique<Compressor>()) {}
SpdyEncoder::~SpdyEncoder() = default;

std::string SpdyEncoder::Open(uint32_t id, const Headers& headers) {
  std::string plain;
  Append(static_cast<uint32_t>(headers.size()), 4, &plain);
  for (const auto& [name, value] : headers) {
    for (const std::string* text : {&name, &value}) {
      Append(static_cast<uint32_t>(text->size()), 4, &plain);
      plain += *text;
    }
  }
  z_stream& stream = compressor_->stream;
  std::string packed(::deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  KEELSON_CHECK(::deflate(&stream, Z_SYNC_FLUSH) == Z_OK && stream.avail_in == 0);
  packed.erase(packed.size() - stream.avail_out);  // never longer: resize() has GCC 12 wonder

  std::string payload;
  Append(id, 4, &payload);
  Append(0, 4, &payload);  // belongs to no other stream
  Append(0, 2, &payload);  // priority and slot
  return ControlFrame(kSynStream, payload + packed);
}

std::string SpdyEncoder::Data(uint32_t id, std::string_view payload, bool fin) {
  KEELSON_CHECK(payload.size() <= kMaxFrame);
  std::string frame;
  frame.reserve(payload.size() + 8);
  Append(id & 0x7fffffff, 4, &frame);
  Append(static_cast<uint32_t>(fin ? kFin : 0) << 24 | static_cast<uint32_t>(payload.size()), 4,
         &frame);
  return frame.append(payload);
}

std::string SpdyEncoder::Ping(uint32_t id) {
  std::string payload;
  Append(id, 4, &payload);
  return ControlFrame(kPing, payload);
}

}  // namespace keelson::kubelet
