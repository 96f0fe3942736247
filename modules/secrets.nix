# Secrets of the services on this host. What a toplevel holds is the ciphertext,
# so a secret goes back with its generation. A unit opens it with the host's
# SSH key before the services that need it; a secret that cannot be opened
# keeps exactly those from starting, and so makes a switch go back.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  credentials = import ./credentials.nix { inherit lib; };

  secret = {
    options = {
      file = lib.mkOption {
        type = lib.types.nullOr lib.types.path;
        default = null;
        description = "Age file that this host's SSH key opens.";
      };
      path = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "/run/secrets/token";
        description = "File on the host that something else puts there.";
      };
    };
  };

  instance = {
    options = {
      secrets = lib.mkOption {
        type = lib.types.attrsOf (lib.types.submodule secret);
        default = { };
        description = ''
          Files that only this service reads: `$CREDENTIALS_DIRECTORY/NAME`, whose path is in the
          variable `NAME_FILE`. Each has exactly one of `file` and `path`.
        '';
      };
      secretEnv = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
        description = "Names of `secrets` that are set as variables, too.";
      };
    };
  };

  ageFiles = i: lib.filterAttrs (_: s: s.file != null) i.secrets;
  withSecrets = lib.filterAttrs (_: i: i.secrets != { }) cfg.instances;

  # The ciphertext by itself: its path in the store is another one only if its
  # content is.
  ciphertext =
    file:
    builtins.path {
      path = file;
      name = "nixmesh-secret.age";
    };

  sealed = file: name: {
    ciphertext = "${ciphertext file}";
    file = name;
    source = builtins.unsafeDiscardStringContext (baseNameOf file);
  };

  # A key with its certificate, for the agent.
  certificate =
    pair: name:
    sealed pair.key name
    // {
      public = "${
        builtins.path {
          path = pair.chain;
          name = "nixmesh-certificate.pem";
        }
      }";
      reader = config.users.users.nixmesh-agent.uid;
    };

  certificates = lib.optionals cfg.agent.enable (
    lib.concatLists (
      lib.mapAttrsToList (
        name: g: map (c: certificate c (credentials.gatewayFile name c.host)) g.certificates
      ) cfg.gateways
    )
    ++ lib.mapAttrsToList (name: e: certificate e.certificate (credentials.externalFile name)) (
      lib.filterAttrs (_: e: e.certificate != null) cfg.externals
    )
  );

  manifest = {
    schema = "nixmesh.secrets/1";
    identity = cfg.hostKey;
    secrets =
      lib.concatLists (
        lib.mapAttrsToList (
          name: i: lib.mapAttrsToList (variable: s: sealed s.file (credentials.file name variable)) (ageFiles i)
        ) withSecrets
      )
      ++ lib.optional cfg.agent.enable (sealed cfg.agent.gossipKey credentials.gossipFile)
      ++ certificates;
    environment = lib.mapAttrsToList (name: i: {
      file = credentials.environmentFile name;
      variables = lib.genAttrs i.secretEnv (
        variable:
        credentials.source name variable (
          i.secrets.${variable} or (throw "${i.place}: secret_env names ${variable}, which is no secret")
        )
      );
    }) (lib.filterAttrs (_: i: i.secretEnv != [ ]) withSecrets);
  };

  # A secret that something else puts there needs nothing of us.
  unsealed = i: ageFiles i != { } || i.secretEnv != [ ];

  unit =
    name: i:
    systemd.at i.place {
      wants = lib.mkIf (unsealed i) [ "nixmesh-unseal.service" ];
      after = lib.mkIf (unsealed i) [ "nixmesh-unseal.service" ];
      environment = credentials.variables i;
      serviceConfig = {
        LoadCredential = map systemd.percent (credentials.load name i);
      }
      // lib.optionalAttrs (i.secretEnv != [ ]) { EnvironmentFile = credentials.environmentFiles name i; };
      # Stopped before and started after the secrets change: a restart in one step
      # could be over before unsealing begins, and read the old ones.
      stopIfChanged = lib.mkForce true;
      # A service reads its secrets at its start: another ciphertext is another one.
      restartTriggers = lib.mapAttrsToList (
        variable: s: "${variable}:${builtins.hashFile "sha256" s.file}"
      ) (ageFiles i);
    };

  ed25519 = builtins.filter (key: key.type == "ed25519") config.services.openssh.hostKeys;
