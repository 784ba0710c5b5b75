// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/watch_frames.h"

#include <google/protobuf/message.h>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;

std::optional<WatchEvent::Type> TypeNamed(std::string_view name) {
  if (name == "ADDED") return WatchEvent::Type::kAdded;
  if (name == "MODIFIED") return WatchEvent::Type::kModified;
  if (name == "DELETED") return WatchEvent::Type::kDeleted;
  if (name == "BOOKMARK") return WatchEvent::Type::kBookmark;
  return std::nullopt;
}

absl::Status DecodeObject(std::string_view bytes, Message* object) {
  // A server that lacks protobuf for a type puts JSON into the event.
  if (bytes.starts_with(std::string_view("k8s\0", 4))) {
    return proto::DecodeKubeProtobuf(bytes, nullptr, object);
  }
  return proto::DecodeJson(bytes, object, {.max_bytes = bytes.size()});
}

absl::Status ErrorEvent(std::string_view bytes, std::string_view what) {
  k8s::meta::v1::Status status;
  RETURN_IF_ERROR(DecodeObject(bytes, &status));
  return ToStatus(FromStatusObject(status, 500), what);
}

}  // namespace

void FrameReader::Add(std::string_view bytes) {
  if (start_ > 0 && start_ * 2 >= buffer_.size()) {
    buffer_.erase(0, start_);
    scanned_ -= start_;
    start_ = 0;
  }
  buffer_.append(bytes);
}

absl::StatusOr<std::optional<std::string>> FrameReader::Next() {
  size_t from = start_, length = 0, skip = 0;
  bool whole = false;
  if (encoding_ == Encoding::kProtobuf) {
    if (size() < 4) return std::nullopt;
    for (size_t i = 0; i < 4; ++i) {
      length = length << 8 | static_cast<unsigned char>(buffer_[start_ + i]);
    }
    from += 4;
    whole = buffer_.size() - from >= length;
  } else {
    const size_t end = buffer_.find('\n', std::max(scanned_, start_));
    whole = end != std::string::npos;
    scanned_ = whole ? end : buffer_.size();
    length = scanned_ - start_;
    skip = 1;
  }
  if (length > max_frame_) {
    return absl::ResourceExhaustedError(
        StrCat("an event has ", length, " bytes, more than the limit of ", max_frame_));
  }
  if (!whole) return std::nullopt;
  std::string frame = buffer_.substr(from, length);
  start_ = from + length + skip;
  scanned_ = std::max(scanned_, start_);
  return frame;
}

absl::StatusOr<WatchEvent> DecodeWatchEvent(Encoding encoding, std::string_view frame,
                                            const Resource& resource, std::string_view what) {
  k8s::meta::v1::WatchEvent wire;
  if (encoding == Encoding::kProtobuf) {
    if (!wire.ParsePartialFromString(std::string(frame))) {
      return absl::InvalidArgumentError(StrCat(what, ": an event is not protobuf"));
    }
  } else {
    RETURN_IF_ERROR(
        base::Annotate(proto::DecodeJson(frame, &wire, {.max_bytes = frame.size()}), what));
  }
  const std::string& bytes = wire.object().raw();
  if (wire.type() == "ERROR") return ErrorEvent(bytes, what);
  const auto type = TypeNamed(wire.type());
  if (!type) {
    return absl::InvalidArgumentError(StrCat(what, ": an event has type \"", wire.type(), "\""));
  }
  WatchEvent event;
  event.type = *type;
  event.object = resource.New();
  RETURN_IF_ERROR(base::Annotate(DecodeObject(bytes, event.object.get()), what));
  event.initial_events_end =
      *type == WatchEvent::Type::kBookmark &&
      MetaOf(*event.object).annotations().contains("k8s.io/initial-events-end");
  return event;
}

}  // namespace keelson::kubelet::client
