# What an instance's unit came to be, whoever made it: read from the evaluated
# configuration, so that it is right for other modules' units, too. Functions
# only, not a module.
{ config, lib }:
let
  systemd = import ./systemd.nix { inherit lib; };
in
rec {
  # The unit; for an instance of a template what the template says, and what
  # the instance's drop-in adds.
  unit =
    i:
    let
      all = config.systemd.services;
      own = all.${systemd.attribute i.unit} or { };
      template = systemd.template i.unit;
    in
    if template != null && all ? ${template} && (own == { } || own.overrideStrategy == "asDropin") then
      added all.${template} own
    else
      own;

  # A setting of a drop-in replaces the template's, a list goes on after it.
  added = template: own: {
    environment = template.environment // lib.filterAttrs (_: value: value != null) (own.environment or { });
    serviceConfig =
      template.serviceConfig
      // lib.mapAttrs (
        key: value: if builtins.isList value then lib.toList (template.serviceConfig.${key} or [ ]) ++ value else value
      ) (own.serviceConfig or { });
  };

  serviceConfig = i: (unit i).serviceConfig or { };

  # Whether a unit that has ended well is still active.
  mayEnd = i: systemd.isTrue ((serviceConfig i).RemainAfterExit or false);

  # Whether systemd makes up a user at each start.
  dynamic = i: i.user == null && (serviceConfig i).DynamicUser or false;

  user =
    i:
    if i.user != null then
      i.user
    else
      (serviceConfig i).User or (if dynamic i then systemd.attribute i.unit else "root");

  # -1: nothing fixes the uid, it is looked up by name on the host.
  uid =
    i:
    let
      name = user i;
      fixed = (config.users.users.${name} or { uid = null; }).uid;
    in
    if name == "root" then
      0
    else if fixed == null then
      -1
    else
      fixed;
}
