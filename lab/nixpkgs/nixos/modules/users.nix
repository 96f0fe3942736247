# users.*: declared accounts, brought into /etc/passwd and /etc/group by the activation; accounts of the image stay.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.users;
  flag = description: mkOption { type = types.bool; default = false; inherit description; };
  secret = mkOption { type = types.nullOr (types.passwdEntry types.str); default = null; description = "A crypt(3) hash."; };
  word = types.passwdEntry types.str;
  pathLike = types.passwdEntry types.path;

  user =
    { name, config, ... }:
    {
      options = {
        enable = mkOption { type = types.bool; default = true; description = "Whether the user is there."; };
        name = mkOption { type = word; default = name; description = "The name."; };
        description = mkOption { type = word; default = ""; description = "The GECOS field."; };
        uid = mkOption { type = types.nullOr types.int; default = null; description = "The number; null = allocated."; };
        isSystemUser = flag "A user of a service.";
        isNormalUser = flag "A user for people.";
        group = mkOption { type = types.str; default = ""; description = "The primary group."; };
        extraGroups = mkOption { type = types.listOf types.str; default = [ ]; description = "Further groups."; };
        home = mkOption { type = pathLike; default = "/var/empty"; description = "The home folder."; };
        homeMode = mkOption { type = types.strMatching "[0-7]{1,5}"; default = "700"; description = "Its mode."; };
        createHome = flag "Whether the activation makes it.";
        shell = mkOption { type = types.nullOr (types.either types.shellPackage pathLike); default = pkgs.shadow; description = "The login shell."; };
        useDefaultShell = flag "Whether the shell is users.defaultUserShell.";
        ignoreShellProgramCheck = flag "Accepted and unused.";
        linger = flag "Accepted and unused.";
        password = mkOption { type = types.nullOr types.str; default = null; description = "Refused by the stand-in: use hashedPassword."; };
        initialPassword = mkOption { type = types.nullOr types.str; default = null; description = "Refused by the stand-in: use hashedPassword."; };
        hashedPassword = secret;
        initialHashedPassword = secret;
        hashedPasswordFile = mkOption { type = types.nullOr types.str; default = null; description = "A file with such a hash."; };
        packages = mkOption { type = types.listOf types.package; default = [ ]; description = "Accepted and unused."; };
        subUidRanges = mkOption { type = types.listOf types.attrs; default = [ ]; description = "Accepted and unused."; };
        subGidRanges = mkOption { type = types.listOf types.attrs; default = [ ]; description = "Accepted and unused."; };
        autoSubUidGidRange = flag "Accepted and unused.";
        openssh.authorizedKeys = {
          keys = mkOption { type = types.listOf types.singleLineStr; default = [ ]; description = "Public keys that may log in."; };
          keyFiles = mkOption { type = types.listOf types.path; default = [ ]; description = "Files of such keys."; };
        };
      };
      config = lib.mkMerge [
        (lib.mkIf config.isNormalUser {
          group = lib.mkDefault "users";
          createHome = lib.mkDefault true;
          home = lib.mkDefault "/home/${config.name}";
          useDefaultShell = lib.mkDefault true;
          isSystemUser = lib.mkDefault false;
        })
        (lib.mkIf config.useDefaultShell { shell = lib.mkDefault cfg.defaultUserShell; })
      ];
    };
  group =
    { name, ... }:
    {
      options = {
        name = mkOption { type = word; default = name; description = "The name."; };
        gid = mkOption { type = types.nullOr types.int; default = null; description = "The number; null = allocated."; };
        members = mkOption { type = types.listOf word; default = [ ]; description = "Its users."; };
      };
    };

  users = lib.filterAttrs (_: u: u.enable) cfg.users;
  # One line an account, fields divided by tabs: what update-users.pl reads.
  fields = lib.concatMapStringsSep "\t" (f: if f == null then "" else if builtins.isBool f then (if f then "1" else "") else toString f);
  userLine = u: fields [
    "user"
    u.name
    u.uid
    u.group
    u.description
    u.home
    u.homeMode
    u.createHome
    (if u.shell == null then "/run/current-system/sw/bin/nologin" else utils.toShellPath u.shell)
    (if u.hashedPassword != null then u.hashedPassword else u.initialHashedPassword)
    u.hashedPasswordFile
    u.isSystemUser
  ];
  groupLine = g: fields [
    "group"
    g.name
    g.gid
    (lib.concatStringsSep "," (lib.unique (g.members ++ map (u: u.name) (builtins.filter (u: lib.elem g.name u.extraGroups) (builtins.attrValues users)))))
  ];
  duplicates = numbers: lib.filterAttrs (_: names: builtins.length names > 1) (builtins.groupBy (x: toString x.number) numbers);
  # What NixOS gives to the users that Nix builds as, and to their group; the image has its own.
  builders = map (n: { number = 30000 + n; name = "nixbld${toString n}"; }) (lib.range 1 32);
  uids = builders ++ map (u: { number = u.uid; inherit (u) name; }) (builtins.filter (u: u.uid != null) (builtins.attrValues users));
  gids =
    [ { number = 30000; name = "nixbld"; } ]
    ++ map (g: { number = g.gid; inherit (g) name; }) (builtins.filter (g: g.gid != null) (builtins.attrValues cfg.groups));
