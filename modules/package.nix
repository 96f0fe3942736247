# The host's own nixmesh: one executable under two names. Called as
# nixmesh-host it takes the closed list of the helper's verbs and nothing else.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.nixmesh;
  system = pkgs.stdenv.hostPlatform.system;
in
{
  options.services.nixmesh = {
    version = lib.mkOption {
      type = lib.types.str;
      default = "0.0.0";
      example = "0.3.1";
      description = "Version of nixmesh, as host.json names it.";
    };

    protocol = lib.mkOption {
      type = lib.types.ints.positive;
      default = 1;
      description = ''
        Number of the protocol that the host's helper speaks. A deployer speaks every number
        up to its own and refuses a newer one.
      '';
    };

    source = lib.mkOption {
      type = lib.types.path;
      description = ''
        Folder with the executable: `bin/nixmesh-SYSTEM` for this host's system, else
        `bin/nixmesh`.
      '';
    };

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.runCommand "nixmesh-${cfg.version}" { } ''
        mkdir -p $out/bin
        from=${cfg.source}/bin/nixmesh-${system}
        [ -e "$from" ] || from=${cfg.source}/bin/nixmesh
        cp "$from" $out/bin/nixmesh
        chmod 0555 $out/bin/nixmesh
        ln -s nixmesh $out/bin/nixmesh-host
      '';
      defaultText = lib.literalMD "a package of the executable in services.nixmesh.source";
      description = "Package with `bin/nixmesh` and its second name `bin/nixmesh-host`.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];

    systemd.tmpfiles.settings."10-nixmesh" =
      let
        folder = mode: {
          d = {
            inherit mode;
            user = "root";
            group = "root";
          };
        };
      in
      {
        "/var/lib/nixmesh" = folder "0755";
        "/var/lib/nixmesh/log" = folder "0755";
        "/var/lib/nixmesh/releases" = folder "0755";
        "/run/nixmesh" = folder "0755";
      };

    # A run that a power cut or a reboot broke off is brought to its end here.
    systemd.services.nixmesh-host = {
      description = "nixmesh: bring an interrupted switch to its end";
      wantedBy = [ "multi-user.target" ];
      after = [ "local-fs.target" ];
      # A switch must not restart the program that watches over it.
      restartIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${cfg.package}/bin/nixmesh host reconcile";
      };
    };
  };
}
