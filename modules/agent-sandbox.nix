# The sandboxes of nixmesh's own units, as serviceConfig. Not a module.
let
  common = {
    # Keys are in memory, and stay there.
    LimitCORE = 0;
    MemorySwapMax = 0;
    UMask = "0077";
    NoNewPrivileges = true;
    ProtectSystem = "strict";
    PrivateTmp = true;
    PrivateDevices = true;
    PrivateIPC = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    RemoveIPC = true;
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
  };
in
{
  # No PrivateUsers: who asks at the socket is known by a uid, which those of
  # other users would not be. /run stays: what the host runs is looked up there.
  agent = common // {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    ProtectHome = true;
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    # What an unprivileged user may speak to, and the agent has no use for.
    InaccessiblePaths = [
      "-/nix/var/nix/daemon-socket"
      "-/run/dbus"
    ];
  };

  # Ports of gateways are below 1024.
  envoy = common // {
    AmbientCapabilities = "CAP_NET_BIND_SERVICE";
    CapabilityBoundingSet = "CAP_NET_BIND_SERVICE";
    ProtectHome = true;
    ProcSubset = "pid";
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    InaccessiblePaths = [
      "-/nix/var/nix/daemon-socket"
      "-/run/dbus"
      "-/run/nixmesh/secrets"
      "-/var/lib/nixmesh"
    ];
  };

  # What loads the kernel's table: root with one right, and no way to the network
  # but netlink. Names of users come from nscd's socket, too, and what it writes is
  # for the agent to read.
  guard = common // {
    CapabilityBoundingSet = "CAP_NET_ADMIN";
    UMask = "0022";
    ProtectHome = true;
    RestrictAddressFamilies = [
      "AF_NETLINK"
      "AF_UNIX"
    ];
  };

  # Root without its rights, but for reading a host key wherever it lies.
  nodekey = common // {
    CapabilityBoundingSet = "CAP_DAC_READ_SEARCH";
    ProtectHome = "read-only";
    PrivateNetwork = true;
    RestrictAddressFamilies = "none";
  };
}
