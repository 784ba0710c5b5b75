// SPDX-License-Identifier: Apache-2.0
// Waiting for the end of a connection without reading from it. Loop only; for the streams alone,
// which have asio's sockets inside.
#pragma once

#include <poll.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/task.h"

namespace keelson::kubelet {

// Returns when poll(2) tells of POLLHUP or POLLERR, or the socket was closed by us.
inline base::Task<void> SocketHungUp(boost::asio::generic::stream_protocol::socket& socket) {
  using Socket = boost::asio::generic::stream_protocol::socket;
  for (;;) {
    boost::system::error_code ec;
    co_await socket.async_wait(Socket::wait_error,
                               boost::asio::redirect_error(boost::asio::use_awaitable, ec));
    if (ec || !socket.is_open()) co_return;
    // Urgent data wakes us too, and ends nothing.
    pollfd look{socket.native_handle(), 0, 0};
    if (::poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR)) != 0) co_return;
  }
}

}  // namespace keelson::kubelet
