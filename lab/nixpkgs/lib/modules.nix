# The module system: modules in, one checked configuration out.
#
# 1. collect: every module is loaded once (by its key), its imports after it.
# 2. mergeTree: declarations and definitions walk the tree of names together; at an option they meet in mergeDefinitions.
# 3. What no option took goes to the freeform type, or is the error "The option `X' does not exist".
lib:
let
  inherit (builtins)
    concatMap
    filter
    foldl'
    head
    isAttrs
    isBool
    isList
    length
    mapAttrs
    ;
  inherit (lib) isOption showDefs showOption types;

  property = type: fields: fields // { _type = type; };

  # The parts of a module as a set of known shape.
  normalise =
    {
      key,
      file,
      value,
    }:
    let
      meta = [
        "_class"
        "_file"
        "key"
        "disabledModules"
        "imports"
        "options"
        "config"
        "meta"
        "freeformType"
      ];
      rest = removeAttrs value meta;
      structured = value ? config || value ? options;
    in
    if !isAttrs value then
      throw "Expected a module, but found a value of type ${lib.escapeNixString (builtins.typeOf value)}, while trying to load a module into ${file}."
    else if structured && rest != { } then
      throw "Module `${key}' has an unsupported attribute `${head (builtins.attrNames rest)}'. This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes immediately on the top level instead, or move all of them (namely: ${lib.concatStringsSep " " (builtins.attrNames rest)}) into the explicit `config' attribute."
    else
      {
        key = toString (value.key or key);
        file = toString (value._file or file);
        imports = value.imports or [ ];
        disabled = value.disabledModules or [ ];
        options = value.options or { };
        configs =
          [ (if structured then value.config or { } else removeAttrs rest [ "require" ]) ]
          ++ lib.optional (value ? meta && !structured) { inherit (value) meta; }
          ++ lib.optional (value ? meta && structured) { inherit (value) meta; }
          ++ lib.optional (value ? freeformType) { _module.freeformType = value.freeformType; };
      };

  # Calls a module that is a function. What it names and is not given comes from `_module.args`.
  call =
    args: key: f:
    if !lib.isFunction f then
      f
    else
      let
        named = mapAttrs (
          name: _:
          builtins.addErrorContext "while evaluating the module argument `${name}' in \"${key}\":" (
            args.${name} or args.config._module.args.${name}
          )
        ) (lib.functionArgs f);
      in
      f (args // named);

  load =
    args: parent: index: module:
    let
      isFile = builtins.isPath module || builtins.isString module || (isAttrs module && module ? outPath && !(lib.isFunction module));
      key = if isFile then toString module else "${parent.key}:anon-${toString index}";
      value = call args key (if isFile then import module else module);
    in
    if isList module then
      throw "Module imports can't be nested lists. Perhaps you meant to remove one level of lists? Definitions: ${showDefs [ { inherit (parent) file; value = module; } ]}"
    else
      normalise {
        inherit key;
        file = if isFile then toString module else parent.file;
        value = if lib.isFunction value then call args key value else value;
      };

  collect =
    args: modules: modulesPath:
    let
      root = {
        key = "";
        file = "<unknown-file>";
      };
      entries = parent: ms: map (m: { inherit (m) key; module = m; }) (lib.imap1 (load args parent) ms);
      closure = keep: builtins.genericClosure {
        startSet = filter keep (entries root modules);
        operator = x: filter keep (entries x.module x.module.imports);
      };
      everything = closure (_: true);
      disabledKey =
        m:
        if builtins.isString m && !(lib.hasPrefix "/" m) then
          "${toString modulesPath}/${m}"
        else if isAttrs m && m ? key then
          toString m.key
        else
          toString m;
      disabled = map disabledKey (concatMap (x: x.module.disabled) everything);
    in
    map (x: x.module) (
      if disabled == [ ] then everything else closure (x: !(builtins.elem x.key disabled))
    );

  # pushDownProperties moves the properties of a set of definitions to its members: mkIf c { a = 1; } -> { a = mkIf c 1; }.
  pushDownProperties =
    value:
    let
      type = value._type or null;
    in
    if type == "merge" then
      concatMap pushDownProperties value.contents
    else if type == "if" then
      map (mapAttrs (_: mkIf value.condition)) (pushDownProperties value.content)
    else if type == "override" then
      map (mapAttrs (_: mkOverride value.priority)) (pushDownProperties value.content)
    else
      [ value ];

  # The plain values in a definition, each with the priority and the order that its properties give it.
  discharge =
    prio: order: value:
    let
      type = if isAttrs value then value._type or null else null;
    in
    if type == null then
      [ { inherit prio order value; } ]
    else if type == "merge" then
      concatMap (discharge prio order) value.contents
    else if type == "if" then
      if !isBool value.condition then
        throw "`mkIf' called with a non-Boolean condition"
      else if value.condition then
        discharge prio order value.content
      else
        [ ]
    else if type == "override" then
      # Not looked into before it has won: what loses, as an overridden default, is never evaluated.
      [ { prio = value.priority; inherit order; value = value.content; inner = true; } ]
    else if type == "order" then
      discharge prio value.priority value.content
    else
      [ { inherit prio order value; } ];

  # defs: [{ file, value }]. What they give together, lazily.
  mergeDefinitions =
    loc: type: defs:
    let
      all = concatMap (d: map (r: r // { inherit (d) file; }) (discharge 100 1000 d.value)) defs;
      highestPrio = foldl' (p: r: lib.min p r.prio) 9999 all;
      winning = concatMap (
        r:
        if r.inner or false then
          map (x: x // { inherit (r) file; }) (discharge r.prio r.order r.value)
        else
          [ r ]
      ) (filter (r: r.prio == highestPrio) all);
      ordered =
        if builtins.any (r: r.order != 1000) winning then builtins.sort (a: b: a.order < b.order) winning else winning;
      final = map (r: { inherit (r) file value; }) ordered;
      wrong = filter (d: !type.check d.value) final;
    in
    rec {
      inherit highestPrio;
      defsFinal = final;
      isDefined = final != [ ];
      mergedValue =
        if !isDefined then
          throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option."
        else if wrong != [ ] then
          throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${showDefs wrong}"
        else
          type.merge loc final;
      optionalValue = lib.optionalAttrs isDefined { value = mergedValue; };
    };

  joinDeclarations =
    loc: a: b:
    let
      merged = a.options.type.typeMerge b.options.type;
      extendable = a.options ? type && b.options ? type;
    in
    if !extendable || merged == null then
      throw "The option `${showOption loc}' in `${b.file}' is already declared in `${a.file}'."
    else
      {
        inherit (a) file;
        options = a.options // b.options // { type = merged; };
      };

  evalOption =
    loc: declarations: defs:
    let
      decl = foldl' (joinDeclarations loc) (head declarations) (builtins.tail declarations);
      option = decl.options;
      type = option.type or types.unspecified;
      withDefault =
        defs
        ++ lib.optional (option ? default) {
          inherit (decl) file;
          value = mkOptionDefault option.default;
        };
      merged = mergeDefinitions loc type withDefault;
      value =
        if option.readOnly or false && length withDefault > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${showDefs withDefault}"
        else if !merged.isDefined && type.emptyValue ? value && type.name == "submodule" then
          type.merge loc [ ]
        else
          merged.mergedValue;
    in
    option
    // {
      inherit loc type;
      inherit (merged) isDefined highestPrio;
      value = builtins.addErrorContext "while evaluating the option `${showOption loc}':" (
        if option ? apply then option.apply value else value
      );
      declarations = map (d: d.file) declarations;
      definitions = map (d: d.value) merged.defsFinal;
      definitionsWithLocations = merged.defsFinal;
      files = map (d: d.file) merged.defsFinal;
      __toString = _: showOption loc;
    };

  # decls: [{ file, options }], defs: [{ file, value }] with properties pushed down.
  mergeTree =
    prefix: decls: defs:
    let
      declsByName = builtins.zipAttrsWith (_: ds: ds) (
        map (
          d:
          mapAttrs (_: options: {
            inherit (d) file;
            inherit options;
          }) d.options
        ) decls
      );
      defsByName = builtins.zipAttrsWith (_: ds: ds) (
        map (
          d:
          mapAttrs (_: value: {
            inherit (d) file;
            inherit value;
          }) d.value
        ) defs
      );
      node =
        name: declarations:
        let
          loc = prefix ++ [ name ];
          mine = defsByName.${name} or [ ];
          leaves = filter (d: isOption d.options) declarations;
        in
        if length leaves == length declarations then
          rec {
            option = evalOption loc declarations mine;
            config = option.value;
            options = option;
            unmatched = [ ];
          }
        else if leaves != [ ] && builtins.all (d: (d.options.type or { }).name or null == "submodule") leaves then
          # Options below an option that is a submodule are further options of it.
          node name (
            map (
              d:
              if isOption d.options then
                d
              else
                {
                  inherit (d) file;
                  options = lib.mkOption { type = types.submodule { _file = d.file; inherit (d) options; }; };
                }
            ) declarations
          )
        else if leaves != [ ] then
          throw "The option `${showOption loc}' in `${(head leaves).file}' is a prefix of options in `${
            (head (filter (d: !isOption d.options) declarations)).file
          }'."
        else
          mergeTree loc declarations (
            concatMap (
              d:
              map (
                value:
                if isAttrs value then
                  {
                    inherit (d) file;
                    inherit value;
                  }
                else
                  throw "In module `${d.file}', you're trying to define a value of type `${builtins.typeOf value}'\nrather than an attribute set for the option\n`${showOption loc}'!\n\nThis usually happens if `${showOption loc}' has option\ndefinitions inside that are not matched. Please check how to properly define\nthis option by e.g. referring to `man 5 configuration.nix'!"
              ) (pushDownProperties d.value)
            ) mine
          );
      nodes = mapAttrs node declsByName;
    in
    {
      config = mapAttrs (_: n: n.config) nodes;
      options = mapAttrs (_: n: n.options) nodes;
      unmatched =
        lib.mapAttrsToList (name: ds: {
          loc = prefix ++ [ name ];
          inherit name;
          path = [ name ];
          defs = ds;
        }) (removeAttrs defsByName (builtins.attrNames declsByName))
        ++ lib.concatLists (
          lib.mapAttrsToList (
            name: n: map (u: u // { path = [ name ] ++ u.path; }) n.unmatched
          ) nodes
        );
    };

  evalModules =
    {
      modules,
      prefix ? [ ],
      specialArgs ? { },
      args ? { },
      modulesPath ? specialArgs.modulesPath or "",
      class ? null,
      ...
    }@evalArgs:
    let
      internal = {
        _file = "lib/modules.nix";
        key = "lib/modules.nix";
        options._module = {
          args = lib.mkOption { type = types.lazyAttrsOf types.raw; internal = true; };
          check = lib.mkOption { type = types.bool; internal = true; default = true; };
          freeformType = lib.mkOption { type = types.nullOr types.optionType; internal = true; default = null; };
          specialArgs = lib.mkOption { type = types.raw; internal = true; default = specialArgs; };
        };
        config._module.args = {
          inherit extendModules;
          moduleType = types.submoduleWith { inherit modules specialArgs; };
        }
        // args;
      };
      # Later modules come first, so that what a module imports sees its importer's lists before its own.
      collected = lib.reverseList (
        collect (specialArgs // { inherit lib config options specialArgs; }) ([ internal ] ++ modules) modulesPath
      );
      tree = mergeTree prefix (map (m: { inherit (m) file options; }) collected) (
        concatMap (
          m:
          concatMap (
            c:
            map (value: {
              inherit (m) file;
              inherit value;
            }) (pushDownProperties c)
          ) m.configs
        ) collected
      );
      inherit (tree.config) _module;
      freeform = _module.freeformType.merge prefix (
        concatMap (
          u:
          map (d: {
            inherit (d) file;
            value = lib.setAttrByPath u.path d.value;
          }) u.defs
        ) tree.unmatched
      );
      check =
        if _module.freeformType != null || !_module.check || tree.unmatched == [ ] then
          null
        else
          let
            first = head tree.unmatched;
          in
          throw "The option `${showOption first.loc}' does not exist. Definition values:${showDefs [ (head first.defs) ]}";
      # Modules read the unchecked configuration, so that reading an option does not ask for every other name.
      config =
        if _module.freeformType == null then tree.config else lib.recursiveUpdate freeform tree.config;
      inherit (tree) options;
      extendModules =
        {
          modules ? [ ],
          specialArgs ? { },
          prefix ? evalArgs.prefix or [ ],
        }:
        evalModules (
          evalArgs
          // {
            modules = evalArgs.modules ++ modules;
            specialArgs = evalArgs.specialArgs or { } // specialArgs;
            inherit prefix;
          }
        );
    in
    {
      _type = "configuration";
      inherit options extendModules class;
      inherit (tree.config) _module;
      config = builtins.seq check (removeAttrs config [ "_module" ]);
      type = types.submoduleWith { inherit modules specialArgs; };
    };

  mkIf = condition: content: property "if" { inherit condition content; };
  mkMerge = contents: property "merge" { inherit contents; };
  mkOverride = priority: content: property "override" { inherit priority content; };
  mkOrder = priority: content: property "order" { inherit priority content; };
  mkOptionDefault = mkOverride 1500;
  # The definitions of one option as a definition of another.
  mkAliasAndWrapDefinitions = wrap: option: mkIf (option.isDefined or false) (wrap (mkMerge option.definitions));
in
{
  inherit
    evalModules
    mergeDefinitions
    mkIf
    mkMerge
    mkOptionDefault
    mkOrder
    mkOverride
    pushDownProperties
    ;
  mkDefault = mkOverride 1000;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  defaultOverridePriority = 100;
  defaultOrderPriority = 1000;
  mkAssert =
    assertion: message: content:
    mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;
  mkAliasDefinitions = mkAliasAndWrapDefinitions lib.id;
  inherit mkAliasAndWrapDefinitions;
  setDefaultModuleLocation = file: m: {
    _file = file;
    imports = [ m ];
  };
  importApply = path: args: lib.setDefaultModuleLocation path (import path args);

  # Modules for options that moved.
  mkRenamedOptionModule = from: to: { config, options, ... }: {
    options = lib.setAttrByPath from (lib.mkOption {
      visible = false;
      apply = _: lib.getAttrFromPath to config;
    });
    config = lib.setAttrByPath to (mkAliasAndWrapDefinitions lib.id (lib.getAttrFromPath from options));
  };
  mkRemovedOptionModule = name: text: { options, ... }: {
    options = lib.setAttrByPath name (lib.mkOption {
      visible = false;
      apply = _: throw "The option `${showOption name}' can no longer be used since it's been removed. ${text}";
    });
    config.assertions =
      let
        option = lib.getAttrFromPath name options;
      in
      [
        {
          assertion = !option.isDefined;
          message = "The option definition `${showOption name}' in ${lib.showFiles option.files} no longer has any effect; please remove it.\n${text}";
        }
      ];
  };
}
