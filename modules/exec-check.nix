# What a command that checks an instance runs with: its service's environment,
# sandbox and secrets. Functions only, not a module.
{ config, lib }:
let
  systemd = import ./systemd.nix { inherit lib; };
  evaluated = import ./evaluated.nix { inherit config lib; };
  hardening = import ./hardening.nix { inherit lib; };
  credentials = import ./credentials.nix { inherit lib; };

  packageOf = c: i: if c.package != null then c.package else i.package;
in
{
  command = c: i: systemd.absolute (packageOf c i) c.exec;

  # The unit's own environment, and the folders that systemd would name. What
  # names its credentials is left out: a check has a folder of its own for them.
  environment =
    c: i:
    let
      unit = evaluated.unit i;
      service = evaluated.serviceConfig i;
      given = lib.mapAttrs (_: value: systemd.unpercent "${value}") (
        lib.filterAttrs (name: value: value != null && !(credentials.variables i ? ${name})) (
          unit.environment or { }
        )
      );
      folder =
        key: variable: below:
        lib.optionalAttrs (service ? ${key}) {
          ${variable} = lib.concatMapStringsSep ":" (name: "${below}/${name}") (systemd.names service.${key});
        };
    in
    given
    // folder "StateDirectory" "STATE_DIRECTORY" "/var/lib"
    // folder "CacheDirectory" "CACHE_DIRECTORY" "/var/cache"
    // folder "RuntimeDirectory" "RUNTIME_DIRECTORY" "/run"
    // {
      PATH = builtins.concatStringsSep ":" (
        [ "${packageOf c i}/bin" ] ++ lib.optional (given ? PATH) given.PATH
      );
    };

  # By setting, as lists of texts.
  sandbox = i: hardening.settings (evaluated.serviceConfig i);

  # As LoadCredential= and EnvironmentFile= have them.
  credentials = c: i: credentials.load c.instance i;
  environmentFiles = c: i: credentials.environmentFiles c.instance i;
}
