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
  evaluated = import ./evaluated.nix { inherit config lib; };
  execCheck = import ./exec-check.nix { inherit config lib; };
  credentials = import ./credentials.nix { inherit lib; };
  bootstrap = import ./envoy-bootstrap.nix { inherit lib pkgs cfg; };

  instance =
    _: i:
    {
      inherit (i) service unit;
      user = evaluated.user i;
      uid = evaluated.uid i;
      listens = map (
        l: { inherit (l) protocol address port; } // lib.optionalAttrs (l.name != "") { inherit (l) name; }
      ) i.listens;
    }
    // lib.optionalAttrs (i.schedule != null) { job = true; }
    // lib.optionalAttrs (evaluated.mayEnd i) { may_end = true; }
    // versionOf i;

  versionOf = i: lib.optionalAttrs (i.version != "") { inherit (i) version; };

  # A job rests until its timer starts it: the timer is what has to be there.
  unit = i: {
    name = if i.schedule != null then "${systemd.attribute i.unit}.timer" else i.unit;
    inherit (i) service;
  };

  # One edge for each user that the caller's instances run as.
  edge =
    e:
    map (
      caller:
      {
        inherit (e)
          caller
          upstream
          protocol
          address
          ports
          ;
        inherit (caller) user uid;
        edge_port = e.edgePort;
      }
      // lib.optionalAttrs (e.listen != "") { inherit (e) listen; }
    ) (lib.unique (
      map (i: {
        user = evaluated.user i;
        uid = evaluated.uid i;
      }) (builtins.filter (i: i.service == e.caller) (builtins.attrValues cfg.instances))
    ));

  execOf =
    c: i:
    lib.optionalAttrs (c.kind == "exec") {
      exec = execCheck.command c i;
      env = execCheck.environment c i;
      sandbox = lib.concatLists (
        lib.mapAttrsToList (key: map (text: "${key}=${text}")) (execCheck.sandbox i)
      );
    }
    // lib.optionalAttrs (c.kind == "exec" && i.secrets != { }) {
      credentials = execCheck.credentials c i;
    }
    // lib.optionalAttrs (c.kind == "exec" && i.secretEnv != [ ]) {
      environment_file = builtins.head (execCheck.environmentFiles c i);
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
      user = evaluated.user i;
      uid = evaluated.uid i;
    }
    // versionOf i
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

  gateway = name: g: {
    inherit name;
    certificates = map (
      c:
      rec {
        chain = "${credentials.dir}/${credentials.gatewayFile name c.host}";
        key = chain;
      }
      // lib.optionalAttrs (c.host != "") { inherit (c) host; }
    ) (builtins.sort (a: b: a.host < b.host) g.certificates);
  };

  external =
    name: e:
    {
      inherit name;
    }
    // lib.optionalAttrs (e.ca != null) {
      ca = "${
        builtins.path {
          path = e.ca;
          name = "nixmesh-roots.pem";
        }
      }";
    }
    // lib.optionalAttrs (e.certificate != null) rec {
      chain = "${credentials.dir}/${credentials.externalFile name}";
      key = chain;
    };

  facts = {
    schema = "nixmesh.host/1";
    inherit (cfg) fleet host;
    system = pkgs.stdenv.hostPlatform.system;
    nixmesh = {
      inherit (cfg) version protocol;
      binary = "${cfg.package}/bin/nixmesh";
    };
    instances = lib.mapAttrsToList instance cfg.instances;
    units =
      map unit (builtins.attrValues cfg.instances)
      ++ lib.optionals cfg.agent.enable (
        map
          (name: {
            inherit name;
            service = "";
          })
          [
            "nixmesh-agent.service"
            "nixmesh-envoy.service"
            "nixmesh-guard.service"
            "nixmesh-guard-watch.service"
          ]
      );
    checks = lib.mapAttrsToList check cfg.checks;
    edges = lib.concatMap edge (builtins.attrValues cfg.edges);
    operators = lib.mapAttrsToList operator cfg.operators;
    rollout = {
      inherit (cfg.rollout) confirm settle;
      activate_timeout = cfg.rollout.activateTimeout;
      last_resort = cfg.rollout.lastResort;
    };
  }
  // lib.optionalAttrs cfg.agent.enable {
    mesh = {
      inherit (cfg.agent) roots;
      envoy = {
        version = lib.getVersion cfg.envoy.package;
        binary = "${cfg.envoy.package}/bin/envoy";
        bootstrap = "${bootstrap.file}";
        uid = config.users.users.nixmesh-envoy.uid;
        inherit (bootstrap) connections;
      };
    }
    // lib.optionalAttrs (cfg.metricsFrom != [ ]) { metrics = true; }
    // lib.optionalAttrs (cfg.gateways != { }) { gateways = lib.mapAttrsToList gateway cfg.gateways; }
    // lib.optionalAttrs (cfg.externals != { }) { externals = lib.mapAttrsToList external cfg.externals; };
  };
in
{
  config = lib.mkIf cfg.enable {
    environment.etc."nixmesh/host.json".text = builtins.toJSON facts + "\n";
  };
}
