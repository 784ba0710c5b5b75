// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "kubelet/sources/checks.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

constexpr std::string_view kNegative = "must be greater than or equal to 0";

void CheckPort(const k8s::intstr::IntOrString& port, const FieldPath& path, FieldErrors* errors) {
  if (port.type() == 0) {
    for (const auto& text : PortNumber(port.intval())) errors->Invalid(path, port.intval(), text);
  } else {
    errors->InvalidAll(path, port.strval(), PortName(port.strval()));
  }
}

void CheckHttpGet(const v1::HTTPGetAction& action, const FieldPath& path, FieldErrors* errors) {
  if (action.path().empty()) errors->Required(path.Child("path"));
  CheckPort(action.port(), path.Child("port"), errors);
  if (!OneOf(action.scheme(), {"HTTP", "HTTPS"})) {
    errors->NotSupported(path.Child("scheme"), action.scheme(), {"HTTP", "HTTPS"});
  }
  for (const auto& header : action.httpheaders()) {
    errors->InvalidAll(path.Child("httpHeaders"), header.name(), HttpHeaderName(header.name()));
  }
}

// Counts handlers: the second and later ones are forbidden and not looked at.
class OneHandler {
 public:
  OneHandler(const FieldPath& path, FieldErrors* errors) : path_(path), errors_(errors) {}
  ~OneHandler() {
    if (count_ == 0) errors_->Required(path_, "must specify a handler type");
  }
  bool Take(bool present, std::string_view name) {
    if (!present) return false;
    if (++count_ == 1) return true;
    errors_->Forbidden(path_.Child(name), "may not specify more than 1 handler type");
    return false;
  }

 private:
  const FieldPath& path_;
  FieldErrors* errors_;
  int count_ = 0;
};

// The handlers that probes and hooks have in common.
template <typename Handler>
void CheckCommon(const Handler& handler, const FieldPath& path, OneHandler* one,
                 FieldErrors* errors) {
  if (one->Take(handler.has_exec(), "exec") && handler.exec().command().empty()) {
    errors->Required(path.Child("exec").Child("command"));
  }
  if (one->Take(handler.has_httpget(), "httpGet")) {
    CheckHttpGet(handler.httpget(), path.Child("httpGet"), errors);
  }
  if (one->Take(handler.has_tcpsocket(), "tcpSocket")) {
    CheckPort(handler.tcpsocket().port(), path.Child("tcpSocket").Child("port"), errors);
  }
}

void CheckHook(const v1::LifecycleHandler& hook, const PodFacts& pod, const FieldPath& path,
               FieldErrors* errors) {
  OneHandler one(path, errors);
  CheckCommon(hook, path, &one, errors);
  if (!one.Take(hook.has_sleep(), "sleep") || !pod.grace) return;
  if (hook.sleep().seconds() < 0 || hook.sleep().seconds() > *pod.grace) {
    errors->Invalid(
        path.Child("sleep"), hook.sleep().seconds(),
        StrCat("must be non-negative and less than terminationGracePeriodSeconds (", *pod.grace,
               ")"));
  }
}

void CheckProbe(const v1::Probe& probe, const FieldPath& path, FieldErrors* errors) {
  {
    OneHandler one(path, errors);
    CheckCommon(probe.handler(), path, &one, errors);
    if (one.Take(probe.handler().has_grpc(), "grpc")) {
      const int port = probe.handler().grpc().port();
      for (const auto& text : PortNumber(port)) {
        errors->Invalid(path.Child("grpc").Child("port"), port, text);
      }
    }
  }
  const auto not_negative = [&](int64_t value, std::string_view field) {
    if (value < 0) errors->Invalid(path.Child(field), value, kNegative);
  };
  not_negative(probe.initialdelayseconds(), "initialDelaySeconds");
  not_negative(probe.timeoutseconds(), "timeoutSeconds");
  not_negative(probe.periodseconds(), "periodSeconds");
  not_negative(probe.successthreshold(), "successThreshold");
  not_negative(probe.failurethreshold(), "failureThreshold");
  if (probe.has_terminationgraceperiodseconds() && probe.terminationgraceperiodseconds() <= 0) {
    errors->Invalid(path.Child("terminationGracePeriodSeconds"),
                    probe.terminationgraceperiodseconds(), "must be greater than 0");
  }
}

