// SPDX-License-Identifier: Apache-2.0
// The one translation unit that compiles Boost.Asio's TLS part.
#include <boost/asio/ssl/impl/src.hpp>
