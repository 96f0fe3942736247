# The one package of the fleet. A real fleet builds it from its sources; this one takes the lab's demo service.
final: prev: {
  hello-web = final.runCommand "hello-web-1.0" { meta.mainProgram = "web"; } ''
    mkdir -p $out/bin
    cp ${final.nixmesh-lab-services}/bin/web $out/bin/web
  '';
}
