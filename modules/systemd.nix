# Text and names as systemd reads them. Functions only, not a module.
{ lib }:
rec {
  # A word of a command line. Variables (${NAME}) and $$ pass; quotes,
  # backslashes and white space are protected, and % is doubled since systemd
  # reads it as a specifier.
  word =
    text:
    let
      doubled = percent text;
      quoted = builtins.replaceStrings [ "\\" "\"" "\n" "\t" "\r" ] [ "\\\\" "\\\"" "\\n" "\\t" "\\r" ] doubled;
    in
    if builtins.match "[A-Za-z0-9_./:@,+=\${}%-]+" doubled != null then doubled else "\"${quoted}\"";

  percent = builtins.replaceStrings [ "%" ] [ "%%" ];
  unpercent = builtins.replaceStrings [ "%%" ] [ "%" ];

  # Variables of a unit. NixOS gives each service a PATH of its own, which this
  # one replaces.
  environment = lib.mapAttrs (name: value: (if name == "PATH" then lib.mkForce else lib.id) (percent value));

  # The words of a command of a package, its program's path made absolute.
  absolute =
    package: words:
    [ (if lib.hasPrefix "/" (builtins.head words) then builtins.head words else "${package}/${builtins.head words}") ]
    ++ builtins.tail words;

  commandLine = words: builtins.concatStringsSep " " (map word words);

  # The attribute of systemd.services that makes a unit. An instance of a
  # template (x@y.service) may be made by its template (x@.service).
  attribute = unit: lib.removeSuffix ".service" unit;
  template =
    unit:
    let
      parts = builtins.match "([^@]+@)[^@]+" (attribute unit);
    in
    if parts == null then null else builtins.head parts;

  # The targets among units: only what is asked for is started.
  targets = builtins.filter (lib.hasSuffix ".target");

  # The definition of a submodule that Nix's errors ascribe to a place of the
  # HCL: a module of its own, since only a module carries a file name.
  at = place: value: _: {
    _file = place;
    config = value;
  };

  # A setting of a unit that says yes.
  isTrue =
    value:
    builtins.elem value [
      true
      "1"
      "on"
      "true"
      "yes"
    ];

  # A serviceConfig value as the list of its texts.
  texts =
    value:
    if builtins.isList value then
      lib.concatMap texts value
    else if builtins.isBool value then
      [ (if value then "yes" else "no") ]
    else
      [ (toString value) ];

  # A serviceConfig value that lists names, one or several to a text.
  names =
    value:
    lib.concatMap (text: builtins.filter (part: builtins.isString part && part != "") (builtins.split " +" text)) (
      texts value
    );

  # serviceConfig of an instance's limits. For our own units they are defaults:
  # what the user sets in nixos = {…} wins. In another module's unit a limit that
  # differs from that module's is a conflict, to be settled by who wrote both.
  limits =
    i:
    lib.mapAttrs (_: if i.package == null then lib.id else lib.mkDefault) (
      lib.optionalAttrs (i.limits.memory != null) { MemoryMax = toString i.limits.memory; }
      // lib.optionalAttrs (i.limits.cpu != null) { CPUQuota = i.limits.cpu; }
      // lib.optionalAttrs (i.limits.tasks != null) { TasksMax = toString i.limits.tasks; }
      // lib.optionalAttrs (i.limits.files != null) { LimitNOFILE = toString i.limits.files; }
      // lib.optionalAttrs (i.stopTimeout != null) { TimeoutStopSec = i.stopTimeout; }
    );
}
