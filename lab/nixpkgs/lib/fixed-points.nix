lib: {
  fix =
    f:
    let
      x = f x;
    in
    x;
  extends =
    overlay: f: final:
    let
      prev = f final;
    in
    prev // overlay final prev;
  composeExtensions =
    f: g: final: prev:
    let
      fApplied = f final prev;
    in
    fApplied // g final (prev // fApplied);
  composeManyExtensions = builtins.foldl' lib.composeExtensions (_: _: { });
  makeExtensible =
    f:
    let
      x = f x;
    in
    x // { extend = overlay: lib.makeExtensible (lib.extends overlay f); };
}
