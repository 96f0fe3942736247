# Wrong configurations, and a part of what Nix must say about each: NAME = { value; says; }. ../../standin asks for each value.
let
  flake = (import ../flake.nix).outputs { self = { }; };
  inherit (flake) lib;
  inherit (lib) mkOption types;

  here = x: { _file = "nixmesh.hcl:12"; config = x; };
  toplevel = config: (lib.nixosSystem {
    modules = [
      {
        nixpkgs.hostPlatform = "x86_64-linux";
        boot.isContainer = true;
        networking.hostName = "h";
      }
      (here config)
    ];
  }).config.system.build.toplevel.drvPath;
  user = attrs: toplevel { users.users.u = attrs; };
in
{
  unknown-option = {
    value = toplevel { services.nothing.enable = true; };
    says = "The option `services.nothing' does not exist. Definition values:\n- In `nixmesh.hcl:12': ";
  };
  unknown-option-of-a-submodule = {
    value = toplevel { systemd.services.web.wantedby = [ "multi-user.target" ]; };
    says = "The option `systemd.services.web.wantedby' does not exist. Definition values:\n- In `nixmesh.hcl:12': ";
  };
  wrong-type = {
    value = toplevel { services.openssh.enable = "yes"; };
    says = "A definition for option `services.openssh.enable' is not of type `boolean'. Definition values:\n- In `nixmesh.hcl:12': \"yes\"";
  };
  wrong-list-item = {
    value = toplevel { networking.firewall.allowedTCPPorts = [ 70000 ]; };
    says = "A definition for option `networking.firewall.allowedTCPPorts.\"[definition 1-entry 1]\"' is not of type `16 bit unsigned integer; between 0 and 65535 (both inclusive)'";
  };
  wrong-unit-name = {
    value = toplevel { systemd.services.web.after = [ "network" ]; };
    says = "is not of type `string matching the pattern [a-zA-Z0-9@%:_.\\-]+[.](service|socket|";
  };
  conflict = {
    value = (lib.evalModules { modules = [ { options.x = mkOption { type = types.str; }; } { _file = "a"; x = "1"; } { _file = "b"; x = "2"; } ]; }).config.x;
    says = "The option `x' has conflicting definition values:\n- In `b': \"2\"\n- In `a': \"1\"\nUse `lib.mkForce value` or `lib.mkDefault value`";
  };
  conflict-in-a-unit = {
    value = toplevel (lib.mkMerge [ { systemd.services.a.serviceConfig.ExecStart = "1"; } { systemd.services.a.serviceConfig.ExecStart = "2"; } ]);
    says = "The option `systemd.services.a.serviceConfig.ExecStart' has conflicting definition values:";
  };
  nested-set-in-a-unit = {
    value = toplevel { systemd.services.a.serviceConfig.X.y = 1; };
    says = "cannot coerce a set to a string";
  };
  not-defined = {
    value = (lib.evalModules { modules = [ { options.x = mkOption { type = types.str; }; } ]; }).config.x;
    says = "The option `x' was accessed but has no value defined. Try setting the option.";
  };
  declared-twice = {
    value = (lib.evalModules { modules = [ { _file = "a"; options.x = mkOption { }; } { _file = "b"; options.x = mkOption { type = types.int; }; } ]; }).config.x;
    says = "is already declared in";
  };
  attribute-beside-config = {
    value = (lib.evalModules { modules = [ { config = { }; y = 1; } ]; }).config.x;
    says = "has an unsupported attribute `y'";
  };
  assertion = {
    value = toplevel { assertions = [ { assertion = false; message = "nixmesh.hcl:40: no"; } ]; };
    says = "Failed assertions:\n- nixmesh.hcl:40: no";
  };
  user-of-no-kind = {
    value = user { group = "users"; };
    says = "Exactly one of users.users.u.isSystemUser and users.users.u.isNormalUser must be set.";
  };
  user-without-group = {
    value = user { isSystemUser = true; };
    says = "users.users.u.group is unset.";
  };
  user-of-an-undefined-group = {
    value = user { isSystemUser = true; group = "nobodys"; };
    says = "have a primary group that is undefined: u";
  };
  two-users-with-one-number = {
    value = toplevel { users.users = lib.genAttrs [ "a" "b" ] (_: { isSystemUser = true; group = "users"; uid = 30000; }); };
    says = "UIDs and GIDs must be unique!";
  };
  localhost-elsewhere = {
    value = toplevel { networking.hosts."10.0.0.1" = [ "localhost" ]; };
    says = "`networking.hosts` maps \"localhost\"";
  };
  x11-without-xauth = {
    value = toplevel { services.openssh = { enable = true; settings.X11Forwarding = true; }; };
    says = "cannot enable X11 forwarding without setting xauth location";
  };
  no-root-file-system = {
    value = toplevel { boot.isContainer = lib.mkForce false; boot.loader.systemd-boot.enable = true; };
    says = "The ‘fileSystems’ option does not specify your root file system.";
  };
  no-loader = {
    value = toplevel { boot.isContainer = lib.mkForce false; fileSystems."/".device = "/dev/sda1"; };
    says = "You must set the option ‘boot.loader.grub.devices’";
  };
  no-device = {
    value = toplevel { fileSystems."/x".fsType = "ext4"; };
    says = "No device specified for mount point ‘/x’.";
  };
  no-platform = {
    value = (lib.nixosSystem { modules = [ { boot.isContainer = true; } ]; }).config.system.build.toplevel.drvPath;
    says = "The option `nixpkgs.hostPlatform' was accessed but has no value defined.";
  };
  unit-ordered-after-network-online = {
    value = toplevel { systemd.services.a.after = [ "network-online.target" ]; assertions = [ { assertion = false; message = "end"; } ]; };
    says = "Failed assertions:\n- end";
  };
}
