# /etc: a folder in the store, linked at /etc/static; every entry is a link into it, or a copy where it has a mode.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  entry =
    { name, config, ... }:
    {
      options = {
        enable = mkOption { type = types.bool; default = true; description = "Whether the file is there."; };
        target = mkOption { type = types.str; default = name; description = "Its path below /etc."; };
        text = mkOption { type = types.nullOr types.lines; default = null; description = "Its text."; };
        source = mkOption {
          type = types.path;
          default =
            if config.text == null then
              throw "The option `environment.etc.${lib.escapeNixIdentifier name}.source' was accessed but has no value defined. Try setting the option."
            else
              pkgs.writeText "etc-${builtins.baseNameOf name}" config.text;
          description = "What it links to.";
        };
        mode = mkOption { type = types.str; default = "symlink"; description = "\"symlink\", or the mode of a copy."; };
        uid = mkOption { type = types.int; default = 0; description = "The owner of a copy."; };
        gid = mkOption { type = types.int; default = 0; description = "The group of a copy."; };
        user = mkOption { type = types.str; default = "+${toString config.uid}"; description = "The owner, by name."; };
        group = mkOption { type = types.str; default = "+${toString config.gid}"; description = "The group, by name."; };
      };
    };
  enabled = builtins.filter (e: e.enable) (builtins.attrValues config.environment.etc);
  copied = builtins.filter (e: e.mode != "symlink" && e.mode != "direct-symlink") enabled;
in
{
  options.environment.etc = mkOption {
    type = types.attrsOf (types.submodule entry);
    default = { };
    description = "Files below /etc.";
  };

  config = {
    # Texts are written in place, so that the whole folder is one build. `copies` lists the files that are not links:
    # MODE USER GROUP PATH.
    system.build.etc = pkgs.writeTree "etc" (
      lib.listToAttrs (
        map (e: {
          name = "etc/${e.target}";
          value = if e.text != null then { inherit (e) text; } else { inherit (e) source; };
        }) enabled
      )
      // {
        "copies".text = lib.concatMapStrings (e: "${e.mode} ${e.user} ${e.group} ${e.target}\n") copied;
      }
    );
  };
}
