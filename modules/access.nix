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
  allowUsers = sshd.settings.AllowUsers or null;

  # No wildcard and no argument pattern: arguments are parsed by the helper. A
  # rule on store paths would be a way to root, since any local user may add an
  # unsigned content-addressed path of any name. Last, so that no other rule
  # asks for a password again.
  rules = lib.mkAfter [
    {
      users = [ cfg.user ];
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
    services.openssh.openFirewall = lib.mkDefault true;

    users.users.${cfg.user} =
      if root then
        { openssh.authorizedKeys.keys = keys; }
      else
        {
          isSystemUser = lib.mkDefault (!config.users.users.${cfg.user}.isNormalUser);
          group = lib.mkDefault cfg.user;
          # A login shell must exist before and after every switch.
          shell = lib.mkDefault "/bin/sh";
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
        assertion = builtins.any (key: key.type or "" == "ed25519") sshd.hostKeys;
        message = "${cfg.place}: nixmesh pins ed25519 host keys only; add { type = \"ed25519\"; path = \"/etc/ssh/ssh_host_ed25519_key\"; } to services.openssh.hostKeys";
      }
      {
        assertion = allowUsers == null || builtins.elem cfg.user allowUsers;
        message = "${cfg.place}: services.openssh.settings.AllowUsers leaves out ${cfg.user}, so no later deploy could log in; add it there";
      }
    ];
  };
}
