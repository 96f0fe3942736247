# Types of options: a check, how several definitions become one value, and the words for it in errors.
lib:
let
  inherit (builtins)
    all
    elem
    head
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isString
    ;
  inherit (lib)
    mergeEqualOption
    mergeOneOption
    mergeDefinitions
    showOption
    ;

  # typeMerge joins two declarations of one option (null = they do not fit together).
  mkOptionType =
    {
      name,
      description ? name,
      descriptionClass ? null,
      check ? (_: true),
      merge ? lib.mergeDefaultOption,
      emptyValue ? { },
      getSubOptions ? (_: { }),
      nestedTypes ? { },
      modules ? null,
      ...
    }@args:
    let
      self = {
        _type = "option-type";
        inherit
          name
          description
          descriptionClass
          check
          merge
          emptyValue
          getSubOptions
          nestedTypes
          modules
          ;
        typeMerge = args.typeMerge or (other: if other.name == name && other.description == description then self else null);
        functor = {
          inherit name;
        };
      };
    in
    self;

  # A type around another one merges where the inner ones do.
  wrapped = wrap: name: inner: other:
    let
      merged = if other.name == name then inner.typeMerge other.nestedTypes.elemType else null;
    in
    if merged == null then null else wrap merged;

  phrase = type: if type.descriptionClass or null == "composite" then "(${type.description})" else type.description;

  scalar = name: description: check: mkOptionType { inherit name description check; merge = mergeEqualOption; };
  intBetween =
    lo: hi:
    types.addCheck' types.int "intBetween" "integer between ${toString lo} and ${toString hi} (both inclusive)" (
      x: x >= lo && x <= hi
    );
  sized =
    sign: bits: lo: hi:
    types.addCheck' types.int "${sign}Int${toString bits}"
      "${toString bits} bit ${sign} integer; between ${toString lo} and ${toString hi} (both inclusive)"
      (x: x >= lo && x <= hi);

  types = {
    inherit mkOptionType;
    isOptionType = x: isAttrs x && x._type or null == "option-type";

    # A subtype with further conditions: `addCheck` keeps the words of the type.
    addCheck = type: check: type // { check = x: type.check x && check x; };
    addCheck' =
      type: name: description: check:
      mkOptionType {
        inherit name description;
        check = x: type.check x && check x;
        inherit (type) merge;
      };

    raw = mkOptionType {
      name = "raw";
      description = "raw value";
      merge = mergeOneOption;
    };
    unspecified = mkOptionType {
      name = "unspecified";
      description = "unspecified value";
    };
    anything = mkOptionType {
      name = "anything";
      description = "anything";
      merge =
        loc: defs:
        let
          values = map (d: d.value) defs;
        in
        if all (v: isAttrs v && !lib.isDerivation v && !(lib.isStringLike v)) values then
          (types.lazyAttrsOf types.anything).merge loc defs
        else if all lib.isFunction values && builtins.length values > 1 then
          x: types.anything.merge (loc ++ [ "<function body>" ]) (map (d: d // { value = d.value x; }) defs)
        else
          mergeEqualOption loc defs;
    };

    bool = scalar "bool" "boolean" isBool;
    boolByOr = mkOptionType {
      name = "boolByOr";
      description = "boolean (merged using or)";
      check = isBool;
      merge = _: lib.any (d: d.value);
    };
    int = scalar "int" "signed integer" isInt;
    float = scalar "float" "floating point number" isFloat;
    number = types.either types.int types.float;
    numbers = {
      positive = types.addCheck' types.number "numberPositive" "positive integer or floating point number, meaning >0" (x: x > 0);
      nonnegative = types.addCheck' types.number "numberNonnegative" "nonnegative integer or floating point number, meaning >=0" (x: x >= 0);
      between = lo: hi: types.addCheck' types.number "numberBetween" "integer or floating point number between ${toString lo} and ${toString hi} (both inclusive)" (x: x >= lo && x <= hi);
    };
    port = types.ints.u16;
    ints = {
      between = intBetween;
      positive = types.addCheck' types.int "positiveInt" "positive integer, meaning >0" (x: x > 0);
      unsigned = types.addCheck' types.int "unsignedInt" "unsigned integer, meaning >=0" (x: x >= 0);
      u8 = sized "unsigned" 8 0 255;
      u16 = sized "unsigned" 16 0 65535;
      u32 = sized "unsigned" 32 0 4294967295;
      s8 = sized "signed" 8 (-128) 127;
      s16 = sized "signed" 16 (-32768) 32767;
      s32 = sized "signed" 32 (-2147483648) 2147483647;
    };

    str = scalar "str" "string" isString;
    string = types.str;
    nonEmptyStr = scalar "nonEmptyStr" "non-empty string" (x: isString x && builtins.match "[ \t\n]*" x == null);
    singleLineStr = mkOptionType {
      name = "singleLineStr";
      description = "(optionally newline-terminated) single-line string";
      check = x: isString x && builtins.match "[^\n\r]*\n?" x != null;
      merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
    };
    strMatching = pattern: scalar "strMatching ${lib.escapeNixString pattern}" "string matching the pattern ${pattern}" (
      x: isString x && builtins.match pattern x != null
    );
    passwdEntry = type: types.addCheck' type "passwdEntry ${type.name}" "${type.description}, not containing newlines or colons" (
      x: builtins.match "[^:\n]*" (toString x) != null
    );
    separatedString = sep: mkOptionType {
      name = "separatedString";
      description = "strings concatenated with ${builtins.toJSON sep}";
      check = isString;
      merge = _: defs: lib.concatStringsSep sep (map (d: d.value) defs);
    };
    lines = types.separatedString "\n";
    commas = types.separatedString ",";
    envVar = types.separatedString ":";
    enum = values: mkOptionType {
      name = "enum";
      description =
        let
          show = v: if isString v then "\"${v}\"" else lib.generators.toPretty { multiline = false; } v;
        in
        if builtins.length values == 1 then
          "value ${show (head values)} (singular enum)"
        else
          "one of ${lib.concatMapStringsSep ", " show values}";
      check = x: elem x values;
      merge = mergeEqualOption;
      nestedTypes = { inherit values; };
      typeMerge = other: if other.name == "enum" then types.enum (lib.unique (values ++ other.nestedTypes.values)) else null;
    };

    path = scalar "path" "path" (x: lib.isStringLike x && builtins.substring 0 1 (toString x) == "/");
    pathInStore = scalar "pathInStore" "path in the Nix store" (x: lib.isStringLike x && lib.hasPrefix builtins.storeDir (toString x));
    package = mkOptionType {
      name = "package";
      description = "package";
      check = x: lib.isDerivation x || lib.isStorePath x;
      merge =
        loc: defs:
        let
          value = mergeOneOption loc defs;
        in
        if lib.isDerivation value then value else { type = "derivation"; name = builtins.baseNameOf (toString value); outPath = builtins.storePath (toString value); };
    };
    shellPackage = types.addCheck' types.package "shellPackage" "package" (x: x ? shellPath);
    pkgs = types.addCheck' types.unspecified "pkgs" "Nixpkgs package set" (x: x._type or null == "pkgs");
    optionType = mkOptionType {
      name = "optionType";
      description = "optionType";
      check = types.isOptionType;
      merge = _: defs: (head defs).value;
    };

    attrs = mkOptionType {
      name = "attrs";
      description = "attribute set";
      check = isAttrs;
      merge = _: builtins.foldl' (all: d: all // d.value) { };
      emptyValue.value = { };
    };
    listOf = elemType: mkOptionType {
      name = "listOf";
      description = "list of ${phrase elemType}";
      descriptionClass = "composite";
      check = isList;
      emptyValue.value = [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      nestedTypes = { inherit elemType; };
      typeMerge = wrapped types.listOf "listOf" elemType;
      merge =
        loc: defs:
        map (x: x.value) (
          builtins.filter (x: x ? value) (
            lib.concatLists (
              lib.imap1 (
                n: def:
                lib.imap1 (
                  m: value:
                  (mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType [
                    {
                      inherit (def) file;
                      inherit value;
                    }
                  ]).optionalValue
                ) def.value
              ) defs
            )
          )
        );
    };
    nonEmptyListOf = type: types.addCheck (types.listOf type) (l: l != [ ]) // { description = "non-empty ${(types.listOf type).description}"; };

    attrsOf = attrsWith "attrsOf" "attribute set" false;
    lazyAttrsOf = attrsWith "lazyAttrsOf" "lazy attribute set" true;

    nullOr = elemType: mkOptionType {
      name = "nullOr";
      description = "null or ${phrase elemType}";
      descriptionClass = "conjunction";
      check = x: x == null || elemType.check x;
      emptyValue.value = null;
      inherit (elemType) getSubOptions;
      nestedTypes = { inherit elemType; };
      typeMerge = wrapped types.nullOr "nullOr" elemType;
      merge =
        loc: defs:
        let
          nulls = builtins.filter (d: d.value == null) defs;
        in
        if nulls == [ ] then
          elemType.merge loc defs
        else if builtins.length nulls == builtins.length defs then
          null
        else
          throw "The option `${showOption loc}' is defined both null and not null, in ${lib.showFiles (lib.getFiles defs)}.";
    };
    functionTo = elemType: mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${phrase elemType}";
      check = lib.isFunction;
      merge =
        loc: defs: args:
        (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (map (d: d // { value = d.value args; }) defs)).mergedValue;
    };
    uniq = types.unique { message = ""; };
    unique = { message }: type: type // { merge = loc: defs: builtins.seq (mergeOneOption loc defs) (type.merge loc defs); };
    either = a: b: mkOptionType {
      name = "either";
      description = "${phrase a} or ${phrase b}";
      descriptionClass = "conjunction";
      check = x: a.check x || b.check x;
      nestedTypes = {
        left = a;
        right = b;
      };
      merge =
        loc: defs:
        if all (d: a.check d.value) defs then
          a.merge loc defs
        else if all (d: b.check d.value) defs then
          b.merge loc defs
        else
          mergeOneOption loc defs;
    };
    oneOf = ts: builtins.foldl' types.either (head ts) (builtins.tail ts);
    coercedTo = from: f: to: mkOptionType {
      name = "coercedTo";
      description = "${phrase to} or ${phrase from} convertible to it";
      check = x: (from.check x && to.check (f x)) || to.check x;
      inherit (to) emptyValue getSubOptions;
      nestedTypes = { inherit from to; };
      merge = loc: defs: to.merge loc (map (d: d // { value = if from.check d.value then f d.value else d.value; }) defs);
    };

    submodule = modules: types.submoduleWith {
      modules = lib.toList modules;
      shorthandOnlyDefinesConfig = true;
    };
    submoduleWith =
      {
        modules,
        specialArgs ? { },
        shorthandOnlyDefinesConfig ? false,
        description ? null,
        ...
      }@args:
      let
        asModule =
          def:
          if isAttrs def.value && shorthandOnlyDefinesConfig then
            {
              _file = def.file;
              config = def.value;
            }
          else
            {
              _file = def.file;
              imports = [ def.value ];
            };
        evaluate =
          loc: defs:
          lib.evalModules {
            inherit specialArgs;
            prefix = loc;
            modules = [
              { _module.args.name = lib.mkOptionDefault (if loc == [ ] then "‹name›" else lib.last loc); }
            ]
            ++ modules
            ++ map asModule defs;
          };
      in
      mkOptionType {
        name = "submodule";
        description = if description == null then "submodule" else description;
        check = x: isAttrs x || lib.isFunction x || types.path.check x;
        merge = loc: defs: (evaluate loc defs).config;
        emptyValue.value = { };
        getSubOptions = prefix: (evaluate prefix [ ]).options;
        inherit modules;
        typeMerge = other: if other.name == "submodule" then types.submoduleWith (args // { modules = modules ++ other.modules; }) else null;
      };
    deferredModule = mkOptionType {
      name = "deferredModule";
      description = "module";
      check = x: isAttrs x || lib.isFunction x || types.path.check x;
      merge = _: defs: {
        imports = map (d: {
          _file = d.file;
          imports = [ d.value ];
        }) defs;
      };
    };
  };

  attrsWith =
    name: words: lazy: elemType:
    mkOptionType {
      inherit name;
      description = "${words} of ${phrase elemType}";
      descriptionClass = "composite";
      check = isAttrs;
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<name>" ]);
      nestedTypes = { inherit elemType; };
      typeMerge = wrapped (attrsWith name words lazy) name elemType;
      merge =
        loc: defs:
        let
          # Properties of the whole set (mkIf …) have been moved to its members.
          members = builtins.zipAttrsWith (
            member: ds: mergeDefinitions (loc ++ [ member ]) elemType ds
          ) (
            lib.concatMap (
              d:
              map (
                builtins.mapAttrs (
                  _: value: {
                    inherit (d) file;
                    inherit value;
                  }
                )
              ) (lib.pushDownProperties d.value)
            ) defs
          );
        in
        if lazy then
          builtins.mapAttrs (
            _: m: if m.isDefined then m.mergedValue else elemType.emptyValue.value or m.mergedValue
          ) members
        else
          builtins.mapAttrs (_: m: m.mergedValue) (lib.filterAttrs (_: m: m.isDefined) members);
    };
in
types
