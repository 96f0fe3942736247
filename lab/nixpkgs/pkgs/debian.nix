# Programs of the base image (Debian 13) as packages: a store path with links into /usr. Nothing here is built or copied, so
# such a path means something only on a host that runs the same image.
{ lib, pkgs }:
let
  words = s: builtins.filter (w: w != "") (lib.splitString " " (lib.replaceStrings [ "\n" ] [ " " ] s));
  # `from` is where the programs are; `links` adds further links, PATH IN PACKAGE -> TARGET.
  image =
    pname:
    {
      programs,
      from ? "/usr/bin",
      links ? { },
      mainProgram ? pname,
      passthru ? { },
    }:
    pkgs.derive {
      name = "${pname}-debian13";
      meta = { inherit mainProgram; };
      inherit passthru;
      script = ''
        mkdir -p $out/bin
        ln -s ${lib.concatMapStringsSep " " (p: "${from}/${p}") (words programs)} $out/bin/
        ${lib.concatStrings (
          lib.mapAttrsToList (path: target: ''
            mkdir -p $out/${builtins.dirOf path}
            ln -s ${target} $out/${path}
          '') links
        )}
      '';
    };
  one = pname: image pname { programs = pname; };
  shell = image "bash" {
    programs = "bash sh";
    passthru.shellPath = "/bin/bash";
  };
in
{
  runtimeShell = "${pkgs.bash}/bin/bash";
  bash = shell;
  bashInteractive = shell;
  bashNonInteractive = shell;
  dash = image "dash" { programs = "dash"; passthru.shellPath = "/bin/dash"; };
  shadow = image "shadow" {
    programs = "nologin useradd usermod userdel groupadd chpasswd";
    from = "/usr/sbin";
    passthru.shellPath = "/bin/nologin";
  };
  coreutils = image "coreutils" {
    programs = ''
      [ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors
      dirname du echo env expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir
      mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pr printenv printf ptx pwd readlink realpath rm rmdir
      runcon seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail
      tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink users vdir wc who whoami yes
    '';
    mainProgram = "ls";
  };
  findutils = image "findutils" { programs = "find xargs"; mainProgram = "find"; };
  gnugrep = image "gnugrep" { programs = "grep egrep fgrep"; mainProgram = "grep"; };
  gnused = image "gnused" { programs = "sed"; mainProgram = "sed"; };
  gawk = image "gawk" { programs = "awk"; mainProgram = "awk"; };
  gnutar = image "gnutar" { programs = "tar"; mainProgram = "tar"; };
  gzip = image "gzip" { programs = "gzip gunzip zcat"; };
  perl = one "perl";
  busybox = one "busybox";
  procps = image "procps" { programs = "ps free kill pgrep pkill top uptime vmstat w watch slabtop"; mainProgram = "ps"; };
  util-linux = image "util-linux" {
    programs = "dmesg findmnt flock logger lsblk lscpu lslocks lsns mount mountpoint mcookie nsenter prlimit rev script setpriv setsid taskset umount unshare uuidgen whereis";
    mainProgram = "mount";
  };
  iproute2 = image "iproute2" { programs = "ip ss"; mainProgram = "ip"; };
  hostname = one "hostname";
  nftables = image "nftables" { programs = "nft"; from = "/usr/sbin"; mainProgram = "nft"; };
  curl = one "curl";
  less = one "less";
  openssh = image "openssh" {
    programs = "ssh ssh-add ssh-agent ssh-keygen ssh-keyscan scp sftp";
    links = {
      "bin/sshd" = "/usr/sbin/sshd";
      "libexec/sftp-server" = "/usr/lib/openssh/sftp-server";
    };
    mainProgram = "ssh";
  };
  sudo = image "sudo" { programs = "sudo sudoedit"; links."bin/visudo" = "/usr/sbin/visudo"; };
  nix = image "nix" {
    programs = "nix nix-build nix-channel nix-collect-garbage nix-copy-closure nix-daemon nix-env nix-hash nix-instantiate nix-prefetch-url nix-shell nix-store";
    passthru.version = "2.26.3";
  };
  systemd = image "systemd" {
    programs = "busctl hostnamectl journalctl localectl loginctl networkctl resolvectl systemctl systemd-analyze systemd-cat systemd-cgls systemd-creds systemd-detect-virt systemd-escape systemd-id128 systemd-inhibit systemd-mount systemd-notify systemd-path systemd-run systemd-socket-activate systemd-sysusers systemd-tmpfiles timedatectl";
    links."lib/systemd" = "/usr/lib/systemd";
    links."example" = "/usr/lib";
    mainProgram = "systemctl";
  };
  # Not Debian's: the lab lays it below every host.
  envoy-bin = pkgs.runCommand "envoy-1.40.0" { meta.mainProgram = "envoy"; } "mkdir -p $out/bin; ln -s /usr/lib/nixmesh-lab/envoy $out/bin/";
  postgresql = image "postgresql" {
    programs = "clusterdb createdb createuser dropdb dropuser initdb pg_basebackup pg_ctl pg_dump pg_isready pg_resetwal pg_restore postgres psql reindexdb vacuumdb";
    from = "/usr/lib/postgresql/17/bin";
    mainProgram = "psql";
    passthru = {
      psqlSchema = "17";
      version = "17";
    };
  };
  postgresql_17 = pkgs.postgresql;
  redis = image "redis" { programs = "redis-server redis-cli redis-benchmark redis-check-rdb redis-check-aof"; mainProgram = "redis-cli"; };
  valkey = pkgs.redis;
}
