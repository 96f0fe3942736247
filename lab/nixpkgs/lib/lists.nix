lib:
let
  inherit (builtins)
    elem
    elemAt
    filter
    foldl'
    genList
    length
    ;
in
rec {
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;
  singleton = x: [ x ];
  toList = x: if builtins.isList x then x else [ x ];
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: xs: if cond then xs else [ ];
  forEach = xs: f: map f xs;
  imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
  imap1 = f: xs: genList (i: f (i + 1) (elemAt xs i)) (length xs);
  range = from: to: if from > to then [ ] else genList (i: from + i) (to - from + 1);
  replicate = n: x: genList (_: x) n;
  foldr =
    f: end: xs:
    let
      go = i: if i == length xs then end else f (elemAt xs i) (go (i + 1));
    in
    go 0;
  fold = foldr;
  foldl = foldl';
  flatten = x: if builtins.isList x then builtins.concatMap flatten x else [ x ];
  last = xs: elemAt xs (length xs - 1);
  init = xs: take (length xs - 1) xs;
  take = n: sublist 0 n;
  drop = n: xs: sublist n (length xs) xs;
  sublist =
    start: count: xs:
    let
      rest = length xs - start;
      n = if rest < 0 then 0 else lib.min count rest;
    in
    genList (i: elemAt xs (start + i)) n;
  reverseList =
    xs:
    let
      n = length xs;
    in
    genList (i: elemAt xs (n - i - 1)) n;
  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
  allUnique = xs: length (unique xs) == length xs;
  remove = x: filter (y: y != x);
  subtractLists = gone: filter (x: !(elem x gone));
  intersectLists = a: filter (x: elem x a);
  mutuallyExclusive = a: b: intersectLists a b == [ ];
  count = pred: foldl' (n: x: if pred x then n + 1 else n) 0;
  findFirst =
    pred: default: xs:
    let
      found = filter pred xs;
    in
    if found == [ ] then default else builtins.head found;
  findSingle =
    pred: none: many: xs:
    let
      found = filter pred xs;
    in
    if found == [ ] then
      none
    else if length found > 1 then
      many
    else
      builtins.head found;
  zipListsWith =
    f: a: b:
    genList (i: f (elemAt a i) (elemAt b i)) (lib.min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  sortOn = f: builtins.sort (a: b: f a < f b);
  naturalSort = builtins.sort (a: b: a < b);
  crossLists = f: foldl' (fs: args: builtins.concatMap (g: map g args) fs) [ f ];
}
