// SPDX-License-Identifier: Apache-2.0
// What may be written into a pod's status at the API server. Pure; the rules are those of upstream's
// status manager.
#pragma once

#include <string>

#include "kubelet/pod.h"
#include "proto/codec/value.h"

namespace keelson::kubelet {

// Times that began before `next` was made are those of `before`: startTime, and lastTransitionTime of
// conditions of ours whose status is the same. observedGeneration never goes back.
void KeepTimes(const v1::PodStatus& before, v1::PodStatus* next);

// Empty when `next` may follow `before`; else what is wrong: a container that has ended for good must
// not be shown as not ended.
std::string IllegalChange(const v1::Pod& pod, const v1::PodStatus& before,
                          const v1::PodStatus& next);

// The status to write over `server`'s, which is what the object has: conditions and claims of others
// stay; a terminal phase of a pod of the API stays, and does not begin while `may_run`.
v1::PodStatus MergeStatus(const v1::Pod& pod, const v1::PodStatus& server,
                          const v1::PodStatus& wanted, bool may_run);

// The part of a status that is ours to write; and that in one encoding, equal when nobody meddled.
v1::PodStatus OwnStatus(const v1::PodStatus& status);
std::string OwnPart(const v1::PodStatus& status);

// Makes of two strategic merge patches with one goal, from different beginnings, one that leads there
// from either: adds to `patch` what only `other` changes.
void Unite(const proto::Value& other, proto::Value* patch);

// Whether the pod's object may be deleted for good (upstream's canBeDeleted).
bool MayDelete(const v1::Pod& object, bool finished);

}  // namespace keelson::kubelet
