// SPDX-License-Identifier: Apache-2.0
#include "base/websocket.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/strings.h"

namespace keelson::base {
namespace {

constexpr size_t kMaxControl = 125;
constexpr size_t kMaxPiece = 64 << 10;

bool IsControl(uint8_t opcode) { return (opcode & 8) != 0; }

absl::Status Broken(std::string_view why) {
  return absl::InvalidArgumentError(StrCat("websocket: ", why));
}

void AppendBigEndian(uint64_t value, int bytes, std::string* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out->push_back(static_cast<char>(value >> shift & 0xff));
}

}  // namespace

void WsDecoder::Feed(std::string_view bytes) {
  if (at_ > 0) in_.erase(0, std::exchange(at_, 0));
  in_.append(bytes);
}

absl::StatusOr<bool> WsDecoder::ReadHeader() {
  const size_t have = in_.size() - at_;
  if (have < 2) return false;
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(in_[at_ + i]); };
  const uint8_t opcode = byte(0) & 0x0f, length = byte(1) & 0x7f;
  const bool fin = (byte(0) & 0x80) != 0;
  const size_t long_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
  if ((byte(0) & 0x70) != 0) return Broken("reserved bits are set");
  if (opcode > 10 || (opcode > 2 && opcode < 8)) return Broken("unknown opcode");
  if (((byte(1) & 0x80) != 0) != masked_) return Broken(masked_ ? "frame without mask" : "masked frame");
  if (IsControl(opcode) && (!fin || length > kMaxControl)) return Broken("bad control frame");
  if (!IsControl(opcode) && (opcode == 0) != in_message_)
    return Broken(in_message_ ? "message inside a message" : "continuation of nothing");
  const size_t size = 2 + long_bytes + (masked_ ? 4 : 0);
  if (have < size) return false;
  left_ = length;
  if (long_bytes > 0) left_ = 0;
  for (size_t i = 0; i < long_bytes; ++i) left_ = left_ << 8 | byte(2 + i);
  if (left_ >> 63 != 0) return Broken("frame too long");
  for (size_t i = 0; masked_ && i < 4; ++i) mask_[i] = byte(2 + long_bytes + i);
  mask_at_ = 0;
  at_ += size;
  fin_ = fin;
  opcode_ = opcode;
  if (!IsControl(opcode)) {
    if (opcode != 0) begins_ = true;
    in_message_ = !fin;
  }
  has_header_ = true;
  return true;
}

std::string WsDecoder::TakePayload(size_t size) {
  std::string payload = in_.substr(at_, size);
  at_ += size;
  left_ -= size;
  if (masked_)
    for (char& c : payload) c = static_cast<char>(c ^ mask_[mask_at_++ & 3]);
  return payload;
}

absl::StatusOr<std::optional<WsEvent>> WsDecoder::Next() {
  if (!has_header_) {
    absl::StatusOr<bool> read = ReadHeader();
    if (!read.ok()) return read.status();
    if (!*read) return std::nullopt;
  }
  const size_t have = in_.size() - at_;
  const bool control = IsControl(opcode_);
  if (control ? have < left_ : (have == 0 && left_ > 0)) return std::nullopt;
  WsEvent event;
  event.payload = TakePayload(std::min<uint64_t>({have, left_, kMaxPiece}));
  has_header_ = left_ > 0;
  if (control) {
    event.kind = opcode_ == 8   ? WsEvent::Kind::kClose
                 : opcode_ == 9 ? WsEvent::Kind::kPing
                                : WsEvent::Kind::kPong;
    return event;
  }
  event.begins = std::exchange(begins_, false);
  event.ends = fin_ && left_ == 0;
  return event;
}

std::string WsFrame(WsRole role, WsOpcode opcode, std::string_view payload) {
  KEELSON_CHECK(!IsControl(static_cast<uint8_t>(opcode)) || payload.size() <= kMaxControl);
  const int masked = role == WsRole::kClient ? 0x80 : 0;
  std::string frame;
  frame.reserve(payload.size() + 14);
  frame.push_back(static_cast<char>(0x80 | static_cast<uint8_t>(opcode)));
  if (payload.size() <= kMaxControl) {
    frame.push_back(static_cast<char>(masked | static_cast<int>(payload.size())));
  } else {
    const bool small = payload.size() <= 0xffff;
    frame.push_back(static_cast<char>(masked | (small ? 126 : 127)));
    AppendBigEndian(payload.size(), small ? 2 : 8, &frame);
  }
  if (masked == 0) return frame.append(payload);
  char mask[4];
  KEELSON_CHECK(::getrandom(mask, sizeof(mask), 0) == static_cast<ssize_t>(sizeof(mask)));
  frame.append(mask, sizeof(mask));
  const size_t start = frame.size();
  frame.append(payload);
  for (size_t i = 0; i < payload.size(); ++i)
    frame[start + i] = static_cast<char>(frame[start + i] ^ mask[i & 3]);
  return frame;
}

std::string WsCloseFrame(WsRole role, uint16_t code, std::string_view reason) {
  std::string payload;
  AppendBigEndian(code, 2, &payload);
  payload.append(reason.substr(0, kMaxControl - 2));
  return WsFrame(role, WsOpcode::kClose, payload);
}

std::string WsAccept(std::string_view key) {
  const std::string text = StrCat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  KEELSON_CHECK(EVP_Digest(text.data(), text.size(), hash, &size, EVP_sha1(), nullptr) == 1);
  unsigned char base64[2 * EVP_MAX_MD_SIZE];
  const int length = EVP_EncodeBlock(base64, hash, static_cast<int>(size));
  return {reinterpret_cast<char*>(base64), static_cast<size_t>(length)};
}

}  // namespace keelson::base
