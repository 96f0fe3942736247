# The sandboxes of harden = "default" and "strict", as serviceConfig. A
# function of an instance, not a module.
{ lib }:
let
  systemd = import ./systemd.nix { inherit lib; };

  default = {
    NoNewPrivileges = true;
    PrivateTmp = true;
    PrivateDevices = true;
    ProtectSystem = "strict";
    ProtectHome = true;
    ProtectKernelTunables = true;
    ProtectKernelModules = true;
    ProtectKernelLogs = true;
    ProtectControlGroups = true;
    ProtectClock = true;
    ProtectHostname = true;
    RestrictSUIDSGID = true;
    LockPersonality = true;
    UMask = "0027";
  };

  strict =
    i:
    default
    // {
      ProtectProc = "invisible";
      ProcSubset = "pid";
      RemoveIPC = true;
      RestrictNamespaces = true;
      RestrictRealtime = true;
      RestrictAddressFamilies = [
        "AF_INET"
        "AF_INET6"
        "AF_UNIX"
      ];
      SystemCallArchitectures = "native";
      SystemCallErrorNumber = "EPERM";
      SystemCallFilter = [
        "@system-service"
        "~@privileged @resources"
      ];
      UMask = "0077";
      # Sockets of other services are out of sight; what stays is what name
      # look-ups and logging need, and the service's own runtime folder.
      TemporaryFileSystem = [ "/run:ro" ];
      BindReadOnlyPaths = [
        "-/run/current-system"
        "-/run/nscd"
        "-/run/systemd/journal"
        "-/run/systemd/notify"
        "-/run/systemd/resolve"
      ];
      BindPaths = lib.optional (i.package != null) "-/run/${i.service}";
    };

  # A port below 1024 needs the one capability for it, which private users
  # would take away again.
  capabilities =
    i:
    if builtins.any (l: l.port < 1024) i.listens then
      {
        AmbientCapabilities = "CAP_NET_BIND_SERVICE";
        CapabilityBoundingSet = "CAP_NET_BIND_SERVICE";
      }
    else
      {
        AmbientCapabilities = "";
        CapabilityBoundingSet = "";
      }
      // lib.optionalAttrs (i.harden == "strict") { PrivateUsers = true; };

  levels = {
    off = _: { };
    default = i: default // capabilities i;
    strict = i: strict i // capabilities i;
  };

  # Settings of a unit that make up its sandbox: what a check of the service
  # runs under, too. Folders that systemd creates are not among them, since it
  # would delete them when the check ends.
  keys = [
    "AmbientCapabilities"
    "BindPaths"
    "BindReadOnlyPaths"
    "CapabilityBoundingSet"
    "DeviceAllow"
    "DevicePolicy"
    "DynamicUser"
    "ExecPaths"
    "Group"
    "InaccessiblePaths"
    "LockPersonality"
    "MemoryDenyWriteExecute"
    "NoExecPaths"
    "NoNewPrivileges"
    "PrivateDevices"
    "PrivateNetwork"
    "PrivateTmp"
    "PrivateUsers"
    "ProcSubset"
    "ProtectClock"
    "ProtectControlGroups"
    "ProtectHome"
    "ProtectHostname"
    "ProtectKernelLogs"
    "ProtectKernelModules"
    "ProtectKernelTunables"
    "ProtectProc"
    "ProtectSystem"
    "ReadOnlyPaths"
    "ReadWritePaths"
    "RestrictAddressFamilies"
    "RestrictNamespaces"
    "RestrictRealtime"
    "RestrictSUIDSGID"
    "SupplementaryGroups"
    "SystemCallArchitectures"
    "SystemCallErrorNumber"
    "SystemCallFilter"
    "TemporaryFileSystem"
    "UMask"
  ];
in
{
  of = i: lib.mapAttrs (_: lib.mkDefault) (levels.${i.harden} i);

  # "NAME=VALUE" for each setting of a serviceConfig that is part of the
  # sandbox, and write access to the folders that its unit owns.
  properties =
    serviceConfig:
    let
      present = builtins.filter (key: serviceConfig ? ${key}) keys;
      folders = lib.concatMap (
        { key, below }:
        map (name: "-${below}/${name}") (systemd.names (serviceConfig.${key} or [ ]))
      );
    in
    lib.concatMap (key: map (text: "${key}=${text}") (systemd.texts serviceConfig.${key})) present
    ++ map (path: "ReadWritePaths=${path}") (folders [
      {
        key = "StateDirectory";
        below = "/var/lib";
      }
      {
        key = "CacheDirectory";
        below = "/var/cache";
      }
      {
        key = "RuntimeDirectory";
        below = "/run";
      }
    ]);
}
