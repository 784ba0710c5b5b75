// SPDX-License-Identifier: Apache-2.0
#include "csi/host_path.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "test/unit/csi/fixture.h"

namespace keelson::csi {
namespace {

class HostPath : public InDir {
 protected:
  // One of each kind, by name; `missing` is none of them.
  void Populate() {
    Dir("directory");
    File("file");
    ASSERT_EQ(::mknod((dir / "socket").c_str(), S_IFSOCK | 0600, 0), 0);
    ASSERT_EQ(::mknod((dir / "char").c_str(), S_IFCHR | 0600, ::makedev(1, 3)), 0);
    ASSERT_EQ(::mknod((dir / "block").c_str(), S_IFBLK | 0600, ::makedev(7, 0)), 0);
    Link("to-directory", "directory");
    Link("to-nothing", "nothing");
  }
};

TEST_F(HostPath, TypesAcceptTheirKindOnly) {
  Populate();
  const std::map<std::string, std::string> words = {
      {"Directory", "a directory"},          {"File", "a file"},
      {"Socket", "a socket file"},           {"CharDevice", "a character device"},
      {"BlockDevice", "a block device"},     {"DirectoryOrCreate", "a directory"},
      {"FileOrCreate", "a file"},
  };
  const std::map<std::string, std::set<std::string>> accepted = {
      {"Directory", {"directory", "to-directory"}},
      {"DirectoryOrCreate", {"directory", "to-directory"}},
      {"File", {"file"}},
      {"FileOrCreate", {"file"}},
      {"Socket", {"socket"}},
      {"CharDevice", {"char"}},
      {"BlockDevice", {"block"}},
  };
  for (const auto& [type, names] : accepted) {
    for (const char* name : {"directory", "file", "socket", "char", "block", "to-directory"}) {
      absl::Status status = CheckHostPath(dir / name, type);
      if (names.contains(name)) {
        EXPECT_TRUE(status.ok()) << type << " " << name << ": " << status;
      } else {
        EXPECT_EQ(base::Message(status), base::StrCat("hostPath type check failed: ", dir / name,
                                                      " is not ", words.at(type)));
      }
    }
  }
}

TEST_F(HostPath, NoTypeChecksNothing) {
  EXPECT_TRUE(CheckHostPath(dir / "missing", "").ok());
  EXPECT_FALSE(base::PathExists(dir / "missing"));
}

TEST_F(HostPath, WhatIsMissingIsMadeOnlyWhenTheTypeSaysSo) {
  Populate();
  for (const char* type : {"Directory", "File", "Socket", "CharDevice", "BlockDevice"}) {
    EXPECT_FALSE(CheckHostPath(dir / "missing", type).ok()) << type;
    EXPECT_FALSE(CheckHostPath(dir / "to-nothing", type).ok()) << type;
  }
  EXPECT_FALSE(base::PathExists(dir / "missing"));
  EXPECT_TRUE(CheckHostPath(dir / "a/b/c", "DirectoryOrCreate").ok());
  EXPECT_TRUE(CheckHostPath(dir / "a/file", "FileOrCreate").ok());
  EXPECT_FALSE(CheckHostPath(dir / "x/file", "FileOrCreate").ok()) << "the parent is not made";
  struct stat st {};
  ASSERT_EQ(::stat((dir / "a/b/c").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFDIR | 0755u);
  ASSERT_EQ(::stat((dir / "a/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFREG | 0644u);
}

TEST_F(HostPath, AnUnknownTypeIsNamed) {
  EXPECT_EQ(base::Message(CheckHostPath(dir.path(), "Pipe")), "Pipe is an invalid volume type");
  EXPECT_EQ(base::Message(CheckHostPath(dir / "missing", "PipeOrCreate")),
            "PipeOrCreate is an invalid volume type");
  EXPECT_FALSE(base::PathExists(dir / "missing"));
}

}  // namespace
}  // namespace keelson::csi
