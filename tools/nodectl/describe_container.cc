// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "tools/nodectl/describe.h"
#include "tools/nodectl/table.h"

namespace keelson::nodectl {
namespace {

using k8s::v1::Container;
using k8s::v1::ContainerStatus;
using k8s::v1::Pod;

std::string Joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts)
    base::StrAppend(&text, text.empty() ? std::string_view() : separator, part);
  return text;
}

void Ports(std::string_view title, const Container& container, bool host, TabbedText* out) {
  std::vector<std::string> texts;
  for (const auto& port : container.ports()) {
    std::string text =
        base::StrCat(host ? port.hostport() : port.containerport(), "/", port.protocol());
    if (!port.name().empty()) base::StrAppend(&text, " (", port.name(), ")");
    texts.push_back(std::move(text));
  }
  const std::string all = texts.empty() ? "<none>" : Joined(texts, ", ");
  out->Line(2, title, texts.size() > 1 ? "s:\t" : ":\t", all);
}

// A command or argument of several lines takes several lines.
template <typename List>
void Words(std::string_view title, const List& words, TabbedText* out) {
  if (words.empty()) return;
  out->Line(2, title, ":");
  for (const std::string& word : words) {
    std::string_view rest = word;
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      out->Line(3, Printable(rest.substr(0, end)));
      rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
    }
  }
}

void State(std::string_view title, const k8s::v1::ContainerState& state, TabbedText* out) {
  if (state.has_running()) {
    out->Line(2, title, ":\tRunning");
    out->Line(3, "Started:\t", LongTime(state.running().startedat()));
  } else if (state.has_terminated()) {
    const auto& end = state.terminated();
    out->Line(2, title, ":\tTerminated");
    if (!end.reason().empty()) out->Line(3, "Reason:\t", end.reason());
    if (!end.message().empty()) out->Line(3, "Message:\t", Printable(end.message()));
    out->Line(3, "Exit Code:\t", end.exitcode());
    if (end.signal() > 0) out->Line(3, "Signal:\t", end.signal());
    out->Line(3, "Started:\t", LongTime(end.startedat()));
    out->Line(3, "Finished:\t", LongTime(end.finishedat()));
  } else {
    out->Line(2, title, ":\tWaiting");
    if (!state.waiting().reason().empty()) out->Line(3, "Reason:\t", state.waiting().reason());
    if (!state.waiting().message().empty())
      out->Line(3, "Message:\t", Printable(state.waiting().message()));
  }
}

void Resources(const k8s::v1::ResourceRequirements& resources, TabbedText* out) {
  auto list = [&](std::string_view title, const auto& quantities) {
    if (quantities.empty()) return;
    out->Line(2, title, ":");
    std::map<std::string, std::string> sorted;
    for (const auto& [name, quantity] : quantities) sorted[name] = quantity.string();
    for (const auto& [name, text] : sorted) out->Line(3, name, ":\t", text);
  };
  list("Limits", resources.limits());
  list("Requests", resources.requests());
}

std::string PortText(const k8s::intstr::IntOrString& port) {
  return port.type() == 0 ? base::StrCat(port.intval()) : port.strval();
}

std::string HandlerText(const k8s::v1::ProbeHandler& handler) {
  if (handler.has_exec()) {
    const auto& words = handler.exec().command();
    return base::StrCat("exec [", Printable(Joined({words.begin(), words.end()}, " ")), "]");
  }
  if (handler.has_httpget()) {
    const auto& get = handler.httpget();
    std::string scheme = get.scheme();
    for (char& c : scheme) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return base::StrCat("http-get ", scheme, "://", get.host(), ":", PortText(get.port()),
                        get.path());
  }
  if (handler.has_tcpsocket())
    return base::StrCat("tcp-socket ", handler.tcpsocket().host(), ":",
                        PortText(handler.tcpsocket().port()));
  if (handler.has_grpc())
    return base::StrCat("grpc <pod>:", handler.grpc().port(), " ", handler.grpc().service());
  return "unknown";
}

void Probe(std::string_view title, const k8s::v1::Probe& probe, TabbedText* out) {
  out->Line(2, title, ":\t", HandlerText(probe.handler()), " delay=", probe.initialdelayseconds(),
            "s timeout=", probe.timeoutseconds(), "s period=", probe.periodseconds(),
            "s #success=", probe.successthreshold(), " #failure=", probe.failurethreshold());
}

