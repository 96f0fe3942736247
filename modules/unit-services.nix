# Services whose unit another NixOS module makes: nixmesh adds what the HCL
# says to that unit, and refuses a unit that it could not watch.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  hardening = import ./hardening.nix { inherit lib; };

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
      environment = lib.mapAttrs (_: systemd.percent) i.environment;
    }
    // lib.optionalAttrs (service != { }) { serviceConfig = service; };

  withUser = lib.filterAttrs (_: i: i.user != null) foreign;

  # Whether a module gives the unit something to run. The unit that our own
  # additions alone would make has nothing.
  runs =
    name:
    let
      unit = config.systemd.services.${name} or null;
    in
    unit != null && ((unit.serviceConfig.ExecStart or "") != "" || (unit.script or "") != "");

  exists =
    i:
    let
      template = systemd.template i.unit;
    in
    runs (systemd.attribute i.unit) || (template != null && runs template);

  dynamic =
    i: (config.systemd.services.${systemd.attribute i.unit} or { serviceConfig = { }; }).serviceConfig.DynamicUser or false;
in
{
  config = lib.mkIf cfg.enable {
    systemd.services = lib.mapAttrs' (_: i: {
      name = systemd.attribute i.unit;
      value = systemd.at i.place (additions i);
    }) (lib.filterAttrs (_: i: additions i != { }) foreign);

    users.users = lib.mapAttrs' (_: i: {
      name = i.user;
      value = systemd.at i.place {
        isSystemUser = lib.mkDefault true;
        group = lib.mkDefault i.user;
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
          assertion = !(dynamic i && i.listens != [ ]);
          message = "${i.place}: ${i.unit} runs as a user that systemd makes up at each start (DynamicUser), so nobody can tell who owns its ports; add user = \"${i.service}\" to the service";
        }
      ]) foreign
    );
  };
}
