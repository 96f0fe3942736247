# boot.*: nothing here boots a machine. A lab host starts from its /boot by the installer that the lab's module sets.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.boot;
  unused = type: default: mkOption { inherit type default; description = "Accepted and unused."; };
in
{
  options = {
    boot = {
      isContainer = mkOption { type = types.bool; default = false; description = "Whether the host has no kernel, disks and loader of its own."; };
      kernelPackages = unused types.raw { kernel.version = "6.12-standin"; };
      kernelParams = mkOption { type = types.listOf types.str; default = [ ]; description = "The kernel's command line."; };
      kernelModules = unused (types.listOf types.str) [ ];
      extraModulePackages = unused (types.listOf types.raw) [ ];
      supportedFilesystems = unused types.raw [ ];
      initrd = {
        availableKernelModules = unused (types.listOf types.str) [ ];
        kernelModules = unused (types.listOf types.str) [ ];
        systemd.enable = unused types.bool false;
      };
      tmp = {
        cleanOnBoot = unused types.bool false;
        useTmpfs = unused types.bool false;
        tmpfsSize = unused (types.either types.str types.ints.positive) "50%";
      };
      loader = {
        timeout = mkOption { type = types.nullOr types.int; default = 5; description = "Seconds of the menu."; };
        efi.canTouchEfiVariables = unused types.bool false;
        efi.efiSysMountPoint = mkOption { type = types.str; default = "/boot"; description = "Where the loader's partition is."; };
        systemd-boot = {
          enable = mkOption { type = types.bool; default = false; description = "Whether systemd-boot is the loader."; };
          configurationLimit = mkOption { type = types.nullOr types.int; default = null; description = "Generations in the menu; null = all."; };
          editor = unused types.bool true;
          graceful = unused types.bool false;
          consoleMode = unused types.str "keep";
          xbootldrMountPoint = unused (types.nullOr types.str) null;
          bootCounting.enable = unused types.bool false;
          bootCounting.tries = unused types.int 3;
        };
        grub = {
          enable = mkOption { type = types.bool; default = !cfg.isContainer && !cfg.loader.systemd-boot.enable; description = "Whether GRUB is the loader."; };
          device = mkOption { type = types.str; default = ""; description = "The disk of GRUB."; };
          devices = unused (types.listOf types.str) [ ];
          configurationLimit = unused types.int 100;
          efiSupport = unused types.bool false;
        };
      };
    };
    hardware = {
      enableRedistributableFirmware = unused types.bool false;
      cpu.intel.updateMicrocode = unused types.bool false;
      cpu.amd.updateMicrocode = unused types.bool false;
    };
  };
  config = {
    # Units of the image that need a kernel or a console of their own.
    systemd.services = lib.mkIf cfg.isContainer {
      console-getty.enable = lib.mkDefault false;
      systemd-modules-load.enable = lib.mkDefault false;
    };
    assertions = [
      {
        assertion = cfg.isContainer || !cfg.loader.grub.enable || cfg.loader.grub.device != "" || cfg.loader.grub.devices != [ ];
        message = "You must set the option ‘boot.loader.grub.devices’ or 'boot.loader.grub.mirroredBoots' to make the system bootable.";
      }
    ];
    # A few bytes that stand for a kernel and an initrd, so that their paths and their size in /boot are real.
    system.build.kernel = pkgs.runCommand "linux-6.12-standin" { } ''
      mkdir $out
      dd if=/dev/zero bs=1024 count=1536 2>/dev/null | tr '\0' 'k' > $out/bzImage
    '';
    system.build.initialRamdisk = pkgs.runCommand "initrd-linux-6.12-standin" { } ''
      mkdir $out
      dd if=/dev/zero bs=1024 count=512 2>/dev/null | tr '\0' 'i' > $out/initrd
    '';
  };
}
