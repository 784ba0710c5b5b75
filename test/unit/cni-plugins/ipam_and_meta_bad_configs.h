// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/unit/cni-plugins/bad_configs.h"

namespace keelson::cni {

#define RANGE "\"ranges\":[[{\"subnet\":\"10.0.0.0/24\"}]]"
#define MAPS(list) "\"runtimeConfig\":{\"portMappings\":[" list "]}"

// What the IPAM and meta plugins must refuse.
inline constexpr BadConfig kBadIpamAndMeta[] = {
    {"host-local", "\"type\":\"x\"", 7, "ipam"},
    {"host-local", "\"ipam\":{}", 7, "ipam.ranges"},
    {"host-local", "\"ipam\":{\"ranges\":[[{\"subnet\":\"10.0.0.0/33\"}]]}", 7,
     "ipam.ranges[0][0].subnet"},
    {"host-local",
     "\"ipam\":{\"ranges\":[[{\"subnet\":\"10.0.0.0/24\",\"rangeEnd\":\"10.0.1.0\"}]]}", 7,
     "ipam.ranges[0][0].rangeEnd"},
    {"host-local", "\"ipam\":{\"dataDir\":5," RANGE "}", 7, "ipam.dataDir"},
    {"host-local", "\"ipam\":{" RANGE ",\"routes\":[{\"dst\":\"nowhere\"}]}", 7,
     "ipam.routes[0].dst"},
    {"host-local", "\"ipam\":{" RANGE "},\"args\":{\"cni\":{\"ips\":[\"10.0.0\"]}}", 7,
     "args.cni.ips[0]"},
    {"host-local", "\"ipam\":{" RANGE "},\"runtimeConfig\":{\"ips\":\"10.0.0.1\"}", 7,
     "runtimeConfig.ips"},
    {"host-local",
     "\"ipam\":{" RANGE "},\"runtimeConfig\":{\"ipRanges\":[[{\"subnet\":\"10.0.0.0/8\"}]]}", 7,
     "ipam.ranges[0]"},
    {"host-local", "!{\"cniVersion\":\"1.0.0\",\"name\":\"../../etc\",\"ipam\":{" RANGE "}}", 7,
     "name"},
    {"host-local",
     "!{\"cniVersion\":\"0.2.0\",\"name\":\"n\",\"ipam\":{\"ranges\":"
     "[[{\"subnet\":\"10.0.0.0/24\"}],[{\"subnet\":\"10.1.0.0/24\"}]]}}",
     7, "ipam.ranges"},
    {"static", "\"ipam\":{\"addresses\":[{\"address\":\"10.0.0.1\"}]}", 7,
     "ipam.addresses[0].address"},
    {"static", "\"ipam\":{\"addresses\":[{\"address\":\"10.0.0.1/24\",\"gateway\":\"x\"}]}", 7,
     "ipam.addresses[0].gateway"},
    {"static", "\"ipam\":{},\"runtimeConfig\":{\"ips\":[\"10.0.0.1\"]}", 7, "runtimeConfig.ips[0]"},
    {"static", "\"ipam\":{\"dns\":[]}", 7, "ipam.dns"},
    {"dhcp", "\"ipam\":{\"provide\":[{\"option\":\"colour\",\"value\":\"red\"}]}", 7,
     "ipam.provide[0].option"},
    {"dhcp", "\"ipam\":{\"request\":[{\"option\":\"300\"}]}", 7, "ipam.request[0].option"},
    {"dhcp", "\"ipam\":{\"daemonSocketPath\":true}", 7, "ipam.daemonSocketPath"},
    {"dhcp", "\"ipam\":{\"priority\":-1}", 7, "ipam.priority"},
    {"portmap", MAPS("{\"hostPort\":0,\"containerPort\":1,\"protocol\":\"tcp\"}"), 7,
     "runtimeConfig.portMappings[0].hostPort"},
    {"portmap", MAPS("{\"hostPort\":65536,\"containerPort\":1,\"protocol\":\"tcp\"}"), 7,
     "runtimeConfig.portMappings[0].hostPort"},
    {"portmap", MAPS("{\"hostPort\":1,\"protocol\":\"tcp\"}"), 7,
     "runtimeConfig.portMappings[0].containerPort"},
    {"portmap", MAPS("{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"icmp\"}"), 7,
     "runtimeConfig.portMappings[0].protocol"},
    {"portmap",
     MAPS("{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"tcp\",\"hostIP\":\"host\"}"), 7,
     "runtimeConfig.portMappings[0].hostIP"},
    {"portmap",
     MAPS("{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"tcp\"},"
          "{\"hostPort\":1,\"containerPort\":2,\"protocol\":\"TCP\"}"),
     7, "runtimeConfig.portMappings[1].hostPort"},
    {"portmap", "\"markMasqBit\":32", 7, "markMasqBit"},
    {"portmap", "\"markMasqBit\":3,\"externalSetMarkChain\":\"X\"", 7, "markMasqBit"},
    {"portmap", "\"snat\":\"yes\"", 7, "snat"},
    {"portmap", "\"backend\":\"pf\"", 7, "backend"},
    {"portmap", "\"backend\":\"nftables\",\"externalSetMarkChain\":\"X\"", 7,
     "externalSetMarkChain"},
    {"portmap", "\"backend\":\"nftables\",\"conditionsV4\":[\"-s\",\"10.0.0.0/8\"]", 7,
     "conditionsV4"},
    {"portmap", "\"conditionsV6\":[\"-m\",\"geoip\"]", 7, "conditionsV6"},
    {"bandwidth", "\"ingressRate\":5", 7, "ingressBurst"},
    {"bandwidth", "\"egressBurst\":5", 7, "egressRate"},
    {"bandwidth", "\"egressRate\":-5,\"egressBurst\":5", 7, "egressRate"},
    {"bandwidth", "\"ingressRate\":5,\"ingressBurst\":99999999999999", 7, "ingressBurst"},
    {"bandwidth", "\"runtimeConfig\":{\"bandwidth\":{\"ingressRate\":5}}", 7,
     "runtimeConfig.bandwidth.ingressBurst"},
    {"bandwidth", "\"shapedSubnets\":[\"10/8\"]", 7, "shapedSubnets[0]"},
    {"bandwidth", "\"shapedSubnets\":[\"10.0.0.0/8\"],\"unshapedSubnets\":[\"10.0.0.0/8\"]", 7,
     "shapedSubnets"},
    {"firewall", "\"backend\":\"ufw\"", 7, "backend"},
    {"firewall", "\"ingressPolicy\":\"maybe\"", 7, "ingressPolicy"},
    {"firewall", "\"iptablesAdminChainName\":\"a b\"", 7, "iptablesAdminChainName"},
    {"firewall", "\"iptablesAdminChainName\":\"forward\"", 7, "iptablesAdminChainName"},
    {"tuning", "\"sysctl\":{\"kernel.shmmax\":\"1\"}", 7, "sysctl.kernel.shmmax"},
    {"tuning", "\"sysctl\":{\"/kernel/net/x\":\"1\"}", 7, "sysctl./kernel/net/x"},
    {"tuning", "\"sysctl\":{\"net.core.x\":\"1\",\"net/core/x\":\"2\"}", 7, "sysctl"},
    {"tuning", "\"sysctl\":{\"net.core.somaxconn\":5}", 7, "sysctl.net.core.somaxconn"},
    {"tuning", "\"mtu\":\"big\"", 7, "mtu"},
    {"tuning", "\"mac\":\"02:00\"", 7, "mac"},
    {"tuning", "\"txQLen\":-1", 7, "txQLen"},
    {"sbr", "\"table\":0", 7, "table"},
    {"sbr", "\"gateways\":[\"10.0.0.1\",\"10.0.0.2\"]", 7, "gateways[1]"},
    {"sbr", "\"gateways\":[\"gw\"]", 7, "gateways[0]"},
    {"vrf", "\"type\":\"vrf\"", 7, "vrfname"},
    {"vrf", "\"vrfname\":\"a/b\"", 7, "vrfname"},
    {"vrf", "\"vrfname\":\"blue\",\"table\":-1", 7, "table"},
};

#undef RANGE
#undef MAPS

}  // namespace keelson::cni
