// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/object_store.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/authorization.pb.h"
#include "proto/k8s/meta.pb.h"
#include "proto/k8s/pod.pb.h"
#include "test/apiserver/patch.h"

namespace keelson::apiserver {

using base::StrCat;
using kubelet::client::MetaOf;
using kubelet::client::MutableMetaOf;
using kubelet::client::Verb;
namespace client = kubelet::client;
namespace k8s = ::k8s;

absl::Status ApiFailure(int code, std::string reason, std::string message) {
  client::ApiError error;
  error.code = code;
  error.reason = std::move(reason);
  error.message = std::move(message);
  return client::ToStatus(error, "server");
}

namespace {

absl::Status NotFound(const Resource& resource, const std::string& name) {
  return ApiFailure(404, "NotFound", StrCat(resource.plural, " \"", name, "\" not found"));
}
absl::Status Conflict(const Resource& resource, const std::string& name, std::string_view why) {
  return ApiFailure(
      409, "Conflict",
      StrCat("Operation cannot be fulfilled on ", resource.plural, " \"", name, "\": ", why));
}
absl::Status TooOld() {
  return ApiFailure(410, "Expired", "The resourceVersion for the provided watch is too old.");
}

uint64_t Number(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::shared_ptr<Message> Copy(const Message& object) {
  std::shared_ptr<Message> copy(object.New());
  copy->CopyFrom(object);
  return copy;
}

// What a write to the object leaves alone, or all it may write: its status.
void CopyStatus(const Message& from, Message* to) {
  const google::protobuf::FieldDescriptor* field = to->GetDescriptor()->FindFieldByName("status");
  if (field == nullptr || field->message_type() == nullptr) return;
  if (from.GetReflection()->HasField(from, field)) {
    to->GetReflection()->MutableMessage(to, field)->CopyFrom(
        from.GetReflection()->GetMessage(from, field));
  } else {
    to->GetReflection()->ClearField(to, field);
  }
}

}  // namespace

// --- State ---

ObjectPtr ObjectStore::Store(const Key& key, std::shared_ptr<Message> object) {
  auto* meta = MutableMetaOf(object.get());
  meta->set_resourceversion(StrCat(++version_));
  if (meta->uid().empty()) {
    const std::string digits = StrCat(next_uid_++);
    meta->set_uid("00000000-0000-4000-8000-" + std::string(12 - digits.size(), '0') + digits);
  }
  if (!meta->has_creationtimestamp()) {
    meta->mutable_creationtimestamp()->set_seconds(base::ToUnixNanos(Now()) / 1'000'000'000);
  }
  ObjectPtr& slot = objects_[key];
  history_.push_back({version_, key, slot, object});
  slot = object;
  const auto listeners = listeners_;
  for (const auto& [id, listener] : listeners) listener();
  return object;
}

void ObjectStore::Drop(const Key& key) {
  const auto found = objects_.find(key);
  KEELSON_CHECK(found != objects_.end());
  // The event of a deletion carries the object with the version of the deletion.
  const std::shared_ptr<Message> last = Copy(*found->second);
  MutableMetaOf(last.get())->set_resourceversion(StrCat(++version_));
  history_.push_back({version_, key, last, nullptr});
  objects_.erase(found);
  const auto listeners = listeners_;
  for (const auto& [id, listener] : listeners) listener();
}

ObjectPtr ObjectStore::Put(const Message& object) {
  const Resource& resource = client::ResourceOf(object.GetDescriptor());
  const auto& meta = MetaOf(object);
  const Key key{&resource, meta.namespace_(), meta.name()};
  auto copy = Copy(object);
  if (const auto found = objects_.find(key); found != objects_.end() && meta.uid().empty()) {
    const auto& had = MetaOf(*found->second);
    MutableMetaOf(copy.get())->set_uid(had.uid());
    *MutableMetaOf(copy.get())->mutable_creationtimestamp() = had.creationtimestamp();
  }
  return Store(key, std::move(copy));
}

ObjectPtr ObjectStore::FindObject(const Resource& resource, const std::string& ns,
                                  const std::string& name) const {
  const auto found = objects_.find(Key{&resource, ns, name});
  return found == objects_.end() ? nullptr : found->second;
}

std::vector<ObjectPtr> ObjectStore::AllObjects(const Resource& resource) const {
  std::vector<ObjectPtr> all;
  for (const auto& [key, object] : objects_) {
    if (std::get<0>(key) == &resource) all.push_back(object);
  }
  return all;
}

void ObjectStore::EraseObject(const Resource& resource, const std::string& ns,
                              const std::string& name) {
  Drop(Key{&resource, ns, name});
}

void ObjectStore::Compact() {
  compacted_ = version_;
  history_.clear();
  pages_.clear();
}

void ObjectStore::FreezeCache(bool frozen) {
  frozen_ = frozen;
  frozen_objects_ = objects_;
  frozen_version_ = version_;
}

void ObjectStore::TurnBack(uint64_t by) {
  version_ -= std::min(by, version_ - 1);
  compacted_ = version_;
  history_.clear();
  pages_.clear();
}

std::function<void()> ObjectStore::OnChange(std::function<void()> listener) {
  const int id = next_listener_++;
  listeners_[id] = std::move(listener);
  return [this, id] { listeners_.erase(id); };
}

absl::Status ObjectStore::CheckWatch(uint64_t after) const {
  return after < compacted_ ? TooOld() : absl::OkStatus();
}

std::optional<WatchEvent> ObjectStore::NextEvent(const Resource& resource, const std::string& ns,
                                                 const Selector& selector,
                                                 uint64_t* position) const {
  auto next = std::upper_bound(history_.begin(), history_.end(), *position,
                               [](uint64_t at, const Change& change) { return at < change.version; });
  for (; next != history_.end(); ++next) {
    const Change& change = *next;
    *position = change.version;
    if (std::get<0>(change.key) != &resource) continue;
    if (!ns.empty() && std::get<1>(change.key) != ns) continue;
    const bool was = change.before != nullptr && selector.Matches(*change.before);
    const bool is = change.after != nullptr && selector.Matches(*change.after);
    if (!was && !is) continue;
    WatchEvent event;
    event.type = is ? (was ? WatchEvent::Type::kModified : WatchEvent::Type::kAdded)
                    : WatchEvent::Type::kDeleted;
    event.object = Copy(is ? *change.after : *change.before);
    MutableMetaOf(event.object.get())->set_resourceversion(StrCat(change.version));
    return event;
  }
  return std::nullopt;
}

// --- Requests ---

absl::Status ObjectStore::Do(const ApiRequest& request, Message* answer) {
  std::unique_ptr<Message> dropped;
  if (answer == nullptr) {
    dropped = request.resource->New();
    answer = dropped.get();
  }
  switch (request.verb) {
    case Verb::kGet:
      return Get(request, answer);
    case Verb::kList:
      return List(request, answer);
    case Verb::kCreate:
      return Create(request, answer);
    case Verb::kUpdate:
      return Update(request, answer);
    case Verb::kPatch:
      return Patch(request, answer);
    case Verb::kDelete:
      return Delete(request, answer);
  }
  return ApiFailure(405, "MethodNotAllowed", "");
}

absl::Status ObjectStore::Get(const ApiRequest& request, Message* answer) {
  const ObjectPtr found = FindObject(*request.resource, request.ns, request.name);
  if (found == nullptr) return NotFound(*request.resource, request.name);
  answer->CopyFrom(*found);
  return absl::OkStatus();
}

absl::Status ObjectStore::List(const ApiRequest& request, Message* answer) {
  const client::ListOptions& options = request.list;
  Page page;
  if (!options.continue_token.empty()) {
    const auto found = pages_.find(options.continue_token);
    if (found == pages_.end()) {
      return ApiFailure(410, "Expired", "The provided continue parameter is too old");
    }
    page = found->second;
  } else {
    const bool cached = frozen_ && !options.resource_version.empty();
    const auto& objects = cached ? frozen_objects_ : objects_;
    page.version = cached ? frozen_version_ : version_;
    if (Number(options.resource_version) > page.version) {
      client::ApiError error{504,
                             "Timeout",
                             "Too large resource version",
                             "",
                             "",
                             {"ResourceVersionTooLarge"},
                             std::chrono::seconds(1)};
      return client::ToStatus(error, "server");
    }
    if (options.resource_version_match == "Exact" &&
        Number(options.resource_version) < compacted_) {
      return TooOld();
    }
    const Selector selector(options.field_selector, options.label_selector);
    for (const auto& [key, object] : objects) {
      if (std::get<0>(key) != request.resource) continue;
      if (!request.ns.empty() && std::get<1>(key) != request.ns) continue;
      if (selector.Matches(*object)) page.items.push_back(object);
    }
  }
  size_t count = page.items.size();
  // From a cache the limit is ignored, as upstream.
  if (options.limit > 0 && options.resource_version != "0") {
    count = std::min(count, static_cast<size_t>(options.limit));
  }
  answer->Clear();
  for (size_t i = 0; i < count; ++i) client::AddItem(answer)->CopyFrom(*page.items[i]);
  auto* meta = client::MutableListMetaOf(answer);
  meta->set_resourceversion(StrCat(page.version));
  if (count < page.items.size()) {
    meta->set_continue_(StrCat("page-", pages_.size() + 1));
    page.items.erase(page.items.begin(), page.items.begin() + static_cast<ptrdiff_t>(count));
    pages_[meta->continue_()] = std::move(page);
  }
  return absl::OkStatus();
}

absl::Status ObjectStore::Create(const ApiRequest& request, Message* answer) {
  if (!request.subresource.empty() || request.resource->group == "authentication.k8s.io" ||
      request.resource->group == "authorization.k8s.io") {
    return Review(request, answer);
  }
  auto object = Copy(*request.body);
  auto* meta = MutableMetaOf(object.get());
  if (!request.ns.empty()) meta->set_namespace_(request.ns);
  if (meta->name().empty() && !meta->generatename().empty()) {
    meta->set_name(StrCat(meta->generatename(), "k", next_uid_));
  }
  if (meta->name().empty()) return ApiFailure(422, "Invalid", "metadata.name: Required value");
  if (!meta->resourceversion().empty()) {
    return ApiFailure(400, "BadRequest",
                      "resourceVersion should not be set on objects to be created");
  }
  const Key key{request.resource, meta->namespace_(), meta->name()};
  if (objects_.contains(key)) {
    return ApiFailure(409, "AlreadyExists",
                      StrCat(request.resource->plural, " \"", meta->name(), "\" already exists"));
  }
  meta->clear_uid();
  if (on_create) on_create(request, object.get());
  answer->CopyFrom(*Store(key, std::move(object)));
  return absl::OkStatus();
}

absl::Status ObjectStore::Review(const ApiRequest& request, Message* answer) {
  answer->CopyFrom(*request.body);
  if (request.subresource == "token") {
    if (FindObject(*request.resource, request.ns, request.name) == nullptr) {
      return NotFound(*request.resource, request.name);
    }
    auto* token = static_cast<k8s::authentication::v1::TokenRequest*>(answer);
    if (!token->spec().has_expirationseconds()) token->mutable_spec()->set_expirationseconds(3600);
    token->mutable_status()->set_token(
        StrCat("token-", request.ns, "-", request.name, "-", ++tokens_issued));
    token->mutable_status()->mutable_expirationtimestamp()->set_seconds(
        base::ToUnixNanos(Now()) / 1'000'000'000 + token->spec().expirationseconds());
    return absl::OkStatus();
  }
  if (request.resource->plural == "tokenreviews") {
    auto* review = static_cast<k8s::authentication::v1::TokenReview*>(answer);
    const auto user = users_by_token.find(review->spec().token());
    review->mutable_status()->set_authenticated(user != users_by_token.end());
    if (user == users_by_token.end()) return absl::OkStatus();
    review->mutable_status()->mutable_user()->set_username(user->second);
    return absl::OkStatus();
  }
  if (request.resource->plural == "subjectaccessreviews") {
    auto* review = static_cast<k8s::authorization::v1::SubjectAccessReview*>(answer);
    review->mutable_status()->set_allowed(!allow || allow(*answer));
    return absl::OkStatus();
  }
  return NotFound(*request.resource, request.subresource);
}

absl::Status ObjectStore::Update(const ApiRequest& request, Message* answer) {
  const Key key{request.resource, request.ns, request.name};
  const ObjectPtr present = FindObject(*request.resource, request.ns, request.name);
  if (present == nullptr) return NotFound(*request.resource, request.name);
  return Replace(request, key, present, *request.body, answer);
}

absl::Status ObjectStore::Patch(const ApiRequest& request, Message* answer) {
  const Key key{request.resource, request.ns, request.name};
  const ObjectPtr present = FindObject(*request.resource, request.ns, request.name);
  if (present == nullptr) return NotFound(*request.resource, request.name);
  auto wanted = Copy(*present);
  if (absl::Status status = ApplyPatch(request.patch_type, request.patch, wanted.get());
      !status.ok()) {
    return ApiFailure(422, "Invalid", std::string(base::Message(status)));
  }
  return Replace(request, key, present, *wanted, answer);
}

absl::Status ObjectStore::Replace(const ApiRequest& request, const Key& key,
                                  const ObjectPtr& present, const Message& wanted,
                                  Message* answer) {
  const auto& had = MetaOf(*present);
  const auto& meta = MetaOf(wanted);
  if (!meta.uid().empty() && meta.uid() != had.uid()) {
    return Conflict(*request.resource, request.name,
                    StrCat("Precondition failed: UID in precondition: ", meta.uid(),
                           ", UID in object meta: ", had.uid()));
  }
  if (!meta.resourceversion().empty() && meta.resourceversion() != had.resourceversion()) {
    return Conflict(*request.resource, request.name,
                    "the object has been modified; please apply your changes to the latest version "
                    "and try again");
  }
  const bool status_only = request.subresource == "status" || request.subresource == "approval";
  auto next = Copy(status_only ? *present : wanted);
  CopyStatus(status_only ? wanted : *present, next.get());
  auto* next_meta = MutableMetaOf(next.get());
  // What the server owns, and what a status may carry along: labels and annotations of nodes.
  if (status_only && request.resource->plural == "nodes") {
    *next_meta->mutable_labels() = meta.labels();
    *next_meta->mutable_annotations() = meta.annotations();
  }
  next_meta->set_uid(had.uid());
  next_meta->set_resourceversion(had.resourceversion());
  *next_meta->mutable_creationtimestamp() = had.creationtimestamp();
  if (had.has_deletiontimestamp()) {
    *next_meta->mutable_deletiontimestamp() = had.deletiontimestamp();
  } else {
    next_meta->clear_deletiontimestamp();
  }
  // A write that changes nothing makes no version and no event.
  if (google::protobuf::util::MessageDifferencer::Equals(*next, *present)) {
    answer->CopyFrom(*present);
    return absl::OkStatus();
  }
  const bool finished = had.has_deletiontimestamp() && next_meta->finalizers_size() == 0 &&
                        had.finalizers_size() > 0 && had.deletiongraceperiodseconds() == 0;
  const ObjectPtr stored = Store(key, std::move(next));
  answer->CopyFrom(*stored);
  if (finished) Drop(key);
  return absl::OkStatus();
}

absl::Status ObjectStore::Delete(const ApiRequest& request, Message* answer) {
  const Key key{request.resource, request.ns, request.name};
  const ObjectPtr present = FindObject(*request.resource, request.ns, request.name);
  if (present == nullptr) return NotFound(*request.resource, request.name);
  k8s::meta::v1::DeleteOptions options;
  if (request.body != nullptr) options.CopyFrom(*request.body);
  const auto& meta = MetaOf(*present);
  if (options.preconditions().has_uid() && options.preconditions().uid() != meta.uid()) {
    return Conflict(*request.resource, request.name, "the UID in the precondition does not match");
  }
  if (options.preconditions().has_resourceversion() &&
      options.preconditions().resourceversion() != meta.resourceversion()) {
    return Conflict(*request.resource, request.name, "the ResourceVersion does not match");
  }
  int64_t grace = 0;
  if (const auto* pod = dynamic_cast<const k8s::v1::Pod*>(present.get())) {
    const bool over = pod->status().phase() == "Failed" || pod->status().phase() == "Succeeded";
    grace = pod->spec().has_terminationgraceperiodseconds()
                ? pod->spec().terminationgraceperiodseconds()
                : 30;
    if (options.has_graceperiodseconds()) grace = options.graceperiodseconds();
    if (pod->spec().nodename().empty() || over) grace = 0;
    if (meta.has_deletiontimestamp()) grace = std::min(grace, meta.deletiongraceperiodseconds());
  }
  answer->CopyFrom(*present);
  if (grace == 0 && meta.finalizers_size() == 0) {
    Drop(key);
    return absl::OkStatus();
  }
  if (meta.has_deletiontimestamp() && meta.deletiongraceperiodseconds() == grace) {
    return absl::OkStatus();
  }
  auto next = Copy(*present);
  auto* next_meta = MutableMetaOf(next.get());
  next_meta->mutable_deletiontimestamp()->set_seconds(base::ToUnixNanos(Now()) / 1'000'000'000 +
                                                      grace);
  next_meta->set_deletiongraceperiodseconds(grace);
  answer->CopyFrom(*Store(key, std::move(next)));
  return absl::OkStatus();
}

}  // namespace keelson::apiserver
