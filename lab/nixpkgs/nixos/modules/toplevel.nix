# system.build.toplevel: everything that a host switches to, in one store path.
{ config, lib, pkgs, extendModules, ... }:
let
  inherit (lib) mkOption types;
  children = lib.mapAttrs (
    _: s: (extendModules { modules = [ { specialisation = lib.mkForce { }; } s.configuration ]; }).config.system.build.toplevel
  ) config.specialisation;
  file = path: text: "printf %s ${lib.escapeShellArg text} > $out/${path}\n";
  program = path: text: "printf %s ${lib.escapeShellArg text} | sed \"s|@toplevel@|$out|g\" > $out/${path}\nchmod +x $out/${path}\n";
in
{
  options = {
    system.build.toplevel = mkOption { type = types.package; description = "The system."; };
    system.build.installBootLoader = mkOption {
      type = types.either types.str types.package;
      default = pkgs.writeShellScript "no-boot-loader" "echo 'Warning: do not know how to make this configuration bootable; please enable a boot loader.' 1>&2";
      description = "A program that makes the toplevel in $1 the one that boots.";
    };
    system.switch.enable = mkOption { type = types.bool; default = true; description = "Whether the system can be switched to."; };
    system.switch.enableNg = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
    system.extraDependencies = mkOption { type = types.listOf types.package; default = [ ]; description = "What else is in the closure."; };
    system.systemBuilderCommands = mkOption { type = types.lines; default = ""; description = "Shell text at the end of the build."; };
    system.extraSystemBuilderCmds = mkOption { type = types.lines; default = ""; description = "The older name of it."; };
    specialisation = mkOption {
      type = types.attrsOf (types.submodule { options.configuration = mkOption { type = types.deferredModule; default = { }; description = "What differs."; }; });
      default = { };
      description = "Variants of the system.";
    };
  };
  config = {
    system.build.toplevel = config.system.checked (pkgs.derive {
      name = "nixos-system-${config.system.name}-${config.system.nixos.label}";
      script = ''
        mkdir -p $out/bin $out/specialisation
        ln -s ${config.system.build.etc}/etc $out/etc
        ln -s ${config.system.path} $out/sw
        ln -s ${config.systemd.package} $out/systemd
        ln -s ${config.system.build.kernel}/bzImage $out/kernel
        ln -s ${config.system.build.initialRamdisk}/initrd $out/initrd
        ${lib.concatStrings (lib.mapAttrsToList (n: t: "ln -s ${t} $out/specialisation/${lib.escapeShellArg n}\n") children)}
      ''
      + file "init-interface-version" "systemd 2"
      + file "nixos-version" config.system.nixos.label
      + file "system" pkgs.system
      + file "kernel-params" (lib.concatStringsSep " " config.boot.kernelParams)
      + file "extra-dependencies" (lib.concatMapStringsSep " " toString config.system.extraDependencies)
      + program "activate" config.system.build.activate
      + program "dry-activate" config.system.build.dryActivate
      + program "init" (builtins.readFile ../system/init.sh)
      + lib.optionalString config.system.switch.enable (
        program "bin/switch-to-configuration" ''
          #!/bin/sh
          export TOPLEVEL=@toplevel@
          export INSTALL_BOOTLOADER=${lib.escapeShellArg "${config.system.build.installBootLoader}"}
          export PRE_SWITCH_CHECK=${config.system.build.preSwitchCheck}
          exec /usr/bin/perl ${../system/switch-to-configuration.pl} "$@"
        ''
      )
      + config.system.systemBuilderCommands
      + config.system.extraSystemBuilderCmds;
    });
  };
}
