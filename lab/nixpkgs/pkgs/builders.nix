# Derivations without a compiler: a shell script run by the static busybox of the base image. The scripts see the base image's
# /usr/bin, and use no clock, no network and no randomness.
{
  lib,
  pkgs,
  system,
}:
let
  # Attributes of `env` become environment variables; `meta` and `passthru` do not reach the build.
  derive =
    {
      name,
      script,
      env ? { },
      meta ? { },
      passthru ? { },
    }:
    let
      drv = derivation (
        {
          inherit name system script;
          builder = "/usr/bin/busybox";
          args = [
            "sh"
            "-euc"
            "umask 022; . \"$scriptPath\""
          ];
          PATH = "/usr/bin:/bin:/usr/sbin";
          LC_ALL = "C";
          passAsFile = [ "script" ];
          preferLocalBuild = true;
          allowSubstitutes = false;
        }
        // env
      );
      parsed = builtins.parseDrvName name;
    in
    drv
    // passthru
    // {
      inherit name meta passthru;
      pname = parsed.name;
      inherit (parsed) version;
    };

  # One file of a script that writes many: text as it is, without a final newline of ours.
  putText = path: text: "printf %s ${lib.escapeShellArg text} > ${path}\n";
in
rec {
  inherit derive;
  runCommand =
    name: env: script:
    derive {
      inherit name script;
      env = removeAttrs env [
        "meta"
        "passthru"
      ];
      meta = env.meta or { };
      passthru = env.passthru or { };
    };
  runCommandLocal = runCommand;
  runCommandNoCC = runCommand;
  runCommandCC = runCommand;

  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      meta ? { },
      checkPhase ? "",
      ...
    }:
    derive {
      inherit name meta;
      env = {
        inherit text;
        passAsFile = [
          "script"
          "text"
        ];
      };
      script = ''
        target=$out${lib.escapeShellArg destination}
        mkdir -p "''${target%/*}"
        cp "$textPath" "$target"
        ${lib.optionalString executable "chmod +x \"$target\""}
        ${checkPhase}
      '';
    };
  writeText = name: text: writeTextFile { inherit name text; };
  writeTextDir = path: text: writeTextFile { name = baseNameOf path; inherit text; destination = "/${path}"; };
  writeScript = name: text: writeTextFile { inherit name text; executable = true; };
  writeScriptBin =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
      meta.mainProgram = name;
    };
  writeShellScript = name: text: writeScript name "#!${pkgs.runtimeShell}\n${text}";
  writeShellScriptBin = name: text: writeScriptBin name "#!${pkgs.runtimeShell}\n${text}";
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      ...
    }:
    writeShellScriptBin name ''
      set -o errexit -o nounset -o pipefail
      ${lib.optionalString (runtimeInputs != [ ]) "export PATH=\"${lib.makeBinPath runtimeInputs}:$PATH\""}
      ${text}
    '';
  concatText = name: files: runCommand name { inherit files; } "cat $files > $out";
  emptyFile = writeText "empty-file" "";
  emptyDirectory = runCommand "empty-directory" { } "mkdir $out";

  # Links to the files of several packages; of two with one name the earlier package wins.
  buildEnv =
    {
      name,
      paths,
      pathsToLink ? [ "/" ],
      postBuild ? "",
      meta ? { },
      ...
    }:
    derive {
      inherit name meta;
      env.paths = lib.unique (map toString paths);
      script = ''
        mkdir -p $out
        link() { # DIR: the entries of every package's DIR
          for p in $paths; do
            [ -d $p/$1 ] || continue
            mkdir -p $out/$1
            new=
            for f in $p/$1/*; do
              n=''${f##*/}
              if [ "$n" != '*' ] && [ ! -L $out/$1/$n ]; then new="$new $f"; fi
            done
            [ -z "$new" ] || ln -s $new $out/$1/
          done
        }
        ${
          if lib.elem "/" pathsToLink then
            ''for d in bin lib share etc; do link $d; done''
          else
            lib.concatMapStringsSep "\n" (d: "link ${lib.removePrefix "/" d}") pathsToLink
        }
        ${postBuild}
      '';
    };
  symlinkJoin = args: buildEnv (args // { paths = args.paths or [ ]; });

  # `entries` is a set NAME -> PATH, or a list of { name, path }.
  linkFarm =
    name: entries:
    let
      list = if builtins.isAttrs entries then lib.mapAttrsToList (n: path: { name = n; inherit path; }) entries else entries;
    in
    runCommand name { } ''
      mkdir -p $out
      cd $out
      ${lib.concatMapStrings (e: ''
        mkdir -p ${lib.escapeShellArg (builtins.dirOf "./${e.name}")}
        ln -s ${lib.escapeShellArg "${e.path}"} ${lib.escapeShellArg e.name}
      '') list}
    '';

  # A folder of texts and links in one build: files is PATH -> { text } or { source }, each with an optional `executable`.
  writeTree =
    name: files:
    derive {
      inherit name;
      script =
        "mkdir -p $out\ncd $out\n"
        + lib.concatMapStrings (dir: "mkdir -p ${lib.escapeShellArg dir}\n") (
          lib.unique (map (path: builtins.dirOf "./${path}") (builtins.attrNames files))
        )
        + lib.concatStrings (
          lib.mapAttrsToList (
            path: f:
            let
              target = lib.escapeShellArg "./${path}";
            in
            if f.text or null != null then
              putText target f.text + lib.optionalString (f.executable or false) "chmod +x ${target}\n"
            else
              "ln -s ${lib.escapeShellArg "${f.source}"} ${target}\n"
          ) files
        );
    };
}
