# What must hold on any host that nixmesh switches.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.services.nixmesh;

  # Between an option's own default and mkDefault, which profiles set these
  # with, too.
  preset = lib.mkOverride 1200;
in
{
  config = lib.mkIf cfg.enable {
    # /boot must hold the kernels of every generation in the menu, and one more
    # during a switch.
    boot.loader.systemd-boot.configurationLimit = preset 10;
    boot.loader.grub.configurationLimit = preset 10;

    # A kernel that panics, or a PID 1 that hangs, cannot run the timer that
    # reverts: both end in a reboot into the old system.
    boot.kernel.sysctl."kernel.panic" = preset 10;

    systemd =
      if options.systemd ? settings then
        { settings.Manager.RuntimeWatchdogSec = preset "30s"; }
      else
        lib.optionalAttrs (options.systemd ? watchdog) {
          watchdog.runtimeTime = preset "30s";
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
