lib:
let
  inherit (lib) types;
in
rec {
  mkOption = attrs: attrs // { _type = "option"; };
  isOption = x: builtins.isAttrs x && x._type or null == "option";
  isType = name: x: builtins.isAttrs x && x._type or null == name;

  mkEnableOption =
    what:
    mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
    };

  # An option for a package, by default the attribute `default` (a name, or a path of names) of `pkgs`.
  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      path = lib.toList default;
    in
    mkOption {
      type = if nullable then types.nullOr types.package else types.package;
      description = "The ${lib.concatStringsSep "." (lib.toList name)} package to use. ${extraDescription}";
    }
    // lib.optionalAttrs (default != null) {
      default = lib.getAttrFromPath path pkgs;
      defaultText = literalExpression "${pkgsText}.${lib.concatStringsSep "." path}";
    };

  mkSinkUndeclaredOptions = attrs: mkOption (attrs // { internal = true; type = types.raw; apply = _: throw "not readable"; });

  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };
  mdDoc = text: text;

  # `[ "a" "b.c" ]` -> `a."b.c"`
  showOption =
    path:
    let
      part =
        name:
        if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*|<name>|\\*" name != null then
          name
        else
          lib.escapeNixString name;
    in
    lib.concatMapStringsSep "." part path;
  showFiles = files: lib.concatMapStringsSep " and " (f: "`${toString f}'") files;

  # The definitions of an option as lines "- In `FILE': VALUE"; at most six lines of a value.
  showDefs =
    defs:
    lib.concatMapStrings (
      def:
      let
        text = builtins.tryEval (
          let
            pretty = lib.generators.toPretty { } def.value;
          in
          builtins.seq (builtins.stringLength pretty) pretty
        );
        lines = lib.splitString "\n" text.value;
        shown = lib.take 5 lines ++ lib.optional (builtins.length lines > 5) "...";
        value = lib.concatStringsSep "\n    " shown;
      in
      "\n- In `${toString def.file}'"
      + lib.optionalString text.success (if builtins.length lines > 1 then ":\n    ${value}" else ": ${value}")
    ) defs;

  # Merge functions for types.
  mergeOneOption =
    loc: defs:
    if builtins.length defs == 1 then
      (builtins.head defs).value
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\nDefinition values:${showDefs defs}\nUse `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";
  mergeUniqueOption = _: mergeOneOption;
  mergeEqualOption =
    loc: defs:
    if defs == [ ] then
      throw "The option `${showOption loc}' has no definitions."
    else if builtins.length defs == 1 then
      (builtins.head defs).value
    else
      (builtins.foldl' (
        first: def:
        if def.value != first.value then
          throw "The option `${showOption loc}' has conflicting definition values:${
            showDefs [
              first
              def
            ]
          }\nUse `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions."
        else
          first
      ) (builtins.head defs) (builtins.tail defs)).value;
  # For `types.unspecified`: lists and strings are joined, sets are united, else all must agree.
  mergeDefaultOption =
    loc: defs:
    let
      values = map (d: d.value) defs;
    in
    if builtins.length defs == 1 then
      builtins.head values
    else if builtins.all builtins.isFunction values then
      x: mergeDefaultOption loc (map (d: d // { value = d.value x; }) defs)
    else if builtins.all builtins.isList values then
      lib.concatLists values
    else if builtins.all builtins.isAttrs values then
      builtins.foldl' lib.mergeAttrs { } values
    else if builtins.all builtins.isBool values then
      builtins.any lib.id values
    else if builtins.all builtins.isString values then
      lib.concatStrings values
    else
      mergeEqualOption loc defs;

  getValues = map (x: x.value);
  getFiles = map (x: x.file);
}
