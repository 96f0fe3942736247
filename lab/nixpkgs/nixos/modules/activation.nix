# system.activationScripts: the steps of TOPLEVEL/activate.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  step.options = {
    text = mkOption { type = types.lines; description = "Shell text."; };
    deps = mkOption { type = types.listOf types.str; default = [ ]; description = "Steps that come first."; };
    supportsDryActivation = mkOption { type = types.bool; default = false; description = "Whether dry-activate runs it, too."; };
  };
  steps = config.system.activationScripts;
  # Names in an order in which each comes after its deps.
  ordered = builtins.foldl' visit [ ] (builtins.attrNames steps);
  visit = done: name: if lib.elem name done then done else builtins.foldl' visit done (steps.${name}.deps or [ ]) ++ [ name ];
  run = name: ''
    # ${name}
    failed=0
    ${steps.${name}.text}
    if (( failed > 0 )); then printf "Activation script snippet '%s' failed (%s)\n" ${lib.escapeShellArg name} "$failed" >&2; fi
  '';
  script = names: ''
    #!/bin/bash
    systemConfig=@toplevel@
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    unset NIX_PATH
    status=0
    trap 'status=1 failed=$?' ERR
    umask 0022
    ${lib.concatMapStrings run names}
  '';
in
{
  options.system = {
    activationScripts = mkOption {
      type = types.attrsOf (types.coercedTo types.str (text: { inherit text; }) (types.submodule step));
      default = { };
      description = "Steps of the activation. A failing command makes the whole fail, and the rest still runs.";
    };
    userActivationScripts = mkOption { type = types.attrsOf types.anything; default = { }; description = "Accepted and unused."; };
    preSwitchChecks = mkOption { type = types.attrsOf types.str; default = { }; description = "Shell text that may refuse a switch: $1 is the toplevel, $2 the action."; };
  };
  config = {
    system.activationScripts = {
      users.text = "perl ${../system/update-users.pl} ${pkgs.writeText "users-groups" config.system.build.accounts}";
      etc = {
        text = "echo 'setting up /etc...'\nperl ${../system/setup-etc.pl} ${config.system.build.etc}";
        deps = [ "users" ];
      };
      empty.text = "mkdir -p -m 0555 /var/empty";
      wrappers = {
        text = "mkdir -p /run/wrappers/bin\n${lib.optionalString config.security.sudo.enable "ln -sfn /usr/bin/sudo /run/wrappers/bin/sudo"}";
        deps = [ "users" ];
      };
    };
    system.build.activate = script ordered + ''
      # From here on this system is the current one, also when a step above failed.
      ln -sfn "$systemConfig" /run/current-system
      mkdir -p /nix/var/nix/gcroots
      ln -sfn /run/current-system /nix/var/nix/gcroots/current-system
      exit $status
    '';
    system.build.dryActivate = script (builtins.filter (n: steps.${n}.supportsDryActivation) ordered) + "exit $status\n";
    system.build.preSwitchCheck = pkgs.writeShellScript "pre-switch-checks" (
      lib.concatStrings (
        lib.mapAttrsToList (name: text: ''
          (
          ${text}
          ) || { echo "Pre-switch check '${name}' failed" >&2; exit 1; }
        '') config.system.preSwitchChecks
      )
    );
  };
}