in
{
  options.services.nixmesh = {
    instances = lib.mkOption { type = lib.types.attrsOf (lib.types.submodule instance); };

    hostKey = lib.mkOption {
      type = lib.types.str;
      default = if ed25519 != [ ] then toString (builtins.head ed25519).path else "/etc/ssh/ssh_host_ed25519_key";
      defaultText = lib.literalMD "the ed25519 key of `services.openssh.hostKeys`";
      description = "This host's SSH key, which opens its secrets.";
    };
  };

  config = lib.mkIf cfg.enable {
    # Names and paths, no secret: its form is the Go type hostfacts.Secrets.
    environment.etc."nixmesh/secrets.json".text = builtins.toJSON manifest + "\n";

    systemd.services = lib.mkMerge [
      (lib.mapAttrs' (name: i: lib.nameValuePair (systemd.attribute i.unit) (unit name i)) withSecrets)
      {
        # A unit of its own: what is mounted in a sandbox, no other unit sees.
        nixmesh-secrets = {
          description = "nixmesh: a place in memory for the secrets of this host";
          # It stops where a system without nixmesh takes over, and at shutdown.
          restartIfChanged = false;
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            ExecStart = "${cfg.package}/bin/nixmesh secret unseal --mount";
            ExecStop = "${cfg.package}/bin/nixmesh secret unseal --unmount";
          };
        };

        # It is there without secrets, too: the last one that goes has to leave
        # the host's memory.
        nixmesh-unseal = {
          description = "nixmesh: open the secrets of this host";
          wantedBy = [ "multi-user.target" ];
          requires = [ "nixmesh-secrets.service" ];
          after = [ "nixmesh-secrets.service" ];
          # Restarted before, not beside, the services that a switch starts. They
          # only want it: those whose secrets are the same go on.
          stopIfChanged = false;
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            ExecStart = "${cfg.package}/bin/nixmesh secret unseal ${config.environment.etc."nixmesh/secrets.json".source}";
            # What it reads is in memory, and stays there.
            LimitCORE = 0;
            MemorySwapMax = 0;
            UMask = "0077";
            # It reads files of any owner, writes to one folder, and gives some of
            # what it writes to the agent.
            CapabilityBoundingSet = [ "CAP_DAC_READ_SEARCH" ] ++ lib.optional (certificates != [ ]) "CAP_CHOWN";
            ProtectSystem = "strict";
            ReadWritePaths = "/run/nixmesh/secrets";
            PrivateNetwork = true;
            RestrictAddressFamilies = "none";
            LockPersonality = true;
            MemoryDenyWriteExecute = true;
            NoNewPrivileges = true;
            PrivateDevices = true;
            PrivateTmp = true;
            ProtectClock = true;
            ProtectControlGroups = true;
            ProtectHome = "read-only";
            ProtectHostname = true;
            ProtectKernelLogs = true;
            ProtectKernelModules = true;
            ProtectKernelTunables = true;
            ProtectProc = "invisible";
            RestrictNamespaces = true;
            RestrictRealtime = true;
            RestrictSUIDSGID = true;
            SystemCallArchitectures = "native";
            SystemCallFilter = "@system-service";
          };
        };
      }
    ];

    assertions = lib.concatLists (
      lib.mapAttrsToList (
        _: i:
        lib.mapAttrsToList (variable: s: {
          assertion = (s.file == null) != (s.path == null);
          message = "${i.place}: secret ${variable} needs exactly one of an age file and a path";
        }) i.secrets
        ++ [
          {
            assertion = !config.systemd.services.${systemd.attribute i.unit}.reloadIfChanged;
            message = "${i.place}: ${i.unit} is reloaded where it changed (reloadIfChanged), and reads a changed secret only when it starts; set systemd.services.${systemd.attribute i.unit}.reloadIfChanged = false";
          }
        ]
      ) withSecrets
    );
  };
}
