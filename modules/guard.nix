# The guard: the kernel's table of who may connect where (guard-table.nix), and
# the units that keep it. It needs neither Envoy nor the agent. It is there
# before the services that nixmesh runs, since they require it, and it goes only
# with them: a switch to another table is one transaction, in place.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.nixmesh;
  evaluated = import ./evaluated.nix { inherit config lib; };
  sandbox = (import ./agent-sandbox.nix).guard;

  nft = "${pkgs.nftables}/bin/nft";
  unshare = "${pkgs.util-linux}/bin/unshare";

  # A table that nft refuses fails the build, where the builder lets it look.
  # The host's users are not the builder's.
  file =
    name: copy:
    pkgs.writeTextFile {
      inherit name;
      text = import ./guard-table.nix { inherit config lib copy; };
      checkPhase = ''
        sed '/comment/!s/"[^"]*"/65534/g' "$target" > checked.nft
        for apart in --net '--map-root-user --net'; do
          if ${unshare} $apart ${nft} list tables >/dev/null 2>&1; then
            ${unshare} $apart ${nft} --check --file checked.nft
            break
          fi
        done
      '';
    };

  table = file "nixmesh-guard.nft" false;
  copy = file "nixmesh-guard-copy.nft" true;

  instances = builtins.attrValues cfg.instances;
  guarded = lib.unique (map (i: i.unit) instances ++ [ "nixmesh-envoy.service" ]);

  options = {
    egress = lib.mkOption {
      type = lib.types.enum [
        "declared"
        "open"
      ];
      default = "open";
      description = ''
        Where the service may connect to. `declared`: mesh names, and this host, whose
        resolver asks others: it keeps no data from going out by DNS. `open`: everywhere,
        as without nixmesh.
      '';
    };
    mtls = lib.mkOption {
      type = lib.types.enum [
        "strict"
        "permissive"
      ];
      default = "strict";
      description = ''
        Who reaches the application's ports. `strict`: Envoy and the service itself.
        `permissive`: whoever reached them without nixmesh.
      '';
    };
  };

  # Users who can be told from others, and from root: who is not would be held
  # to what another service may do.
  confined = builtins.filter (i: i.egress == "declared") instances;
  shares = i: builtins.any (o: o.egress == "open" && evaluated.user o == evaluated.user i) instances;
  fix = i: "add user = \"${i.service}\" to the service, or egress = \"open\"";

  sshPorts = config.services.openssh.ports;
  closed =
    i: builtins.filter (l: builtins.elem l.port sshPorts) (lib.optionals (i.mtls == "strict") i.listens);
in
{
  options.services.nixmesh.instances = lib.mkOption {
    type = lib.types.attrsOf (lib.types.submodule { inherit options; });
  };

  config = lib.mkIf (cfg.enable && cfg.agent.enable) {
    environment.etc."nixmesh/guard.nft".source = table;
    environment.etc."nixmesh/guard-copy.nft".source = copy;

    systemd.services.nixmesh-guard = {
      description = "nixmesh: who may connect where on this host";
      wantedBy = [ "multi-user.target" ];
      # Said here and not in their units: another module's stay as they are.
      requiredBy = guarded;
      before = guarded ++ [ "network-pre.target" ];
      # Wanted only: what it requires would take it along in a shutdown.
      wants = [
        "sysinit.target"
        "network-pre.target"
        "nixmesh-guard-watch.service"
      ];
      # The table names users, whichever of them makes these.
      after = [
        "sysinit.target"
        "systemd-sysusers.service"
        "userborn.service"
        "nftables.service"
      ];
      unitConfig = {
        # A shutdown takes it along with the kernel, and not before.
        DefaultDependencies = false;
        # A reload of the host's firewall may flush every table.
        ReloadPropagatedFrom = "nftables.service";
      };
      reloadIfChanged = true;
      serviceConfig = sandbox // {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${nft} -f ${table}";
        ExecReload = "${nft} -f ${table}";
        # The network of a boot waits for it.
        TimeoutStartSec = 30;
        # Only a system without nixmesh stops it, after the services.
        ExecStop = "-${nft} delete table inet nixmesh";
      };
    };

    # Whoever else changes or flushes the host's tables, this one is back at once.
    systemd.services.nixmesh-guard-watch = {
      description = "nixmesh: keep the kernel's table";
      wantedBy = [ "multi-user.target" ];
      requires = [ "nixmesh-guard.service" ];
      after = [ "nixmesh-guard.service" ];
      before = guarded;
      # It starts only where the table can be loaded: a switch sees what a reload
      # that failed leaves as it was.
      restartTriggers = [ table ];
      stopIfChanged = false;
      startLimitIntervalSec = 0;
      serviceConfig = sandbox // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${cfg.package}/bin/nixmesh host guard --nft ${nft} --table /etc/nixmesh/guard.nft --copy /etc/nixmesh/guard-copy.nft";
        ReadWritePaths = "/run/nixmesh";
        Restart = "always";
        RestartSec = "100ms";
        RestartSteps = 5;
        RestartMaxDelaySec = "5s";
        WatchdogSec = 30;
        TimeoutStartSec = 30;
        TimeoutStopSec = 5;
        MemoryMax = "128M";
        TasksMax = 64;
        # The kernel ends it last when memory is short.
        OOMScoreAdjust = -900;
      };
    };

    assertions =
      lib.concatMap (i: [
        {
          assertion = evaluated.uid i != 0 && !evaluated.dynamic i;
          message = "${i.place}: ${i.unit} runs as ${
            if evaluated.dynamic i then "a user that systemd makes up at each start (DynamicUser)" else "root"
          }, so egress = \"declared\" cannot hold it; ${fix i}";
        }
        {
          assertion = !shares i;
          message = "${i.place}: ${i.unit} has egress = \"declared\" and runs as ${evaluated.user i}, as a service with egress = \"open\" does; ${fix i}";
        }
      ]) confined
      ++ map (i: {
        assertion = closed i == [ ];
        message = "${i.place}: only Envoy may reach the port of a service, and ${
          toString (builtins.head (closed i)).port
        } is the host's SSH; give the service another port";
      }) instances;
  };
}