in
{
  options.users = {
    mutableUsers = mkOption { type = types.bool; default = true; description = "Whether accounts made by hand stay."; };
    allowNoPasswordLogin = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
    defaultUserShell = mkOption { type = types.either types.shellPackage types.path; default = pkgs.bashInteractive; description = "The shell of people."; };
    enforceIdUniqueness = mkOption { type = types.bool; default = true; description = "Whether two accounts with one number are refused."; };
    motd = mkOption { type = types.nullOr types.lines; default = null; description = "Accepted and unused."; };
    users = mkOption { type = types.attrsOf (types.submodule user); default = { }; description = "Users."; };
    groups = mkOption { type = types.attrsOf (types.submodule group); default = { }; description = "Groups."; };
  };

  config = {
    users.users.root = {
      uid = 0;
      isSystemUser = lib.mkDefault true;
      group = "root";
      home = "/root";
      description = "System administrator";
      shell = lib.mkDefault cfg.defaultUserShell;
    };
    users.groups = {
      root.gid = 0;
      wheel.gid = 1;
      users.gid = 100;
    };
    environment.systemPackages = [ pkgs.shadow ];
    environment.etc = lib.mapAttrs' (name: u: {
      name = "ssh/authorized_keys.d/${u.name}";
      value = {
        mode = "0444";
        text = lib.concatMapStrings (k: "${k}\n") (
          map (lib.removeSuffix "\n") u.openssh.authorizedKeys.keys
          ++ map (f: lib.removeSuffix "\n" (builtins.readFile f)) u.openssh.authorizedKeys.keyFiles
        );
      };
    }) (lib.filterAttrs (_: u: u.openssh.authorizedKeys.keys != [ ] || u.openssh.authorizedKeys.keyFiles != [ ]) users);
    system.build.accounts = lib.concatMapStrings (l: "${l}\n") (
      map groupLine (builtins.attrValues cfg.groups) ++ map userLine (builtins.attrValues users)
    );

    assertions =
      lib.concatLists (
        lib.mapAttrsToList (_: u: [
          {
            assertion = (u.isNormalUser && !u.isSystemUser) || (u.isSystemUser && !u.isNormalUser);
            message = "Exactly one of users.users.${u.name}.isSystemUser and users.users.${u.name}.isNormalUser must be set.\n";
          }
          {
            assertion = u.group != "";
            message = ''
              users.users.${u.name}.group is unset. This used to default to
              nogroup, but this is unsafe. For example you can create a group
              for this user with:
              users.users.${u.name}.group = "${u.name}";
              users.groups.${u.name} = {};
            '';
          }
          {
            assertion = u.password == null && u.initialPassword == null;
            message = "users.users.${u.name}: the stand-in knows hashed passwords only.";
          }
        ]) users
      )
      ++ lib.mapAttrsToList (_: u: {
        assertion = u.group == "" || builtins.any (g: g.name == u.group) (builtins.attrValues cfg.groups);
        message = "The following users have a primary group that is undefined: ${u.name}\nHint: Add this to your NixOS configuration:\n  users.groups.${u.group} = {};\n";
      }) users
      ++ [
        {
          assertion = !cfg.enforceIdUniqueness || (duplicates uids == { } && duplicates gids == { });
          message = "UIDs and GIDs must be unique! ${
            lib.concatStringsSep ", " (
              lib.mapAttrsToList (n: us: "${n}: ${lib.concatMapStringsSep " " (u: u.name) us}") (duplicates uids // duplicates gids)
            )
          }";
        }
      ];
  };
}
