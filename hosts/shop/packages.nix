# The shop's packages. A real shop builds them from its sources; this one takes the lab's demo services, one program each.
final: prev:
let
  program =
    name: version: program:
    final.runCommand "${name}-${version}" { meta.mainProgram = program; } ''
      mkdir -p $out/bin
      cp ${final.nixmesh-lab-services}/bin/${program} $out/bin/${program}
    '';
in
{
  shop-web = program "shop-web" "1.0" "web";
  shop-api-v1 = program "shop-api-v1" "1.8.2" "api";
  shop-api-v2 = program "shop-api-v2" "2.0.0" "api";
  shop-worker = program "shop-worker" "1.0" "worker";
}
