// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include "base/errno_status.h"

namespace keelson::base {

namespace asio = boost::asio;

namespace {

struct Pipes {
  UniqueFd in, out, err;           // ours, non-blocking
  UniqueFd child_in, child_out, child_err;
};

absl::Status MakePipe(UniqueFd& read_end, UniqueFd& write_end) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return ErrnoStatus("pipe2");
  read_end.reset(fds[0]);
  write_end.reset(fds[1]);
  return absl::OkStatus();
}

absl::StatusOr<Pipes> MakePipes() {
  Pipes p;
  // A socket for stdin: MSG_NOSIGNAL keeps a child that does not read from killing us by SIGPIPE.
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return ErrnoStatus("socketpair");
  p.in.reset(fds[0]);
  p.child_in.reset(fds[1]);
  RETURN_IF_ERROR(MakePipe(p.out, p.child_out));
  RETURN_IF_ERROR(MakePipe(p.err, p.child_err));
  for (int fd : {p.in.get(), p.out.get(), p.err.get()})
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) < 0) return ErrnoStatus("fcntl");
  return p;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& s : strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Start(ChildOptions& options, const Pipes& pipes) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, pipes.child_in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, pipes.child_out.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, pipes.child_err.get(), STDERR_FILENO);
  // Also what our own parent or a library opened without O_CLOEXEC.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t none, defaults;
  ::sigemptyset(&none);
  ::sigfillset(&defaults);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
  auto argv = Pointers(options.argv);
  auto env = Pointers(options.env);
  pid_t pid = -1;
  int error = ::posix_spawn(&pid, options.argv[0].c_str(), &actions, &attributes, argv.data(),
                            env.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  errno = error;
  if (error != 0) return ErrnoStatus("start", options.argv[0]);
  return pid;
}

Task<void> Feed(Loop& loop, UniqueFd fd, std::string data) {
  std::string_view rest = data;
  while (!rest.empty()) {
    ssize_t n = ::send(fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n > 0) {
      rest.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      absl::Status ready = co_await WaitWritable(loop, fd.get());
      if (!ready.ok()) co_return;
    } else if (errno != EINTR) {
      break;  // the child does not want it
    }
  }
}

// What a child writes to one of its pipes.
struct Output {
  UniqueFd fd;
  size_t limit;
  std::string* text;
  bool* truncated;

  // Takes what is there. False when the other side has closed it.
  bool TakeReady() const {
    char buffer[16384];
    while (true) {
      ssize_t n = ::read(fd.get(), buffer, sizeof(buffer));
      if (n > 0) {
        size_t take = std::min(static_cast<size_t>(n), limit - text->size());
        if (take < static_cast<size_t>(n)) *truncated = true;
        text->append(buffer, take);
      } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        return false;
      } else if (errno == EAGAIN) {
        return true;
      }
    }
  }
};

Task<void> Drain(Loop& loop, const Output* output) {
  while (output->TakeReady()) {
    absl::Status ready = co_await WaitReadable(loop, output->fd.get());
    if (!ready.ok()) co_return;
  }
}

// A child that is killed and reaped when its owner goes away before it exits.
class ChildGuard {
 public:
  ChildGuard(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  ChildGuard(const ChildGuard&) = delete;
  ChildGuard& operator=(const ChildGuard&) = delete;
  ~ChildGuard() {
    if (pid_ < 0) return;
    Kill();
    Reap();
  }
  int pidfd() const { return pidfd_.get(); }
  void Kill() { ::kill(-pid_, SIGKILL); }
  int Reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
};

}  // namespace

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (fd.ok()) return fd;
  if (errno == ESRCH) return absl::NotFoundError(StrCat("no process ", pid));
  return ErrnoStatus("pidfd_open", StrCat(pid));
}

Task<absl::StatusOr<ChildResult>> RunChild(Loop& loop, ChildOptions options) {
  auto pipes = MakePipes();
  if (!pipes.ok()) co_return pipes.status();
  auto pid = Start(options, *pipes);
  if (!pid.ok()) co_return pid.status();
  // Nobody else reaps our children, so the number is still this child.
  auto pidfd = OpenPidfd(*pid);
  ChildGuard child(*pid, pidfd.ok() ? *std::move(pidfd) : UniqueFd());
  if (!pidfd.ok()) co_return pidfd.status();
  pipes->child_in.reset();
  pipes->child_out.reset();
  pipes->child_err.reset();

  ChildResult result;
  bool timed_out = false;
  auto timer = loop.clock().Schedule(loop.clock().Monotonic() + options.timeout, [&] {
    timed_out = true;
    child.Kill();
  });
  const Output out{std::move(pipes->out), options.max_output, &result.out, &result.truncated};
  const Output err{std::move(pipes->err), options.max_output, &result.err, &result.truncated};
  TaskGroup io(loop);
  io.Spawn("child stdin", Feed(loop, std::move(pipes->in), std::move(options.stdin_data)));
  io.Spawn("child stdout", Drain(loop, &out));
  io.Spawn("child stderr", Drain(loop, &err));
  std::exception_ptr cancelled;
  try {
    absl::Status exited = co_await WaitReadable(loop, child.pidfd());
    if (!exited.ok()) child.Kill();
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
    child.Kill();
  }
  result.exit_code = child.Reap();
  loop.clock().Cancel(timer);
  // A cancelled task may not wait any more, and the three must have ended before we do.
  if (cancelled)
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  // A grandchild may hold the pipes open: what the child itself wrote is there already.
  co_await io.CancelAndJoin();
  if (cancelled) std::rethrow_exception(cancelled);
  out.TakeReady();
  err.TakeReady();
  if (timed_out)
    co_return absl::DeadlineExceededError(
        StrCat(options.argv[0], " did not exit within ", GoDuration(options.timeout),
               " and was killed"));
  co_return result;
}

}  // namespace keelson::base
