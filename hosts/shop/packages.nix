# The shop's packages. A real shop builds them from its sources; this one takes the lab's demo services, one program each.
final: prev:
let
  program =
    pname: name:
    final.runCommand "${pname}-1.0" { meta.mainProgram = name; } ''
      mkdir -p $out/bin
      cp ${final.nixmesh-lab-services}/bin/${name} $out/bin/${name}
    '';
in
{
  shop-web = program "shop-web" "web";
  shop-api = program "shop-api" "api";
  shop-worker = program "shop-worker" "worker";
}
