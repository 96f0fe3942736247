# Services whose unit another NixOS module makes: nixmesh adds what the HCL
# says to that unit, and refuses a unit that it could not watch.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  hardening = import ./hardening.nix { inherit lib; };
  evaluated = import ./evaluated.nix { inherit config lib; };

  foreign = lib.filterAttrs (_: i: i.package == null) cfg.instances;

  # Nothing is set where the HCL says nothing, so that a name with a typing
  # error makes no unit of its own.
  additions =
    i:
    let
      service =
        hardening.of i
        // systemd.limits i
        // lib.optionalAttrs (i.user != null) {
          User = lib.mkForce i.user;
          Group = lib.mkForce i.user;
          DynamicUser = lib.mkForce false;
        };
    in
    lib.optionalAttrs (i.environment != { }) {
      environment = systemd.environment i.environment;
    }
    // lib.optionalAttrs (i.startAfter != [ ]) {
      after = i.startAfter;
      wants = systemd.targets i.startAfter;
    }
    // lib.optionalAttrs (service != { }) { serviceConfig = service; };

  # A drop-in leaves the template its PATH: NixOS would give it another one.
  addition =
    i:
    additions i
    // {
      overrideStrategy = lib.mkIf (templated i) "asDropin";
      environment = {
        PATH = lib.mkIf (templated i) (lib.mkForce null);
      }
      // (additions i).environment or { };
    };

  # Whether the user is one of the host's people, who has a group.
  person = i: config.users.users.${i.user}.isNormalUser;

  withUser = lib.filterAttrs (_: i: i.user != null) foreign;

  defined = name: config.systemd.services.${name} or null;

  # Whether a module gives the unit something to run.
  runs =
    name:
    defined name != null && ((defined name).serviceConfig.ExecStart or "" != "" || (defined name).script or "" != "");

  # What a unit of systemd.packages runs, its package says; a module has it
  # started. Our own additions alone do neither.
  started = name: defined name != null && (defined name).wantedBy ++ (defined name).requiredBy != [ ];

  # A unit that only its template makes is added to by a drop-in; a file of its
  # name would replace the template.
  templated =
    i:
    let
      template = systemd.template i.unit;
    in
    !runs (systemd.attribute i.unit) && template != null && runs template;

  exists = i: runs (systemd.attribute i.unit) || started (systemd.attribute i.unit) || templated i;
in
{
  config = lib.mkIf cfg.enable {
    systemd.services = lib.mapAttrs' (_: i: {
      name = systemd.attribute i.unit;
      value = systemd.at i.place (addition i);
    }) (lib.filterAttrs (_: i: additions i != { } || i.secrets != { }) foreign);

    users.users = lib.mapAttrs' (_: i: {
      name = i.user;
      value = systemd.at i.place {
        isSystemUser = lib.mkDefault (!person i);
        group = lib.mkIf (!person i) (lib.mkDefault i.user);
        # A uid that NixOS fixes for a user of this name stays.
        uid = lib.mkDefault i.uid;
      };
    }) withUser;

    users.groups = lib.mapAttrs' (_: i: {
      name = i.user;
      value = { };
    }) withUser;

    assertions = lib.concatLists (
      lib.mapAttrsToList (_: i: [
        {
          assertion = exists i;
          message = "${i.place}: no NixOS module of this host makes ${i.unit}; enable the module that does, in nixos = {…} or an import, or give the service a package";
        }
        {
          assertion = !(evaluated.dynamic i && i.listens != [ ]);
          message = "${i.place}: ${i.unit} runs as a user that systemd makes up at each start (DynamicUser), so nobody can tell who owns its ports; add user = \"${i.service}\" to the service";
        }
      ]) foreign
    );
  };
}