// What a field reference stands for; empty where only the kubelet knows.
std::string FieldValue(const Pod& pod, const std::string& path) {
  if (path == "metadata.name") return pod.metadata().name();
  if (path == "metadata.namespace") return pod.metadata().namespace_();
  if (path == "metadata.uid") return pod.metadata().uid();
  if (path == "spec.nodeName") return pod.spec().nodename();
  if (path == "spec.serviceAccountName") return pod.spec().serviceaccountname();
  if (path == "status.hostIP") return pod.status().hostip();
  if (path == "status.podIP") return pod.status().podip();
  return {};
}

std::string EnvText(const Pod& pod, const k8s::v1::EnvVar& env) {
  const auto& from = env.valuefrom();
  if (from.has_fieldref())
    return base::StrCat(FieldValue(pod, from.fieldref().fieldpath()), " (",
                        from.fieldref().apiversion(), ":", from.fieldref().fieldpath(), ")");
  if (from.has_resourcefieldref())
    return base::StrCat("(", from.resourcefieldref().resource(), ")");
  if (from.has_secretkeyref())
    return base::StrCat("<set to the key '", from.secretkeyref().key(), "' in secret '",
                        from.secretkeyref().localobjectreference().name(),
                        "'>\tOptional: ", from.secretkeyref().optional());
  if (from.has_configmapkeyref())
    return base::StrCat("<set to the key '", from.configmapkeyref().key(), "' of config map '",
                        from.configmapkeyref().localobjectreference().name(),
                        "'>\tOptional: ", from.configmapkeyref().optional());
  return Printable(env.value());
}

void Environment(const Pod& pod, const Container& container, TabbedText* out) {
  if (!container.envfrom().empty()) out->Line(2, "Environment Variables from:");
  for (const auto& from : container.envfrom()) {
    const bool map = from.has_configmapref();
    const std::string& name = map ? from.configmapref().localobjectreference().name()
                                  : from.secretref().localobjectreference().name();
    const bool optional = map ? from.configmapref().optional() : from.secretref().optional();
    std::string kind = map ? "ConfigMap" : "Secret";
    if (!from.prefix().empty()) base::StrAppend(&kind, " with prefix '", from.prefix(), "'");
    out->Line(3, name, "\t", kind, "\tOptional: ", optional);
  }
  out->Line(2, "Environment:", container.env().empty() ? "\t<none>" : "");
  for (const auto& env : container.env()) out->Line(3, env.name(), ":\t", EnvText(pod, env));
}

void Mounts(const Container& container, TabbedText* out) {
  out->Line(2, "Mounts:", container.volumemounts().empty() ? "\t<none>" : "");
  std::vector<const k8s::v1::VolumeMount*> sorted;
  for (const auto& mount : container.volumemounts()) sorted.push_back(&mount);
  std::ranges::sort(sorted, {}, [](const auto* mount) { return mount->mountpath(); });
  for (const auto* mount : sorted) {
    std::string flags = mount->readonly() ? "ro" : "rw";
    if (!mount->subpath().empty()) base::StrAppend(&flags, ",path=\"", mount->subpath(), "\"");
    out->Line(3, mount->mountpath(), " from ", mount->name(), " (", flags, ")");
  }
}

void One(const Pod& pod, const Container& container, const ContainerStatus* status,
         TabbedText* out) {
  out->Line(1, container.name(), ":");
  if (status != nullptr) out->Line(2, "Container ID:\t", status->containerid());
  out->Line(2, "Image:\t", container.image());
  if (status != nullptr) out->Line(2, "Image ID:\t", status->imageid());
  Ports("Port", container, false, out);
  Ports("Host Port", container, true, out);
  Words("Command", container.command(), out);
  Words("Args", container.args(), out);
  if (status != nullptr) {
    State("State", status->state(), out);
    if (status->laststate().has_terminated()) State("Last State", status->laststate(), out);
    out->Line(2, "Ready:\t", status->ready() ? "True" : "False");
    out->Line(2, "Restart Count:\t", status->restartcount());
  }
  Resources(container.resources(), out);
  if (container.has_livenessprobe()) Probe("Liveness", container.livenessprobe(), out);
  if (container.has_readinessprobe()) Probe("Readiness", container.readinessprobe(), out);
  if (container.has_startupprobe()) Probe("Startup", container.startupprobe(), out);
  Environment(pod, container, out);
  Mounts(container, out);
}

}  // namespace

void DescribeContainers(const Pod& pod, const ContainerGroup& group, TabbedText* out) {
  out->Line(0, group.title, ":");
  for (const Container* container : group.containers) {
    auto it = std::ranges::find_if(group.statuses, [&](const ContainerStatus* status) {
      return status->name() == container->name();
    });
    One(pod, *container, it == group.statuses.end() ? nullptr : *it, out);
  }
}

}  // namespace keelson::nodectl
