// SPDX-License-Identifier: Apache-2.0
// Network and cloud volumes: few run on this node, but a manifest that names one is judged all the
// same.
#include <algorithm>

#include "base/strings.h"
#include "kubelet/sources/volume_checks.h"

namespace keelson::kubelet::sources {
namespace {

// iqn.2001-04.com.example:storage, eui.<16>, naa.<32>
void CheckInitiator(const std::string& name, const FieldPath& path, FieldErrors* errors) {
  const auto alnum = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  const auto id = [&](size_t length) {
    return name.size() == 4 + length && std::all_of(name.begin() + 4, name.end(), alnum);
  };
  const auto iqn = [&] {
    const auto digits = [&](size_t from, size_t count) {
      return name.size() >= from + count &&
             std::all_of(name.begin() + static_cast<ptrdiff_t>(from),
                         name.begin() + static_cast<ptrdiff_t>(from + count),
                         [](char c) { return c >= '0' && c <= '9'; });
    };
    if (!name.starts_with("iqn.") || !digits(4, 4) || name[8] != '-' || !digits(9, 2)) return false;
    const size_t colon = name.find(':');
    return name.size() > 12 && name[11] == '.' &&
           (colon == std::string::npos ||
            (colon > 12 && colon + 1 < name.size() &&
             name.find_first_of(",;*&$| \t\n", colon) == std::string::npos)) &&
           std::all_of(name.begin() + 12,
                       name.begin() + static_cast<ptrdiff_t>(std::min(colon, name.size())),
                       [&](char c) { return alnum(c) || c == '-' || c == '.'; });
  };
  if (!name.starts_with("iqn") && !name.starts_with("eui") && !name.starts_with("naa")) {
    errors->Invalid(path, name, "must be valid format starting with iqn, eui, or naa");
  } else if ((name.starts_with("iqn") && !iqn()) || (name.starts_with("eui") && !id(16)) ||
             (name.starts_with("naa") && !id(32))) {
    errors->Invalid(path, name, "must be valid format");
  }
}

void CheckFibreChannel(const v1::FCVolumeSource& fc, const At& at) {
  const FieldPath names = at.path.Child("targetWWNs");
  if (fc.targetwwns().empty() && fc.wwids().empty()) {
    at.errors->Required(names, "must specify either targetWWNs or wwids, but not both");
  }
  if (!fc.targetwwns().empty() && !fc.wwids().empty()) {
    at.errors->Invalid(names, fc.targetwwns(0),
                       "targetWWNs and wwids can not be specified simultaneously");
  }
  if (fc.targetwwns().empty()) return;
  if (!fc.has_lun()) {
    at.errors->Required(at.path.Child("lun"), "lun is required if targetWWNs is specified");
  } else {
    at.Range(fc.lun(), 0, 255, "lun");
  }
}

void CheckAzureDisk(const v1::AzureDiskVolumeSource& disk, const At& at) {
  at.Require(disk.diskname(), "diskName");
  at.Require(disk.diskuri(), "diskURI");
  if (!OneOf(disk.cachingmode(), {"None", "ReadOnly", "ReadWrite"})) {
    at.errors->NotSupported(at.path.Child("cachingMode"), disk.cachingmode(),
                            {"None", "ReadOnly", "ReadWrite"});
  }
  if (!OneOf(disk.kind(), {"Dedicated", "Managed", "Shared"})) {
    at.errors->NotSupported(at.path.Child("kind"), disk.kind(), {"Dedicated", "Managed", "Shared"});
  }
  const bool managed = disk.kind() == "Managed";
  if (managed && !disk.diskuri().starts_with("/subscriptions/")) {
    at.errors->NotSupported(at.path.Child("diskURI"), disk.diskuri(),
                            {"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
                             "microsoft.compute/disks/{disk-id}"});
  } else if (!managed && !disk.diskuri().starts_with("https://")) {
    at.errors->NotSupported(
        at.path.Child("diskURI"), disk.diskuri(),
        {"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
  }
}

void CheckFlex(const v1::FlexVolumeSource& flex, const At& at) {
  at.Require(flex.driver(), "driver");
  for (const auto& [key, value] : flex.options()) {
    const std::string domain = "." + Lower(Split(key, '/').front());
    if (!domain.ends_with(".kubernetes.io") && !domain.ends_with(".k8s.io")) continue;
    at.errors->Invalid(at.path.Child("options").Key(key), key,
                       "kubernetes.io and k8s.io namespaces are reserved");
  }
}

void CheckNfs(const v1::NFSVolumeSource& nfs, const At& at) {
  at.Require(nfs.server(), "server");
  at.Require(nfs.path(), "path");
  if (!nfs.path().starts_with('/')) {
    at.errors->Invalid(at.path.Child("path"), nfs.path(), "must be an absolute path");
  }
}

void CheckQuobyte(const v1::QuobyteVolumeSource& quobyte, const At& at) {
  constexpr std::string_view pairs =
      "must be a host:port pair or multiple pairs separated by commas";
  if (quobyte.registry().empty()) {
    at.errors->Required(at.path.Child("registry"), pairs);
  } else if (quobyte.tenant().size() >= 65) {
    at.errors->Required(at.path.Child("tenant"),
                        "must be a UUID and may not exceed a length of 64 characters");
  } else {
    for (std::string_view pair : Split(quobyte.registry(), ',')) {
      if (pair.find(':') == std::string_view::npos) {
        at.errors->Invalid(at.path.Child("registry"), quobyte.registry(), pairs);
      }
    }
  }
  at.Require(quobyte.volume(), "volume");
}

void CheckFlocker(const v1::FlockerVolumeSource& flocker, const At& at) {
  if (flocker.datasetname().empty() && flocker.datasetuuid().empty()) {
    at.errors->Required(at.path, "one of datasetName and datasetUUID is required");
  }
  if (!flocker.datasetname().empty() && !flocker.datasetuuid().empty()) {
    at.errors->Invalid(at.path, "resource",
                       "datasetName and datasetUUID can not be specified simultaneously");
  }
  if (flocker.datasetname().find('/') != std::string::npos) {
    at.errors->Invalid(at.path.Child("datasetName"), flocker.datasetname(), "must not contain '/'");
  }
}

void CheckStorageOs(const v1::StorageOSVolumeSource& storage, const At& at) {
  if (storage.volumename().empty()) {
    at.errors->Required(at.path.Child("volumeName"));
  } else {
    CheckLabel(storage.volumename(), at.path.Child("volumeName"), at.errors);
  }
  if (!storage.volumenamespace().empty()) {
    CheckLabel(storage.volumenamespace(), at.path.Child("volumeNamespace"), at.errors);
  }
  if (storage.has_secretref()) (at / "secretRef").Require(storage.secretref().name(), "name");
}

}  // namespace

void CheckIscsi(const v1::ISCSIVolumeSource& iscsi, const std::string& volume, const At& at,
                const FieldPath& volume_path) {
  at.Require(iscsi.targetportal(), "targetPortal");
  if (iscsi.iqn().empty()) {
    at.errors->Required(at.path.Child("iqn"));
  } else {
    CheckInitiator(iscsi.iqn(), at.path.Child("iqn"), at.errors);
  }
  at.Range(iscsi.lun(), 0, 255, "lun");
  if ((iscsi.chapauthdiscovery() || iscsi.chapauthsession()) && !iscsi.has_secretref()) {
    at.errors->Required(at.path.Child("secretRef"));
  }
  if (!iscsi.has_initiatorname()) return;
  CheckInitiator(iscsi.initiatorname(), at.path.Child("initiatorname"), at.errors);
  if (volume.size() + 1 + iscsi.targetportal().size() > 64) {
    at.errors->Invalid(volume_path.Child("name"), volume,
                       "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                       "characters if iscsi.initiatorName is specified.");
  }
}

void CheckStorage(const v1::VolumeSource& s, OneSource* one) {
  one->Take(s.has_gitrepo(), "gitRepo", [&](const At& at) {
    at.Require(s.gitrepo().repository(), "repository");
    CheckDescending(s.gitrepo().directory(), at.path.Child("directory"), at.errors);
  });
  one->Take(s.has_gcepersistentdisk(), "gcePersistentDisk", [&](const At& at) {
    at.Require(s.gcepersistentdisk().pdname(), "pdName");
    at.Range(s.gcepersistentdisk().partition(), 0, 255, "partition");
  });
  one->Take(s.has_awselasticblockstore(), "awsElasticBlockStore", [&](const At& at) {
    at.Require(s.awselasticblockstore().volumeid(), "volumeID");
    at.Range(s.awselasticblockstore().partition(), 0, 255, "partition");
  });
  one->Take(s.has_nfs(), "nfs", [&](const At& at) { CheckNfs(s.nfs(), at); });
  one->Take(s.has_glusterfs(), "glusterfs", [&](const At& at) {
    at.Require(s.glusterfs().endpoints(), "endpoints");
    at.Require(s.glusterfs().path(), "path");
  });
  one->Take(s.has_flocker(), "flocker", [&](const At& at) { CheckFlocker(s.flocker(), at); });
  one->Take(s.has_rbd(), "rbd", [&](const At& at) {
    if (s.rbd().monitors().empty()) at.errors->Required(at.path.Child("monitors"));
    at.Require(s.rbd().image(), "image");
  });
  one->Take(s.has_cinder(), "cinder", [&](const At& at) {
    at.Require(s.cinder().volumeid(), "volumeID");
    if (s.cinder().has_secretref()) {
      (at / "secretRef").Require(s.cinder().secretref().name(), "name");
    }
  });
  one->Take(s.has_cephfs(), "cephfs", [&](const At& at) {
    if (s.cephfs().monitors().empty()) at.errors->Required(at.path.Child("monitors"));
  });
  one->Take(s.has_quobyte(), "quobyte", [&](const At& at) { CheckQuobyte(s.quobyte(), at); });
  one->Take(s.has_fc(), "fc", [&](const At& at) { CheckFibreChannel(s.fc(), at); });
  one->Take(s.has_flexvolume(), "flexVolume", [&](const At& at) { CheckFlex(s.flexvolume(), at); });
  one->Take(s.has_azurefile(), "azureFile", [&](const At& at) {
    at.Require(s.azurefile().secretname(), "secretName");
    at.Require(s.azurefile().sharename(), "shareName");
  });
  one->Take(s.has_vspherevolume(), "vsphereVolume",
            [&](const At& at) { at.Require(s.vspherevolume().volumepath(), "volumePath"); });
  one->Take(s.has_photonpersistentdisk(), "photonPersistentDisk",
            [&](const At& at) { at.Require(s.photonpersistentdisk().pdid(), "pdID"); });
  one->Take(s.has_portworxvolume(), "portworxVolume",
            [&](const At& at) { at.Require(s.portworxvolume().volumeid(), "volumeID"); });
  one->Take(s.has_azuredisk(), "azureDisk",
            [&](const At& at) { CheckAzureDisk(s.azuredisk(), at); });
  one->Take(s.has_storageos(), "storageos",
            [&](const At& at) { CheckStorageOs(s.storageos(), at); });
  one->Take(s.has_scaleio(), "scaleIO", [&](const At& at) {
    at.Require(s.scaleio().gateway(), "gateway");
    at.Require(s.scaleio().system(), "system");
    at.Require(s.scaleio().volumename(), "volumeName");
  });
}

}  // namespace keelson::kubelet::sources
