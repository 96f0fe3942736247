# The times of a switch on this host.
{ lib, ... }:
let
  duration = lib.types.strMatching "([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+";
in
{
  options.services.nixmesh.rollout = {
    confirm = lib.mkOption {
      type = duration;
      default = "1m30s";
      description = ''
        Deadline, counted from the end of the activation: by then units and checks must have
        held for `settle`, else the host reverts. Longer tolerates slow starts, and leaves a
        bad system running for longer.
      '';
    };
    settle = lib.mkOption {
      type = duration;
      default = "3s";
      description = "How long units and checks must hold in a row.";
    };
    activateTimeout = lib.mkOption {
      type = duration;
      default = "10m0s";
      description = "Bound of the activation itself, whose own waits have none.";
    };
    lastResort = lib.mkOption {
      type = lib.types.enum [
        "reboot"
        "hold"
      ];
      default = "reboot";
      description = ''
        What happens when even the revert hangs: reboot into the old system, which is still
        the boot default, or leave the host for a person to look at.
      '';
    };
  };
}
