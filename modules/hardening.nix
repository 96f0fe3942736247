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
      # Its own processes only; /proc/sys and /proc/meminfo stay, which programs
      # size themselves by.
      ProtectProc = "invisible";
      RemoveIPC = true;
      RestrictNamespaces = true;
      RestrictRealtime = true;
      # Netlink lists the interfaces, which many programs do when they start.
      RestrictAddressFamilies = [
        "AF_INET"
        "AF_INET6"
        "AF_NETLINK"
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

  # Folders that systemd makes for a unit.
  folders = {
    StateDirectory = "/var/lib";
    CacheDirectory = "/var/cache";
    LogsDirectory = "/var/log";
    RuntimeDirectory = "/run";
  };
in
{
  # jit = false stands in the HCL, so it is no default.
  of =
    i:
    lib.mapAttrs (_: lib.mkDefault) (levels.${i.harden} i)
    // lib.optionalAttrs (!i.jit) { MemoryDenyWriteExecute = true; };

  # The settings of a serviceConfig that are part of the sandbox, as lists of
  # texts, and access to the folders that its unit owns. Only systemd itself can
  # give it to a user that it made up; it must not remove one when a check ends.
  settings =
    serviceConfig:
    let
      texts = lib.mapAttrs (_: systemd.texts);
      own = texts (builtins.intersectAttrs (lib.genAttrs keys (_: null)) serviceConfig);
      made = builtins.intersectAttrs folders serviceConfig;
      modes = builtins.intersectAttrs (lib.mapAttrs' (
        key: _: lib.nameValuePair "${key}Mode" null
      ) folders) serviceConfig;
      writable = lib.concatLists (
        lib.mapAttrsToList (key: value: map (name: "-${folders.${key}}/${name}") (systemd.names value)) made
      );
    in
    own
    // (
      if systemd.isTrue (serviceConfig.DynamicUser or false) then
        texts (made // modes) // lib.optionalAttrs (made ? RuntimeDirectory) { RuntimeDirectoryPreserve = [ "yes" ]; }
      else
        lib.optionalAttrs (writable != [ ]) { ReadWritePaths = own.ReadWritePaths or [ ] ++ writable; }
    );
}
