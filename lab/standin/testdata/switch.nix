# A system for each word: `base`, and what differs from it. NIX gives { lab } and the word.
{ lab, variant }:
let
  flake = (import (lab + "/nixpkgs/flake.nix")).outputs { self = { }; };
  inherit (flake) lib;
  changed = variant == "changed";
  value = if changed then "2" else "1";
  run = extra: lib.recursiveUpdate {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "/usr/bin/sleep 1000";
  } extra;
  variants = {
    fails.systemd.services.bad = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig.Type = "oneshot";
      script = "exit 1";
    };
    crashes.systemd.services.loop = {
      wantedBy = [ "multi-user.target" ];
      unitConfig.StartLimitIntervalSec = 0;
      serviceConfig.Restart = "always";
      serviceConfig.RestartSec = 5;
      script = "exit 3";
    };
    # systemd refuses to load it, and nothing tells.
    unloadable.systemd.services.two = run { serviceConfig.ExecStart = [ "/usr/bin/true" "/usr/bin/false" ]; };
    activation.system.activationScripts.wrong = "false";
    refuses.system.preSwitchChecks.never = "echo \"not $2\"; exit 1";
    interface.system.systemBuilderCommands = "printf 'systemd 3' > $out/init-interface-version";
  };
in
(lib.nixosSystem {
  modules = [
    (lab + "/module.nix")
    (lab + "/seed.nix")
    {
      environment.etc."demo/word".text = value;
      systemd.services = {
        stopped = run { environment.VALUE = value; };
        restarted = run { environment.VALUE = value; stopIfChanged = false; };
        reloaded = run { reloadTriggers = [ value ]; serviceConfig.ExecReload = "/usr/bin/touch /run/was-reloaded"; };
        left = run { environment.VALUE = value; restartIfChanged = false; };
        same = run { description = "words ${value}"; unitConfig.OnFailure = lib.mkIf changed "left.service"; };
      }
      // (if changed then { new = run { }; } else { removed = run { }; });
      # A restart in one step leaves the unit's socket as it is.
      systemd.sockets.restarted = {
        wantedBy = [ "sockets.target" ];
        listenStreams = [ "/run/restarted.sock" ];
      };
    }
    (variants.${variant} or { })
  ];
}).config.system.build.toplevel
