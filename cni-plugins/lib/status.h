// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace keelson::cni {

// Error codes of the CNI specification 1.1.0, section "Error"; 999 is what libcni prints for an
// error without a code of its own. The number reaches the runtime, so it is part of the contract.
enum class Code : int {
  kOk = 0,
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,    // nothing to clean up: the runtime need not call DEL
  kInvalidEnvironment = 4,  // a CNI_* variable is missing or malformed
  kIo = 5,                  // stdin or a file could not be read or written
  kDecoding = 6,            // bytes that are not the JSON they should be
  kInvalidConfig = 7,       // the message names the field
  kInvalidNetns = 8,
  kTryAgainLater = 11,        // transient: the runtime should call again
  kPluginNotAvailable = 50,   // STATUS: cannot serve ADD
  kLimitedConnectivity = 51,  // STATUS: cannot serve ADD, existing containers are limited
  kInternal = 999,
};

// An outcome: OK, or a code for the runtime and a text for people. A light cousin of absl::Status:
// the plugins are started for every pod, and abseil would double the size of the binary.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, std::string details = "")
      : code_(code), message_(std::move(message)), details_(std::move(details)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& details() const { return details_; }
  // The system call's errno where one was the reason, else 0.
  int sys_errno() const { return errno_; }

  // The same error with "what: " before its message.
  Status Within(const std::string& what) const {
    if (ok()) return *this;
    Status copy = *this;
    copy.message_ = what + ": " + message_;
    return copy;
  }

  Status WithErrno(int error) const {
    Status copy = *this;
    copy.errno_ = error;
    return copy;
  }

  // "what: strerror", code kInternal; `what` says what was tried on which object.
  static Status Errno(int error, const std::string& what) {
    Status s(Code::kInternal, what + ": " + std::strerror(error));
    s.errno_ = error;
    return s;
  }
  static Status Invalid(std::string message) { return {Code::kInvalidConfig, std::move(message)}; }
  static Status Internal(std::string message) { return {Code::kInternal, std::move(message)}; }

 private:
  Code code_ = Code::kOk;
  int errno_ = 0;
  std::string message_;
  std::string details_;
};

// A value or the error that prevented it.
template <typename T>
class [[nodiscard]] Or {
 public:
  Or(Status error) : held_(std::move(error)) {}  // NOLINT: implicit by design. REQUIRES: !ok()
  Or(T value) : held_(std::move(value)) {}       // NOLINT: implicit by design
  bool ok() const { return held_.index() == 1; }
  Status status() const { return ok() ? Status() : *std::get_if<0>(&held_); }
  // REQUIRES: ok()
  T& operator*() & { return *std::get_if<1>(&held_); }
  const T& operator*() const& { return *std::get_if<1>(&held_); }
  T operator*() && { return std::move(*std::get_if<1>(&held_)); }  // a value: safe in range-for
  T* operator->() { return std::get_if<1>(&held_); }
  const T* operator->() const { return std::get_if<1>(&held_); }

 private:
  std::variant<Status, T> held_;
};

#define CNI_CONCAT_(a, b) a##b
#define CNI_CONCAT(a, b) CNI_CONCAT_(a, b)
// Returns from the function if `expr`, a Status, is an error.
#define CNI_TRY(expr)                                               \
  do {                                                              \
    if (::keelson::cni::Status st_ = (expr); !st_.ok()) return st_; \
  } while (false)
// CNI_LET(auto x, SomeOr()): declares x or returns the error.
#define CNI_LET(decl, expr)                                                       \
  auto CNI_CONCAT(or_, __LINE__) = (expr);                                        \
  if (!CNI_CONCAT(or_, __LINE__).ok()) return CNI_CONCAT(or_, __LINE__).status(); \
  decl = std::move(*CNI_CONCAT(or_, __LINE__))

}  // namespace keelson::cni
