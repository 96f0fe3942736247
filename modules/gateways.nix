# Certificates that come as files: those of gateways, and what externals are
# shown and judged by. The key is opened with the other secrets of the host, and
# lies in one file with its certificate, which the agent alone reads: Envoy gets
# both from it, and so does a renewed certificate without a restart.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;

  pair = {
    chain = lib.mkOption {
      type = lib.types.path;
      description = "Certificate chain in PEM, the leaf first.";
    };
    key = lib.mkOption {
      type = lib.types.path;
      description = "Age file of its key in PEM, which this host's SSH key opens.";
    };
  };

  certificate.options = pair // {
    host = lib.mkOption {
      type = lib.types.str;
      default = "";
      example = "shop.example";
      description = "Name of the host that it is for, empty for the gateway's own.";
    };
  };

  gateway.options.certificates = lib.mkOption {
    type = lib.types.listOf (lib.types.submodule certificate);
    default = [ ];
    description = "Certificates that come as files.";
  };

  external.options = {
    ca = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      description = "Roots in PEM that vouch for it, null for those that the host trusts anyway.";
    };
    certificate = lib.mkOption {
      type = lib.types.nullOr (lib.types.submodule { options = pair; });
      default = null;
      description = "Certificate that it is shown.";
    };
  };
in
{
  options.services.nixmesh = {
    gateways = lib.mkOption {
      type = lib.types.attrsOf (lib.types.submodule gateway);
      default = { };
      description = "Gateways of this host with certificates from files.";
    };
    externals = lib.mkOption {
      type = lib.types.attrsOf (lib.types.submodule external);
      default = { };
      description = "Externals that this host calls, where files say whom to trust or what to show.";
    };
  };

  # Nobody would read the keys.
  config.assertions = lib.mkIf cfg.enable [
    {
      assertion = cfg.agent.enable || cfg.gateways == { } && cfg.externals == { };
      message = "services.nixmesh.gateways and services.nixmesh.externals are of use to the agent only, and this host has none";
    }
  ];
}
