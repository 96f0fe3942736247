# What must hold on any host that nixmesh switches.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.services.nixmesh;
in
{
  config = lib.mkIf cfg.enable {
    # /boot must hold the kernels of every generation in the menu, and one more
    # during a switch.
    boot.loader.systemd-boot.configurationLimit = lib.mkDefault 10;
    boot.loader.grub.configurationLimit = lib.mkDefault 10;

    # A kernel that panics, or a PID 1 that hangs, cannot run the timer that
    # reverts: both end in a reboot into the old system.
    boot.kernel.sysctl."kernel.panic" = lib.mkDefault 10;

    systemd =
      if options.systemd ? settings then
        { settings.Manager.RuntimeWatchdogSec = lib.mkDefault "30s"; }
      else
        lib.optionalAttrs (options.systemd ? watchdog) {
          watchdog.runtimeTime = lib.mkDefault "30s";
        };

    assertions = [
      {
        assertion = !(config.system.autoUpgrade.enable or false);
        message = "${cfg.place}: system.autoUpgrade would switch this host behind nixmesh's back; set system.autoUpgrade.enable = false";
      }
      {
        assertion = config.system.switch.enable or true;
        message = "${cfg.place}: with system.switch.enable = false this host is an image that cannot switch; remove that setting";
      }
    ];
  };
}
