lib:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    isAttrs
    isBool
    isFunction
    isList
    isString
    toJSON
    ;
in
{
  generators = rec {
    mkValueStringDefault =
      _: v: if isBool v then lib.boolToString v else if v == null then "null" else toString v;
    mkKeyValueDefault =
      {
        mkValueString ? mkValueStringDefault { },
      }:
      sep: k: v:
      "${lib.escape [ sep ] k}${sep}${mkValueString v}";
    toKeyValue =
      {
        mkKeyValue ? mkKeyValueDefault { } "=",
        listsAsDuplicateKeys ? false,
        indent ? "",
      }:
      set:
      lib.concatStrings (
        lib.concatLists (
          lib.mapAttrsToList (
            k: v: map (x: "${indent}${mkKeyValue k x}\n") (if listsAsDuplicateKeys && isList v then v else [ v ])
          ) set
        )
      );
    toINI =
      {
        mkSectionName ? (n: lib.escape [ "[" "]" ] n),
        mkKeyValue ? mkKeyValueDefault { } "=",
        listsAsDuplicateKeys ? false,
      }:
      set:
      concatStringsSep "\n" (
        lib.mapAttrsToList (
          name: section: "[${mkSectionName name}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } section
        ) set
      );
    toJSON = _: builtins.toJSON;
    toYAML = toJSON;

    # A value as Nix would write it, over several lines when `multiline`.
    toPretty =
      {
        multiline ? true,
        indent ? "",
        ...
      }@args:
      v:
      let
        inner = indent + "  ";
        sep = if multiline then "\n${inner}" else " ";
        end = if multiline then "\n${indent}" else " ";
        go = toPretty (args // { indent = inner; });
      in
      if v == null then
        "null"
      else if isString v then
        lib.escapeNixString v
      else if isBool v || builtins.isInt v || builtins.isFloat v then
        builtins.toJSON v
      else if builtins.isPath v then
        toString v
      else if isFunction v then
        "<function>"
      else if isList v then
        if v == [ ] then "[ ]" else "[${sep}${lib.concatMapStringsSep sep go v}${end}]"
      else if lib.isDerivation v then
        "<derivation ${v.name or "???"}>"
      else if v == { } then
        "{ }"
      else
        "{${sep}${
          lib.concatMapStringsSep sep (n: "${lib.escapeNixIdentifier n} = ${go v.${n}};") (attrNames v)
        }${end}}";
  };
}
