# Options that real hosts set and that mean nothing on a lab host: they are checked for their type, and nothing else.
{ lib, ... }:
let
  inherit (lib) types;
  unused = type: default: lib.mkOption { inherit type default; description = "Accepted and unused."; };
  flag = default: unused types.bool default;
in
{
  options = {
    system.autoUpgrade.enable = flag false;
    time.timeZone = unused (types.nullOr types.str) null;
    time.hardwareClockInLocalTime = flag false;
    i18n.defaultLocale = unused types.str "en_US.UTF-8";
    i18n.supportedLocales = unused (types.listOf types.str) [ ];
    i18n.extraLocaleSettings = unused (types.attrsOf types.str) { };
    console = unused (types.attrsOf types.anything) { };
    documentation = {
      enable = flag true;
      man.enable = flag true;
      nixos.enable = flag true;
      doc.enable = flag true;
      info.enable = flag true;
    };
    powerManagement.enable = flag false;
    xdg = unused (types.attrsOf types.anything) { };
    fonts.fontconfig.enable = flag false;
    programs = unused (types.lazyAttrsOf types.anything) { };
    services = {
      timesyncd.enable = flag false;
      resolved.enable = flag false;
      chrony.enable = flag false;
      fstrim.enable = flag false;
      qemuGuest.enable = flag false;
      smartd.enable = flag false;
      journald.extraConfig = unused types.lines "";
      logind = unused (types.attrsOf types.anything) { };
      udev.enable = flag true;
      nscd.enable = flag true;
      dbus.implementation = unused (types.enum [ "dbus" "broker" ]) "dbus";
      getty.autologinUser = unused (types.nullOr types.str) null;
      lvm.enable = flag true;
    };
    virtualisation = unused (types.attrsOf types.anything) { };
  };
}
