# How operators reach this host: sshd, the deploy user and its one sudo rule.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.services.nixmesh;
  sshd = config.services.openssh;
  root = cfg.user == "root";
  keys = lib.concatLists (lib.mapAttrsToList (_: operator: operator.ssh) cfg.operators);
  # One of the host's people has a group and a shell.
  person = config.users.users.${cfg.user}.isNormalUser;
  groups = [ config.users.users.${cfg.user}.group ] ++ config.users.users.${cfg.user}.extraGroups;

  # Whether a sudo that works is the wheel's alone.
  wheelOnly = sudo: sudo.enable or false && sudo.execWheelOnly or false;

  # Who may speak to Nix's daemon: copies arrive as this user.
  nixUsers = config.nix.settings.allowed-users or [ "*" ];
  nixNames = [ "*" cfg.user ] ++ map (group: "@${group}") groups;

  # "NAME", "PATTERN" or "PATTERN@ADDRESS": whether a pattern matches is sshd's to say.
  allowUsers = sshd.settings.AllowUsers or null;
  allows =
    pattern:
    let
      name = builtins.head (lib.splitString "@" pattern);
    in
    name == cfg.user || builtins.match ".*[*?].*" name != null;

  # No wildcard and no argument pattern: arguments are parsed by the helper. A
  # rule on store paths would be a way to root, since any local user may add an
  # unsigned content-addressed path of any name. Last, so that no other rule
  # asks for a password again.
  rules = lib.mkAfter [
    {
      users = [ cfg.user ];
      runAs = "root";
      commands = [
        {
          command = "/run/current-system/sw/bin/nixmesh-host";
          options = [ "NOPASSWD" ];
        }
      ];
    }
  ];
in
{
  options.services.nixmesh.user = lib.mkOption {
    type = lib.types.str;
    default = "deploy";
    description = "The user that operators log in as. It has no right but to call the host's helper.";
  };

  config = lib.mkIf cfg.enable {
    services.openssh.enable = true;
    # A profile's mkDefault is stronger.
    services.openssh.openFirewall = lib.mkOverride 1200 true;

    users.users.${cfg.user} =
      if root then
        { openssh.authorizedKeys.keys = keys; }
      else
        {
          isSystemUser = lib.mkDefault (!person);
          group = lib.mkIf (!person) (lib.mkDefault cfg.user);
          # A login shell must exist before and after every switch.
          shell = lib.mkIf (!person) (lib.mkDefault "/bin/sh");
          openssh.authorizedKeys.keys = keys;
        };
    users.groups = lib.mkIf (!root) { ${cfg.user} = { }; };

    security = lib.mkIf (!root) (
      {
        sudo.extraRules = rules;
      }
      // lib.optionalAttrs (options.security ? sudo-rs.extraRules) { sudo-rs.extraRules = rules; }
    );

    assertions = [
      {
        assertion = root || config.security.sudo.enable || (config.security.sudo-rs.enable or false);
        message = "${cfg.place}: user ${cfg.user} calls the host's helper with sudo; set security.sudo.enable = true";
      }
      {
        assertion =
          root
          || builtins.elem "wheel" groups
          || !(wheelOnly config.security.sudo || wheelOnly (config.security.sudo-rs or { }));
        message = "${cfg.place}: security.sudo.execWheelOnly keeps sudo from ${cfg.user}, who calls the host's helper with it; set it to false";
      }
      {
        assertion = root || builtins.any (name: builtins.elem name nixNames) nixUsers;
        message = "${cfg.place}: nix.settings.allowed-users leaves out ${cfg.user}, so no later deploy could copy to this host; add it there";
      }
      {
        assertion = builtins.any (key: key.type or "" == "ed25519") sshd.hostKeys;
        message = "${cfg.place}: nixmesh pins ed25519 host keys only; add { type = \"ed25519\"; path = \"/etc/ssh/ssh_host_ed25519_key\"; } to services.openssh.hostKeys";
      }
      {
        assertion = allowUsers == null || builtins.any allows allowUsers;
        message = "${cfg.place}: services.openssh.settings.AllowUsers leaves out ${cfg.user}, so no later deploy could log in; add it there";
      }
    ];
  };
}
