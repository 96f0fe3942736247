# A host with an agent, and one without. `fleet` is a folder with gossip.age.
{
  nixpkgs,
  modules,
  fleet,
}:
let
  lib = import "${nixpkgs}/lib";
  host =
    nixmesh:
    ((import "${nixpkgs}/nixos" { inherit lib; }) {
      system = "x86_64-linux";
      modules = [
        modules
        {
          services.nixmesh = {
            enable = true;
            fleet = "shop";
            host = "app1";
            source = "/var/empty";
          }
          // nixmesh;
        }
      ];
    }).config;

  agent = {
    enable = true;
    roots = "roots of the CA\n";
    gossipKey = builtins.path { path = fleet; name = "nixmesh-app1"; } + "/gossip.age";
  };

  own = lib.filterAttrs (name: _: builtins.elem name [ "nixmesh-agent" "nixmesh-gossip-key" "nixmesh-nodekey" "nixmesh-hostkey" ]);
  known = text: builtins.fromJSON (builtins.unsafeDiscardStringContext text);
  shown = c: {
    services = builtins.attrNames (own c.systemd.services);
    sockets = builtins.attrNames (own c.systemd.sockets);
    paths = builtins.attrNames (own c.systemd.paths);
    users = builtins.attrNames (lib.filterAttrs (name: _: name == "nixmesh-agent") c.users.users);
    deploy = c.users.users.deploy.extraGroups;
    secrets = (known c.environment.etc."nixmesh/secrets.json".text).secrets;
    facts = {
      mesh = null;
    }
    // builtins.intersectAttrs {
      units = null;
      mesh = null;
    } (known c.environment.etc."nixmesh/host.json".text);
  };

  with-agent = host { inherit agent; };
  unit = with-agent.systemd.services.nixmesh-agent;
in
{
  agent = shown with-agent;
  measured = shown (host {
    inherit agent;
    metricsFrom = [ "10.0.9.0/24" ];
  });
  none = shown (host { });
  root = (host {
    inherit agent;
    user = "root";
  }).users.users.root.extraGroups;
  triggers = with-agent.systemd.services.nixmesh-gossip-key.restartTriggers;
  # What restarts the agent where it changes: its program, and nothing of nixpkgs.
  environment = lib.filterAttrs (_: value: value != null) unit.environment;
  credentials = unit.serviceConfig.LoadCredential;
  nodekey = builtins.unsafeDiscardStringContext with-agent.systemd.services.nixmesh-nodekey.serviceConfig.ExecStart;
}
