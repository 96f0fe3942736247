# The lab's demo services, built before from ./services and found in ./services/bin, as a package.
final: prev: {
  nixmesh-lab-services =
    final.runCommand "nixmesh-lab-services" { meta.description = "Demo services of the nixmesh lab"; }
      ''
        mkdir -p $out/bin
        cp ${
          builtins.path {
            path = ./services/bin;
            name = "nixmesh-lab-services-bin";
          }
        }/* $out/bin/
        chmod 0555 $out/bin/*
      '';
}
