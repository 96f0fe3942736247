# Who may act on this host: logins, signing keys, and the keys that a toplevel
# must be signed with.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  nixKeys = builtins.filter (key: key != null) (
    lib.mapAttrsToList (_: operator: operator.nixKey) cfg.operators
  );
in
{
  options.services.nixmesh.operators = lib.mkOption {
    default = { };
    description = "The operators of the fleet, by name.";
    type = lib.types.attrsOf (
      lib.types.submodule {
        options = {
          ssh = lib.mkOption {
            type = lib.types.listOf lib.types.singleLineStr;
            default = [ ];
            example = [ "ssh-ed25519 AAAAC3Nz… anna" ];
            description = "Public keys that log in as the deploy user.";
          };
          sign = lib.mkOption {
            type = lib.types.listOf lib.types.singleLineStr;
            default = [ ];
            description = "Public keys whose signatures over releases this host accepts.";
          };
          nixKey = lib.mkOption {
            type = lib.types.nullOr lib.types.singleLineStr;
            default = null;
            example = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E=";
            description = ''
              Public key, "NAME:BASE64", that signs store paths. Without it the operator
              cannot deploy.
            '';
          };
        };
      }
    );
  };

  config = lib.mkIf cfg.enable {
    environment.etc."nixmesh/deployers".text = lib.concatMapStrings (key: key + "\n") nixKeys;

    # A trusted user is root: it may add any path, whoever signed it.
    assertions = [
      {
        assertion =
          cfg.user == "root"
          || !builtins.any (name: name == cfg.user || name == "*") (config.nix.settings.trusted-users or [ ]);
        message = "${cfg.place}: nix.settings.trusted-users names ${cfg.user} (or everybody), which would let paths in that no operator signed; take it out there";
      }
    ];

    nix.settings = {
      require-sigs = true;
      trusted-public-keys = nixKeys;
      allowed-users = lib.mkDefault [
        "root"
        cfg.user
        "@wheel"
      ];
      experimental-features = lib.mkDefault [
        "nix-command"
        "flakes"
      ];
    };
  };
}
