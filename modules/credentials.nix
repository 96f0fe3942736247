# What an instance's secrets are to its unit, and to the checks that run beside
# it. Functions only, not a module. Paths are those of the Go package
# hostfacts: SecretsDir.
{ lib }:
rec {
  dir = "/run/nixmesh/secrets/current";

  # Below `dir`: what is unsealed of an age file, and an instance's variables.
  file = instance: name: "${instance}/${name}";
  environmentFile = instance: "${instance}.env";

  # The gossip key of the host's agent, and the name of its file below `dir`.
  gossipFile = file "nixmesh-agent" "gossip.key";
  gossip = "${dir}/${gossipFile}";

  # A certificate with its key below `dir`: a gateway's, for one name of a host or
  # ("") its own, and the one that an external is shown. A folder with a dot is no
  # instance's.
  gatewayFile =
    gateway: host:
    file "gateway.${gateway}" (if host == "" then "own.pem" else "${lib.replaceStrings [ "*" ] [ "_" ] host}.pem");
  externalFile = external: file "external.${external}" "client.pem";

  # Where the text of a secret is on the host, for root to read.
  source =
    instance: name: secret:
    if secret.path != null then secret.path else "${dir}/${file instance name}";

  # LoadCredential= of a unit: "NAME:PATH".
  load = instance: i: lib.mapAttrsToList (name: secret: "${name}:${source instance name secret}") i.secrets;

  # EnvironmentFile= of a unit.
  environmentFiles = instance: i: lib.optional (i.secretEnv != [ ]) "${dir}/${environmentFile instance}";

  # The variables that name the files. %d is the unit's folder of credentials.
  variables = i: lib.mapAttrs' (name: _: lib.nameValuePair "${name}_FILE" "%d/${name}") i.secrets;
}