void CheckOnceIsEnough(const v1::Probe& probe, const FieldPath& path, FieldErrors* errors) {
  if (probe.successthreshold() == 1) return;
  errors->Invalid(path.Child("successThreshold"), probe.successthreshold(), "must be 1");
}

bool IsLinuxSignal(std::string_view name) {
  if (name.starts_with("SIGRTMIN+")) {
    name.remove_prefix(9);
    return (name.size() == 1 && name[0] >= '1' && name[0] <= '9') ||
           (name.size() == 2 && name[0] == '1' && name[1] >= '0' && name[1] <= '5');
  }
  if (name.starts_with("SIGRTMAX-")) {
    name.remove_prefix(9);
    return (name.size() == 1 && name[0] >= '1' && name[0] <= '9') ||
           (name.size() == 2 && name[0] == '1' && name[1] >= '0' && name[1] <= '4');
  }
  return OneOf(name, {"SIGABRT", "SIGALRM", "SIGBUS",    "SIGCHLD",  "SIGCLD",  "SIGCONT",
                      "SIGFPE",  "SIGHUP",  "SIGILL",    "SIGINT",   "SIGIO",   "SIGIOT",
                      "SIGKILL", "SIGPIPE", "SIGPOLL",   "SIGPROF",  "SIGPWR",  "SIGQUIT",
                      "SIGSEGV", "SIGSTOP", "SIGSTKFLT", "SIGSYS",   "SIGTERM", "SIGTRAP",
                      "SIGTSTP", "SIGTTIN", "SIGTTOU",   "SIGURG",   "SIGUSR1", "SIGUSR2",
                      "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMAX"});
}

}  // namespace

void CheckLifecycle(const v1::Container& container, const PodFacts& pod, const FieldPath& path,
                    FieldErrors* errors) {
  if (!container.has_lifecycle()) return;
  const auto& lifecycle = container.lifecycle();
  if (lifecycle.has_poststart()) {
    CheckHook(lifecycle.poststart(), pod, path.Child("postStart"), errors);
  }
  if (lifecycle.has_prestop()) CheckHook(lifecycle.prestop(), pod, path.Child("preStop"), errors);
  if (!lifecycle.has_stopsignal()) return;
  const FieldPath signal = path.Child("stopSignal");
  if (!pod.spec->has_os()) {
    errors->Forbidden(signal, "may not be set for containers with empty `spec.os.name`");
  } else if (pod.os == "windows" && !OneOf(lifecycle.stopsignal(), {"SIGKILL", "SIGTERM"})) {
    errors->NotSupported(signal, lifecycle.stopsignal(), {"SIGKILL", "SIGTERM"});
  } else if (pod.os == "linux" && !IsLinuxSignal(lifecycle.stopsignal())) {
    errors->NotSupported(signal, lifecycle.stopsignal(),
                         {"SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE",
                          "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE",
                          "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMAX-1 .. 14",
                          "SIGRTMIN", "SIGRTMIN+1 .. 15", "SIGSEGV", "SIGSTKFLT", "SIGSTOP",
                          "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG",
                          "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ"});
  }
}

void CheckProbes(const v1::Container& container, const PodFacts&, const FieldPath& path,
                 FieldErrors* errors) {
  if (container.has_livenessprobe()) {
    CheckProbe(container.livenessprobe(), path.Child("livenessProbe"), errors);
    CheckOnceIsEnough(container.livenessprobe(), path.Child("livenessProbe"), errors);
  }
  if (container.has_readinessprobe()) {
    const auto& probe = container.readinessprobe();
    const FieldPath at = path.Child("readinessProbe");
    CheckProbe(probe, at, errors);
    if (probe.has_terminationgraceperiodseconds()) {
      errors->Invalid(at.Child("terminationGracePeriodSeconds"),
                      probe.terminationgraceperiodseconds(), "must not be set for readinessProbes");
    }
  }
  if (container.has_startupprobe()) {
    CheckProbe(container.startupprobe(), path.Child("startupProbe"), errors);
    CheckOnceIsEnough(container.startupprobe(), path.Child("startupProbe"), errors);
  }
}

}  // namespace keelson::kubelet::sources
