# /etc/nixmesh/host.json: what this host must know about itself. Its form is
# the Go type hostfacts.Facts; users and uids are read from the evaluated
# configuration, so that they are right for other modules' units, too. Places
# in the HCL stay out: a moved line must not change a toplevel.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  hardening = import ./hardening.nix { inherit lib; };

  # The unit as evaluated; that of the template for an instance of one.
  unitOf =
    i:
    let
      all = config.systemd.services;
      name = systemd.attribute i.unit;
      template = systemd.template i.unit;
    in
    if all ? ${name} then
      all.${name}
    else if template != null && all ? ${template} then
      all.${template}
    else
      { };

  serviceConfigOf = i: (unitOf i).serviceConfig or { };

  userOf =
    i:
    let
      service = serviceConfigOf i;
    in
    if i.user != null then
      i.user
    else
      service.User or (if service.DynamicUser or false then systemd.attribute i.unit else "root");

  # -1: nothing fixes the uid, it is looked up by name on the host.
  uidOf =
    i:
    let
      user = userOf i;
      uid = (config.users.users.${user} or { uid = null; }).uid;
    in
    if user == "root" then
      0
    else if uid == null then
      -1
    else
      uid;

  instance =
    _: i:
    {
      inherit (i) service unit;
      user = userOf i;
      uid = uidOf i;
      listens = map (
        l: { inherit (l) protocol address port; } // lib.optionalAttrs (l.name != "") { inherit (l) name; }
      ) i.listens;
    };

  # The unit's own environment, and the folders that systemd would name.
  environmentOf =
    i: package:
    let
      unit = unitOf i;
      service = serviceConfigOf i;
      given = lib.mapAttrs (_: value: systemd.unpercent "${value}") (
        lib.filterAttrs (_: value: value != null) (unit.environment or { })
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
      PATH = builtins.concatStringsSep ":" ([ "${package}/bin" ] ++ lib.optional (given ? PATH) given.PATH);
    };

  execOf =
    c: i:
    let
      package = if c.package != null then c.package else i.package;
    in
    lib.optionalAttrs (c.kind == "exec") {
      exec = systemd.absolute package c.exec;
      env = environmentOf i package;
      sandbox = hardening.properties (serviceConfigOf i);
    };

  check =
    name: c:
    let
      i = cfg.instances.${c.instance} or (throw "${c.place}: no instance ${c.instance} on this host");
    in
    {
      inherit name;
      inherit (i) service unit;
      inherit (c)
        kind
        every
        timeout
        after
        rise
        fall
        ;
      user = userOf i;
      uid = uidOf i;
    }
    // lib.optionalAttrs (c.address != "") { inherit (c) address; }
    // lib.optionalAttrs (c.path != "") { inherit (c) path; }
    // lib.optionalAttrs c.http2 { inherit (c) http2; }
    // lib.optionalAttrs (c.grpc != "") { inherit (c) grpc; }
    // execOf c i;

  operator =
    name: o:
    {
      inherit name;
      inherit (o) ssh sign;
    }
    // lib.optionalAttrs (o.nixKey != null) { nix_key = o.nixKey; };

  facts = {
    schema = "nixmesh.host/1";
    inherit (cfg) fleet host;
    system = pkgs.stdenv.hostPlatform.system;
    nixmesh = {
      inherit (cfg) version protocol;
      binary = "${cfg.package}/bin/nixmesh";
    };
    instances = lib.mapAttrsToList instance cfg.instances;
    units = lib.mapAttrsToList (_: i: {
      name = i.unit;
      inherit (i) service;
    }) cfg.instances;
    checks = lib.mapAttrsToList check cfg.checks;
    operators = lib.mapAttrsToList operator cfg.operators;
    rollout = {
      inherit (cfg.rollout) confirm settle;
      activate_timeout = cfg.rollout.activateTimeout;
      last_resort = cfg.rollout.lastResort;
    };
  };
in
{
  config = lib.mkIf cfg.enable {
    environment.etc."nixmesh/host.json".text = builtins.toJSON facts + "\n";
  };
}
