lib:
let
  release = "26.05";
in
{
  id = x: x;
  const = x: _: x;
  flip =
    f: a: b:
    f b a;
  pipe = builtins.foldl' (value: f: f value);
  or = a: b: a || b;
  and = a: b: a && b;
  boolToString = b: if b then "true" else "false";
  boolToYesNo = b: if b then "yes" else "no";
  mergeAttrs = a: b: a // b;
  mapNullable = f: x: if x == null then x else f x;
  defaultTo = default: x: if x == null then default else x;
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = a: b: a - b * (a / b);
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: builtins.fromTOML (builtins.readFile path);
  warn = builtins.warn;
  warnIf = cond: text: if cond then builtins.warn text else x: x;
  warnIfNot = cond: text: if cond then x: x else builtins.warn text;
  throwIf = cond: text: if cond then throw text else x: x;
  throwIfNot = cond: text: if cond then x: x else throw text;
  assertMsg = cond: text: cond || throw text;
  # A function is also a set with a `__functor`, and its arguments may be declared in `__functionArgs`.
  isFunction = f: builtins.isFunction f || (f ? __functor && lib.isFunction (f.__functor f));
  functionArgs =
    f: if f ? __functor then f.__functionArgs or (lib.functionArgs (f.__functor f)) else builtins.functionArgs f;
  setFunctionArgs = f: args: {
    __functor = self: f;
    __functionArgs = args;
  };
  version = "${release}standin";
  inherit release;
  inNixShell = false;
  toHexString =
    n:
    let
      digits = lib.stringToCharacters "0123456789ABCDEF";
      go = i: if i < 16 then builtins.elemAt digits i else go (i / 16) + builtins.elemAt digits (lib.mod i 16);
    in
    go n;
  inherit (builtins)
    add
    sub
    lessThan
    seq
    deepSeq
    genericClosure
    bitAnd
    bitOr
    bitXor
    isBool
    isInt
    isFloat
    isPath
    pathExists
    readFile
    trace
    tryEval
    addErrorContext
    toJSON
    fromJSON
    ;
}
