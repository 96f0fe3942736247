# Configuration files as values: a type for the option, and a generator of the file.
{ lib, pkgs }:
let
  inherit (lib) types;
  value =
    atoms:
    let
      self = types.nullOr (types.oneOf (atoms ++ [ (types.attrsOf self) (types.listOf self) ])) // {
        description = "JSON value";
      };
    in
    self;
  jsonValue = value [
    types.bool
    types.int
    types.float
    types.str
    types.path
  ];
  json = _: {
    type = jsonValue;
    generate = name: v: pkgs.writeText name (builtins.toJSON v);
  };
in
{
  inherit json;
  # Every JSON text is YAML.
  yaml = json;
  keyValue = args: {
    type = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.float types.str ]));
    generate = name: v: pkgs.writeText name (lib.generators.toKeyValue args v);
  };
  ini = args: {
    type = types.attrsOf (types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.float types.str ])));
    generate = name: v: pkgs.writeText name (lib.generators.toINI args v);
  };
}
