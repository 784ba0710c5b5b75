// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/strings.h"
#include "kubelet/sources/checks.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

// Shared by the sources of one volume.
struct At {
  FieldPath path;
  FieldErrors* errors;

  At operator/(std::string_view field) const { return {path.Child(field), errors}; }
  void Require(const std::string& value, std::string_view field) const {
    if (value.empty()) errors->Required(path.Child(field));
  }
  void Range(int64_t value, int64_t low, int64_t high, std::string_view field) const {
    if (value >= low && value <= high) return;
    errors->Invalid(path.Child(field), value, RangeComplaint(low, high));
  }
};

void CheckMode(bool present, int32_t mode, const FieldPath& path, FieldErrors* errors) {
  if (!present || (mode >= 0 && mode <= 0777)) return;
  errors->Invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

// A file name below the volume; names starting with `..` are the volume's own.
void CheckVisible(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  CheckDescending(value, path, errors);
  if (value.starts_with("..") && !value.starts_with("../")) {
    errors->Invalid(path, value, "must not start with '..'");
  }
}

using Items = google::protobuf::RepeatedPtrField<v1::KeyToPath>;

void CheckItems(const Items& items, const FieldPath& all, FieldErrors* errors) {
  for (int i = 0; i < items.size(); ++i) {
    const FieldPath path = all.Index(i);
    if (items[i].key().empty()) errors->Required(path.Child("key"));
    if (items[i].path().empty()) errors->Required(path.Child("path"));
    CheckVisible(items[i].path(), path.Child("path"), errors);
    CheckMode(items[i].has_mode(), items[i].mode(), path.Child("mode"), errors);
  }
}

void CheckDownwardFile(const v1::DownwardAPIVolumeFile& file, const FieldPath& path,
                       FieldErrors* errors) {
  if (file.path().empty()) errors->Required(path.Child("path"));
  CheckVisible(file.path(), path.Child("path"), errors);
  if (file.has_fieldref()) {
    CheckFieldRef(file.fieldref(), true, path.Child("fieldRef"), errors);
    if (file.has_resourcefieldref()) {
      errors->Invalid(path, "resource",
                      "fieldRef and resourceFieldRef can not be specified simultaneously");
    }
  } else if (file.has_resourcefieldref()) {
    CheckResourceRef(file.resourcefieldref(), true, path.Child("resourceFieldRef"), errors);
  } else {
    errors->Required(path, "one of fieldRef and resourceFieldRef is required");
  }
  CheckMode(file.has_mode(), file.mode(), path.Child("mode"), errors);
}

// The sources of a projected volume, whose paths must not meet.
class Projection {
 public:
  Projection(const At& at) : at_(at) {}

  void Check(const v1::VolumeProjection& source, int index) {
    const FieldPath path = at_.path.Child("sources").Index(index);
    int count = 0;
    if (source.has_secret()) {
      ++count;
      Keys(source.secret().localobjectreference().name(), source.secret().items(),
           path.Child("secret"));
    }
    if (source.has_configmap()) {
      ++count;
      Keys(source.configmap().localobjectreference().name(), source.configmap().items(),
           path.Child("configMap"));
    }
    if (source.has_downwardapi()) {
      ++count;
      for (const auto& file : source.downwardapi().items()) {
        CheckDownwardFile(file, path.Child("downwardAPI"), at_.errors);
        Take(file.path(), file.path());
      }
    }
    if (source.has_serviceaccounttoken()) {
      ++count;
      Token(source.serviceaccounttoken(), path.Child("serviceAccountToken"));
    }
    if (source.has_clustertrustbundle()) {
      ++count;
      Bundle(source.clustertrustbundle(), path.Child("clusterTrustBundle"));
    }
    if (source.has_podcertificate()) {
      ++count;
      Certificate(source.podcertificate(), path.Child("podCertificate"));
    }
    if (count > 1) {
      at_.errors->Forbidden(path, "may not specify more than 1 volume type per source");
    }
  }

 private:
  void Take(const std::string& path, std::string_view shown) {
    if (path.empty() || taken_.insert(path).second) return;
    at_.errors->Invalid(at_.path, shown, "conflicting duplicate paths");
  }

  void Keys(const std::string& name, const Items& items, const FieldPath& path) {
    if (name.empty()) at_.errors->Required(path.Child("name"));
    CheckItems(items, path.Child("items"), at_.errors);
    for (const auto& item : items) Take(item.path(), name);
  }

  void Token(const v1::ServiceAccountTokenProjection& token, const FieldPath& path) {
    const FieldPath expiration = path.Child("expirationSeconds");
    if (token.expirationseconds() < 600) {
      at_.errors->Invalid(expiration, token.expirationseconds(),
                          "may not specify a duration less than 10 minutes");
    }
    if (token.expirationseconds() > int64_t{1} << 32) {
      at_.errors->Invalid(expiration, token.expirationseconds(),
                          "may not specify a duration larger than 2^32 seconds");
    }
    if (token.path().empty()) at_.errors->Required(at_.path.Child("path"));
    CheckVisible(token.path(), at_.path.Child("path"), at_.errors);
  }

  void Bundle(const v1::ClusterTrustBundleProjection& bundle, const FieldPath& path) {
    if (bundle.has_name() && bundle.has_signername()) {
      at_.errors->Invalid(path, bundle.name(), "only one of name and signerName may be used");
    } else if (!bundle.has_name() && !bundle.has_signername()) {
      at_.errors->Required(path, "either name or signerName must be specified");
    } else if (bundle.has_name() && bundle.has_labelselector()) {
      at_.errors->Invalid(path.Child("labelSelector"), bundle.name(),
                          "labelSelector must be unset if name is specified");
    } else if (bundle.has_labelselector()) {
      CheckLabelSelector(bundle.labelselector(), path.Child("labelSelector"), at_.errors);
    }
    if (bundle.path().empty()) at_.errors->Required(path.Child("path"));
    CheckVisible(bundle.path(), path.Child("path"), at_.errors);
    Take(bundle.path(), bundle.path());
  }

  void Certificate(const v1::PodCertificateProjection& cert, const FieldPath& path) {
    if (!OneOf(cert.keytype(),
               {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"})) {
      at_.errors->NotSupported(
          path.Child("keyType"), cert.keytype(),
          {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"});
    }
    if (cert.has_maxexpirationseconds() && cert.maxexpirationseconds() < 3600) {
      at_.errors->Invalid(path.Child("maxExpirationSeconds"), cert.maxexpirationseconds(),
                          "if provided, maxExpirationSeconds must be >= 3600");
    }
    int paths = 0;
    const auto file = [&](const std::string& value, std::string_view field) {
      if (value.empty()) return;
      ++paths;
      CheckVisible(value, path.Child(field), at_.errors);
      Take(value, value);
    };
    file(cert.credentialbundlepath(), "credentialBundlePath");
    file(cert.keypath(), "keyPath");
    file(cert.certificatechainpath(), "certificateChainPath");
    if (paths > 0) return;
    at_.errors->Required(
        path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
  }

  const At& at_;
  std::set<std::string> taken_;
};

void CheckProjected(const v1::ProjectedVolumeSource& projected, const At& at) {
  CheckMode(projected.has_defaultmode(), projected.defaultmode(), at.path.Child("defaultMode"),
            at.errors);
  Projection projection(at);
  for (int i = 0; i < projected.sources_size(); ++i) projection.Check(projected.sources(i), i);
}

void CheckHostPath(const v1::HostPathVolumeSource& host, const At& at) {
  if (host.path().empty()) return at.errors->Required(at.path.Child("path"));
  CheckNoBacksteps(host.path(), at.path.Child("path"), at.errors);
  if (!OneOf(host.type(), {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
                           "File", "FileOrCreate", "Socket"})) {
    at.errors->NotSupported(at.path.Child("type"), host.type(),
                            {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
                             "File", "FileOrCreate", "Socket"});
  }
}

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

void CheckCsi(const v1::CSIVolumeSource& csi, const At& at) {
  if (csi.driver().empty()) {
    at.errors->Required(at.path.Child("driver"));
  } else {
    if (csi.driver().size() > 63) at.errors->TooLong(at.path.Child("driver"), 63);
    at.errors->InvalidAll(at.path.Child("driver"), csi.driver(),
                          Dns1123Subdomain(Lower(csi.driver())));
  }
  if (!csi.has_nodepublishsecretref()) return;
  const std::string& secret = csi.nodepublishsecretref().name();
  if (secret.empty()) {
    at.errors->Required(at.path.Child("nodePublishSecretRef").Child("name"));
  } else {
    CheckSubdomain(secret, at.path.Child("name"), at.errors);
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

void CheckEphemeral(const v1::EphemeralVolumeSource& ephemeral, const std::string& pod,
                    const std::string& volume, const At& at, const FieldPath& volume_path) {
  const FieldPath path = at.path.Child("volumeClaimTemplate");
  if (!ephemeral.has_volumeclaimtemplate()) {
    at.errors->Required(path);
  } else {
    const auto& spec = ephemeral.volumeclaimtemplate().spec();
    if (spec.accessmodes().empty()) {
      at.errors->Required(path.Child("spec").Child("accessModes"),
                          "at least 1 access mode is required");
    }
    if (!spec.resources().requests().contains("storage")) {
      at.errors->Required(path.Child("spec").Child("resources").Key("storage"));
    }
    CheckLabels(ephemeral.volumeclaimtemplate().metadata().labels(),
                path.Child("metadata").Child("labels"), at.errors);
  }
  if (pod.empty() || volume.empty()) return;
  const std::string claim = StrCat(pod, "-", volume);
  for (const auto& text : Dns1123Subdomain(claim)) {
    at.errors->Invalid(volume_path.Child("name"), volume,
                       StrCat("PVC name ", Quoted(claim), ": ", text));
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

void CheckImage(const v1::ImageVolumeSource& image, const At& at) {
  CheckEnum(image.pullpolicy(), {"Always", "IfNotPresent", "Never"}, at.path.Child("pullPolicy"),
            at.errors);
}

void CheckEmptyDir(const v1::EmptyDirVolumeSource& dir, const At& at) {
  const auto limit = proto::Quantity::From(dir.sizelimit());
  if (limit.ok() && limit->Sign() >= 0) return;
  at.errors->Forbidden(at.path.Child("sizeLimit"),
                       "SizeLimit field must be a valid resource quantity");
}

template <typename Source>
void CheckKeyed(const Source& source, const At& at) {
  CheckMode(source.has_defaultmode(), source.defaultmode(), at.path.Child("defaultMode"),
            at.errors);
  CheckItems(source.items(), at.path.Child("items"), at.errors);
}

void CheckDownward(const v1::DownwardAPIVolumeSource& downward, const At& at) {
  CheckMode(downward.has_defaultmode(), downward.defaultmode(), at.path.Child("defaultMode"),
            at.errors);
  for (const auto& file : downward.items()) CheckDownwardFile(file, at.path, at.errors);
}

// Counts the sources of a volume: the second and later ones are forbidden and not looked at.
class OneSource {
 public:
  explicit OneSource(const At& at) : at_(at) {}
  int count() const { return count_; }
  // Runs `check` when the source is there and the first.
  template <typename F>
  void Take(bool present, std::string_view name, F check) {
    if (!present) return;
    if (++count_ > 1) {
      at_.errors->Forbidden(at_.path.Child(name), "may not specify more than 1 volume type");
    } else {
      check(at_ / name);
    }
  }

 private:
  const At& at_;
  int count_ = 0;
};

// Sources for other people's storage, in upstream's order within itself.
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

void CheckSource(const v1::Volume& volume, const std::string& pod, const FieldPath& path,
                 FieldErrors* errors) {
  const v1::VolumeSource& s = volume.volumesource();
  const At here{path, errors};
  OneSource one(here);
  one.Take(s.has_emptydir(), "emptyDir", [&](const At& at) { CheckEmptyDir(s.emptydir(), at); });
  one.Take(s.has_hostpath(), "hostPath", [&](const At& at) { CheckHostPath(s.hostpath(), at); });
  one.Take(s.has_secret(), "secret", [&](const At& at) {
    at.Require(s.secret().secretname(), "secretName");
    CheckKeyed(s.secret(), at);
  });
  one.Take(s.has_iscsi(), "iscsi",
           [&](const At& at) { CheckIscsi(s.iscsi(), volume.name(), at, path); });
  one.Take(s.has_persistentvolumeclaim(), "persistentVolumeClaim",
           [&](const At& at) { at.Require(s.persistentvolumeclaim().claimname(), "claimName"); });
  one.Take(s.has_downwardapi(), "downwardAPI",
           [&](const At& at) { CheckDownward(s.downwardapi(), at); });
  one.Take(s.has_configmap(), "configMap", [&](const At& at) {
    at.Require(s.configmap().localobjectreference().name(), "name");
    CheckKeyed(s.configmap(), at);
  });
  CheckStorage(s, &one);
  one.Take(s.has_projected(), "projected",
           [&](const At& at) { CheckProjected(s.projected(), at); });
  one.Take(s.has_csi(), "csi", [&](const At& at) { CheckCsi(s.csi(), at); });
  one.Take(s.has_ephemeral(), "ephemeral",
           [&](const At& at) { CheckEphemeral(s.ephemeral(), pod, volume.name(), at, path); });
  one.Take(s.has_image(), "image", [&](const At& at) { CheckImage(s.image(), at); });
  if (one.count() == 0) errors->Required(path, "must specify a volume type");
}

// Splits "metadata.labels['key']".
bool Subscripted(const std::string& path, std::string* name, std::string* key) {
  const size_t open = path.find("['");
  if (open == std::string::npos || !path.ends_with("']") || open + 4 > path.size()) return false;
  *name = path.substr(0, open);
  *key = path.substr(open + 2, path.size() - open - 4);
  return true;
}

}  // namespace

void CheckNoBacksteps(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  for (std::string_view part : Split(value, '/')) {
    if (part == "..") return errors->Invalid(path, value, "must not contain '..'");
  }
}

void CheckDescending(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  if (value.starts_with('/')) errors->Invalid(path, value, "must be a relative path");
  CheckNoBacksteps(value, path, errors);
}

void CheckFieldRef(const v1::ObjectFieldSelector& ref, bool in_volume, const FieldPath& path,
                   FieldErrors* errors) {
  if (ref.apiversion().empty()) return errors->Required(path.Child("apiVersion"));
  if (ref.fieldpath().empty()) return errors->Required(path.Child("fieldPath"));
  const FieldPath at = path.Child("fieldPath");
  const auto unconvertible = [&](const std::string& why) {
    errors->Invalid(at, ref.fieldpath(), StrCat("error converting fieldPath: ", why));
  };
  if (ref.apiversion() != "v1") {
    return unconvertible(StrCat("unsupported pod version: ", ref.apiversion()));
  }
  std::string name, key;
  if (Subscripted(ref.fieldpath(), &name, &key)) {
    if (!OneOf(name, {"metadata.annotations", "metadata.labels"})) {
      return unconvertible(StrCat("field label does not support subscript: ", ref.fieldpath()));
    }
    const bool annotations = name == "metadata.annotations";
    return CheckQualifiedName(annotations ? Lower(key) : key, path, errors);
  }
  const std::string field = ref.fieldpath() == "spec.host" ? "spec.nodeName" : ref.fieldpath();
  if (!OneOf(field,
             {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
              "metadata.uid", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName",
              "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs",
              "status.podIP", "status.podIPs"})) {
    return unconvertible(StrCat("field label not supported: ", field));
  }
  if (in_volume && !OneOf(field, {"metadata.annotations", "metadata.labels", "metadata.name",
                                  "metadata.namespace", "metadata.uid"})) {
    errors->NotSupported(at, field, {"metadata.annotations", "metadata.labels", "metadata.name",
                                     "metadata.namespace", "metadata.uid"});
  } else if (!in_volume &&
             !OneOf(field, {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
                            "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
                            "status.podIP", "status.podIPs"})) {
    errors->NotSupported(
        at, field,
        {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
         "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP",
         "status.podIPs"});
  }
}

void CheckResourceRef(const v1::ResourceFieldSelector& ref, bool in_volume, const FieldPath& path,
                      FieldErrors* errors) {
  const std::string& name = ref.resource();
  const bool huge =
      name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
  if (in_volume && ref.containername().empty()) {
    errors->Required(path.Child("containerName"));
  } else if (name.empty()) {
    errors->Required(path.Child("resource"));
  } else if (!huge &&
             !OneOf(name, {"limits.cpu", "limits.ephemeral-storage", "limits.memory",
                           "requests.cpu", "requests.ephemeral-storage", "requests.memory"})) {
    errors->NotSupported(path.Child("resource"), name,
                         {"limits.cpu", "limits.ephemeral-storage", "limits.memory",
                          "requests.cpu", "requests.ephemeral-storage", "requests.memory"});
  }
  const auto divisor = proto::Quantity::From(ref.divisor());
  if (!divisor.ok()) {
    return errors->Invalid(path.Child("divisor"), ref.divisor().string(),
                           base::Message(divisor.status()));
  }
  if (divisor->IsZero()) return;
  const std::string text = divisor->ToString();
  if (name.ends_with(".cpu")) {
    if (OneOf(text, {"1m", "1"})) return;
    return errors->Invalid(path.Child("divisor"), name,
                           "only divisor's values 1m and 1 are supported with the cpu resource");
  }
  if (OneOf(text, {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi",
                   "1Ei"})) {
    return;
  }
  const std::string_view kind = name.ends_with(".memory")              ? "memory"
                                : name.ends_with(".ephemeral-storage") ? "local ephemeral storage"
                                : huge                                 ? "hugepages"
                                                                       : "";
  if (kind.empty()) return;
  errors->Invalid(path.Child("divisor"), name,
                  StrCat("only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, "
                         "1Pi, 1Ei are supported with the ",
                         kind, " resource"));
}

std::map<std::string, const v1::VolumeSource*> CheckVolumes(const v1::Pod& pod,
                                                            const FieldPath& all,
                                                            FieldErrors* errors) {
  std::map<std::string, const v1::VolumeSource*> good;
  std::set<std::string> created;
  const std::string& pod_name = pod.metadata().name();
  for (const auto& volume : pod.spec().volumes()) {
    if (volume.volumesource().has_ephemeral()) created.insert(StrCat(pod_name, "-", volume.name()));
  }
  for (int i = 0; i < pod.spec().volumes_size(); ++i) {
    const auto& volume = pod.spec().volumes(i);
    const FieldPath path = all.Index(i);
    const size_t before = errors->size();
    CheckSource(volume, pod_name, path, errors);
    if (volume.name().empty()) {
      errors->Required(path.Child("name"));
    } else {
      CheckLabel(volume.name(), path.Child("name"), errors);
    }
    if (good.contains(volume.name())) errors->Duplicate(path.Child("name"), volume.name());
    if (errors->size() == before) good[volume.name()] = &volume.volumesource();
    const auto& claim = volume.volumesource().persistentvolumeclaim();
    if (created.contains(claim.claimname())) {
      errors->Invalid(path.Child("persistentVolumeClaim").Child("claimName"), claim.claimname(),
                      "must not reference a PVC that gets created for an ephemeral volume");
    }
  }
  return good;
}

}  // namespace keelson::kubelet::sources
