// SPDX-License-Identifier: Apache-2.0
// The static gRPC we link works, and it is the only copy of abseil and protobuf in the process.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "proto/cri/api.grpc.pb.h"

namespace keelson::proto {
namespace {

using ::runtime::v1::RuntimeService;
using ::runtime::v1::VersionRequest;
using ::runtime::v1::VersionResponse;

class EchoRuntime final : public RuntimeService::Service {
  grpc::Status Version(grpc::ServerContext*, const VersionRequest* request,
                       VersionResponse* response) override {
    response->set_version(request->version());
    return grpc::Status::OK;
  }
};

TEST(GrpcLink, CallOverAUnixSocketIsAnswered) {
  const std::string address = "unix-abstract:kl-grpc-link-" + std::to_string(::getpid());
  EchoRuntime service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);

  auto stub =
      RuntimeService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  VersionRequest request;
  request.set_version("v1");
  VersionResponse response;
  const grpc::Status status = stub->Version(&context, request, &response);

  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.version(), "v1");
  server->Shutdown();
}

TEST(GrpcLink, NoSharedAbseilProtobufOrGrpcIsMapped) {
  std::ifstream maps("/proc/self/maps");
  ASSERT_TRUE(maps.is_open());
  for (std::string line; std::getline(maps, line);) {
    for (const char* library : {"libabsl_", "libprotobuf", "libgrpc", "libgpr", "libupb"}) {
      EXPECT_EQ(line.find(library), std::string::npos) << line;
    }
  }
}

}  // namespace
}  // namespace keelson::proto
