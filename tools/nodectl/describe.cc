// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/describe.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <ctime>
#include <map>

#include "tools/nodectl/pod_row.h"
#include "tools/nodectl/table.h"

namespace keelson::nodectl {
namespace {

using k8s::v1::Pod;

// kubectl cuts annotations here: a last-applied configuration would fill screens.
constexpr size_t kMaxAnnotation = 140;

using Strings = google::protobuf::Map<std::string, std::string>;

std::map<std::string, std::string> Sorted(const Strings& map) { return {map.begin(), map.end()}; }

void Labels(std::string_view title, const Strings& labels, TabbedText* out) {
  std::string head = base::StrCat(title, ":");
  if (labels.empty()) out->Line(0, head, "\t<none>");
  for (const auto& [key, value] : Sorted(labels)) {
    out->Line(0, head, "\t", key, "=", value);
    head.clear();
  }
}

void Annotations(const Strings& annotations, TabbedText* out) {
  std::string head = "Annotations:";
  if (annotations.empty()) out->Line(0, head, "\t<none>");
  for (const auto& [key, value] : Sorted(annotations)) {
    std::string text = Printable(value);
    if (text.size() > kMaxAnnotation) text = text.substr(0, kMaxAnnotation) + "...";
    out->Line(0, head, "\t", key, ": ", text);
    head.clear();
  }
}

void Status(const Pod& pod, base::WallTime now, TabbedText* out) {
  const auto& meta = pod.metadata();
  const auto& status = pod.status();
  const bool ended = status.phase() == "Failed" || status.phase() == "Succeeded";
  if (meta.has_deletiontimestamp() && !ended) {
    out->Line(0, "Status:\tTerminating (lasts ", Since(meta.deletiontimestamp(), now), ")");
    out->Line(0, "Termination Grace Period:\t", meta.deletiongraceperiodseconds(), "s");
  } else {
    out->Line(0, "Status:\t", status.phase());
  }
  if (!status.reason().empty()) out->Line(0, "Reason:\t", status.reason());
  if (!status.message().empty()) out->Line(0, "Message:\t", Printable(status.message()));
}

void Head(const Pod& pod, base::WallTime now, TabbedText* out) {
  const auto& meta = pod.metadata();
  const auto& spec = pod.spec();
  out->Line(0, "Name:\t", meta.name());
  out->Line(0, "Namespace:\t", meta.namespace_());
  if (spec.has_priority()) out->Line(0, "Priority:\t", spec.priority());
  if (!spec.priorityclassname().empty())
    out->Line(0, "Priority Class Name:\t", spec.priorityclassname());
  if (!spec.runtimeclassname().empty())
    out->Line(0, "Runtime Class Name:\t", spec.runtimeclassname());
  if (!spec.serviceaccountname().empty())
    out->Line(0, "Service Account:\t", spec.serviceaccountname());
  if (spec.nodename().empty())
    out->Line(0, "Node:\t<none>");
  else
    out->Line(0, "Node:\t", spec.nodename(), "/", pod.status().hostip());
  if (pod.status().has_starttime())
    out->Line(0, "Start Time:\t", LongTime(pod.status().starttime()));
  Labels("Labels", meta.labels(), out);
  Annotations(meta.annotations(), out);
  Status(pod, now, out);
}

void Addresses(const Pod& pod, TabbedText* out) {
  out->Line(0, "IP:\t", pod.status().podip());
  if (pod.status().podips().empty())
    out->Line(0, "IPs:\t<none>");
  else
    out->Line(0, "IPs:");
  for (const auto& ip : pod.status().podips()) out->Line(1, "IP:\t", ip.ip());
  for (const auto& owner : pod.metadata().ownerreferences())
    if (owner.controller()) out->Line(0, "Controlled By:\t", owner.kind(), "/", owner.name());
}

void AllContainers(const Pod& pod, TabbedText* out) {
  ContainerGroup init{"Init Containers", {}, {}}, main{"Containers", {}, {}};
  for (const auto& container : pod.spec().initcontainers()) init.containers.push_back(&container);
  for (const auto& status : pod.status().initcontainerstatuses()) init.statuses.push_back(&status);
  for (const auto& container : pod.spec().containers()) main.containers.push_back(&container);
  for (const auto& status : pod.status().containerstatuses()) main.statuses.push_back(&status);
  if (!init.containers.empty()) DescribeContainers(pod, init, out);
  DescribeContainers(pod, main, out);
}

void Conditions(const Pod& pod, TabbedText* out) {
  if (pod.status().conditions().empty()) return;
  out->Line(0, "Conditions:");
  out->Line(1, "Type\tStatus");
  for (const auto& condition : pod.status().conditions())
    out->Line(1, condition.type(), "\t", condition.status());
}

std::string OrUnset(const std::string& text) { return text.empty() ? "<unset>" : text; }

void Projected(const k8s::v1::ProjectedVolumeSource& projected, TabbedText* out) {
  for (const auto& source : projected.sources()) {
    if (source.has_secret())
      out->Line(2, "SecretName:\t", source.secret().localobjectreference().name());
    if (source.has_configmap())
      out->Line(2, "ConfigMapName:\t", source.configmap().localobjectreference().name());
    if (source.has_downwardapi()) out->Line(2, "DownwardAPI:\ttrue");
    if (source.has_serviceaccounttoken())
      out->Line(2, "TokenExpirationSeconds:\t", source.serviceaccounttoken().expirationseconds());
  }
}

// The kinds without a layout of their own are named after their field.
std::string KindOf(const k8s::v1::VolumeSource& source) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  source.GetReflection()->ListFields(source, &set);
  if (set.empty()) return "EmptyDir";
  std::string name = set[0]->name();
  name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return name;
}

void Volume(const k8s::v1::Volume& volume, TabbedText* out) {
  const auto& source = volume.volumesource();
  out->Line(1, volume.name(), ":");
  out->Line(2, "Type:\t", KindOf(source));
  if (source.has_hostpath()) {
    out->Line(2, "Path:\t", source.hostpath().path());
    out->Line(2, "HostPathType:\t", source.hostpath().type());
  } else if (source.has_emptydir()) {
    out->Line(2, "Medium:\t", source.emptydir().medium());
    out->Line(2, "SizeLimit:\t", OrUnset(source.emptydir().sizelimit().string()));
  } else if (source.has_secret()) {
    out->Line(2, "SecretName:\t", source.secret().secretname());
    out->Line(2, "Optional:\t", source.secret().optional());
  } else if (source.has_configmap()) {
    out->Line(2, "Name:\t", source.configmap().localobjectreference().name());
    out->Line(2, "Optional:\t", source.configmap().optional());
  } else if (source.has_persistentvolumeclaim()) {
    out->Line(2, "ClaimName:\t", source.persistentvolumeclaim().claimname());
    out->Line(2, "ReadOnly:\t", source.persistentvolumeclaim().readonly());
  } else if (source.has_csi()) {
    out->Line(2, "Driver:\t", source.csi().driver());
    out->Line(2, "FSType:\t", source.csi().fstype());
    out->Line(2, "ReadOnly:\t", source.csi().readonly());
  } else if (source.has_projected()) {
    Projected(source.projected(), out);
  }
}

void Volumes(const Pod& pod, TabbedText* out) {
  out->Line(0, "Volumes:", pod.spec().volumes().empty() ? "\t<none>" : "");
  for (const auto& volume : pod.spec().volumes()) Volume(volume, out);
}

std::string TolerationText(const k8s::v1::Toleration& toleration) {
  std::string text = toleration.key();
  if (!toleration.value().empty()) base::StrAppend(&text, "=", toleration.value());
  if (!toleration.effect().empty()) base::StrAppend(&text, ":", toleration.effect());
  if (toleration.operator_() == "Exists" && toleration.value().empty())
    base::StrAppend(&text, text.empty() ? "" : " ", "op=Exists");
  if (toleration.has_tolerationseconds())
    base::StrAppend(&text, " for ", toleration.tolerationseconds(), "s");
  return text;
}

void Tolerations(const Pod& pod, TabbedText* out) {
  std::string head = "Tolerations:";
  if (pod.spec().tolerations().empty()) out->Line(0, head, "\t<none>");
  for (const auto& toleration : pod.spec().tolerations()) {
    out->Line(0, head, "\t", TolerationText(toleration));
    head.clear();
  }
}

void Events(const k8s::v1::EventList& events, base::WallTime now, TabbedText* out) {
  if (events.items().empty()) return out->Line(0, "Events:\t<none>");
  out->Line(0, "Events:");
  out->Line(1, "Type\tReason\tAge\tFrom\tMessage");
  out->Line(1, "----\t------\t----\t----\t-------");
  for (const auto& event : events.items())
    out->Line(1, event.type(), "\t", event.reason(), "\t", LastSeen(event, now), "\t",
              event.source().component(), "\t", Printable(event.message()));
}

}  // namespace

std::string LongTime(const k8s::meta::v1::Time& time) {
  const time_t seconds = time.seconds();
  struct tm parts;
  ::localtime_r(&seconds, &parts);
  char text[64];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S %z", &parts);
  return text;
}

std::string LastSeen(const k8s::v1::Event& event, base::WallTime now) {
  if (event.count() <= 1) return Since(event.lasttimestamp(), now);
  return base::StrCat(Since(event.lasttimestamp(), now), " (x", event.count(), " over ",
                      Since(event.firsttimestamp(), now), ")");
}

std::string DescribePod(const Pod& pod, const k8s::v1::EventList& events, base::WallTime now) {
  TabbedText out;
  Head(pod, now, &out);
  Addresses(pod, &out);
  AllContainers(pod, &out);
  Conditions(pod, &out);
  Volumes(pod, &out);
  out.Line(0, "QoS Class:\t", pod.status().qosclass());
  Labels("Node-Selectors", pod.spec().nodeselector(), &out);
  Tolerations(pod, &out);
  Events(events, now, &out);
  return AlignTabs(out.text());
}

}  // namespace keelson::nodectl
