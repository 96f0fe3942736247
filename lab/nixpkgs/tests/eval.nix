# Claims about the library and the modules: NAME = { got; want; }. Evaluated by ../../standin.
let
  flake = (import ../flake.nix).outputs { self = { }; };
  inherit (flake) lib;
  inherit (lib) mkOption types;

  eval = modules: lib.evalModules { inherit modules; };
  value = type: defs: (eval ([ { options.x = mkOption { inherit type; }; } ] ++ map (x: { inherit x; }) defs)).config.x;
  system = modules: lib.nixosSystem {
    modules = [
      {
        nixpkgs.hostPlatform = "x86_64-linux";
        boot.isContainer = true;
        networking.hostName = "h";
        system.stateVersion = "26.05";
      }
    ]
    ++ modules;
  };
  claims = {
    merge-lists-last-first = {
      got = value (types.listOf types.int) [ [ 1 ] [ 2 ] ];
      want = [ 2 1 ];
    };
    order = {
      got = value (types.listOf types.int) [ (lib.mkAfter [ 1 ]) [ 2 ] (lib.mkBefore [ 3 ]) ];
      want = [ 3 2 1 ];
    };
    lines = {
      got = value types.lines [ (lib.mkAfter "b") "a" ];
      want = "a\nb";
    };
    force-over-default = {
      got = value types.str [ (lib.mkDefault "d") "n" (lib.mkForce "f") ];
      want = "f";
    };
    if-and-merge = {
      got = value (types.attrsOf types.int) [ (lib.mkMerge [ { a = 1; } (lib.mkIf false { b = 2; }) (lib.mkIf true { c = 3; }) ]) ];
      want = { a = 1; c = 3; };
    };
    force-of-a-set = {
      got = value (types.attrsOf types.int) [ { a = 1; b = 2; } (lib.mkForce { c = 3; }) ];
      want = { c = 3; };
    };
    force-of-a-member = {
      got = value (types.attrsOf types.int) [ { a = 1; b = 2; } { a = lib.mkForce 3; } ];
      want = { a = 3; b = 2; };
    };
    default-that-loses-is-not-evaluated = {
      got = (eval [ { options.x = mkOption { default = throw "evaluated"; }; } { x = 1; } ]).config.x;
      want = 1;
    };
    null-or = {
      got = [ (value (types.nullOr types.int) [ null ]) (value (types.nullOr types.int) [ 1 ]) ];
      want = [ null 1 ];
    };
    either = {
      got = value (types.either types.int (types.listOf types.int)) [ [ 1 ] [ 2 ] ];
      want = [ 2 1 ];
    };
    coerced = {
      got = value (types.coercedTo types.int toString types.str) [ 5 ];
      want = "5";
    };
    anything = {
      got = value types.anything [ { a.b = 1; } { a.c = [ 2 ]; } ];
      want.a = { b = 1; c = [ 2 ]; };
    };
    function-to = {
      got = (value (types.functionTo (types.listOf types.int)) [ (x: [ x ]) (x: [ (x + 1) ]) ]) 1;
      want = [ 2 1 ];
    };
    submodule-with-name-and-config = {
      got = value (types.attrsOf (types.submodule (
        { name, config, ... }: {
          options.label = mkOption { type = types.str; default = name; };
          options.twice = mkOption { type = types.str; default = config.label + config.label; };
        }
      ))) [ { a = { }; } { b.label = "B"; } ];
      want = {
        a = { label = "a"; twice = "aa"; };
        b = { label = "B"; twice = "BB"; };
      };
    };
    submodule-as-function = {
      got = value (types.attrsOf (types.submodule { options.n = mkOption { type = types.listOf types.int; }; })) [ { a = _: { _file = "f"; config.n = [ 1 ]; }; } { a.n = [ 2 ]; } ];
      want.a.n = [ 1 2 ]; # the order is turned at each level of modules

    };
    submodule-without-definition = {
      got = value (types.submodule { options.a = mkOption { default = 1; }; }) [ ];
      want.a = 1;
    };
    freeform = {
      got = value (types.submodule { freeformType = types.attrsOf types.int; options.a = mkOption { type = types.str; default = "x"; }; }) [ { b = 2; } ];
      want = { a = "x"; b = 2; };
    };
    freeform-toplevel = {
      got = (eval [ { freeformType = types.attrsOf types.int; } { config.z = 1; } ]).config.z;
      want = 1;
    };
    imports-of-functions-and-nested = {
      got = (eval [ ({ lib, ... }: { imports = [ { imports = [ { options.x = lib.mkOption { }; } ]; x = 7; } ]; }) ]).config.x;
      want = 7;
    };
    same-key-once = {
      got =
        let
          m = { key = "k"; config.x = [ 1 ]; };
        in
        (eval [ { options.x = mkOption { type = types.listOf types.int; }; } m m ]).config.x;
      want = [ 1 ];
    };
    disabled-module = {
      got = (eval [ { options.x = mkOption { type = types.listOf types.int; default = [ ]; }; } { key = "gone"; x = [ 1 ]; } { disabledModules = [ { key = "gone"; } ]; x = [ 2 ]; } ]).config.x;
      want = [ 2 ];
    };
    module-args = {
      got = (eval [ { options.x = mkOption { }; } { _module.args.extra = 5; } ({ extra, ... }: { x = extra; }) ]).config.x;
      want = 5;
    };
    special-args-in-imports = {
      got = (lib.evalModules { specialArgs.more = [ { x = 9; } ]; modules = [ { options.x = mkOption { }; } ({ more, ... }: { imports = more; }) ]; }).config.x;
      want = 9;
    };
    extend-modules = {
      got = ((eval [ { options.x = mkOption { type = types.listOf types.int; }; } { x = [ 1 ]; } ]).extendModules { modules = [ { x = [ 2 ]; } ]; }).config.x;
      want = [ 2 1 ];
    };
    option-declared-twice-in-submodule = {
      got = (eval [
        { options.x = mkOption { type = types.attrsOf (types.submodule { options.a = mkOption { default = 1; }; }); }; }
        { options.x = mkOption { type = types.attrsOf (types.submodule { options.b = mkOption { default = 2; }; }); }; }
        { x.n = { }; }
      ]).config.x.n;
      want = { a = 1; b = 2; };
    };
    is-defined-and-files = {
      got =
        let
          o = (eval [ { options.x = mkOption { type = types.str; }; } { _file = "web.hcl:12"; x = "a"; } ]).options.x;
        in
        [ o.isDefined o.files o.definitions ];
      want = [ true [ "web.hcl:12" ] [ "a" ] ];
    };
    apply = {
      got = (eval [ { options.x = mkOption { type = types.int; apply = n: n + 1; }; } { x = 1; } ]).config.x;
      want = 2;
    };
    renamed-option = {
      got = (eval [ (lib.mkRenamedOptionModule [ "old" ] [ "new" ]) { options.new = mkOption { type = types.int; }; } { old = 4; } ]).config.new;
      want = 4;
    };

    strings = {
      got = [ (lib.escapeShellArg "a b'c") (lib.escapeShellArg "a/b") (lib.removeSuffix ".x" "a.x") (lib.hasInfix "b" "abc") (lib.splitString "." "a.b") (lib.toInt "42") (lib.trim " a ") (lib.fixedWidthNumber 3 7) ];
      want = [ "'a b'\\''c'" "a/b" "a" true [ "a" "b" ] 42 "a" "007" ];
    };
    lists = {
      got = [ (lib.unique [ 1 2 1 ]) (lib.flatten [ 1 [ 2 [ 3 ] ] ]) (lib.take 1 [ 1 2 ]) (lib.drop 1 [ 1 2 ]) (lib.foldr (a: b: a + b) "" [ "a" "b" ]) (lib.range 1 3) (lib.sort lib.lessThan [ 2 1 ]) (lib.last [ 1 2 ]) ];
      want = [ [ 1 2 ] [ 1 2 3 ] [ 1 ] [ 2 ] "ab" [ 1 2 3 ] [ 1 2 ] 2 ];
    };
    attrsets = {
      got = [ (lib.recursiveUpdate { a.b = 1; } { a.c = 2; }) (lib.attrByPath [ "a" "b" ] 0 { a.b = 1; }) (lib.filterAttrs (n: _: n == "a") { a = 1; b = 2; }) (lib.mapAttrs' (n: v: lib.nameValuePair (n + "x") v) { a = 1; }) (lib.genAttrs [ "a" ] (n: n)) (lib.setAttrByPath [ "a" "b" ] 1) (lib.foldlAttrs (acc: n: v: acc + n + v) "" { a = "1"; b = "2"; }) ];
      want = [ { a = { b = 1; c = 2; }; } 1 { a = 1; } { ax = 1; } { a = "a"; } { a.b = 1; } "a1b2" ];
    };
    generators = {
      got = [ (lib.generators.toKeyValue { } { a = true; b = 1; }) (lib.generators.toINI { } { s.k = "v"; }) (lib.generators.toJSON { } { a = null; }) (lib.generators.toPretty { multiline = false; } { a = [ "x" ]; }) ];
      want = [ "a=true\nb=1\n" "[s]\nk=v\n" ''{"a":null}'' ''{ a = [ "x" ]; }'' ];
    };
    meta = {
      got = [ (lib.getExe { name = "hello-1.0"; outPath = "/p"; meta.mainProgram = "hi"; }) (lib.getName "hello-1.0") (lib.getVersion "hello-1.0") (lib.versionOlder "1.9" "1.10") ];
      want = [ "/p/bin/hi" "hello" "1.0" true ];
    };

    overlays = {
      got = (import ../. { overlays = [ (_: prev: { a = 1; }) (final: prev: { b = prev.a + 1; }) ]; }).b;
      want = 2;
    };
    overlays-of-the-system = {
      got = (system [ { nixpkgs.overlays = [ (final: _: { mine = final.lib.id "x"; }) ]; } ({ pkgs, ... }: { environment.etc.a.text = pkgs.mine; }) ]).config.environment.etc.a.text;
      want = "x";
    };
    call-package = {
      got = (flake.legacyPackages.x86_64-linux.callPackage ({ lib, name }: { text = lib.toUpper name; }) { name = "n"; }).text;
      want = "N";
    };
    toplevel-name = {
      got = (system [ ]).config.system.build.toplevel.name;
      want = "nixos-system-h-26.05.standin";
    };
    user-is-extended-by-other-modules = {
      got = (system [ { users.users.u = { isSystemUser = true; group = "u"; extraGroups = [ "wheel" ]; }; users.groups.u = { }; } { users.users.u.extraGroups = [ "users" ]; } ]).config.users.users.u.extraGroups;
      want = [ "wheel" "users" ];
    };
    specialisation = {
      got = (system [ { specialisation.other.configuration.networking.hostName = lib.mkForce "o"; } ]).config.system.build.toplevel.type;
      want = "derivation";
    };
    extend-a-system = {
      got = ((system [ ]).extendModules { modules = [ { networking.hostName = lib.mkForce "x"; } ]; }).config.networking.hostName;
      want = "x";
    };
    mount-units = {
      got = builtins.length (system [ { systemd.mounts = [ { what = "tmpfs"; where = "/a/b-c"; type = "tmpfs"; } ]; } ]).config.systemd.mounts;
      want = 1;
    };
  };
in
lib.filterAttrs (_: c: c.got != c.want) claims
