lib:
let
  inherit (builtins)
    attrNames
    concatMap
    elemAt
    filter
    foldl'
    isAttrs
    length
    listToAttrs
    mapAttrs
    ;
in
rec {
  inherit (builtins)
    attrNames
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    zipAttrsWith
    ;
  attrValues = builtins.attrValues;
  attrVals = names: set: map (n: set.${n}) names;
  nameValuePair = name: value: { inherit name value; };
  optionalAttrs = cond: set: if cond then set else { };
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);
  genAttrs' = xs: f: listToAttrs (map f xs);
  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: set: foldl' (a: b: a // b) { } (mapAttrsToList f set);
  filterAttrs = pred: set: removeAttrs set (filter (n: !pred n set.${n}) (attrNames set));
  foldlAttrs =
    f: start: set:
    foldl' (acc: n: f acc n set.${n}) start (attrNames set);
  foldAttrs =
    f: start: sets:
    mapAttrs (_: values: lib.foldr f start values) (zipAttrs sets);
  zipAttrs = builtins.zipAttrsWith (_: values: values);
  mergeAttrsList = foldl' (a: b: a // b) { };
  attrByPath =
    path: default: set:
    let
      go =
        i: value:
        if i == length path then
          value
        else if isAttrs value && value ? ${elemAt path i} then
          go (i + 1) value.${elemAt path i}
        else
          default;
    in
    go 0 set;
  hasAttrByPath =
    path: set:
    let
      missing = { _missing = true; };
    in
    attrByPath path missing set != missing;
  getAttrFromPath =
    path: set: attrByPath path (throw "cannot find attribute `${builtins.concatStringsSep "." path}'") set;
  setAttrByPath = path: value: lib.foldr (name: inner: { ${name} = inner; }) value path;
  collect =
    pred: set:
    if pred set then
      [ set ]
    else if isAttrs set then
      concatMap (collect pred) (builtins.attrValues set)
    else
      [ ];
  isDerivation = x: isAttrs x && x.type or null == "derivation";
  recursiveUpdateUntil =
    stop: a: b:
    let
      go =
        path: l: r:
        l
        // mapAttrs (
          n: v: if l ? ${n} && !stop (path ++ [ n ]) l.${n} v then go (path ++ [ n ]) l.${n} v else v
        ) r;
    in
    go [ ] a b;
  recursiveUpdate = recursiveUpdateUntil (
    _: l: r:
    !(isAttrs l && isAttrs r)
  );
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    cond: f: set:
    let
      go = path: mapAttrs (n: v: if isAttrs v && cond v then go (path ++ [ n ]) v else f (path ++ [ n ]) v);
    in
    go [ ] set;
  getBin = pkg: pkg.bin or pkg;
  getLib = pkg: pkg.lib or pkg;
  getOutput = name: pkg: pkg.${name} or pkg;
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };
  matchAttrs =
    pattern: set:
    builtins.all (
      n:
      set ? ${n} && (if isAttrs pattern.${n} then isAttrs set.${n} && matchAttrs pattern.${n} set.${n} else pattern.${n} == set.${n})
    ) (attrNames pattern);
}
