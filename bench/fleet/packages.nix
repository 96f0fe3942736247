# The one package of the fleet: the lab's echo.
final: prev: {
  bench-echo = final.runCommand "bench-echo-1.0" { meta.mainProgram = "echo"; } ''
    mkdir -p $out/bin
    cp ${final.nixmesh-lab-services}/bin/echo $out/bin/echo
  '';
}
