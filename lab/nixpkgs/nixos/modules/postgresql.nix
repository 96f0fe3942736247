# services.postgresql: the image's PostgreSQL 17 as postgresql.service.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.postgresql;
  value = types.oneOf [ types.bool types.float types.int types.str ];
  asText = v: if builtins.isBool v then (if v then "on" else "off") else if builtins.isString v then "'${lib.replaceStrings [ "'" ] [ "''" ] v}'" else toString v;
  configFile = pkgs.writeTree "postgresql-conf" {
    "postgresql.conf".text = lib.concatStrings (lib.mapAttrsToList (k: v: "${k} = ${asText v}\n") (lib.filterAttrs (_: v: v != null) cfg.settings));
  };
  user = { name, ... }: {
    options = {
      name = mkOption { type = types.str; description = "The role."; };
      ensureDBOwnership = mkOption { type = types.bool; default = false; description = "Whether it owns the database of its name."; };
      ensureClauses = mkOption { type = types.attrsOf (types.nullOr (types.either types.bool types.str)); default = { }; description = "Attributes of the role."; };
    };
  };
  clause = n: v: if builtins.isString v then "${n} '${v}'" else if n == "unset" then "" else (if v then "" else "no") + n;
  psql = "psql --port=${toString cfg.settings.port} -tA";
in
{
  options.services.postgresql = {
    enable = mkOption { type = types.bool; default = false; description = "Whether PostgreSQL runs."; };
    package = lib.mkPackageOption pkgs "postgresql" { };
    dataDir = mkOption { type = types.path; default = "/var/lib/postgresql/${cfg.package.psqlSchema}"; description = "Where the data is."; };
    enableTCPIP = mkOption { type = types.bool; default = false; description = "Whether it listens on all addresses."; };
    enableJIT = mkOption { type = types.bool; default = false; description = "Whether queries are compiled."; };
    checkConfig = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
    ensureDatabases = mkOption { type = types.listOf types.str; default = [ ]; description = "Databases."; };
    ensureUsers = mkOption { type = types.listOf (types.submodule user); default = [ ]; description = "Roles."; };
    authentication = mkOption { type = types.lines; default = ""; description = "pg_hba.conf."; };
    identMap = mkOption { type = types.lines; default = ""; description = "pg_ident.conf."; };
    initialScript = mkOption { type = types.nullOr types.path; default = null; description = "SQL of the first start."; };
    initdbArgs = mkOption { type = types.listOf types.str; default = [ ]; description = "Arguments of initdb."; };
    settings = mkOption {
      default = { };
      description = "postgresql.conf.";
      type = types.submodule {
        freeformType = types.attrsOf (types.nullOr value);
        options.port = mkOption { type = types.port; default = 5432; description = "The port."; };
        options.log_line_prefix = mkOption { type = types.str; default = "[%p] "; description = "What each line of the log starts with."; };
      };
    };
  };
  config = lib.mkIf cfg.enable {
    services.postgresql.settings = {
      hba_file = "${pkgs.writeText "pg_hba.conf" cfg.authentication}";
      ident_file = "${pkgs.writeText "pg_ident.conf" cfg.identMap}";
      log_destination = "stderr";
      listen_addresses = lib.mkDefault (if cfg.enableTCPIP then "*" else "localhost");
      jit = lib.mkDefault cfg.enableJIT;
      unix_socket_directories = lib.mkDefault "/run/postgresql";
    };
    services.postgresql.authentication = lib.mkAfter ''
      local all postgres         peer map=postgres
      local all all              peer
      host  all all 127.0.0.1/32 md5
      host  all all ::1/128      md5
    '';
    services.postgresql.identMap = lib.mkAfter "postgres root postgres\npostgres postgres postgres\n";
    users.users.postgres = {
      uid = 71;
      isSystemUser = true;
      group = "postgres";
      description = "PostgreSQL server user";
      home = builtins.dirOf cfg.dataDir;
      useDefaultShell = true;
    };
    users.groups.postgres.gid = 71;
    environment.systemPackages = [ cfg.package ];
    systemd.services.postgresql = {
      description = "PostgreSQL Server";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      environment.PGDATA = cfg.dataDir;
      path = [ cfg.package ];
      restartTriggers = [ configFile ];
      preStart = ''
        if ! test -e ${cfg.dataDir}/PG_VERSION; then
          rm -f ${cfg.dataDir}/*.conf
          initdb -U postgres ${lib.escapeShellArgs cfg.initdbArgs}
          touch ${cfg.dataDir}/.first_startup
        fi
        ln -sfn ${configFile}/postgresql.conf ${cfg.dataDir}/postgresql.conf
      '';
      postStart = ''
        ${lib.optionalString (cfg.initialScript != null) ''
          if test -e ${cfg.dataDir}/.first_startup; then ${psql} -f ${cfg.initialScript} -d postgres; fi
        ''}
        rm -f ${cfg.dataDir}/.first_startup
        ${lib.concatMapStrings (db: ''
          ${psql} -c "SELECT 1 FROM pg_database WHERE datname = '${db}'" | grep -q 1 || ${psql} -c 'CREATE DATABASE "${db}"'
        '') cfg.ensureDatabases}
        ${lib.concatMapStrings (u: ''
          ${psql} -c "SELECT 1 FROM pg_roles WHERE rolname = '${u.name}'" | grep -q 1 || ${psql} -c 'CREATE USER "${u.name}"'
          ${lib.optionalString u.ensureDBOwnership ''${psql} -c 'ALTER DATABASE "${u.name}" OWNER TO "${u.name}";' ''}
          ${lib.optionalString (u.ensureClauses != { }) ''${psql} -c 'ALTER ROLE "${u.name}" ${lib.concatStringsSep " " (lib.mapAttrsToList clause u.ensureClauses)}' ''}
        '') cfg.ensureUsers}
      '';
      serviceConfig = {
        ExecStart = "${cfg.package}/bin/postgres";
        ExecReload = "${pkgs.procps}/bin/kill -HUP $MAINPID";
        User = "postgres";
        Group = "postgres";
        RuntimeDirectory = "postgresql";
        StateDirectory = "postgresql postgresql/${cfg.package.psqlSchema}";
        StateDirectoryMode = "0750";
        Type = "notify";
        KillSignal = "SIGINT";
        KillMode = "mixed";
        TimeoutSec = 120;
      };
    };
  };
}
