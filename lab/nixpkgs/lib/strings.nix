lib:
let
  inherit (builtins)
    concatStringsSep
    elemAt
    genList
    isList
    isString
    length
    match
    replaceStrings
    stringLength
    substring
    ;
  lower = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upper = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
in
rec {
  inherit (builtins)
    concatStringsSep
    isString
    match
    parseDrvName
    replaceStrings
    split
    stringLength
    substring
    toString
    unsafeDiscardStringContext
    ;
  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
  concatStrings = concatStringsSep "";
  concatMapStrings = f: xs: concatStrings (map f xs);
  concatMapStringsSep =
    sep: f: xs:
    concatStringsSep sep (map f xs);
  concatImapStrings = f: xs: concatStrings (lib.imap1 f xs);
  concatImapStringsSep =
    sep: f: xs:
    concatStringsSep sep (lib.imap1 f xs);
  concatMapAttrsStringSep =
    sep: f: set:
    concatStringsSep sep (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (line: line + "\n");
  intersperse =
    sep: xs:
    if length xs < 2 then
      xs
    else
      builtins.tail (
        builtins.concatMap (x: [
          sep
          x
        ]) xs
      );
  optionalString = cond: s: if cond then s else "";
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      start = stringLength s - stringLength suffix;
    in
    start >= 0 && substring start (-1) s == suffix;
  hasInfix = infix: s: replaceStrings [ infix ] [ "" ] s != "${s}" || infix == "";
  removePrefix = prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (-1) s else s;
  removeSuffix =
    suffix: s: if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  toLower = replaceStrings upper lower;
  toUpper = replaceStrings lower upper;
  toSentenceCase = s: toUpper (substring 0 1 s) + toLower (substring 1 (-1) s);
  splitString = sep: s: builtins.filter isString (builtins.split (escapeRegex sep) (toString s));
  trim =
    s:
    let
      m = match "[ \t\r\n]*(.*[^ \t\r\n])?[ \t\r\n]*" s;
      body = if m == null then s else elemAt m 0;
    in
    if body == null then "" else body;
  removeTrailingNewline = removeSuffix "\n";
  chomp = removeTrailingNewline;
  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeNixIdentifier = s: if match "[a-zA-Z_][a-zA-Z0-9_'-]*" s == null then escapeNixString s else s;
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  # Words without special characters stay as they are, so that generated scripts read well.
  escapeShellArg =
    arg:
    let
      s = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" s == null then "'${replaceStrings [ "'" ] [ "'\\''" ] s}'" else s;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  toShellVar = name: value: "${name}=${escapeShellArg value}";
  makeSearchPath = dir: paths: concatMapStringsSep ":" (p: "${p}/${dir}") (builtins.filter (p: p != null) paths);
  makeBinPath = makeSearchPath "bin";
  makeLibraryPath = makeSearchPath "lib";
  fixedWidthString =
    width: filler: s:
    if stringLength s >= width then s else fixedWidthString width filler (filler + s);
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);
  toInt =
    s:
    let
      m = match "[[:space:]]*(-?[1-9][0-9]*|0)[[:space:]]*" s;
    in
    if m == null then throw "Could not convert ${escapeNixString s} to int." else builtins.fromJSON (elemAt m 0);
  toIntBase10 = s: toInt (let m = match "0*([0-9]+)" s; in if m == null then s else elemAt m 0);
  isStringLike = x: isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isConvertibleWithToString =
    x: isStringLike x || builtins.isNull x || builtins.isInt x || builtins.isFloat x || builtins.isBool x || (isList x && builtins.all isConvertibleWithToString x);
  isStorePath =
    x:
    isStringLike x
    && (
      let
        s = toString x;
      in
      substring 0 1 s == "/" && builtins.dirOf s == builtins.storeDir
    );
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  getName = x: if isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
  getVersion = x: if isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;
  nameFromURL = url: sep: builtins.head (splitString sep (builtins.baseNameOf url));
  sanitizeDerivationName = s: concatStrings (map (p: if isList p then "-" else p) (builtins.split "[^[:alnum:]+._?=-]+" (toString s)));
}
