{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.openssh;
  maybe = type: default: description: mkOption { type = types.nullOr type; inherit default description; };
  listing = types.listOf types.str;
  flag = default: description: mkOption { type = types.bool; inherit default description; };
  address.options = {
    addr = maybe types.str null "An address or host name.";
    port = maybe types.int null "A port.";
  };
  # sshd_config takes the first value of a key; lists are joined by what the key expects.
  value =
    key: v:
    if builtins.isList v then
      lib.concatStringsSep (if lib.elem key [ "AllowUsers" "AllowGroups" "DenyUsers" "DenyGroups" ] then " " else ",") v
    else if builtins.isBool v then
      lib.boolToYesNo v
    else
      toString v;
  lines = set: lib.concatStrings (lib.mapAttrsToList (k: v: lib.optionalString (v != null) "${k} ${value k v}\n") set);
  files = lib.optional cfg.authorizedKeysInHomedir "%h/.ssh/authorized_keys" ++ [ "/etc/ssh/authorized_keys.d/%u" ] ++ cfg.authorizedKeysFiles;
in
{
  options.services.openssh = {
    enable = flag false "Whether sshd runs.";
    package = mkOption { type = types.package; default = pkgs.openssh; description = "The openssh package."; };
    startWhenNeeded = flag false "Refused by the stand-in: sshd is a service.";
    openFirewall = flag true "Whether the ports are opened.";
    allowSFTP = flag true "Whether sftp works.";
    sftpFlags = mkOption { type = listing; default = [ ]; description = "Arguments of sftp-server."; };
    sftpServerExecutable = mkOption { type = types.str; default = "${cfg.package}/libexec/sftp-server"; description = "The sftp-server."; };
    ports = mkOption { type = types.listOf types.port; default = [ 22 ]; description = "The ports."; };
    listenAddresses = mkOption { type = types.listOf (types.submodule address); default = [ ]; description = "Addresses; none = all."; };
    hostKeys = mkOption {
      type = types.listOf types.attrs;
      default = [ { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; } ];
      description = "Host keys, made where they are missing.";
    };
    authorizedKeysFiles = mkOption { type = listing; default = [ ]; description = "Further files of keys."; };
    authorizedKeysInHomedir = flag true "Whether ~/.ssh/authorized_keys counts.";
    authorizedKeysCommand = mkOption { type = types.str; default = "none"; description = "AuthorizedKeysCommand."; };
    authorizedKeysCommandUser = mkOption { type = types.str; default = "nobody"; description = "AuthorizedKeysCommandUser."; };
    banner = maybe types.lines null "A text before the login.";
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of sshd_config."; };
    knownHosts = mkOption { type = types.attrsOf types.attrs; default = { }; description = "Accepted and unused."; };
    settings = mkOption {
      default = { };
      description = "Lines of sshd_config.";
      type = types.submodule {
        freeformType = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.float types.str ])) // {
          description = "attribute set of (atom (null, bool, int, float or string))";
        };
        options = {
          AllowGroups = maybe listing null "Groups that may log in.";
          AllowUsers = maybe listing null "Users that may.";
          DenyGroups = maybe listing null "Groups that may not.";
          DenyUsers = maybe listing null "Users that may not.";
          AuthorizedPrincipalsFile = maybe types.str "none" "Principals of certificates.";
          GatewayPorts = maybe types.str "no" "Whether remote forwards listen on all addresses.";
          KbdInteractiveAuthentication = maybe types.bool true "Keyboard-interactive logins.";
          LogLevel = maybe (types.enum [ "QUIET" "FATAL" "ERROR" "INFO" "VERBOSE" "DEBUG" "DEBUG1" "DEBUG2" "DEBUG3" ]) "INFO" "What is logged.";
          Ciphers = maybe listing null "Ciphers.";
          KexAlgorithms = maybe listing null "Key exchanges.";
          Macs = maybe listing null "Message authentication codes.";
          PasswordAuthentication = maybe types.bool true "Password logins.";
          PermitRootLogin = maybe (types.enum [ "yes" "without-password" "prohibit-password" "forced-commands-only" "no" ]) "prohibit-password" "How root may log in.";
          PrintMotd = maybe types.bool false "The message of the day.";
          StrictModes = maybe types.bool true "Whether modes of key files count.";
          UseDns = maybe types.bool false "Names of clients.";
          UsePAM = maybe types.bool true "PAM.";
          X11Forwarding = maybe types.bool false "X11 forwarding.";
        };
      };
    };
  };
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !(cfg.settings.X11Forwarding == true);
        message = "cannot enable X11 forwarding without setting xauth location";
      }
      { assertion = !cfg.startWhenNeeded; message = "services.openssh.startWhenNeeded: the stand-in runs sshd as a service only."; }
    ];
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall cfg.ports;
    users.users.sshd = {
      isSystemUser = true;
      group = "sshd";
      description = "SSH privilege separation user";
    };
    users.groups.sshd = { };
    environment.etc = {
      "ssh/moduli".source = "/usr/share/ssh/moduli";
      "ssh/sshd_config".text =
        lines cfg.settings
        + lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports
        + lib.concatMapStrings (a: "ListenAddress ${lib.optionalString (a.addr != null) a.addr}${lib.optionalString (a.port != null) ":${toString a.port}"}\n") cfg.listenAddresses
        + lib.concatMapStrings (k: "HostKey ${k.path}\n") cfg.hostKeys
        + "AuthorizedKeysFile ${lib.concatStringsSep " " files}\n"
        + lib.optionalString (cfg.authorizedKeysCommand != "none") "AuthorizedKeysCommand ${cfg.authorizedKeysCommand}\nAuthorizedKeysCommandUser ${cfg.authorizedKeysCommandUser}\n"
        + lib.optionalString (cfg.banner != null) "Banner ${pkgs.writeText "ssh_banner" cfg.banner}\n"
        + lib.optionalString cfg.allowSFTP "Subsystem sftp ${cfg.sftpServerExecutable} ${lib.concatStringsSep " " cfg.sftpFlags}\n"
        + cfg.extraConfig;
    };
    systemd.services.sshd = {
      description = "SSH Daemon";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      stopIfChanged = false;
      path = [ cfg.package ];
      restartTriggers = [ config.environment.etc."ssh/sshd_config".source ];
      preStart = "mkdir -p /etc/ssh /run/sshd\n" + lib.concatMapStrings (k: ''
        [ -s ${k.path} ] || ssh-keygen -q -t ${k.type} ${lib.optionalString (k ? bits) "-b ${toString k.bits}"} -f ${k.path} -N ""
      '') cfg.hostKeys;
      serviceConfig = {
        Type = "notify";
        ExecStart = "${cfg.package}/bin/sshd -D -f /etc/ssh/sshd_config";
        KillMode = "process";
        Restart = "always";
      };
    };
  };
}
